"""The peers: other libraries that do the same work, each in a process of its own; how to install them.

worker.py runs in the peer's process, and process.py talks to it. Each of the other files is the model of one library.
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
    """A peer: its module in this package, and its requirements."""

    family: str  # a name on the command line for all peers of one library
    module: str
    title: str
    package: str  # the package that the peer imports; the report shows its version
    get: str  # how to install the package
    compiler: bool = False  # whether the peer compiles C++ when it runs
    same: bool = True  # whether it runs fastnet's algorithm, so that parameters can be compared


_TORCH = 'python -m pip install "torch>=2.2"'
PEERS = {
    "numpy-tuned": About("numpy", f"{__name__}.numpy_tuned", "NumPy, tuned: no allocation in the loop", "numpy", ""),
    "numpy-idiomatic": About("numpy", f"{__name__}.numpy_idiomatic", "NumPy as in a tutorial", "numpy", ""),
    "sklearn": About(
        *("sklearn", f"{__name__}.sklearn_mlp", "scikit-learn's MLPClassifier, with its own cost", "sklearn"),
        "python -m pip install scikit-learn",
        same=False,
    ),
    "torch-eager": About("torch", f"{__name__}.torch_eager", "PyTorch, eager, with autograd", "torch", _TORCH),
    "torch-compiled": About(
        *("torch", f"{__name__}.torch_compiled", "PyTorch, compiled, with a manual backward pass", "torch", _TORCH),
        compiler=True,
    ),
    "jax": About(
        "jax", f"{__name__}.jax_scan", "JAX, with one compiled scan per epoch", "jax", "python -m pip install jax"
    ),
}
TUNED = "numpy-tuned"


def missing(name: str) -> str:
    """The reason why the peer cannot run here, and the remedy; empty if it can run."""
    about = PEERS[name]
    if find_spec(about.package) is None:
        return f"{about.package} is not installed: {about.get}"
    if about.compiler and not any(map(shutil.which, COMPILERS)):
        return "it needs a C++ compiler; on Debian: apt-get install g++"
    return ""


def chosen(text: str) -> tuple[list[str], dict[str, str]]:
    """The peers that `text` asks for, and the reason for each peer that is left out.

    "all" takes the peers that can run here. Otherwise `text` has names or families (torch), separated by commas.

    Raises
    ------
    PeerError
        For an unknown name, or for a named peer that cannot run here.
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
        raise PeerError(
            f"there is no peer {part!r}; choose from {', '.join(dict.fromkeys([*PEERS, *families, 'all']))}"
        )
    return names


def versions(names: Sequence[str]) -> dict[str, str]:
    """The versions of the packages behind the peers, except NumPy."""
    packages = dict.fromkeys(PEERS[name].package for name in names)
    known = {"sklearn": "scikit-learn"}
    return {known.get(p, p): version(known.get(p, p)) for p in packages if p != "numpy"}
