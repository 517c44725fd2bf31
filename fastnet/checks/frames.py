"""Reads data frames of pandas and polars, and arrays of Python objects, as numbers. Imports neither library."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.checks.sparse_rows import converted

Array = NDArray[Any]
BOOLS, WHOLE, NUMBERS = (bool, np.bool_), (Integral, np.bool_), (Real, np.bool_, Decimal)
MISSING = ("NoneType", "NAType", "NaTType")  # the types of None, pandas.NA and pandas.NaT


def library_of(x: object, kind: str = "DataFrame") -> str:
    """Return "pandas" or "polars" if x is a frame of this library, else "". `kind` may also be "Series"."""
    for library in ("pandas", "polars"):  # if x is such a frame, the user has imported the library
        cls = getattr(sys.modules.get(library), kind, None)
        if cls is not None and isinstance(x, cls):
            return library
    return ""


def is_frame(x: object) -> bool:
    """Return whether x is a data frame of pandas or polars."""
    return bool(library_of(x))


def column_names(x: Any) -> list[str] | None:
    """Return the names of a frame's columns as text, or None if x is no frame."""
    return [str(name) for name in x.columns] if is_frame(x) else None


def frame_values(x: Any, dtype: np.dtype[Any], name: str) -> Array:
    """Return the numbers (n, columns) of a frame. Columns of one dtype keep it, columns of several dtypes get `dtype`.

    Raises ValueError with the column's name for a column without numbers, or with missing values.
    """
    if not len(x.columns):
        return np.empty(x.shape)
    is_pandas = library_of(x) == "pandas"
    columns = [x.iloc[:, i] for i in range(x.shape[1])] if is_pandas else x.get_columns()
    labels = [f"column {column!r} of {name}" for column in x.columns]
    found = [_column(column, x, name, label) for column, label in zip(columns, labels, strict=True)]
    kinds = {values.dtype for values in found}
    if len(kinds) == 1:
        whole = np.asarray(x)  # often a view
        kind = kinds.pop()
        return whole if whole.dtype == kind else np.stack(found, axis=1)
    result = np.empty((len(x), len(found)), dtype)
    for values, out, label in zip(found, result.T, labels, strict=True):
        out[:] = converted(values, dtype, label)
    return result


def _column(column: Any, x: Any, name: str, label: str) -> Array:
    """Return a column's numbers: a view where possible."""
    key = repr(column.name)
    encode = (
        f"pandas.get_dummies({name}, columns=[{key}])" if library_of(x) == "pandas" else f"{name}.to_dummies({key})"
    )
    if is_category(column):
        raise ValueError(f"{label} holds categories; expected numbers: one-hot encode it with {encode}, or drop it")
    missing = column.null_count() if hasattr(column, "null_count") else int(column.isna().sum())
    values = np.asarray(column)
    if values.dtype.kind in "mM":
        raise ValueError(
            f"{label} holds dates or times; expected numbers: use days since the first date, or drop the column"
        )
    if not missing and values.dtype.kind == "f":
        missing = int(np.isnan(values).sum())  # pandas counts nan as missing, polars does not
    if missing:
        raise ValueError(
            f"{label} has {missing:,} missing value{'s' * (missing > 1)}: fill them, or drop these rows or the column"
        )
    if values.dtype.kind in "biuf":
        return values
    return numbers_of(values, label, f"one-hot encode it with {encode}, or drop it")


def is_missing(entry: object) -> bool:
    """Return whether an entry of a frame is a missing value: None, NA, NaT or nan."""
    return type(entry).__name__ in MISSING or (isinstance(entry, float) and math.isnan(entry))


def is_category(column: Any) -> bool:
    """Return whether a Series of pandas or polars holds categories."""
    return type(getattr(column, "dtype", None)).__name__ in ("CategoricalDtype", "Categorical", "Enum")


def numbers_of(array: Array, name: str, advice: str) -> Array:
    """Return an array of Python objects or text as bool, int64 or float64. Raises ValueError if it has no numbers.

    `advice` is the end of the error for text: what to do.
    """
    objects: Sequence[Any] = array.ravel().tolist()
    kinds = set(map(type, objects))
    if any(issubclass(kind, (str, bytes)) for kind in kinds):
        text = next(value for value in objects if isinstance(value, (str, bytes)))
        raise ValueError(f"{name} holds text such as {text!r:.40}; expected numbers: {advice}")
    if any(kind.__name__ in MISSING for kind in kinds):
        missing = sum(type(value).__name__ in MISSING for value in objects)
        raise ValueError(f"{name} has {missing:,} missing value{'s' * (missing > 1)}: fill them, or drop these rows")
    if any(issubclass(kind, (list, tuple, np.ndarray)) for kind in kinds):
        raise ValueError(f"{name} is an array of Python objects; expected numbers, all rows of one length")
    others = [kind.__name__ for kind in kinds if not issubclass(kind, NUMBERS)]
    if others:
        raise ValueError(f"{name} holds objects of the type {min(others)}; expected numbers: convert or drop them")
    is_whole = all(issubclass(kind, WHOLE) for kind in kinds)
    try:
        if kinds and all(issubclass(kind, BOOLS) for kind in kinds):
            return array.astype(np.bool_)
        if is_whole:
            return array.astype(np.int64)
    except OverflowError:
        pass
    try:
        return array.astype(np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{name} holds a number that a float64 cannot hold: {error}") from None
