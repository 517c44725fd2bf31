"""The experiments' tests use one backend. Trainer and Network, which they call, are tested on every backend."""

from __future__ import annotations

from typing import Any

import pytest

from fastnet import backends


@pytest.fixture(scope="session")
def backend() -> Any:
    """The fastest backend of this machine."""
    return backends.get(next(info.name for info in backends.available() if info.available))
