"""The columns of a table of examples: their names, and copies of the table with other values in a column."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.kernels import contract as c
from fastnet.network import Network
from fastnet.text import numbered

SPARSE = "x is sparse, but its columns are needed one by one: use x.toarray()"

Rows = NDArray[np.int64]


class Columns(NamedTuple):
    """A table of examples, column by column.

    x : numpy.ndarray, pandas.DataFrame or polars.DataFrame
        The table (n, n_in).
    names : tuple of str
        The name of each column.
    places : tuple of slice
        The inputs of each column: one input, or one for each level of a categorical column of a network's schema.
    levels : tuple of tuple of str
        The levels of each column that is categorical in a network's schema, () for each other column.
    """

    x: Any
    names: tuple[str, ...]
    places: tuple[slice, ...]
    levels: tuple[tuple[str, ...], ...]

    def taken(self, rows: Rows) -> Any:
        """Return the table with other rows in each column: column k has its entries of the rows rows[:, k]."""
        result, own = self, np.arange(len(rows))[:, np.newaxis]
        for k in np.flatnonzero((rows != own).any(axis=0)).tolist():
            result = result._replace(x=result._exchanged(k, self._entries(k)[rows[:, k]]))
        return result.x

    def filled(self, k: int, value: float | str) -> Any:
        """Return the table with a number, or one of the column's levels, in all rows of column k."""
        n = len(self.x)
        if self.levels[k]:
            return self._exchanged(k, np.tile([level == value for level in self.levels[k]], (n, 1)))
        if isinstance(value, str):  # the first entry that reads like this keeps the type of the entries
            first = [str(entry) for entry in self._values(k)].index(value)
            return self._exchanged(k, self._entries(k)[np.full(n, first)])
        return self._exchanged(k, np.full((n, 1) if self._is_array else n, value))

    def levels_of(self, k: int) -> tuple[str, ...]:
        """Return the levels of a categorical column: those of the schema, or its texts. () for a column of numbers."""
        if self.levels[k] or self._is_numeric(k):
            return self.levels[k]
        return tuple(sorted({str(entry) for entry in self._values(k) if not checks.is_missing(entry)}))

    def numbers(self, k: int) -> NDArray[np.float64]:
        """Return the numbers of a column that has no levels, without missing values."""
        return np.array([entry for entry in self._values(k) if not checks.is_missing(entry)], np.float64)

    def _values(self, k: int) -> list[Any]:
        return np.asarray(self._entries(k)).ravel().tolist()

    def _is_numeric(self, k: int) -> bool:
        entries = self._entries(k)
        if checks.is_category(entries):
            return False
        kind = np.asarray(entries).dtype.kind
        return kind in "iuf" or (
            kind == "O" and all(isinstance(entry, Real) or checks.is_missing(entry) for entry in self._values(k))
        )

    @property
    def _is_array(self) -> bool:
        return isinstance(self.x, np.ndarray)

    def _entries(self, k: int) -> Any:
        """Return the entries of column k so that `entries[rows]` keeps their type, such as a category."""
        if self._is_array:
            return self.x[:, self.places[k]]
        return self.x.iloc[:, k].array if hasattr(self.x, "iloc") else self.x.to_series(k)

    def _exchanged(self, k: int, entries: Any) -> Any:
        """Return a copy of the table with these entries in column k."""
        if not (self._is_array or hasattr(self.x, "iloc")):  # polars
            column = self.x.to_series(k)
            return self.x.with_columns(type(column)(column.name, entries))
        result = self.x.copy()
        if self._is_array:
            result[:, self.places[k]] = entries
        else:
            result.isetitem(k, entries)
        return result


def columns_of_network(network: Network, x: Any, feature_names: Sequence[str] | None) -> Columns:
    """Return the columns of examples for a network. Its schema says which inputs belong to one column."""
    named = checks.column_names(x)
    rows = network.check_inputs(x)
    if isinstance(rows, c.SparseRows):
        raise ValueError(SPARSE)
    schema = network.schema.columns if network.schema is not None else ()
    levels = tuple(column.levels for column in schema) or ((),) * rows.shape[1]
    ends = np.cumsum([max(1, len(texts)) for texts in levels]).tolist()
    places = tuple(slice(end - max(1, len(texts)), end) for end, texts in zip(ends, levels, strict=True))
    names = [column.name for column in schema] or named
    return Columns(rows, _names(feature_names, names, len(levels)), places, levels)


def columns_of_table(x: Any, feature_names: Sequence[str] | None) -> Columns:
    """Return the columns of examples for an estimator of scikit-learn."""
    if checks.is_scipy_sparse(x):
        raise ValueError(SPARSE)
    table = x if checks.is_frame(x) else np.asarray(x)
    if len(table.shape) != 2 or not len(table):
        raise ValueError(f"x has shape {table.shape}; expected (n, columns) with at least one row")
    n = table.shape[1]
    places = tuple(slice(k, k + 1) for k in range(n))
    return Columns(table, _names(feature_names, checks.column_names(x), n), places, ((),) * n)


def _names(given: Sequence[str] | None, own: Sequence[str] | None, n: int) -> tuple[str, ...]:
    if given is None:
        return tuple(own) if own else numbered("input", n)
    return checks.texts("feature_names", given, n, "columns")


def check_model(model: Any, backend: str | None) -> None:
    """Refuse what is neither a network nor an estimator, and a backend for an estimator, which has its own."""
    if isinstance(model, Network):
        return
    if isinstance(model, type) or not (hasattr(model, "fit") and hasattr(model, "predict")):
        raise TypeError(f"model must be a fastnet.Network or an estimator of scikit-learn, not {checks.given(model)}")
    if backend is not None:
        raise ValueError("backend is for a network: an estimator has a backend of its own, so leave it out")


def is_classifier(model: Any) -> bool:
    """Whether an estimator is a classifier. Refuses an estimator that is no regressor either, such as a clusterer."""
    from sklearn.base import is_classifier, is_regressor

    if is_classifier(model):
        return True
    if not is_regressor(model):
        raise TypeError(f"model must be a classifier or a regressor, not {checks.given(model)}")
    return False


def place_of(columns: Columns, column: str | int) -> int:
    """Return the position of a column that is given by its name or its position."""
    if isinstance(column, str):
        return columns.names.index(checks.name_of("column", column, columns.names))
    return checks.position("column", column, len(columns.names))
