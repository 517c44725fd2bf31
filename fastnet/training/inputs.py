"""Prepares a fit's data before the first batch: checks them, compresses them and compiles the kernels for them."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.backends.compression import SAMPLE_ROWS, compressed, compresses, described
from fastnet.backends.engine import Engine
from fastnet.backends.interrupts import Interrupts
from fastnet.backends.warming import compiles, warm_up
from fastnet.checks import AnyRows, kernel_rows
from fastnet.kernels.contract import Backend, SparseRows
from fastnet.network import Network
from fastnet.source import Source
from fastnet.source_rows import ALL_ONE, SourceRows, StreamRows, is_source
from fastnet.training.schedules import Schedule, needs_length


class Examples(NamedTuple):
    """Checked examples. Those of a source are a sample, and `source` reads all."""

    x: AnyRows  # (n, n_in)
    y: NDArray[Any]  # labels (n,) or targets (n, n_out)
    weights: NDArray[np.float64]  # (n,), or (0,) if every weight is 1
    source: SourceRows | StreamRows | None = None


def check_examples(network: Network, x: object, y: object, sample_weight: object = None, *, name: str = "") -> Examples:
    """Return the examples in the form that the kernels take. In error messages `name` stands before x and y.

    A source that fits into its shuffle buffer is read, and is then no different from arrays.

    Raises ValueError if a shape, dtype or value is invalid.
    """
    if is_source(x, y, sample_weight):
        if x.is_stream:
            stream = StreamRows(x, network)
            return Examples(*stream.sample, ALL_ONE, stream)
        source = SourceRows(x, network)
        return Examples(*source.load(), ALL_ONE) if source.fits else Examples(*source.sample, ALL_ONE, source)
    rows = network.check_rows(x, f"{name}x")
    targets = network.check_targets(y, len(rows), f"{name}y")
    return Examples(rows, targets, checks.weights(sample_weight, len(rows), f"{name}sample_weight"))


def check_source(x: object, epochs: int, schedule: Schedule, validation_split: float = 0.0) -> None:
    """Refuse what a source, or a stream, cannot do. Nothing is read for this check.

    Raises ValueError for a source with a validation split, and for a stream with more than one epoch or with a schedule
    that depends on the length of an epoch.
    """
    if not isinstance(x, Source):
        return
    if validation_split:
        raise ValueError("validation_split needs arrays: give validation_data, which may be a Source too")
    if not x.is_stream:
        return
    if epochs > 1:
        raise ValueError(f"{x.name} is a stream, which can be read once: use epochs=1, not {epochs}")
    if needs_length(schedule):
        raise ValueError(
            f"{x.name} is a stream, whose length is unknown, but {schedule!r} depends on the length of an epoch: use "
            "schedule='constant', or a function of the update's number"
        )


def check_validation_data(network: Network, data: object) -> Examples | None:
    """Return a source, (x, y) or (x, y, sample_weight) as checked examples.

    Raises ValueError or TypeError if the data are invalid.
    """
    if data is None:
        return None
    if isinstance(data, Source):
        if data.is_stream:
            raise ValueError(f"{data.name} is a stream, which can be read once; validation data are read in each epoch")
        return check_examples(network, data, None)
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        length = f" of length {len(data)}" if isinstance(data, (tuple, list)) else ""
        raise TypeError(
            "validation_data must be a Source, or a tuple or list (x, y) or (x, y, sample_weight), not "
            f"{type(data).__name__}{length}"
        )
    x, y, *sample_weight = data
    return check_examples(network, x, y, *sample_weight, name="validation ")


def prepare(
    x: AnyRows, network: Network, engine: Engine, interrupts: Interrupts, *, sparse: bool | None, epochs: int
) -> tuple[AnyRows, str]:
    """Return the rows, perhaps compressed, and their description for the history.

    `sparse` says whether to compress dense rows. None, for "auto", compresses them if that saves time over `epochs`
    epochs. Kernels are compiled here, so that the first epoch's `seconds` do not include compilation.
    """
    network.note_inputs(largest_input(x))
    dtype, is_compressed = network.dtype, compresses(sparse, engine.kernels, x, epochs)
    compile_for(x, dtype, engine, interrupts, sparse=is_compressed)
    if is_compressed and not interrupts.pending:
        x = cast(SparseRows, interrupts.call(partial(compressed, engine.kernels, x, dtype, network.byte_scale)))
    return x, described(x, is_compressed)


def compile_for(
    x: AnyRows, dtype: np.dtype[Any], engine: Engine, interrupts: Interrupts, *, sparse: bool = False
) -> None:
    """Compile the kernels for rows like x, or for sparse rows if `sparse` is true. Ctrl-C ends the wait at once."""
    kernels, done = engine.kernels, (dtype, x.dtype, sparse or isinstance(x, SparseRows))
    if not compiles(kernels) or interrupts.pending:
        return
    if any(backend is kernels and which == done for backend, which in _compiled):
        return

    def compile_once() -> None:
        warm_up(kernels, *done)
        _compiled.append((kernels, done))

    interrupts.call(compile_once, abandon=True)


# What compile_for has compiled in this process. To compile again takes no time, but the thread that waits takes 0.1 ms.
_compiled: list[tuple[Backend, tuple[np.dtype[Any], np.dtype[Any], bool]]] = []


def largest_input(x: AnyRows) -> float:
    """Return the largest absolute value of floats x, seen on at most SAMPLE_ROWS rows; 0 for bytes."""
    if x.dtype.kind == "u":
        return 0.0
    seen = kernel_rows(x if len(x) <= SAMPLE_ROWS else x[np.linspace(0, len(x) - 1, SAMPLE_ROWS).astype(np.int64)])
    values = seen.values if isinstance(seen, SparseRows) else seen
    flat = values.reshape(-1)
    if not flat.size:  # sparse rows without entries
        return 0.0
    # argmax takes 1 us less than max.
    return max(0.0, float(flat[flat.argmax()]), -float(flat[flat.argmin()]))
