"""What of the library's interface this suite may use yet. To be deleted, with its uses, when all of it is there."""

from __future__ import annotations

import inspect
from typing import Any

from fastnet.network import Network
from fastnet.trainer import Trainer

_TRAINER = inspect.signature(Trainer).parameters
SPARSE = "sparse" in _TRAINER
THREADS = "threads" in _TRAINER
COMPILE = hasattr(Network, "compile")


def trainer_options(**options: Any) -> dict[str, Any]:
    """Those of the options that a Trainer has."""
    return {name: value for name, value in options.items() if name in _TRAINER}
