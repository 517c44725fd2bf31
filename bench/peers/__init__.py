"""Other libraries at the same work, each in a process of its own: what there is, and how to get it.

A peer starts from fastnet's parameters and takes the same batches in the same order. worker.py is what runs in its
process, process.py how this one talks to it; each other file is one library's model.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import NamedTuple

from fastnet.bench.peers.process import PeerError

COMPILERS = ("c++", "g++", "clang++")


class About(NamedTuple):
    """A peer: its module here, and what it needs."""

    family: str  # its name on the command line, of all its kind
    module: str
    title: str
    package: str  # that it imports, and whose version is reported
    get: str  # how to install that
    compiler: bool = False  # whether it compiles C++ as it runs
    same: bool = True  # whether it is the same algorithm, so that parameters can be compared


_TORCH = 'python -m pip install "torch>=2.2"'
PEERS = {
    "numpy-tuned": About(
        "numpy", f"{__name__}.numpy_tuned", "NumPy, tuned: nothing allocated in the loop", "numpy", ""
    ),
    "numpy-idiomatic": About("numpy", f"{__name__}.numpy_idiomatic", "NumPy as a tutorial has it", "numpy", ""),
    "sklearn": About(
        *("sklearn", f"{__name__}.sklearn_mlp", "scikit-learn's MLPClassifier, its own cost", "sklearn"),
        "python -m pip install scikit-learn",
        same=False,
    ),
    "torch-eager": About("torch", f"{__name__}.torch_eager", "PyTorch, eager, autograd", "torch", _TORCH),
    "torch-compiled": About(
        *("torch", f"{__name__}.torch_compiled", "PyTorch, a step written out and compiled", "torch", _TORCH),
        compiler=True,
    ),
    "jax": About("jax", f"{__name__}.jax_scan", "JAX, an epoch in one scan", "jax", "python -m pip install jax"),
}
TUNED = "numpy-tuned"


def missing(name: str) -> str:
    """Why the peer cannot run here and how to change that; empty where it can."""
    about = PEERS[name]
    if find_spec(about.package) is None:
        return f"{about.package} is not installed: {about.get}"
    if about.compiler and not any(map(shutil.which, COMPILERS)):
        return "it needs a C++ compiler: on Debian apt-get install g++"
    return ""


def chosen(text: str) -> tuple[list[str], dict[str, str]]:
    """The peers that `text` asks for, and those left out, each with the reason.

    "all" is those that can run; else names or families (torch), separated by commas: one of those that cannot run is a
    PeerError, as is an unknown one.
    """
    if text == "all":
        problems = {name: missing(name) for name in PEERS}
        return [name for name in PEERS if not problems[name]], {n: p for n, p in problems.items() if p}
    names = [name for part in text.split(",") for name in _named(part.strip())]
    for name in names:
        if problem := missing(name):
            raise PeerError(f"the peer {name} cannot run: {problem}")
    return list(dict.fromkeys(names)), {}


def _named(part: str) -> Sequence[str]:
    names = [name for name, about in PEERS.items() if part in (name, about.family)]
    if not names:
        families = dict.fromkeys(about.family for about in PEERS.values())
        raise PeerError(f"no peer is called {part!r}; there are {', '.join([*PEERS, *families, 'all'])}")
    return names


def versions(names: Sequence[str]) -> dict[str, str]:
    """Of the packages behind the peers, NumPy's apart."""
    packages = dict.fromkeys(PEERS[name].package for name in names)
    known = {"sklearn": "scikit-learn"}
    return {known.get(p, p): version(known.get(p, p)) for p in packages if p != "numpy"}
