"""Adapts autodoc: leaves out fields of records and scikit-learn's methods, and describes each public constant."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

CONSTANTS = {
    "fastnet.__version__": "The version of fastnet.",
    "fastnet.backends.ENVIRONMENT": "The environment variable that names a backend.",
    "fastnet.backends.NAMES": 'The names of fastnet\'s own backends, in the order in which "auto" tries them.',
    "fastnet.insight.CHAPTER": "The recipe of `fastnet train` for pictures: 784-16-16-10, sigmoids, squared error.",
    "fastnet.insight.MEMORIZER": "The recipe of `memorization`: a layer of 128 ReLU neurons, wide enough to memorise.",
    "fastnet.insight.MINIMIZER": "The recipe of `minima`: MEMORIZER with 10 epochs and a learning rate of 0.05.",
    "fastnet.search.OMIT": "What a function in a space returns to leave its parameter out of a setting.",
}


def _skip(app: Sphinx, kind: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Return whether to leave out a class member. None leaves it to autodoc. The signature lists fields already."""
    if (getattr(member, "__module__", "") or "").startswith("sklearn."):
        return True  # a method of a base class, whose docstring refers to scikit-learn's own pages
    if isinstance(member, (property, functools.cached_property)):
        return None
    return None if callable(member) and getattr(member, "__doc__", None) else True


def _describe(app: Sphinx, kind: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """Replace the docstring of a constant's type by the sentence in CONSTANTS. A missing sentence is a KeyError."""
    if kind == "data":
        lines[:] = [CONSTANTS[name], ""]


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx's entry point."""
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-docstring", _describe, priority=0)
    return {"parallel_read_safe": True}
