"""Warns of input columns whose spread is far from 1: gradient descent trains poorly on them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.checks import AnyRows, kernel_rows
from fastnet.errors import caller
from fastnet.kernels.contract import SparseRows

MIN_SPREAD, MAX_SPREAD = 0.01, 100.0  # of a column's standard deviation
# Variances between these are within the limits, whatever the rounding errors.
SURELY_LARGE, SURELY_SMALL = 1.1 * MIN_SPREAD**2, 0.9 * MAX_SPREAD**2
FEW_COLUMNS = 16  # up to here, a product of matrices and a loop are faster than sums along columns
MIN_ROWS = 10  # the standard deviation of fewer numbers says little
# The limits of the sample. The full check takes 0.3 ms on images of 784 pixels.
MIN_SAMPLE_ROWS, MAX_SAMPLE_ROWS, SAMPLE_NUMBERS = 32, 1000, 1 << 15


def warn_of_spread(x: AnyRows, names: Sequence[str] | None, stacklevel: int = 1) -> None:
    """Give one UserWarning if columns of x need scaling. `names` are the columns' names, None stands for numbers.

    A `stacklevel` of 1 blames the caller of the function that calls this function. The trainings of a search give no
    warning, since the search gives one for all.
    """
    message = spread_message(x, names)
    if message and not caller("fastnet.training.").startswith("fastnet.search."):
        warnings.warn(message, stacklevel=stacklevel + 2)


def spread_message(x: AnyRows, names: Sequence[str] | None) -> str:
    """Return the text of the warning, or "" if no column needs scaling.

    A column needs scaling if its standard deviation is above 100, or below 0.01 and not 0. Small deviations count only
    where more than half of the numbers are not 0: in a column of rare words they say that the words are rare. Bytes
    need no scaling here, since the network scales them. Fewer than MIN_ROWS rows give no message.
    """
    if x.dtype == np.uint8 or len(x) < MIN_ROWS:
        return ""
    step = -(-len(x) // min(MAX_SAMPLE_ROWS, max(MIN_SAMPLE_ROWS, SAMPLE_NUMBERS // x.shape[1])))
    sample = kernel_rows(x[np.arange(0, len(x), step)] if isinstance(x, SparseRows) else x[::step])
    if not isinstance(sample, SparseRows) and _is_fine(sample):
        return ""
    with np.errstate(over="ignore", invalid="ignore"):  # the square of a large number may overflow to infinity
        columns, deviations, count = _sparse(sample) if isinstance(sample, SparseRows) else _dense(sample)
    is_small = (deviations < MIN_SPREAD) & (deviations > 0)
    if is_small.any():
        is_small &= count() * 2 > len(sample)
    bad = (is_small | (deviations > MAX_SPREAD)).nonzero()[0]
    if not bad.size:
        return ""
    worst = bad[np.argmax(np.abs(np.log(deviations[bad])))]
    column = int(columns[worst])
    others = f" and {bad.size - 1:,} more column{'s need' if bad.size > 2 else ' needs'} scaling too" * (bad.size > 1)
    options = "with_mean=False" if isinstance(sample, SparseRows) else ""
    return (
        f"column {column if names is None else repr(names[column])} of x has a standard deviation of "
        f"{deviations[worst]:.3g}{others}; networks train best on columns with one near 1: use "
        f"sklearn.preprocessing.StandardScaler({options})"
    )


Columns = tuple[NDArray[Any], NDArray[np.float64], Callable[[], NDArray[Any]]]


def _is_fine(sample: NDArray[Any]) -> bool:
    """Whether all columns are clearly within the limits, or constant: 8 us for 150 rows of 4 columns.

    False says nothing. It is quick for few columns of float32, whose squares do not overflow in float64.
    """
    if sample.dtype != np.float32 or sample.shape[1] > FEW_COLUMNS:
        return False
    differences, n = sample.astype(np.float64), len(sample)
    differences -= sample[0]
    sums = np.ones(n).dot(differences).tolist()
    squares = differences.T.dot(differences).diagonal().tolist()
    for total, square in zip(sums, squares, strict=True):
        mean = total / n
        variance = square / n - mean * mean
        if not (SURELY_LARGE < variance < SURELY_SMALL or square == 0):
            return False
    return True


def _dense(sample: NDArray[Any]) -> Columns:
    """Return the columns' numbers, their standard deviations, and a function that counts the numbers that are not 0."""
    differences = np.subtract(sample, sample[0], dtype=np.float64)  # exactly 0 in a constant column
    means = differences.mean(axis=0)
    variances = np.einsum("ij,ij->j", differences, differences) / len(sample) - means * means
    deviations = np.sqrt(np.maximum(variances, 0))
    return np.arange(sample.shape[1]), deviations, lambda: np.asarray(np.count_nonzero(sample, axis=0))


def _sparse(sample: SparseRows) -> Columns:
    """Return what `_dense` returns, for the columns that have entries."""
    columns, first, at = np.unique(sample.indices, return_index=True, return_inverse=True)
    counts, n = np.bincount(at, minlength=len(columns)), len(sample)
    shift = sample.values[first].astype(np.float64)
    differences = sample.values - shift[at]
    sums = np.bincount(at, differences, len(columns)) - (n - counts) * shift
    squares = np.bincount(at, np.square(differences), len(columns)) + (n - counts) * np.square(shift)
    return columns, np.sqrt(np.maximum(squares / n - np.square(sums / n), 0)), lambda: counts
