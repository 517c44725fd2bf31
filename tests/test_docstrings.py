"""The examples in docstrings run and print what the docstrings say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import fastnet

PACKAGE = Path(fastnet.__file__).parent
WRITTEN = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text("utf-8")
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# What the examples of a package or module need.
EXTRAS = {
    "fastnet.plots": "matplotlib",
    "fastnet.explore": "matplotlib",
    "fastnet.report": "jinja2",
    "fastnet.data.schema": "pandas",
    "fastnet.ensemble.ensemble": "onnx",
    "fastnet.export": "torch",
    "fastnet.export.onnx_graph": "onnx",
    "fastnet.network_formats": "onnx torch sklearn",
    "fastnet.insight": "scipy",
    "fastnet.insight.importance": "sklearn",
    "fastnet.insight.partial_dependence": "sklearn",
    "fastnet.plots.importance": "sklearn",
    "fastnet.search.optuna_callback": "optuna",
    "fastnet.sklearn": "sklearn",
    "fastnet.training.loggers": "tensorboard",
}


@pytest.mark.parametrize("name", WRITTEN)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # some examples write a file
    for package, extras in EXTRAS.items():
        for extra in extras.split() if name.startswith(package) else ():
            pytest.importorskip(extra, reason=f"examples of {package} need {extra}")
    module = import_module(name)
    names = {**vars(module), "np": np, "fastnet": fastnet}
    printed: list[str] = []
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name, globs=names):
        doctest.DocTestRunner(optionflags=FLAGS).run(test, out=printed.append)
    assert not printed, "".join(printed)
