"""The operations that the program `leaks` repeats. Each operation is a function without arguments.

The objects that an operation returns must die with their last reference.
"""

from __future__ import annotations

import copy
import os
import pickle
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from fastnet import Callback, DivergedError, EpochSoFar, FastnetError, Network, Trainer, use_backend
from fastnet.data.files import atomic_write
from fastnet.data.formats import read_array
from fastnet.kernels.contract import SparseRows

from .disturbances import raised, refused, together
from .fits import At, Fit, values_of
from .harness import Case

Once = Callable[[], list[object] | None]
OPERATIONS: dict[str, Callable[[Fit, Path], Once]] = {}


def operation(make: Callable[[Fit, Path], Once]) -> Callable[[Fit, Path], Once]:
    OPERATIONS[make.__name__] = make
    return make


def fresh(case: Case, **changes: Any) -> Fit:
    return Fit(case | changes)


# -- training ----------------------------------------------------------------------------------------------------------


@operation
def fit(fit: Fit, folder: Path) -> Once:
    def once() -> list[object]:
        (x, y), trainer = fit.data(), fit.trainer()
        trainer.fit(x, y, epochs=fit.epochs, validation_data=(x, y))
        return [trainer, trainer.network, trainer.history, values_of(x), y]

    return once


@operation
def fit_again(fit: Fit, folder: Path) -> Once:
    (x, y), trainer = fit.data(), fit.trainer()

    def once() -> None:
        trainer.fit(x, y, epochs=1)
        trainer.partial_fit(x, y)
        trainer.history.epochs.clear()  # each fit adds to the trainer's history, which is no leak

    return once


@operation
def fit_in_a_thread(fit: Fit, folder: Path) -> Once:
    """Fit a large network, whose kernel calls are long and run in a thread."""
    fit = fresh(fit.case, n=4, batch=2, n_in=90, hidden=[330], optimizer="adam", epochs=1)
    x, y = fit.data()

    def once() -> None:
        fit.trainer().fit(x, y, epochs=1)

    return once


@operation
def fits_in_threads(fit: Fit, folder: Path) -> Once:
    """Fit one trainer in several threads: all fits but one are refused. Also fit several trainers in threads."""

    def once() -> None:
        trainer = fit.trainer()
        together(*[lambda: trainer.fit(*fit.data(), epochs=1)] * 2, lambda: fit.trainer().fit(*fit.data(), epochs=1))

    return once


@operation
def diverge(fit: Fit, folder: Path) -> Once:
    fit = fresh(fit.case, y="targets")
    x, y = fit.data()

    def once() -> list[object]:
        trainer = fit.trainer(learning_rate=1e308)
        error = raised(lambda: trainer.fit(x, y * fit.dtype.type(1e30), epochs=20))
        assert isinstance(error, DivergedError), repr(error)
        assert np.isfinite(trainer.network.parameters).all()
        error.__traceback__ = None
        return [trainer, trainer.network]

    return once


@operation
def callback_raises(fit: Fit, folder: Path) -> Once:
    x, y = fit.data()
    at = 1 + fit.case["seed"] % fit.steps

    def once() -> list[object]:
        trainer, error = fit.trainer(), KeyError("own")

        def act() -> None:
            raise error

        found = raised(lambda: trainer.fit(x, y, epochs=fit.epochs, callbacks=[At(at, act)]))
        assert found is error
        found.__traceback__ = None  # the traceback refers to frames, and these refer to the trainer
        return [trainer, trainer.network]

    return once


@operation
def interrupted(fit: Fit, folder: Path) -> Once:
    x, y = fit.data()

    def once() -> None:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        act = At(1, lambda: os.kill(os.getpid(), signal.SIGINT))
        found = raised(lambda: fit.trainer().fit(x, y, epochs=fit.epochs, callbacks=[act]))
        assert isinstance(found, KeyboardInterrupt), repr(found)
        assert signal.signal(signal.SIGINT, before) is signal.default_int_handler

    return once


class Holds(Callback):
    """A callback in a reference cycle with its trainer."""

    every = 1

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.seen = list[EpochSoFar]()

    def on_batches(self, trainer: Trainer, progress: EpochSoFar) -> None:
        self.seen.append(progress)


@operation
def callback_in_a_cycle(fit: Fit, folder: Path) -> Once:
    """Fit with a callback in a reference cycle, which the garbage collector frees."""
    x, y = fit.data()

    def once() -> None:
        trainer = fit.trainer()
        trainer.own = Holds(trainer)
        trainer.fit(x, y, epochs=1, callbacks=[trainer.own, lambda *_: trainer.stop()])

    return once


# -- the rest of an object's life --------------------------------------------------------------------------------------


@operation
def predict(fit: Fit, folder: Path) -> Once:
    (x, y), network, backend = fit.data(), fit.network(), fit.case["backend"]

    def once() -> list[object]:
        with use_backend(backend):
            network.predict(x)
            network.evaluate(x, y)
            network.gradient(x, y)
            network.activations(x)
            return [network.forward(x)]

    return once


@operation
def predictor(fit: Fit, folder: Path) -> Once:
    (x, _), network = fit.data(), fit.network()
    threads = 1 if fit.case["backend"] == "numpy" else fit.case["threads"]

    def once() -> list[object]:
        found = network.compile(backend=fit.case["backend"], max_batch=3, threads=threads)
        found(x)
        found.predict(x[:2])
        found.refresh()
        found(np.zeros(fit.case["n_in"], fit.dtype))
        return [found]

    return once


@operation
def predictor_again(fit: Fit, folder: Path) -> Once:
    (x, _), network = fit.data(), fit.network()
    found = network.compile(backend=fit.case["backend"], max_batch=3)

    def once() -> list[object]:
        found.refresh()
        together(*[lambda: found(x)] * 2)  # one of the two calls may be refused
        return [found(x)]

    return once


@operation
def create(fit: Fit, folder: Path) -> Once:
    def once() -> list[object]:
        repr(fit.trainer())
        return [fit.network()]

    return once


@operation
def copies(fit: Fit, folder: Path) -> Once:
    trainer = fit.trainer()

    def once() -> list[object]:
        network = trainer.network.copy().astype("float64")
        pickle.loads(pickle.dumps(trainer)).fit(*fit.data(), epochs=1)
        twin: Network = copy.deepcopy(trainer).network
        assert network.n_parameters == twin.n_parameters
        return [twin]

    return once


@operation
def save(fit: Fit, folder: Path) -> Once:
    network = fit.network()

    def once() -> list[object]:
        network.save(folder / "network.npz")
        return [Network.load(folder / "network.npz")]

    return once


@operation
def save_breaks_off(fit: Fit, folder: Path) -> Once:
    def once() -> None:
        def write() -> None:
            with atomic_write(folder / "broken off") as file:
                file.write(b"part")
                raise KeyError

        assert isinstance(raised(write), KeyError)

    return once


# -- refusals ----------------------------------------------------------------------------------------------------------


@operation
def refuse_data(fit: Fit, folder: Path) -> Once:
    (x, y), network, trainer = fresh(fit.case, inputs="floats").data(), fit.network(), fit.trainer()
    n, n_in = x.shape
    holes = sparse.csr_array(x)
    holes.indices = holes.indices + 1000
    rows = SparseRows(np.array([0, 5]), np.zeros(1, np.int32), np.zeros(1, fit.dtype), n_in)
    unusable: tuple[Any, ...] = (
        *(x[:0], x[0], x[:, :0], x.astype(str), x.astype(complex), x * np.nan, x + np.inf, None),
        *([[1], [1, 2]], "x", holes, rows, np.ma.masked_less(x, 2)),
    )
    outputs: tuple[Any, ...] = (y[:-1], y * np.nan, np.full(n, -1), np.full(n, 10**9), None, np.full(n, "a"), n)

    def once() -> None:
        for bad in unusable:
            for call in (partial(trainer.fit, epochs=1), network.evaluate):
                refused((ValueError, TypeError), ".", lambda call=call, bad=bad: call(bad, y))
        for bad in outputs:
            refused((ValueError, TypeError), ".", lambda bad=bad: trainer.fit(x, bad, epochs=1))

    return once


@operation
def refuse_settings(fit: Fit, folder: Path) -> Once:
    network = fit.network()
    settings: tuple[dict[str, Any], ...] = (
        *({"optimizer": "best"}, {"learning_rate": -1}, {"batch_size": 0}, {"dropout": 2}, {"threads": 0}),
        *({"backend": "none"}, {"schedule": 3}, {"clip_norm": 0}, {"sparse": "maybe"}, {"seed": "seed"}),
    )

    def once() -> None:
        for setting in settings:
            refused((ValueError, TypeError, FastnetError), ".", lambda s=setting: Trainer(network, **s))
        for sizes in ([3], [3, 0], "sizes", [3, 2.5], [1 << 20, 1 << 20]):
            refused((ValueError, TypeError), ".", lambda sizes=sizes: Network(sizes))
        refused((ValueError, TypeError), ".", lambda: network.compile(max_batch=0))

    return once


@operation
def refuse_files(fit: Fit, folder: Path) -> Once:
    network, path = fit.network(), folder / "network.npz"
    network.save(path)
    whole, broken = path.read_bytes(), folder / "broken.npz"

    def once() -> None:
        for length in (0, 10, len(whole) // 2, len(whole) - 1):
            broken.write_bytes(whole[:length])
            refused(FastnetError, ".", lambda: Network.load(broken))
            refused(FastnetError, ".", lambda: read_array(broken))
        for nowhere in (folder, folder / "none" / "network.npz"):
            refused(FastnetError, ".", lambda nowhere=nowhere: Network.load(nowhere))
            refused(FastnetError, ".", lambda nowhere=nowhere: network.save(nowhere))

    return once
