"""Checks of sparse examples. The checks of shape and dtype at the end of the file serve dense examples too.

Another thread may change the user's index arrays at any time, so they are copied first, and the copies are checked.
"""

from __future__ import annotations

import math
import operator
import sys
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c

Array = NDArray[Any]


def is_scipy_sparse(x: object) -> bool:
    """Return whether x is a matrix or array of scipy.sparse, without importing SciPy."""
    scipy_sparse = sys.modules.get("scipy.sparse")  # if x is such a matrix, the user has imported SciPy
    return scipy_sparse is not None and bool(scipy_sparse.issparse(x))


def holds_bytes(x: Any) -> bool:
    """Return whether checked examples x are uint8."""
    return bool(getattr(x, "dtype", None) == np.uint8)


class _Compressed(NamedTuple):
    """Entries in CSR or CSC form. Line i, a row or a column, has the entries starts[i] to starts[i + 1] - 1."""

    starts: Array
    indices: Array
    values: Array


def sparse_inputs(x: Any, n_in: int, dtype: np.dtype[Any], name: str, byte_scale: float) -> c.SparseRows:
    """Return x as canonical SparseRows of dtype. Values are copied only if they need a conversion. x is not changed.

    Bytes are multiplied by `byte_scale`.
    """
    if isinstance(x, c.SparseRows):
        n = max(np.size(x.starts) - 1, 0)
        shape_of_examples((n, x.n_in), n_in, name, "")
        starts, indices, values = _compressed(x.starts, x.indices, x.values, n, n_in, name)
    else:
        if not isinstance(x.shape, tuple) or not all(isinstance(n, (int, np.integer)) and n >= 0 for n in x.shape):
            raise _corrupt(name, "its shape is not a tuple of whole numbers from 0")
        shape_of_examples(x.shape, n_in, name, f"{name}.reshape(1, -1)")
        if len(x.shape) != 2:
            raise ValueError(
                f"{name} has shape {x.shape}; sparse examples have two dimensions: use "
                f"{name}.reshape({x.shape[0]}, {n_in})"
            )
        dtype_of_x = _part(x, "dtype", name)
        if not isinstance(dtype_of_x, np.dtype):
            raise _corrupt(name, f"its dtype is {dtype_of_x!r:.80}, not a dtype of NumPy")
        numbers(dtype_of_x, name)
        starts, indices, values = _csr(x, x.shape[0], n_in, name)
    numbers(values.dtype, name)
    indices = indices.astype(np.int32, copy=False)  # a network has fewer than 2**31 inputs
    if not _ascending(starts, indices):
        starts, indices, values = _summed(starts, indices, values)
    if values.dtype == np.uint8:
        return c.SparseRows(starts, indices, np.multiply(values, dtype.type(byte_scale), dtype=dtype), n_in)
    values = converted(values, dtype, name)
    finite = np.isfinite(values)
    if not finite.all():
        at = int(np.argmin(finite))
        row = int(np.searchsorted(starts, at, "right")) - 1
        raise not_finite(f"{name}[{row}, {indices[at]}]", values[at])
    return c.SparseRows(starts, indices, values, n_in)


def _csr(x: Any, n: int, width: int, name: str) -> _Compressed:
    """Return a scipy.sparse matrix of any format as CSR. SciPy's conversion gets only checked arrays."""
    scipy_sparse, shape = sys.modules["scipy.sparse"], (n, width)
    parts: tuple[Any, ...]
    if x.format == "csr":
        return _compressed(*_lines(x, name), n, width, name)
    if x.format == "csc":
        starts, indices, values = _compressed(*_lines(x, name), width, n, name)
        form, parts = scipy_sparse.csc_array, (values, indices, starts)
    elif x.format == "bsr":
        starts, indices, values = _lines(x, name)
        blocks = values.shape[1:]
        if len(blocks) != 2 or not all(blocks) or n % blocks[0] or width % blocks[1]:
            raise _corrupt(name, f"its data, of shape {values.shape}, are not blocks that fill its shape {shape}")
        starts, indices, values = _compressed(starts, indices, values, n // blocks[0], width // blocks[1], name, 3)
        form, parts = scipy_sparse.bsr_array, (values, indices, starts)
    elif x.format == "dia":
        offsets = _whole(_part(x, "offsets", name), name).copy()
        values = _own_view(_part(x, "data", name), name)
        if not _diagonals_in(offsets, values, n, width):
            raise _corrupt(
                name, "its offsets must be distinct diagonals within its shape, one for each row of its data"
            )
        form, parts = scipy_sparse.dia_array, (_native(values), offsets.astype(np.int64))
    else:
        form, parts = scipy_sparse.coo_array, _triplets(x, n, width, name)
    try:
        found = form(parts, shape=shape).tocsr()
    except (ValueError, OverflowError) as error:  # SciPy cannot convert every dtype and size
        raise ValueError(
            f"{name} is {x.format} of {parts[0].dtype} and shape {shape}, which scipy cannot convert ({error}): give "
            "it as CSR of float32 or float64"
        ) from None
    return _Compressed(found.indptr.astype(np.int64, copy=False), found.indices, found.data)


def _lines(x: Any, name: str) -> _Compressed:
    """Return the arrays of a CSR, CSC or BSR matrix. Only indptr is checked. The arrays are not copied."""
    starts = _whole(_part(x, "indptr", name), name)
    if starts[:1].any():
        raise _corrupt(name, "indptr does not start with 0")
    return _Compressed(starts, _part(x, "indices", name), _own_view(_part(x, "data", name), name))


def _compressed(
    starts: Any, indices: Any, values: Any, lines: int, width: int, name: str, dimensions: int = 1
) -> _Compressed:
    """Return the entries that `starts` covers. The index arrays are checked copies."""
    starts = _whole(starts, name).astype(np.int64)
    if len(starts) != lines + 1:
        raise _corrupt(name, f"indptr has {len(starts)} entries; expected {lines + 1}")
    if starts[0] < 0 or (starts[1:] < starts[:-1]).any():
        raise _corrupt(name, "indptr decreases")
    indices, values = _whole(indices, name), _own_view(values, name)
    if values.ndim != dimensions:
        raise _corrupt(name, f"its data have {values.ndim} dimensions; expected {dimensions}")
    if starts[-1] > min(len(indices), len(values)):
        raise _corrupt(
            name, f"indptr ends at {starts[-1]}, but there are {len(indices)} indices and {len(values)} values"
        )
    used = slice(int(starts[0]), int(starts[-1]))
    indices = _within(indices[used].copy(), width, name)
    index = np.int32 if width < 2**31 else np.int64
    return _Compressed(starts - starts[0], indices.astype(index, copy=False), _native(values[used]))


def _triplets(x: Any, n: int, width: int, name: str) -> tuple[Array, tuple[Array, Array]]:
    """Return the values, rows and columns of a COO, DOK or LIL matrix, checked."""
    if x.format == "coo":
        places = getattr(x, "coords", None)
        if places is None:
            places = _part(x, "row", name), _part(x, "col", name)
        values = _own_view(_part(x, "data", name), name)
    elif x.format == "dok":
        try:
            entries = list(x.items())
        except (AttributeError, TypeError):
            raise _corrupt(name, "it is DOK without a dictionary") from None
        keys = [key if isinstance(key, tuple) else () for key, _ in entries]
        if any(len(key) != 2 for key in keys):
            raise _corrupt(name, "a key is not a row and a column")
        places = [_counted((key[axis] for key in keys), np.dtype(np.int64), len(keys), name) for axis in (0, 1)]
        values = _counted((value for _, value in entries), x.dtype, len(entries), name)
    elif x.format == "lil":
        places, values = _lists(x, n, name)
    else:
        raise ValueError(f"{name} is a sparse matrix of the unknown format {x.format!r}: use {name}.tocsr()")
    if not isinstance(places, (tuple, list)) or len(places) != 2 or values.ndim != 1:
        raise _corrupt(name, "it does not give a row, a column and a value for each entry")
    rows, columns = (_whole(numbers, name).astype(np.int64) for numbers in places)
    if not len(rows) == len(columns) == len(values):
        raise _corrupt(name, f"it has {len(rows)} row numbers, {len(columns)} column numbers and {len(values)} values")
    return _native(values), (_within(rows, n, name), _within(columns, width, name))


def _lists(x: Any, n: int, name: str) -> tuple[tuple[Array, Array], Array]:
    """Return (rows, columns) and values of a LIL matrix. Each row holds a list of columns and a list of values."""
    kept = [_own_view(_part(x, part, name), name) for part in ("rows", "data")]
    if any(lists.shape != (n,) or lists.dtype != object for lists in kept):
        raise _corrupt(name, f"its rows and data are not {n} lists each")
    try:
        columns, values = ([list(found) for found in lists] for lists in kept)
    except TypeError:
        raise _corrupt(name, "its rows and data are not lists") from None
    counts = [len(found) for found in columns]
    if counts != [len(found) for found in values]:
        raise _corrupt(name, "a row has more or fewer values than columns")
    total = sum(counts)
    flat = _counted(chain.from_iterable(columns), np.dtype(np.int64), total, name)
    rows = np.repeat(np.arange(n), counts)
    if (flat[1:] <= flat[:-1])[rows[1:] == rows[:-1]].any():
        raise _corrupt(name, "the columns of a row are not in ascending order")
    return (rows, flat), _counted(chain.from_iterable(values), x.dtype, total, name)


def _counted(numbers: Any, dtype: np.dtype[Any], count: int, name: str) -> Array:
    """Return an array of `count` numbers from an iterable of Python objects of any type."""
    try:
        if dtype.kind in "iu":  # NumPy would drop a fraction
            numbers = map(operator.index, numbers)
        with np.errstate(over="ignore"):  # a number that overflows becomes infinite and is refused later
            if dtype == np.bool_:  # NumPy would take any object as a bool
                found = np.fromiter(numbers, np.float64, count)
                if np.isnan(found).any():
                    raise ValueError("it is nan")
                return np.not_equal(found, 0)
            return np.fromiter(numbers, dtype, count)
    except (TypeError, ValueError, OverflowError) as error:
        raise _corrupt(name, f"an entry is not a number of {dtype} ({error})") from None


def _part(x: Any, part: str, name: str) -> Any:
    try:
        return getattr(x, part)
    except (AttributeError, TypeError, IndexError):
        raise _corrupt(name, f"it has no {part}") from None


def _own_view(array: Any, name: str) -> Array:
    """Return a new array object on the same memory. Users cannot set its shape, dtype and strides."""
    if not isinstance(array, np.ndarray):
        raise _corrupt(name, f"a part of it has the type {type(array).__name__}; expected an array")
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise _corrupt(name, "a part of it has masked values")
    return array.view(np.ndarray)


def _whole(array: Any, name: str) -> Array:
    found = _own_view(array, name)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise _corrupt(name, "its index arrays are not one-dimensional arrays of whole numbers")
    return found


def _within(numbers: Array, end: int, name: str) -> Array:
    if numbers.size and (numbers.min() < 0 or numbers.max() >= end):
        raise _corrupt(name, f"its indices run from {numbers.min()} to {numbers.max()}; expected 0 to {end - 1}")
    return numbers


def _native(values: Array) -> Array:
    """Return the values in a dtype that scipy can convert."""
    dtype = values.dtype.newbyteorder("=") if values.dtype != np.float16 else np.dtype(np.float32)
    return values.astype(dtype, copy=False)


def _diagonals_in(offsets: Array, data: Array, n: int, width: int) -> bool:
    return (
        data.ndim == 2
        and len(offsets) == len(data)
        and bool(((offsets > -n) & (offsets < width)).all())
        and len(np.unique(offsets)) == len(offsets)
    )


def _corrupt(name: str, why: str) -> ValueError:
    return ValueError(f"{name} is not a valid sparse matrix: {why}; build it again with functions of scipy")


def _ascending(starts: Array, indices: Array) -> bool:
    """Return whether the columns of each row ascend without duplicates. SciPy's own flag may be out of date."""
    fall = np.flatnonzero(indices[1:] <= indices[:-1]) + 1 + starts[0]
    return bool(np.isin(fall, starts).all())  # columns may decrease only where a row starts


def _summed(starts: Array, indices: Array, values: Array) -> tuple[Array, Array, Array]:
    """Return the entries in order. Duplicates are summed as in SciPy's toarray; sums of bytes wrap at 256."""
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    order = np.lexsort((indices, rows))
    rows, indices = rows[order], indices[order]
    first = np.flatnonzero(np.append(True, (np.diff(rows) != 0) | (np.diff(indices) != 0)))
    with np.errstate(over="ignore"):  # an infinite sum is refused later
        values = np.add.reduceat(values[order], first, dtype=values.dtype)
    counts = np.bincount(rows[first], minlength=len(starts) - 1)
    return np.concatenate(([0], np.cumsum(counts))), np.ascontiguousarray(indices[first]), values


# -- checks for sparse and dense examples ------------------------------------------------------------------------------


def shape_of_examples(shape: tuple[int, ...], n_in: int, name: str, one: str) -> None:
    """Refuse a shape that examples cannot have. `one` is the code that makes a single example valid."""
    if len(shape) < 2:
        hint = f": for one example, {one}" if len(shape) == 1 else ""
        raise ValueError(f"{name} has shape {shape}; expected (n, {n_in}), one row for each example{hint}")
    if shape[0] == 0:
        raise ValueError(f"{name} is empty; expected at least one example")
    width = math.prod(shape[1:])
    if width != n_in:
        raise ValueError(f"{name} has shape {shape}: {width} values for each example; the network takes {n_in}")


def numbers(dtype: np.dtype[Any], name: str) -> None:
    """Refuse examples that are not bools, whole numbers or floats."""
    if dtype.kind not in "biuf":
        raise ValueError(f"{name} has dtype {dtype}; expected numbers: floats, whole numbers or bools")


def not_finite(entry: str, value: object) -> ValueError:
    """Return the error for nan or infinity in examples or targets. `entry` is the place, such as x[3, 1]."""
    return ValueError(f"{entry} is {value}; every value must be finite: fill or drop such rows")


def converted(array: Array, dtype: np.dtype[Any], name: str) -> Array:
    """Return the array in dtype, C-contiguous and aligned. Refuse finite numbers that dtype cannot hold."""
    with np.errstate(over="ignore", invalid="ignore"):  # infinity from overflow is refused below
        result = np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])
    if result.dtype.itemsize < array.dtype.itemsize and array.dtype.kind == "f" and array.size:
        refuse_overflow(array, dtype, name)
    return result


def refuse_overflow(array: Array, dtype: np.dtype[Any], name: str) -> None:
    """Refuse finite floats that dtype cannot hold."""
    for extreme in (array.min(), array.max()):
        with np.errstate(over="ignore"):
            is_too_large = np.isfinite(extreme) and np.isinf(extreme.astype(dtype))
        if is_too_large:
            larger = "a float64 network or " if np.isfinite(np.float64(extreme)) else ""
            shown = np.format_float_scientific(extreme, precision=5, trim="-")  # float() could overflow
            raise ValueError(f"{name} holds {shown}, beyond {dtype}: use {larger}smaller values")
