"""The tests of the experiments use one backend. Other tests cover Network and Trainer on all backends."""

from __future__ import annotations

from typing import Any

import pytest

from fastnet import backends


@pytest.fixture(scope="session")
def backend() -> Any:
    """Return the fastest backend of this machine."""
    return backends.get(next(info.name for info in backends.available() if info.available))
