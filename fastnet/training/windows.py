"""Window: the part of an epoch whose examples are in memory at the same time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet.checks import AnyRows
from fastnet.kernels.contract import Ints


class Window(NamedTuple):
    """Some batches of an epoch, with the examples that the kernels index. No batch goes beyond its window's end.

    Data in memory have one window for each epoch.
    """

    x: AnyRows  # (n, n_in)
    y: NDArray[Any]  # labels (n,) or targets (n, n_out)
    weights: NDArray[np.float64]  # (n,), or (0,) if every weight is 1
    order: Ints  # positions in x, batch after batch
    numbers: Ints | None = None  # (n,): the row numbers in the user's data; None: they are the positions
    waited: float = 0.0  # the seconds that the training waited for this window

    def numbered(self, positions: Ints) -> Ints:
        """Return the row numbers in the user's data of these positions."""
        return positions if self.numbers is None else self.numbers[positions]
