"""The peers: other libraries that do the same work, each in a process of its own; how to install them.

worker.py runs in the peer's process, and process.py talks to it. Each of the other files is the model of one library.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from fastnet.bench.peers.process import PeerError

if TYPE_CHECKING:
    from fastnet.bench.workloads import Workload

COMPILERS = ("c++", "g++", "clang++")


class About(NamedTuple):
    """A peer: its module in this package, and its requirements."""

    family: str  # a name on the command line for all peers of one library
    module: str
    title: str
    package: str  # the packages that the peer imports, separated by spaces; the report shows their versions
    get: str  # how to install the package
    compiler: bool = False  # whether the peer compiles C++ when it runs
    softmax_only: bool = False  # whether a classifier has always a softmax, or a sigmoid for two classes
    reads_csr: bool = False
    trains: bool = True
    has_threads: bool = False  # whether its calls of inference can use several threads
    tolerance: float = 0.0  # the least relative error of its results that is allowed, in either dtype
    adam_tolerance: float = 0.0  # of the parameters after some steps of an Adam that rounds epsilon in another way


# scikit-learn and Keras add Adam's epsilon before they correct the bias of the root. So their epsilon is up to 32 times
# as large.
CORRECTED_EPSILON = 5e-2
_TORCH = 'python -m pip install "torch>=2.2"'
PEERS = {
    "numpy-tuned": About("numpy", f"{__name__}.numpy_tuned", "NumPy, tuned: no allocation in the loop", "numpy", ""),
    "numpy-idiomatic": About(
        "numpy", f"{__name__}.numpy_idiomatic", "NumPy as in a tutorial", "numpy", "", reads_csr=True
    ),
    "sklearn": About(
        *(
            "sklearn",
            f"{__name__}.sklearn_mlp",
            "scikit-learn's MLPClassifier, with a softmax and cross entropy",
            "sklearn",
        ),
        "python -m pip install scikit-learn",
        softmax_only=True,
        reads_csr=True,
        adam_tolerance=CORRECTED_EPSILON,
    ),
    "torch-eager": About(
        "torch", f"{__name__}.torch_eager", "PyTorch, eager, with autograd", "torch", _TORCH, reads_csr=True
    ),
    "torch-compiled": About(
        *("torch", f"{__name__}.torch_compiled", "PyTorch, compiled, with a manual backward pass", "torch", _TORCH),
        compiler=True,
    ),
    "jax": About(
        "jax", f"{__name__}.jax_scan", "JAX, with one compiled scan per epoch", "jax", "python -m pip install jax"
    ),
    "skorch": About(
        *("skorch", f"{__name__}.skorch_net", "skorch, a NeuralNet on PyTorch", "skorch torch"),
        'python -m pip install skorch "torch>=2.2"',
    ),
    "keras": About(
        *("keras", f"{__name__}.keras_jax", "Keras on JAX, fit", "keras jax"),
        "python -m pip install keras jax",
        tolerance=1e-6,  # Keras keeps the learning rate in float32
        adam_tolerance=CORRECTED_EPSILON,
    ),
    "onnxruntime": About(
        *("onnxruntime", f"{__name__}.onnx_runtime", "ONNX Runtime, inference only", "onnxruntime onnx"),
        "python -m pip install onnxruntime onnx",
        trains=False,
        has_threads=True,
    ),
}
TUNED = "numpy-tuned"


def missing(name: str) -> str:
    """The reason why the peer cannot run here, and the remedy; empty if it can run."""
    about = PEERS[name]
    for package in about.package.split():
        if find_spec(package) is None:
            return f"{package} is not installed: {about.get}"
    if about.compiler and not any(map(shutil.which, COMPILERS)):
        return "it needs a C++ compiler; on Debian: apt-get install g++"
    return ""


def is_same(name: str, workload: Workload) -> bool:
    """Whether the peer has the workload's outputs and cost, so that its parameters can be compared."""
    if not PEERS[name].softmax_only or not workload.has_labels:
        return True
    return workload.output == "softmax" and workload.cost == "cross_entropy" and workload.sizes[-1] > 2


def tolerance(name: str, workload: Workload, dtype: str) -> float:
    """The relative error of the peer's results that rounding, and another place of epsilon, explain."""
    own = PEERS[name].adam_tolerance if workload.optimizer == "adam" else 0.0
    return max(own, PEERS[name].tolerance, workload.tolerance(dtype))


def unable(name: str, trains: bool = True, sparse: bool = False, threads: int = 1) -> str:
    """The reason why the peer cannot do this work; empty if it can."""
    about = PEERS[name]
    if trains and not about.trains:
        return "it does not train"
    if sparse and not about.reads_csr:
        return "it does not read CSR matrices"
    if threads > 1 and not about.has_threads:
        return "it is measured on one thread only"
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
    packages = dict.fromkeys(package for name in names for package in PEERS[name].package.split())
    known = {"sklearn": "scikit-learn"}
    return {known.get(p, p): version(known.get(p, p)) for p in packages if p != "numpy"}
