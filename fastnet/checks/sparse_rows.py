"""Checks of sparse examples, and what sparse and dense ones have in common: shape and dtype."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c

Array = NDArray[Any]


def is_scipy_sparse(x: object) -> bool:
    scipy_sparse = sys.modules.get("scipy.sparse")  # whoever has such a matrix has imported it: we need not
    return scipy_sparse is not None and bool(scipy_sparse.issparse(x))


def sparse_inputs(x: Any, n_in: int, dtype: np.dtype[Any], name: str) -> c.SparseRows:
    """x as canonical SparseRows of dtype, sharing its arrays where they fit; x itself is never changed."""
    if not isinstance(x, c.SparseRows):
        _check_parts(x, name)
    shape_of_examples(x.shape, n_in, name, f"{name}.reshape(1, -1)")
    floats_or_bytes(x.dtype, name)
    if isinstance(x, c.SparseRows):
        starts, indices, values = x.starts, x.indices, x.values
    else:
        csr = _csr(x, name)
        starts, indices, values = csr.indptr, csr.indices, csr.data
    count = values.size if values.ndim == 1 else 0
    _check_compressed(starts, indices, count, x.shape[0], n_in, name)
    starts = np.ascontiguousarray(starts, np.int64)
    indices = np.ascontiguousarray(indices, np.int32)  # a network has no more inputs than these can count
    used = slice(int(starts[0]), int(starts[-1]))
    if not _ascending(starts, indices[used]):
        starts, indices, values = _summed(starts, indices[used], values[used])
        used = slice(0, len(values))
    if values.dtype == np.uint8:
        return c.SparseRows(starts, indices, np.multiply(values, dtype.type(1 / 255), dtype=dtype), n_in)
    values = converted(values, dtype, name, used)
    if not np.isfinite(values[used]).all():
        at = used.start + int(np.argmin(np.isfinite(values[used])))
        row = int(np.searchsorted(starts, at, "right")) - 1
        raise ValueError(f"{name}[{row}, {indices[at]}] is {values[at]}; every value must be finite")
    return c.SparseRows(starts, indices, values, n_in)


_COMPRESSED = {"indptr": 1, "indices": 1, "data": 1}
# The internal arrays of a format, and how many dimensions each has.
_PARTS = {"csr": _COMPRESSED, "csc": _COMPRESSED, "bsr": _COMPRESSED | {"data": 3}, "dia": {"offsets": 1, "data": 2}}


def _check_parts(x: Any, name: str) -> None:
    """Refuses a matrix whose shape or internal arrays were replaced by something else."""
    if not isinstance(x.shape, tuple) or not all(isinstance(n, (int, np.integer)) and n >= 0 for n in x.shape):
        raise _corrupt(name, "its shape is not a tuple of whole numbers from 0")
    if len(x.shape) > 2:
        raise ValueError(f"{name} has shape {x.shape}; expected two dimensions, one row an example: use {name}.reshape")
    for part, ndim in _PARTS.get(x.format, {}).items():
        array = getattr(x, part)
        if type(array) is not np.ndarray or array.ndim != ndim:
            found = f"{array.ndim}-dimensional" if type(array) is np.ndarray else f"a {type(array).__name__}"
            raise _corrupt(name, f"its {part} is {found}, not an array of {ndim} dimension{'s' * (ndim > 1)}")


def _csr(x: Any, name: str) -> Any:
    """x in scipy's CSR format. Its conversions trust the indices, and would write anywhere: they are checked first."""
    n, width = x.shape
    if x.format in ("csr", "csc", "bsr") and x.indptr[:1].any():
        raise _corrupt(name, "indptr does not begin with 0")
    if x.format == "csr":
        return x
    if x.format == "csc":
        _check_compressed(x.indptr, x.indices, len(x.data), width, n, name)
    elif x.format == "bsr":
        rows, columns = x.blocksize
        if not rows or not columns or n % rows or width % columns:
            raise _corrupt(name, f"blocks of {rows} x {columns} do not fill its shape {x.shape}")
        _check_compressed(x.indptr, x.indices, len(x.data), n // rows, width // columns, name)
    else:
        if x.format == "dia" and not _diagonals_in(x.offsets, x.data, n, width):
            raise _corrupt(
                name, "its offsets are not those of different diagonals in its shape, one for each row of data"
            )
        x = _converted_by_scipy(x, "coo", name)
        for numbers, end in ((x.row, n), (x.col, width)):
            if len(numbers) != len(x.data) or (len(numbers) and not (numbers.min() >= 0 and numbers.max() < end)):
                raise _corrupt(name, f"a row or column is not in its shape {x.shape}, or not given")
    return _converted_by_scipy(x, "csr", name)


def _converted_by_scipy(x: Any, form: str, name: str) -> Any:
    try:
        return x.asformat(form)
    except (ValueError, OverflowError) as error:  # of a dtype or a size that scipy cannot convert
        raise ValueError(
            f"{name} is {x.format} of {x.dtype} and shape {x.shape}, which scipy cannot convert ({error}): give it as "
            "CSR of float32 or float64"
        ) from None


def _diagonals_in(offsets: Array, data: Array, n: int, width: int) -> bool:
    return (
        offsets.dtype.kind in "iu"
        and len(offsets) == len(data)
        and bool(((offsets > -n) & (offsets < width)).all())
        and len(np.unique(offsets)) == len(offsets)
    )


def _check_compressed(starts: Array, indices: Array, values: int, lines: int, width: int, name: str) -> None:
    """Refuses what would have a kernel read or write out of bounds: starts, indices and that many values."""
    if starts.dtype.kind not in "iu" or indices.dtype.kind not in "iu" or starts.ndim != 1 or indices.ndim != 1:
        raise _corrupt(name, "its index arrays are not one-dimensional and of whole numbers")
    if len(starts) != lines + 1:
        raise _corrupt(name, f"indptr has {len(starts)} entries, not {lines + 1}")
    if starts[0] < 0 or (starts[1:] < starts[:-1]).any():
        raise _corrupt(name, "indptr does not ascend")
    if starts[-1] > min(len(indices), values):
        raise _corrupt(name, f"indptr ends at {starts[-1]}, with {len(indices)} indices and {values} values")
    used = indices[starts[0] : starts[-1]]
    if used.size and (used.min() < 0 or used.max() >= width):
        raise _corrupt(name, f"its indices run from {used.min()} to {used.max()}; expected 0 to {width - 1}")


def _corrupt(name: str, why: str) -> ValueError:
    return ValueError(f"{name} is not a valid sparse matrix: {why}; build it anew, with scipy's own functions")


def _ascending(starts: Array, indices: Array) -> bool:
    """Whether each row's columns ascend, none twice. scipy's own flag for it may be out of date."""
    fall = np.flatnonzero(indices[1:] <= indices[:-1]) + 1 + starts[0]
    return bool(np.isin(fall, starts).all())  # such a place is right only where a row begins


def _summed(starts: Array, indices: Array, values: Array) -> tuple[Array, Array, Array]:
    """The same entries in order, those of one place added up, as scipy's toarray does (bytes: modulo 256)."""
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    order = np.lexsort((indices, rows))
    rows, indices = rows[order], indices[order]
    first = np.flatnonzero(np.append(True, (np.diff(rows) != 0) | (np.diff(indices) != 0)))
    with np.errstate(over="ignore"):  # an infinity made here is refused like one that was given
        values = np.add.reduceat(values[order], first, dtype=values.dtype)
    counts = np.bincount(rows[first], minlength=len(starts) - 1)
    return np.concatenate(([0], np.cumsum(counts))), np.ascontiguousarray(indices[first]), values


# -- of dense examples, too --------------------------------------------------------------------------------------------


def shape_of_examples(shape: tuple[int, ...], n_in: int, name: str, one: str) -> None:
    """Refuses a shape that is not that of some examples; `one` is how to give a single one."""
    if len(shape) < 2:
        hint = f": for one example, {one}" if len(shape) == 1 else ""
        raise ValueError(f"{name} has shape {shape}; expected (n, {n_in}), one row an example{hint}")
    if shape[0] == 0:
        raise ValueError(f"{name} is empty; expected at least one example")
    width = math.prod(shape[1:])
    if width != n_in:
        raise ValueError(f"{name} has shape {shape}: {width} values an example; the network takes {n_in}")


def floats_or_bytes(dtype: np.dtype[Any], name: str) -> None:
    if dtype != np.uint8 and dtype.kind != "f":
        raise ValueError(
            f"{name} has dtype {dtype}; expected floats, or uint8, which stands for value / 255: "
            f"use {name}.astype(np.float32), or {name}.astype(np.uint8) for pixels from 0 to 255"
        )


def converted(array: Array, dtype: np.dtype[Any], name: str, used: slice = slice(None)) -> Array:
    """The array in dtype; what lies outside of `used` may be anything."""
    with np.errstate(over="ignore", invalid="ignore"):  # an infinity made here is told from the user's own below
        result = np.ascontiguousarray(array, dtype)
    if result.dtype.itemsize < array.dtype.itemsize and array[used].size:
        seen = array[used]
        for extreme, found in ((seen.min(), result[used].min()), (seen.max(), result[used].max())):
            if np.isinf(found) and np.isfinite(extreme):
                raise ValueError(f"{name} holds {extreme:g}, beyond {dtype}: use a float64 network or smaller values")
    return result
