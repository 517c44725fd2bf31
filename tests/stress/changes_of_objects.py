"""Changing or sharing parameters, trainers and predictors while `fit` runs, for the program `changes`."""

from __future__ import annotations

import copy
import itertools
import os
import pickle
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fastnet import Callback, EpochSoFar, Network, Trainer

from .disturbances import Disturbance, check_refusal, kind, raised, refused, together
from .fits import At, Fit, bits, ended
from .harness import Case, Unfit

ONE_FIT = "a Trainer is for one fit at a time"


def same(fit: Fit, case: Case, change: Callable[[Trainer], object], most: int = 1 << 30) -> str:
    """Make the change during a fit and check that it has no effect."""
    trainer, expected = fit.trainer(), bits(fit.undisturbed())
    Disturbance(fit, case, lambda: change(trainer), most).run(trainer, *fit.data())
    assert bits(trainer) == expected, "the change had an effect"
    return "same bits"


def in_two_parts(fit: Fit, case: Case, change: Callable[[Trainer], object]) -> str:
    """Check that a callback's change applies from the next batch, like the same change between two calls of `fit`."""
    whole = case["n"] // fit.batch
    if whole < 2:
        raise Unfit
    at = 1 + case["at"] % (whole - 1)  # a whole batch follows, so that the twin's second call has the same batch size
    trainer, twin = (fit.trainer(shuffle=False) for _ in range(2))
    x, y = fit.data()
    trainer.fit(x, y, epochs=1, callbacks=[At(at, lambda: change(trainer))])
    x, y = fit.data()
    cut = at * fit.batch
    twin.fit(x[:cut], y[:cut], epochs=1)
    change(twin)
    twin.fit(x[cut:], y[cut:], epochs=1)
    assert bits(trainer) == bits(twin), "the change did not apply from the next batch"
    return "applies from the next batch"


# -- the network -------------------------------------------------------------------------------------------------------


@kind("small", "huge", "nan")
def parameters(fit: Fit, case: Case) -> str:
    """The values of the parameters change."""
    rng, size = np.random.default_rng(1), fit.network().n_parameters
    new = rng.standard_normal(size) * {"small": 0.1, "huge": 1e18, "nan": np.nan}[case["what"]]
    if case["what"] == "small" and case["by"] == "callback":
        return in_two_parts(fit, case, lambda trainer: trainer.network.parameters.__setitem__(..., new))
    trainer, turns = fit.trainer(), itertools.cycle([new, rng.standard_normal(size)])
    disturbance = Disturbance(fit, case, lambda: trainer.network.parameters.__setitem__(..., next(turns)))
    try:
        return ended(lambda: disturbance.run(trainer, *fit.data()), trainer)
    except AssertionError:
        if case["what"] == "small" or np.isfinite(trainer.network.parameters).all():
            raise
        return "the parameters set last stay"  # nothing reads the parameters after the last update


@kind("writeable", "shape", "dtype")
def form_of_parameters(fit: Fit, case: Case) -> str:
    """The shape, the dtype or the write flag of the parameters changes, and changes back."""
    trainer = fit.trainer()
    forms = itertools.cycle([True, False])
    array: Any = trainer.network.parameters
    shape, dtype = array.shape, array.dtype

    def change() -> None:
        changed = next(forms)
        if case["what"] == "writeable":
            array.flags.writeable = not changed
        elif case["what"] == "shape":
            array.shape = (1, *shape) if changed else shape
        else:
            array.dtype = np.dtype(np.int8) if changed else dtype

    disturbance = Disturbance(fit, case, change)
    error = raised(lambda: disturbance.run(trainer, *fit.data()))
    if error is not None or case["by"] == "callback":
        check_refusal(error, ValueError, "read-only|was changed in place")
    array.dtype, array.shape, array.flags.writeable = dtype, shape, True
    assert bits(trainer) == bits(fit.stopped_at(trainer.steps)), "the network is not at a batch boundary"
    trainer.fit(*fit.data(), epochs=1)
    return "refused" if error else "not noticed"


@kind()
def handed_out(fit: Fit, case: Case) -> str:
    """The layers, the rows of an EpochSoFar and their base arrays cannot be made writeable."""
    arrays = list[Any]()

    class Keeps(Callback):
        every = 1

        def on_batches(self, trainer: Trainer, progress: EpochSoFar) -> None:
            arrays[:] = [progress.rows, trainer.network.layers]

    def change() -> None:
        for found in tuple(arrays):
            array = found
            while isinstance(array, np.ndarray):
                refused(ValueError, "WRITEABLE", lambda array=array: array.flags.__setattr__("writeable", True))
                array = array.base
            found.shape = (-1, 1)  # the view's own shape

    trainer = fit.trainer()
    Disturbance(fit, case, change).run(trainer, *fit.data(), callbacks=[Keeps()])
    assert bits(trainer) == bits(fit.undisturbed())
    return "same bits"


@kind("predict", "evaluate", "copy", "pickle", "deepcopy", "compile", "save", "gradient", "trainer")
def read(fit: Fit, case: Case) -> str:
    """Another thread or a callback reads, copies and saves the network and the trainer."""
    x, y = fit.data()
    with tempfile.TemporaryDirectory() as folder:

        def change(trainer: Trainer) -> None:
            network = trainer.network
            if case["what"] == "save":
                network.save(Path(folder) / "network.npz")
                twin = Network.load(Path(folder) / "network.npz")
            elif case["what"] == "copy":
                twin = network.copy()
            elif case["what"] == "pickle":
                twin = pickle.loads(pickle.dumps(network))
            elif case["what"] == "deepcopy":
                twin = copy.deepcopy(trainer).network
            else:
                twin = network
                calls: dict[str, Callable[[], object]] = {
                    "predict": lambda: network.predict(x, backend=case["backend"]),
                    "evaluate": lambda: trainer.evaluate(x, y),
                    "gradient": lambda: network.gradient(x, y, backend=case["backend"]),
                    "compile": lambda: network.compile(backend=case["backend"])(x),
                    "trainer": lambda: (repr(trainer), trainer.history.to_json(), repr(trainer.history)),
                }
                calls[case["what"]]()
            assert np.isfinite(twin.parameters).all()

        return same(fit, case, change)


@kind()
def two_trainers(fit: Fit, case: Case) -> str:
    """Two trainers train one network at the same time."""
    network = fit.network()
    trainers = [fit.trainer(network) for _ in range(2)]
    found = together(*(lambda t=t: t.fit(*fit.data(), epochs=fit.epochs) for t in trainers))
    for error in found:
        if error is not None:
            raise error
    assert np.isfinite(network.parameters).all()
    return "finite"


# -- the trainer -------------------------------------------------------------------------------------------------------


@kind()
def learning_rate(fit: Fit, case: Case) -> str:
    """The learning rate changes."""
    rates = itertools.cycle([0.02, 0.0, 0.001])
    if case["by"] == "callback":
        return in_two_parts(fit, case, lambda trainer: setattr(trainer, "learning_rate", 0.02))
    trainer = fit.trainer()
    disturbance = Disturbance(fit, case, lambda: setattr(trainer, "learning_rate", next(rates)))
    return ended(lambda: disturbance.run(trainer, *fit.data()), trainer)


@kind()
def stop(fit: Fit, case: Case) -> str:
    """`stop` ends the fit at a batch boundary. From a callback it ends the fit at once. The trainer can continue."""
    trainer = fit.trainer()
    disturbance = Disturbance(fit, case, trainer.stop)
    disturbance.run(trainer, *fit.data())
    if case["by"] == "callback":
        assert trainer.steps == disturbance.at
    twin = fit.stopped_at(trainer.steps)
    assert bits(trainer) == bits(twin)
    for each in (trainer, twin):
        each.fit(*fit.data(), epochs=1)
    assert bits(trainer) == bits(twin), "the trainer does not continue from the batch boundary"
    return "at a batch boundary"


@kind()
def other_settings(fit: Fit, case: Case) -> str:
    """Assignments to read-only settings and impossible learning rates are refused."""

    def change(trainer: Trainer) -> None:
        for name in ("network", "batch_size", "dropout", "backend", "steps"):
            refused(AttributeError, "no setter", lambda name=name: setattr(trainer, name, 1))
        for rate in (-1, np.nan, np.inf, "1", None, [1]):
            refused(
                (ValueError, TypeError),
                "learning_rate",
                lambda rate=rate: setattr(trainer, "learning_rate", rate),
            )

    return same(fit, case, change)


@kind("cleared", "filled", "replaced")
def history(fit: Fit, case: Case) -> str:
    """The trainer's history changes."""

    def change(trainer: Trainer) -> None:
        if case["what"] == "cleared":
            trainer.history.epochs.clear()
        elif case["what"] == "filled":
            trainer.history.epochs.append("not an epoch")
        else:
            trainer.history = type(trainer.history)()

    return same(fit, case, change, most=1000)


@kind("fit", "partial_fit")
def two_fits(fit: Fit, case: Case) -> str:
    """Two threads call `fit` of one trainer. The fits run one after the other, or one fit is refused."""
    trainer = fit.trainer()
    arguments = {"epochs": 1} if case["what"] == "fit" else {}
    if case["by"] == "callback":
        x, y = fit.data()
        call = partial(getattr(trainer, case["what"]), x, y, **arguments)

        def other() -> None:
            assert all(isinstance(e, RuntimeError) and ONE_FIT in str(e) for e in together(*[call] * 2))

        Disturbance(fit, case, other).run(trainer, x, y)
        assert bits(trainer) == bits(fit.undisturbed())
        return "refused"
    data = [fit.data() for _ in range(3)]
    found = together(*(lambda d=d: getattr(trainer, case["what"])(*d, **arguments) for d in data))
    assert all(e is None or (isinstance(e, RuntimeError) and ONE_FIT in str(e)) for e in found), found
    made = found.count(None)
    assert made, "all fits were refused"
    twin = fit.trainer()
    for _ in range(made):
        getattr(twin, case["what"])(*fit.data(), **arguments)
    assert bits(trainer) == bits(twin), "two fits ran at once"
    return f"{made} of {len(found)} made"


@kind("call", "predict", "refresh")
def predictor(fit: Fit, case: Case) -> str:
    """Several threads use one predictor. Each call gives correct outputs or is refused."""
    x, _ = fit.data()
    network = fit.network()
    of_threads = 1 if case["backend"] == "numpy" else case["threads"]
    function = network.compile(backend=case["backend"], max_batch=1 + abs(case["at"]), threads=of_threads)
    use = function.predict if case["what"] == "predict" else function
    expected = use(x).tobytes()
    answers = list[str]()

    def call() -> None:
        for _ in range(20):
            try:
                right = use(x).tobytes() == expected
                answers.append("right" if right else "wrong")
            except RuntimeError as error:
                answers.append("refused" if "one thread at a time" in str(error) else str(error))

    calls = [call] * 3 + [function.refresh] * (case["what"] == "refresh")
    for error in together(*calls):
        if error is not None:
            raise error
    assert set(answers) <= {"right", "refused"}, set(answers)
    assert "right" in answers
    assert use(x).tobytes() == expected
    return "right or refused"


class Orders(Callback):
    """Check that each epoch has every row once."""

    every = 1

    def __init__(self, n: int) -> None:
        self._n = n
        self._rows = list[int]()

    def on_batches(self, trainer: Trainer, progress: EpochSoFar) -> None:
        self._rows += progress.rows.tolist()
        if progress.batch == progress.batches:
            assert sorted(self._rows) == list(range(self._n)), "the order of an epoch does not have every row once"
            self._rows = []


@kind("drawn from", "reset", "shared with a trainer")
def order(fit: Fit, case: Case) -> str:
    """The user draws from the generator of the random order."""
    rng = np.random.default_rng(case["seed"])
    trainer = fit.trainer(seed=rng)
    first, x_y = rng.bit_generator.state, fit.data()

    def change() -> None:
        if case["what"] == "drawn from":
            rng.permutation(5)
        elif case["what"] == "reset":
            rng.bit_generator.state = first
        else:
            fit.trainer(seed=rng).fit(*x_y, epochs=1)

    how = ended(
        lambda: Disturbance(fit, case, change).run(trainer, *fit.data(), callbacks=[Orders(case["n"])]), trainer
    )
    assert trainer.steps == fit.steps
    return how


# -- the process -------------------------------------------------------------------------------------------------------


@kind("numpy's errors", "environment", "cores", "random seed", "warnings")
def surroundings(fit: Fit, case: Case) -> str:
    """Settings of the thread or the process change, such as environment variables. The fit must not depend on them."""
    cores, errors = os.sched_getaffinity(0), np.geterr()

    def change(trainer: Trainer) -> None:
        if case["what"] == "numpy's errors":
            np.seterr(all="raise")
        elif case["what"] == "environment":
            os.environ["FASTNET_BACKEND"] = "no such backend"
        elif case["what"] == "cores":
            os.sched_setaffinity(0, {min(cores)})
        elif case["what"] == "random seed":
            np.random.seed(0)  # noqa: NPY002 - this disturbs NumPy's global state
        else:
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "the network does not learn", UserWarning)  # the labels are random

    try:
        return same(fit, case, change, most=100)
    finally:
        os.sched_setaffinity(0, cores)
        os.environ.pop("FASTNET_BACKEND", None)
        np.seterr(**errors)
