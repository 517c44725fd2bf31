"""Small random fits for the programs `changes` and `leaks`. A case defines the data, the network and the trainer."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

import guard_pages
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fastnet import Callback, DivergedError, EpochSoFar, Network, Trainer
from fastnet.kernels import contract as c

from .harness import Case, Unfit
from .kernel_calls import available

Array = NDArray[Any]
BACKENDS = tuple(name for name in ("numpy", "cython", "numba") if name in available())
INPUTS = ("floats", "bytes", "zeros", "csr", "rows")  # zeros: floats that are mostly zero; rows: SparseRows
TARGETS = ("labels", "targets")
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam")
COUNTS = ("n", "n_in", "batch", "epochs", "threads")


def draw(rng: np.random.Generator) -> Case:
    """Draw the fields of a case that define a Fit."""

    def one_of(values: tuple[str, ...]) -> str:
        return str(rng.choice(values))

    n = int(rng.integers(2, 300))
    return {
        "backend": one_of(BACKENDS),
        "dtype": one_of(("float32", "float64")),
        "inputs": one_of(INPUTS),
        "y": one_of(TARGETS),
        "optimizer": one_of(OPTIMIZERS),
        "n": n,
        "n_in": int(rng.integers(1, 100)),
        "hidden": [int(width) for width in rng.integers(1, 40, rng.integers(3))],
        "n_out": int(rng.integers(2, 8)),
        "batch": int(rng.integers(1, 1 + n // 2)),
        "epochs": int(rng.integers(1, 6)),
        "threads": int(rng.integers(1, 4)),
        "relu": bool(rng.integers(2)),
        "dropout": bool(rng.integers(2)),
        "compressed": bool(rng.integers(2)),
        "seed": int(rng.integers(1 << 30)),
    }


class Fit:
    """The fit of a case. Every call of a method returns new but equal data, or a new but equal trainer."""

    def __init__(self, case: Case) -> None:
        if min(*(case[key] for key in COUNTS), *case["hidden"]) < 1 or case["n_out"] < 2:
            raise Unfit
        self.case = case
        self.epochs = int(case["epochs"])
        self.batch = min(int(case["batch"]), int(case["n"]))
        self.batches = -(-case["n"] // self.batch)
        self.steps = self.epochs * self.batches
        self.dtype = np.dtype(case["dtype"])

    def data(self) -> tuple[Any, Array]:
        """Return x and y in the user's form. Under `guarded` each array ends at a protected page."""
        case, rng = self.case, np.random.default_rng(self.case["seed"])
        shape = case["n"], case["n_in"]
        x: Any = rng.random(shape).astype(self.dtype)
        if case["inputs"] == "bytes":
            x = rng.integers(0, 256, shape, np.uint8)
        elif case["inputs"] != "floats":
            x[rng.random(shape) > 0.2] = 0
        if case["inputs"] in ("csr", "rows"):
            rows = sparse.csr_array(x)
            data, indices = edge(rows.data), edge(rows.indices.astype(np.int32))
            if case["inputs"] == "csr":
                x = sparse.csr_array((data, indices, edge(rows.indptr.astype(np.int32))), shape=shape)
            else:
                x = c.SparseRows(edge(rows.indptr.astype(np.int64)), indices, data, shape[1])
        else:
            x = edge(x)
        if case["y"] == "labels":
            return x, edge(rng.integers(0, case["n_out"], (case["n"],)))
        return x, edge(rng.standard_normal((case["n"], case["n_out"])).astype(self.dtype))

    def network(self) -> Network:
        case = self.case
        sizes = [case["n_in"], *case["hidden"], case["n_out"]]
        how = {"cost": "cross_entropy"} if case["y"] == "labels" else {"output": "identity"}
        activation = "relu" if case["relu"] else "sigmoid"
        return Network(sizes, activation=activation, dtype=self.dtype, seed=case["seed"], **how)

    def trainer(self, network: Network | None = None, **settings: Any) -> Trainer:
        case = self.case
        usual = {
            "optimizer": case["optimizer"],
            "learning_rate": 0.01,
            "batch_size": case["batch"],
            "dropout": 0.3 if case["dropout"] and case["hidden"] else 0.0,
            "backend": case["backend"],
            "seed": case["seed"],
            "threads": 1 if case["backend"] == "numpy" else case["threads"],
            "sparse": case["compressed"],
        }
        return Trainer(network or self.network(), **(usual | settings))

    def undisturbed(self, epochs: int | None = None) -> Trainer:
        """Return a trainer after an undisturbed fit."""
        trainer = self.trainer()
        trainer.fit(*self.data(), epochs=self.epochs if epochs is None else epochs)
        return trainer

    def stopped_at(self, steps: int) -> Trainer:
        """Return a trainer whose fit was stopped after `steps` updates."""
        trainer = self.trainer()
        trainer.fit(*self.data(), epochs=self.epochs, callbacks=[At(steps, trainer.stop)])
        assert trainer.steps == steps
        return trainer


def values_of(x: Any) -> Array:
    """Return the array of x's values, for sparse and dense x."""
    if isinstance(x, np.ndarray):
        return x
    return x.values if isinstance(x, c.SparseRows) else x.data


class At(Callback):
    """Call a function once, after the given number of updates. Afterwards the callback splits no more chunks."""

    every: int | None = 1

    def __init__(self, steps: int, act: Any) -> None:
        self.steps, self.act = steps, act

    def on_batches(self, trainer: Trainer, progress: EpochSoFar) -> None:
        if trainer.steps == self.steps:
            self.every = None
            self.act()


def bits(trainer: Trainer) -> tuple[int, str]:
    """Return the step count and a digest of the parameters and the optimiser's state."""
    state = trainer.network.parameters.tobytes() + trainer._state.moments.tobytes()
    return trainer.steps, hashlib.sha256(state).hexdigest()


def ended(call: Any, trainer: Trainer) -> str:
    """Run a fit that may diverge. Check that the parameters are finite, and return whether it diverged."""
    try:
        call()
        how = "done"
    except DivergedError:
        how = "diverged"
    assert np.isfinite(trainer.network.parameters).all(), "parameters are not finite after a fit"
    return how


# -- memory that ends at a protected page ------------------------------------------------------------------------------

_guards = False


def edge(array: Array) -> Array:
    return guard_pages.at_the_edge(array, "end") if _guards else array


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Make a kernel crash if it accesses memory beyond the user's arrays, the parameters or the workspace."""
    global _guards
    usual = c.aligned_empty
    c.aligned_empty = lambda size, dtype: guard_pages.at_the_edge(np.empty(size, dtype), "end")
    _guards = True
    try:
        yield
    finally:
        c.aligned_empty, _guards = usual, False
