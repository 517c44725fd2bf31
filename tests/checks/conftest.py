"""Fixtures of the tests of sparse rows."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import name_of

from fastnet import backends


@pytest.fixture
def on_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the calls that name no backend on NumPy: what they test does not depend on the backend."""
    monkeypatch.setenv(backends.ENVIRONMENT, "numpy")


@pytest.fixture
def name(backend: Any) -> str:
    """Return the name of each backend of this machine."""
    return name_of(backend)
