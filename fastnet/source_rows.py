"""SourceRows: the rows of a source, checked and converted for a network, and read ahead in order."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, TypeGuard, TypeVar

import numpy as np

from fastnet import checks
from fastnet.backends.engine import Engine
from fastnet.backends.forward import Forward, Use, parts
from fastnet.backends.read_ahead import ReadAhead
from fastnet.backends.threads import share_parts
from fastnet.checks import holds_bytes
from fastnet.errors import DataError
from fastnet.evaluation import Parts, Squares
from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.kernels.contract import Floats, Ints
from fastnet.kernels.formulas import Sums
from fastnet.source import Array, Block, RandomReader, Reader, Source, Stream, block

T = TypeVar("T")
EXACT_BYTES = 1 << 26  # of the rows in memory during a training with shuffle_buffer=None
PIECE_BYTES = 1 << 24  # the most bytes of rows that are read at once, unless a row has more
READ_BYTES = 1 << 20  # small parts are read together up to this size, since a read has a fixed cost
_ENTRY = re.compile(r"\b([xy])\[(\d+)")  # an entry in a message of the checks, such as x[3, 1]


class Model(Protocol):
    """The part of a network that this module uses."""

    @property
    def sizes(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def layers(self) -> Ints: ...
    def layers_to_weighted_sums(self) -> Ints: ...
    def kernel_parameters(self) -> Floats: ...
    def check_targets(self, y: object, n: int, name: str = "y") -> Array: ...
    def warn_of_bytes(self, *forms: object) -> None: ...


class Rows(NamedTuple):
    """Checked rows. Kernels take them."""

    x: Array  # (rows, n_in) of the network's dtype or uint8, C-contiguous
    y: Array  # labels (rows,) or targets (rows, n_out); empty if y was not asked for

    @property
    def row_bytes(self) -> int:
        """The bytes of a row."""
        return self.x[:1].nbytes + self.y[:1].nbytes

    def empty(self, n_rows: int) -> Rows:
        """Return uninitialised memory for rows of this kind."""
        return Rows(*(np.empty((n_rows, *some.shape[1:]), some.dtype) for some in self))


NO_Y = np.empty(0)
ALL_ONE = np.empty(0)  # stands for weights of 1


class _Checked:
    """Checks and converts rows for a network. Errors name the rows."""

    def __init__(self, source: Source, network: Model, has_y: bool) -> None:
        self._name, self._network, self._has_y = source.name, network, has_y
        self.shuffle_buffer = source.shuffle_buffer
        self._dtype: np.dtype[Any] | None = None  # unknown until the first rows are read

    def _checked(self, found: Any, numbers: Ints) -> Rows:
        (x, y), n = block(found, f"a block of {self._name}"), len(numbers)
        if np.shape(x)[:1] != (n,):
            raise DataError(f"{self._name}: the reader was asked for {n:,} rows of x, and gave shape {np.shape(x)}")
        network = self._network
        rows = self._located(lambda: checks.inputs(x, network.sizes[0], network.dtype), numbers)
        if isinstance(rows, c.SparseRows):
            raise DataError(f"{self._name} gives sparse rows; a source has dense rows: give the sparse matrix itself")
        if self._dtype is None:
            self._dtype = rows.dtype
        if rows.dtype != self._dtype:
            kinds = ("bytes", "other numbers") if holds_bytes(rows) else ("other numbers", "bytes")
            where = f"rows {numbers[0]:,} to {numbers[-1]:,} of {self._name}"
            raise DataError(f"{where} are {kinds[0]}, but the first rows are {kinds[1]}: give all rows one dtype")
        return Rows(rows, self._checked_y(y, numbers) if self._has_y else NO_Y)

    def _checked_y(self, y: Any, numbers: Ints) -> Array:
        if y is None:
            raise DataError(no_y(self._name))
        return self._located(lambda: self._network.check_targets(y, len(numbers)), numbers)

    def _located(self, check: Callable[[], T], numbers: Ints) -> T:
        """Run a check of rows. Its error names the row in the source."""
        try:
            return check()
        except ValueError as error:
            message, entry = str(error), _ENTRY.match(str(error))
            if entry is None:
                where = f"rows {numbers[0]:,} to {numbers[-1]:,}"
            else:
                row = int(numbers[int(entry[2])])
                where, message = f"row {row:,}", f"{entry[1]}[{row}{message[entry.end() :]}"
            raise DataError(f"{where} of {self._name}: {message}") from None


class SourceRows(_Checked):
    """The rows of a source, checked and converted for a network.

    Parameters
    ----------
    source : Source
        The source.
    network : Network
        The network that takes the rows.
    has_y : bool
        Whether labels or targets are needed.

    Attributes
    ----------
    sample : Rows
        The rows that the kernels would sample if they got all rows at once: they look for zeros there.
    sampled : int64 array
        The numbers of these rows.
    n_rows : int
        The number of rows.
    shuffle_buffer : int or None
        As `Source` has it.

    Raises
    ------
    ValueError
        The source is a stream, it has no rows, or the sampled rows do not fit the network.
    """

    def __init__(self, source: Source, network: Model, *, has_y: bool = True) -> None:
        if not isinstance(source.reader, Reader):
            raise ValueError(f"{source.name} is a stream, which can be read only once: give its chunks as arrays")
        super().__init__(source, network, has_y)
        self._reader, self.n_rows = source.reader, len(source)
        if not self.n_rows:
            raise DataError(f"{self._name} is empty; expected at least one row")
        self.sampled = sampled(self.n_rows)
        self.sample = self._sample()
        network.warn_of_bytes(self.sample.x)

    def __len__(self) -> int:
        return self.n_rows

    @property
    def preferred_rows(self) -> int:
        """The number of consecutive rows that the reader reads together anyway, 1 if it does not say."""
        return max(1, int(getattr(self._reader, "block_rows", 1)))

    def __getitem__(self, rows: slice | Ints) -> Rows:
        """Return the rows of a slice with a start and a stop, or, if the reader has `take`, the rows with numbers."""
        if isinstance(rows, slice):
            return self._checked(self._reader.read(rows.start, rows.stop), np.arange(rows.start, rows.stop))
        assert isinstance(self._reader, RandomReader)
        return self._checked(self._reader.take(rows), rows)

    @property
    def fits(self) -> bool:
        """Whether all rows fit into the shuffle buffer, or into the buffer of an exact shuffle."""
        return self.n_rows * self.sample.row_bytes <= (
            EXACT_BYTES if self.shuffle_buffer is None else self.shuffle_buffer
        )

    def load(self) -> Rows:
        """Return all rows."""
        whole = self.sample.empty(self.n_rows)
        for part in self.parts(self.rows_of_bytes(PIECE_BYTES)):
            whole.x[part], whole.y[part] = self[part]
        return whole

    def targets(self, is_over: Callable[[], bool] = lambda: False) -> Iterator[Array]:
        """Yield the checked labels or targets of all rows in order, a part at a time, until `is_over` says to stop."""
        read_y = getattr(self._reader, "read_y", None)
        for part in self.parts(self.rows_of_bytes(PIECE_BYTES)):
            if is_over():
                return
            y = self._reader.read(part.start, part.stop)[1] if read_y is None else read_y(part.start, part.stop)
            yield self._checked_y(y, np.arange(part.start, part.stop))

    def parts(self, step: int) -> Iterator[slice]:
        """Yield slices of `step` rows that cover all rows in order."""
        for start in range(0, self.n_rows, step):
            yield slice(start, min(start + step, self.n_rows))

    def evaluated(self, engine: Engine, is_over: Callable[[], bool] = lambda: False) -> tuple[Sums, Squares] | None:
        """Return the network's sums over all rows, and the squares of the targets. None if `is_over` ended it early."""
        layers, found, squares, n_done = self._network.layers, Parts(), Squares(self._network.layers), deque[int]()

        def use(rows: slice, z: Floats, y: Array) -> None:
            found.add(rows, formulas.evaluate(layers, z, y, ALL_ONE))
            n_done.append(len(y))

        to_sums = self._network.layers_to_weighted_sums()
        self._share(to_sums, engine, use, is_over, lambda y: squares.add(y, ALL_ONE))
        return (found.total(), squares) if sum(n_done) == self.n_rows else None

    def share(self, layers: Ints, engine: Engine, use: Use) -> None:
        """Call use(rows, activations) for each part of the rows, as `Engine.share` does. A thread reads ahead.

        `layers` are the network's, or its layers to the weighted sums.
        """
        self._share(layers, engine, lambda rows, activations, y: use(rows, activations))

    def _share(
        self,
        layers: Ints,
        engine: Engine,
        use: Callable[[slice, Floats, Array], object],
        is_over: Callable[[], bool] = lambda: False,
        see: Callable[[Array], object] = lambda y: None,
    ) -> None:
        """`share`, with the targets of each part. `see` gets them in the order of the rows, in the thread that reads.

        The parts are those of rows in memory, unless the targets are much larger than the inputs.
        """
        parameters = self._network.kernel_parameters()
        most = self.rows_of_bytes(PIECE_BYTES)
        most = most // c.BLOCK_ROWS * c.BLOCK_ROWS or most  # the kernels' blocks are then those of rows in memory
        slices = parts(layers, self.n_rows, parameters.itemsize, most)
        size = slices[0].stop
        at_once = max(1, self.rows_of_bytes(READ_BYTES) // size)  # parts

        def read(is_wanted: Callable[[], bool]) -> Iterator[tuple[list[slice], Rows]]:
            for first in range(0, len(slices), at_once):
                group = slices[first : first + at_once]
                rows = self[group[0].start : group[-1].stop]
                see(rows.y)
                yield group, rows

        run = Forward(engine.kernels, layers, parameters, size, len(slices) > 1)

        def call(piece: tuple[list[slice], Rows], worker: int) -> None:
            group, rows = piece
            for part in group:
                if is_over():
                    return
                own = slice(part.start - group[0].start, part.stop - group[0].start)
                use(part, run(rows.x[own], worker), rows.y[own])

        with ReadAhead(read, is_over) as pieces:
            n_threads = engine.n_threads(layers, self.sample.x, self.n_rows)
            share_parts(min(n_threads, -(-len(slices) // at_once)), pieces, call)

    def rows_of_bytes(self, n_bytes: int) -> int:
        """Return how many rows take at most this many bytes: one or more."""
        return max(1, n_bytes // self.sample.row_bytes)

    def _sample(self) -> Rows:
        if isinstance(self._reader, RandomReader):
            numbers, at = np.unique(self.sampled, return_inverse=True)
            x, y = self[numbers]
            return Rows(x[at], y[at] if self._has_y else y)
        found = [self[number : number + 1] for number in self.sampled.tolist()]
        return Rows(np.concatenate([x for x, _ in found]), np.concatenate([y for _, y in found]))


class StreamRows(_Checked):
    """The chunks of a stream, checked and converted for a network.

    Parameters
    ----------
    source : Source
        A source that is a stream.
    network : Network
        The network that takes the rows.

    Attributes
    ----------
    sample : Rows
        The rows of the first chunk.
    n_rows : int
        A number that no epoch reaches: the length of a stream is unknown.

    Raises
    ------
    ValueError
        The stream has no rows, or its first chunk does not fit the network.
    """

    n_rows = c.WHOLE_ORDER

    def __init__(self, source: Source, network: Model) -> None:
        super().__init__(source, network, True)
        assert isinstance(source.reader, Stream)
        self._rest, self._done = source.reader.chunks(), 0
        first = self._next()
        if first is None:
            raise DataError(f"{self._name} is empty; expected at least one row")
        self.sample = first
        network.warn_of_bytes(first.x)

    def chunks(self) -> Iterator[Rows]:
        """Yield the chunks, which have one or more rows. This can be done once."""
        chunk: Rows | None = self.sample
        while chunk is not None:
            yield chunk
            chunk = self._next()

    def _next(self) -> Rows | None:
        for chunk in self._rest:
            x, y = block(chunk, f"a chunk of {self._name}")
            if n := len(x):
                self._done += n
                return self._checked((x, y), np.arange(self._done - n, self._done))
        return None


def raw_blocks(source: Source, is_wanted: Callable[[], bool] = lambda: True) -> Iterator[Block]:
    """Yield all rows in order, unchecked, in blocks of about half the shuffle buffer, or in the chunks of a stream.

    The blocks have about the same size. `is_wanted` says whether to go on.
    """
    reader = source.reader
    if isinstance(reader, Reader):
        n = len(reader)
        row_bytes = max(1, np.asarray(block(reader.read(0, 1), f"a block of {source.name}").x).nbytes) if n else 1
        most = max(1, (EXACT_BYTES if source.shuffle_buffer is None else source.shuffle_buffer) // 2 // row_bytes)
        step = max(1, -(-n // max(1, -(-n // most))))
        blocks: Iterator[Any] = (reader.read(start, min(start + step, n)) for start in range(0, n, step))
    else:
        blocks = reader.chunks()
    for found in blocks:
        x, y = block(found, f"a block of {source.name}")
        if not is_wanted():
            return
        if y is None:
            raise DataError(no_y(source.name))
        yield Block(x, y)


def no_y(name: str) -> str:
    """Return the message for a source without labels."""
    return f"{name} has no labels and no targets: say where they are, as in source((x, y))"


def is_source(x: object, y: object, sample_weight: object = None) -> TypeGuard[Source]:
    """Return whether x is a source. Refuse y and weights beside a source.

    Raises
    ------
    ValueError
        `y` or `sample_weight` is given beside a source.
    """
    if not isinstance(x, Source):
        return False
    if y is not None:
        raise ValueError("y is given beside a source, which has its own y: leave out y")
    if sample_weight is not None:
        raise ValueError("sample_weight is given beside a source: leave it out, or give arrays; fit takes class_weight")
    return True


def sampled(n_rows: int) -> Ints:
    """Return the numbers of the rows that a kernel samples, of at least SPARSE_SAMPLE rows."""
    return np.arange(c.SPARSE_SAMPLE) * n_rows // c.SPARSE_SAMPLE
