"""The API reference lists every public name, and nothing else."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
if not REFERENCE.is_dir():
    pytest.skip("docs/ is not beside tests/", allow_module_level=True)
MODULES = ("", ".backends", ".data", ".distributed", ".insight", ".plots", ".report", ".search", ".sklearn")


def listed() -> set[str]:
    """Return the names in the reference's lists, each with its module."""
    found = set()
    for page in REFERENCE.glob("*.md"):
        module = ""
        for line in page.read_text("utf-8").splitlines():
            if match := re.match(r"\.\. currentmodule:: (\S+)", line):
                module = match[1]
            elif match := re.match(r"   (\w+)$", line):
                found.add(f"{module}.{match[1]}")
    return found


def test_the_reference_lists_exactly_the_public_names() -> None:
    public = {
        f"{module.__name__}.{name}"
        for module in (import_module(f"fastnet{path}") for path in MODULES)
        for name in module.__all__
        if not isinstance(getattr(module, name), ModuleType)
    }
    assert listed() == public


def test_every_public_module_has_a_page() -> None:
    import fastnet

    modules = {name for name in fastnet.__all__ if isinstance(getattr(fastnet, name), ModuleType)}
    assert {f".{name}" for name in modules} == set(MODULES) - {"", ".sklearn"}  # sklearn needs an extra
