"""MemberOutputs: the outputs of several networks for the same rows, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.backends.engine import Engine
from fastnet.backends.read_ahead import ReadAhead
from fastnet.network import Network
from fastnet.source import Source
from fastnet.source_rows import NO_Y, SourceRows

Array = NDArray[Any]
# All networks take so many rows, or so many bytes of a source, before they take the next ones.
PIECE_ROWS, PIECE_BYTES = 1 << 14, 1 << 22


class Part(NamedTuple):
    """The outputs of all networks for consecutive rows."""

    rows: slice
    outputs: list[Array]  # (rows, n_out) of each network
    y: Array  # the labels or targets of a source; empty if the rows are in memory or y was not asked for


class MemberOutputs:
    """The outputs of several networks for the same rows, part by part. A source is read once.

    Parameters
    ----------
    networks : sequence of Network
        Networks with the same inputs and outputs.
    x : array, data frame, scipy.sparse matrix or Source
        Examples, one per row.
    has_y : bool
        Whether the labels or targets of a source are needed.

    Attributes
    ----------
    n_rows : int
        The number of rows.

    Raises
    ------
    ValueError
        The rows do not fit the networks.
    """

    def __init__(self, networks: Sequence[Network], x: Any, *, has_y: bool = False) -> None:
        self._networks = networks
        self._source: SourceRows | None = None
        if isinstance(x, Source):
            self._source = SourceRows(x, widest(networks), has_y=has_y)
            self.n_rows = len(self._source)
        else:
            self._rows = self._by_dtype(x)
            self.n_rows = len(next(iter(self._rows.values())))

    def passes(self, engine: Engine, *, to_sums: bool = False) -> Iterator[Part]:
        """Yield the outputs for all rows in order. `to_sums`: the weighted sums of the last layers instead."""
        if self._source is None:
            for start in range(0, self.n_rows, PIECE_ROWS):
                part = slice(start, min(start + PIECE_ROWS, self.n_rows))
                rows = {dtype: x[part] for dtype, x in self._rows.items()}
                yield Part(part, self._outputs(rows, engine, to_sums), NO_Y)
            return
        source = self._source

        def read(is_wanted: Callable[[], bool]) -> Iterator[tuple[slice, Array, Array]]:
            for part in source.parts(source.rows_of_bytes(PIECE_BYTES)):
                yield part, *source[part]

        with ReadAhead(read) as pieces:
            for part, x, y in pieces:
                yield Part(part, self._outputs(self._by_dtype(x), engine, to_sums), y)

    def _by_dtype(self, x: Any) -> dict[np.dtype[Any], checks.AnyRows]:
        """Return checked examples for each dtype of the networks."""
        return {dtype: one.check_rows(x) for dtype, one in {one.dtype: one for one in self._networks}.items()}

    def _outputs(self, rows: dict[np.dtype[Any], checks.AnyRows], engine: Engine, to_sums: bool) -> list[Array]:
        return [
            engine.forward(
                one.layers_to_weighted_sums() if to_sums else one.layers, one.kernel_parameters(), rows[one.dtype]
            )
            for one in self._networks
        ]


def widest(networks: Sequence[Network]) -> Network:
    """Return a network of float64 if there is one, else one of float32."""
    return max(networks, key=lambda one: one.dtype.itemsize)
