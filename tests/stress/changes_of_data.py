"""Data that change while `fit` runs, for the program `changes`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels.contract import SparseRows

from .disturbances import Disturbance, Meanwhile, check_refusal, kind, raised
from .fits import Fit, bits, ended, values_of
from .harness import Case

Array = NDArray[Any]
VALUES = ("other", "huge", "nan", "inf")  # the changes of float arrays
WORDS = "must be finite|was changed while it was read|labels are from 0 to|not a valid sparse matrix"
NUMBERS = (10**9, -1, -(2**31), 2**31 - 1, 0)  # the new values of labels and indices


def refills(array: Array, what: str) -> Callable[[], None]:
    """Return a function that changes all values of the array. Every second call writes finite values."""
    rng = np.random.default_rng(0)
    values: dict[str, float] = {"huge": 1e30, "nan": np.nan, "inf": np.inf}
    turns = itertools.cycle([True, False])

    def change() -> None:
        if array.dtype == np.uint8:
            array[...] = rng.integers(0, 256, array.shape)
        elif what in values and next(turns):
            array[...] = values[what]
        else:
            array[...] = rng.standard_normal(array.shape)

    return change


def disturbed_values(fit: Fit, case: Case, array: Array, x: Any, y: Any) -> str:
    """Refill the array during a fit. Values that are not finite end the fit with a DivergedError."""
    trainer, disturbance = fit.trainer(), Disturbance(fit, case, refills(array, case["what"]))
    how = ended(lambda: disturbance.run(trainer, x, y), trainer)
    # Every batch of a dense array reads changed values. A batch of sparse rows may hold no
    # values, but an epoch holds all values.
    unseen = 1 if array.ndim == 2 else 2 * fit.batches - 1
    seen = case["by"] == "callback" and disturbance.at <= fit.steps - unseen
    if seen and case["what"] in ("nan", "inf") and array.dtype != np.uint8 and array.size:
        assert how == "diverged", f"the fit accepted {case['what']} as numbers"
    if how == "done":
        assert trainer.steps == fit.steps
    return how


@kind(*VALUES)
def values(fit: Fit, case: Case) -> str:
    """The values of x change."""
    x, y = fit.data()
    if case["compressed"] and isinstance(x, np.ndarray):  # the fit has a copy that does not change
        trainer = fit.trainer()
        Disturbance(fit, case, refills(x, case["what"])).run(trainer, x, y)
        assert bits(trainer) == bits(fit.undisturbed())
        return "same bits, as compressed"
    return disturbed_values(fit, case, values_of(x), x, y)


@kind(*VALUES)
def targets(fit: Fit, case: Case) -> str:
    """Float targets change."""
    fit = Fit(case | {"y": "targets"})
    x, y = fit.data()
    return disturbed_values(fit, case, y, x, y)


def numbers(arrays: list[Array]) -> Iterator[Callable[[], None]]:
    """Yield functions that fill the integer arrays with numbers, most of which are no valid label or index."""
    for number in itertools.cycle(NUMBERS):

        def change(number: int = number) -> None:
            for array in arrays:
                array[...] = number

        yield change


def unchanged(fit: Fit, case: Case, arrays: list[Array], x: Any, y: Any, **arguments: Any) -> str:
    """Fill the arrays with absurd numbers during a fit. Check that the fit does not use these numbers."""
    trainer, changes = fit.trainer(), numbers(arrays)
    Disturbance(fit, case, lambda: next(changes)()).run(trainer, x, y, **arguments)
    if not arguments:
        twin = fit.undisturbed()
    else:
        twin, (x, y) = fit.trainer(), fit.data()
        twin.fit(x, y, epochs=fit.epochs, validation_data=fit.data())
        assert twin.history["validation_cost"] == trainer.history["validation_cost"], "the validation saw the change"
    assert bits(trainer) == bits(twin), "the fit saw the change"
    return "same bits"


@kind("train", "validation")
def labels(fit: Fit, case: Case) -> str:
    """Labels of the training and the validation examples change."""
    fit = Fit(case | {"y": "labels"})
    x, y = fit.data()
    if case["what"] == "train":
        return unchanged(fit, case, [y], x, y)
    validation = fit.data()
    return unchanged(fit, case, [validation[1]], x, y, validation_data=validation)


@kind("indices", "starts", "both")
def sparse_indices(fit: Fit, case: Case) -> str:
    """The index arrays of a SciPy matrix or of SparseRows change."""
    fit = Fit(case if case["inputs"] == "rows" else case | {"inputs": "csr"})
    x, y = fit.data()
    starts = x.starts if isinstance(x, SparseRows) else x.indptr
    arrays = {"indices": [x.indices], "starts": [starts], "both": [x.indices, starts]}[case["what"]]
    return unchanged(fit, case, arrays, x, y)


@kind("emptied", "resized", "replaced", "zeros eliminated", "sorted backwards")
def sparse_matrix(fit: Fit, case: Case) -> str:
    """Methods of a SciPy matrix change the matrix."""
    fit = Fit(case | {"inputs": "csr"})
    x, y = fit.data()

    def change() -> None:
        if case["what"] == "emptied":
            x.data[:] = 0
            x.eliminate_zeros()
        elif case["what"] == "resized":
            x.resize(max(1, x.shape[0] // 2), max(1, x.shape[1] // 2))
        elif case["what"] == "replaced":
            x.data, x.indices, x.indptr = np.ones(1, fit.dtype), np.zeros(1, np.int32), np.array([0, 1], np.int32)
        elif case["what"] == "zeros eliminated":
            x.data[::2] = 0
            x.eliminate_zeros()
        else:
            x.indices[:], x.data[:] = x.indices[::-1].copy(), x.data[::-1].copy()

    trainer = fit.trainer()
    how = ended(lambda: Disturbance(fit, case, change, most=20).run(trainer, x, y), trainer)
    if case["what"] in ("replaced", "resized"):
        assert (how, bits(trainer)) == ("done", bits(fit.undisturbed())), "the fit saw the change"
    return how


@kind(*VALUES)
def validation_values(fit: Fit, case: Case) -> str:
    """The values of the validation's x change. The change must not affect the training."""
    x, y = fit.data()
    validation = fit.data()
    trainer = fit.trainer()
    disturbance = Disturbance(fit, case, refills(values_of(validation[0]), case["what"]))
    disturbance.run(trainer, x, y, validation_data=validation)
    assert bits(trainer) == bits(fit.undisturbed())
    return "same bits"


@kind("values", "labels", "indices")
def from_the_beginning(fit: Fit, case: Case) -> str:
    """The data change before the fit, and while the fit checks and copies its arguments."""
    inputs = "csr" if case["inputs"] not in ("csr", "rows") else case["inputs"]
    fit = Fit(case | {"values": {}, "labels": {"y": "labels"}, "indices": {"inputs": inputs}}[case["what"]])
    x, y = fit.data()
    changes = numbers([y]) if case["what"] == "labels" else numbers([values_of(x)])
    if case["what"] == "indices":
        changes = numbers([x.indices, x.starts if isinstance(x, SparseRows) else x.indptr])
    change = refills(values_of(x), "nan") if case["what"] == "values" else lambda: next(changes)()
    trainer = fit.trainer()
    with Meanwhile(change):
        error = raised(lambda: ended(lambda: trainer.fit(x, y, epochs=fit.epochs), trainer))
    if error is None:
        return "done or diverged"
    check_refusal(error, ValueError, WORDS)
    return "refused"
