"""The dense array of a scipy.sparse matrix, read from its internal arrays in plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np


class Nonsense(Exception):
    """The internal arrays form no matrix."""


def meaning(x: Any, width: int) -> Any:
    """Return the dense array of the matrix, or None if x is no valid matrix with `width` columns."""
    try:
        n, columns = x.shape
        if columns != width or not 0 < n < 100:
            return None
        dtype = np.dtype(x.dtype)
        dense: list[list[Any]] = [[0] * width for _ in range(n)]
        for i, j, value in entries_of(x, n, width):
            if not (0 <= i < n and 0 <= j < width):
                return None
            dense[i][j] += int(real(value)) if dtype.kind in "iu" else float(dtype.type(real(value)))
        if dtype.kind in "iu":  # sums wrap
            least = np.iinfo(dtype).min
            dense = [[(total - least) % 2 ** (8 * dtype.itemsize) + least for total in row] for row in dense]
        found = np.array(dense, bool if dtype.kind == "b" else float)
    except (Nonsense, ValueError, TypeError, AttributeError, IndexError, KeyError, OverflowError, np.ma.MaskError):
        return None
    return found.astype(np.uint8) if dtype == np.uint8 else found if np.isfinite(found).all() else None


def entries_of(x: Any, n: int, width: int) -> list[tuple[int, int, Any]]:
    """Return (row, column, value) of each entry, read from the arrays of the format."""
    if x.format in ("csr", "csc"):
        lines = n if x.format == "csr" else width
        found = [(line, whole(x.indices[k]), x.data[k]) for line in range(lines) for k in span(x, line, lines)]
        return found if x.format == "csr" else [(i, j, value) for j, i, value in found]
    if x.format == "bsr":
        high, wide = (int(size) for size in x.data.shape[1:])
        if not high * wide or n % high or width % wide:
            raise Nonsense
        blocks = [(line, whole(x.indices[k]), x.data[k]) for line in range(n // high) for k in span(x, line, n // high)]
        return [
            (line * high + i, column * wide + j, block[i, j])
            for line, column, block in blocks
            for i in range(high)
            for j in range(wide)
        ]
    if x.format == "coo":
        row, col = x.coords
        if not len(row) == len(col) == len(x.data):
            raise Nonsense
        return [(whole(i), whole(j), value) for i, j, value in zip(row, col, x.data, strict=True)]
    if x.format == "dia":
        if len(x.offsets) != len(x.data):
            raise Nonsense
        rows = np.asarray(x.data) if isinstance(x.data, np.matrix) else x.data  # a row of a np.matrix is a matrix
        places = [(j - whole(d), j, values[j]) for d, values in zip(x.offsets, rows, strict=True)
                  for j in range(min(width, len(values)))]  # fmt: skip
        return [(i, j, value) for i, j, value in places if 0 <= i < n]
    if x.format == "lil":
        if not len(x.rows) == len(x.data) == n:
            raise Nonsense
        return [
            (i, whole(j), value)
            for i, (columns, values) in enumerate(zip(x.rows, x.data, strict=True))
            for j, value in zip(columns, values, strict=True)
        ]
    return [(whole(i), whole(j), value) for (i, j), value in x._dict.items()]


def span(x: Any, line: int, lines: int) -> range:
    """Return the range of the entries of a row or column in a compressed matrix."""
    if len(x.indptr) != lines + 1:
        raise Nonsense
    first, last = whole(x.indptr[line]), whole(x.indptr[line + 1])
    if not 0 <= first <= last <= min(len(x.indices), len(x.data)):
        raise Nonsense
    return range(first, last)


def whole(number: Any) -> int:
    if int(real(number)) != number:
        raise Nonsense
    return int(number)


def real(number: Any) -> Any:
    """Return the number. Refuse a complex number, because NumPy would take its real part."""
    if isinstance(number, complex | np.complexfloating | str | np.ma.core.MaskedConstant):
        raise Nonsense
    return number
