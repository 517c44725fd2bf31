"""Cuts the order of an epoch into pieces, so that unconverted rows are converted a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fastnet.checks import UnconvertedRows
from fastnet.kernels.contract import Ints
from fastnet.source_rows import sampled


class Piece(NamedTuple):
    """The rows of x that a kernel call gets, and the order in which the call trains on them.

    `numbers` are row numbers of x. `order` holds positions in `numbers`.
    """

    numbers: Ints
    order: Ints


def pieces(x: UnconvertedRows, order: Ints, batch_size: int, epoch_rows: int) -> Iterator[Piece]:
    """Yield pieces of whole batches of `order`, at least one batch each. No piece goes beyond the end of an epoch.

    The kernels look for zeros in a sample of the rows that they get. Each piece has the sample of the whole x at the
    sampled positions, so the pieces give the same bits as one call on a converted x.
    """
    sample = sampled(len(x))
    step = max(1, x.rows_of_a_piece // batch_size) * batch_size
    epochs = (order[start : start + epoch_rows] for start in range(0, len(order), epoch_rows))
    for rows in (epoch[start : start + step] for epoch in epochs for start in range(0, len(epoch), step)):
        yield with_sample(rows, sample)


def with_sample(rows: Ints, sample: Ints) -> Piece:
    """Return a piece of these rows, with the sample at the positions that a kernel samples."""
    numbers = np.empty(len(rows) + len(sample), np.int64)
    places = sampled(len(numbers))
    others = np.delete(np.arange(len(numbers)), places)
    numbers[places], numbers[others] = sample, rows
    return Piece(numbers, others)
