"""Splits examples into a training part and a test part."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Split: TypeAlias = tuple[Array, Array, Array, Array]  # x and y to train, x and y to test

TEST_SHARE = 0.2  # the share to hold out if a data set has no test part
OF_NAMED_SETS = 0  # the seed of the order of a named set
# The seed of the order of the user's data. It is a number that nobody draws data with: uniform numbers of
# numpy.random.default_rng(0) are sorted by the order of the seed 0, so that the test rows would be the largest numbers.
OF_FILES = 0x6B8B4567327B23C6


def hold_out(x: Array, y: Array, fraction: float, seed: int = OF_NAMED_SETS) -> Split:
    """Split examples into a training part and a test part, as `split_rows` does.

    Parameters
    ----------
    x : array of shape (n, ...)
        The examples.
    y : array of shape (n,) or (n, n_out)
        The class of each example, from 0, or the numbers or labels to predict.
    fraction : float
        The share to hold out for the test, from 0 to 1.
    seed : int
        The seed of the order.

    Returns
    -------
    x_train, y_train, x_test, y_test : arrays
        Copies of the rows, in the dtypes of `x` and `y`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.data.split import hold_out
    >>> x, y = np.arange(10.0)[:, None], np.arange(10) % 2
    >>> x_train, y_train, x_test, y_test = hold_out(x, y, 0.2)
    >>> x_train.shape, np.bincount(y_test).tolist()
    ((8, 1), [1, 1])
    """
    train, test = split_rows(y, fraction, seed)
    return x[train], y[train], x[test], y[test]


def order_of_rows(start: int, stop: int, seed: int = OF_FILES) -> NDArray[np.uint64]:
    """Return a random number for each row from number `start` up to `stop`. Other rows have no influence on it.

    Rows with a number below a share of 2^64 are about this share of all rows.
    """
    generator = np.random.PCG64(seed)
    generator.advance(start)
    return generator.random_raw(stop - start)


def split_rows(y: Array, fraction: float, seed: int = OF_NAMED_SETS) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of the training part and of the test part.

    Both parts are shuffled, in the same order on every machine. Each class gives `fraction` of its examples to the
    test part, rounded by largest remainder, and keeps at least one example in the training part. Targets (n, n_out)
    count as one class. With a fraction of 1 the test part is all rows in their order.

    Parameters
    ----------
    y : array of shape (n,) or (n, n_out)
        The class of each example, from 0, or the numbers or labels to predict.
    fraction : float
        The share to hold out for the test, from 0 to 1.
    seed : int
        The seed of the order.

    Returns
    -------
    train, test : int64 arrays
        Positions of rows.
    """
    if fraction == 1:
        return np.empty(0, np.int64), np.arange(len(y))
    classes = y if y.ndim == 1 else np.zeros(len(y), np.int64)
    # NumPy guarantees that the raw output of PCG64 never changes. It gives no such guarantee for permutation().
    shuffled = np.argsort(np.random.PCG64(seed).random_raw(len(y)), kind="stable")
    counts = np.bincount(classes)
    share = counts * fraction
    n_test = np.floor(share).astype(np.int64)
    short = round(len(y) * fraction) - int(n_test.sum())
    n_test[np.argsort(n_test - share, kind="stable")[: max(0, short)]] += 1
    n_test = np.clip(n_test, 0, np.maximum(counts - 1, 0))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    rank = np.empty(len(y), np.int64)  # each example's rank within its class, in shuffled order
    rank[by_class] = np.arange(len(y)) - np.repeat(np.cumsum(counts) - counts, counts)
    to_test = (rank < n_test[classes])[shuffled]
    return shuffled[~to_test], shuffled[to_test]
