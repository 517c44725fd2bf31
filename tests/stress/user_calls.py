from __future__ import annotations
from typing import Any


def drawn(rng: Any, case: Any) -> Any:
    return {}


def check(case: Any, k: Any, rule: Any) -> str:
    return "user"
