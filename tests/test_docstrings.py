"""The examples in the docstrings of the experiments, their pictures and the report run, and print what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest

import fastnet

PACKAGE = Path(fastnet.__file__).parent
MODULES = [
    f"fastnet.{room}.{path.stem}"
    for room in ("insight", "plots", "explore", "report")
    for path in sorted((PACKAGE / room).glob("*.py"))
    if path.stem != "__init__"
]
PACKAGES = {"insight": "scipy", "plots": "matplotlib", "explore": "matplotlib", "report": "jinja2"}


def test_every_room_has_modules() -> None:
    assert {name.split(".")[1] for name in MODULES} == set(PACKAGES)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    pytest.importorskip(PACKAGES[name.split(".")[1]], reason="a package of an extra")
    module = importlib.import_module(name)
    names = {**vars(module), "np": np, "fastnet": fastnet}
    wrong: list[str] = []
    for example in doctest.DocTestFinder(exclude_empty=True).find(module, globs=names):
        doctest.DocTestRunner(verbose=False).run(example, out=wrong.append)
    assert not "".join(wrong)
