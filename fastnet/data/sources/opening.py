"""`source`: makes a Source of a path or an object."""

from __future__ import annotations

from typing import Any

from fastnet import checks
from fastnet.data.sources.arrays import ArrayReader
from fastnet.source import RandomReader, Reader, Source, Stream


def source(
    data: Any,
    *,
    shuffle_buffer: int | str | None = "256 MB",
    name: str | None = None,
) -> Source:
    """Make a source: a data set that is read a block of rows at a time, and need not fit into memory.

    Parameters
    ----------
    data : (x, y), or an object with `__len__` and `read`
        Two arrays, or anything that follows the protocol `fastnet.source.Reader`. (x, None) is for `predict`.
    shuffle_buffer : int or str or None
        How much memory the rows may take during a training: bytes, or a text such as "256 MB" or "1 GB". One half holds
        the rows that the network is trained on, the other half is filled meanwhile. Data that fit are read once and
        shuffled exactly. None: the order is exactly random, and each row is read alone, which is slower.
    name : str, optional
        The name of the data in messages.

    Returns
    -------
    Source
        It goes to `Trainer.fit`, `Trainer.partial_fit`, `Network.evaluate`, `Network.predict` and `Network.forward`.

    Raises
    ------
    ValueError, TypeError
        An argument is invalid.

    Examples
    --------
    >>> import fastnet, numpy as np
    >>> x, y = np.zeros((1000, 3), np.float32), np.zeros(1000, np.int64)
    >>> fastnet.data.source((x, y), shuffle_buffer="1 MB")
    <Source data, 1,000 rows>
    """
    buffer = None if shuffle_buffer is None else checks.byte_count("shuffle_buffer", shuffle_buffer)
    reader = _reader(data)
    if buffer is None and not isinstance(reader, RandomReader):
        raise ValueError(
            "shuffle_buffer=None needs a reader with the method take(numbers), which reads rows in any order: give "
            'shuffle_buffer a size, such as "256 MB"'
        )
    return Source(reader, "data" if name is None else checks.text("name", name), buffer)


def _reader(data: Any) -> Reader | Stream:
    if isinstance(data, Source):
        return data.reader
    if isinstance(data, (Reader, Stream)):
        return data
    if isinstance(data, tuple) and len(data) == 2:
        return ArrayReader(*data)
    raise TypeError(f"source takes (x, y) or an object with __len__ and read(start, stop), not {checks.given(data)}")
