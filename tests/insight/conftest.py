"""The experiments are tested on one backend: they call Trainer and Network, whose own tests run on each."""

from __future__ import annotations

from typing import Any

import pytest

from fastnet import backends


@pytest.fixture(scope="session")
def backend() -> Any:
    """The fastest one here."""
    return backends.get(next(info.name for info in backends.available() if info.available))
