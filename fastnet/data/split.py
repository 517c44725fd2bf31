"""Splits examples into a training part and a test part."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Split: TypeAlias = tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]]  # x and y to train, x and y to test

TEST_SHARE = 0.2  # the share to hold out if a data set has no test part


def hold_out(x: Array, y: NDArray[np.int64], fraction: float) -> Split:
    """Split examples into a training part and a test part.

    Both parts are shuffled, in the same order on every machine. Each class gives `fraction` of its examples to the
    test part, rounded by largest remainder, and keeps at least one example in the training part.

    Parameters
    ----------
    x : array of shape (n, ...)
        The examples.
    y : int64 array of shape (n,)
        The class of each example, from 0.
    fraction : float
        The share to hold out for the test, from 0 to below 1.

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
    # NumPy guarantees that the raw output of PCG64 never changes. It gives no such guarantee for permutation().
    shuffled = np.argsort(np.random.PCG64(0).random_raw(len(y)), kind="stable")
    counts = np.bincount(y)
    share = counts * fraction
    n_test = np.floor(share).astype(np.int64)
    short = round(len(y) * fraction) - int(n_test.sum())
    n_test[np.argsort(n_test - share, kind="stable")[: max(0, short)]] += 1
    n_test = np.clip(n_test, 0, np.maximum(counts - 1, 0))
    by_class = shuffled[np.argsort(y[shuffled], kind="stable")]
    rank = np.empty(len(y), np.int64)  # each example's rank within its class, in shuffled order
    rank[by_class] = np.arange(len(y)) - np.repeat(np.cumsum(counts) - counts, counts)
    to_test = (rank < n_test[y])[shuffled]
    train, test = shuffled[~to_test], shuffled[to_test]
    return x[train], y[train], x[test], y[test]
