"""Survey: finds out in one pass over a table, a block of rows at a time, what a network needs to know about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet.data import encoding, targets
from fastnet.data.arrays import Array
from fastnet.data.encoding import Column
from fastnet.data.schema import Schema
from fastnet.data.split import order_of_rows
from fastnet.data.table import Table, column_title, missing, without_index
from fastnet.data.table_datasets import Reading, input_columns, inputs_of, known_target, target_column
from fastnet.errors import DataError

_MAX_SAMPLE = 1 << 22  # cells in memory for the medians; a smaller table has exact ones
_MAX_DISTINCT = 1 << 20  # different numbers to predict in memory; so many are no classes


class Surveyed(NamedTuple):
    """What `survey` found out."""

    schema: Schema
    columns: tuple[str, ...]  # those that the network needs; the target is the last one
    as_text: tuple[str, ...]  # the columns of a CSV file to read as text

    def examples_of(self, table: Table) -> tuple[Array, Array]:
        """Return the inputs and targets of a block of rows. The errors name the row."""
        known = table.only(self.columns)
        return inputs_of(known, self.schema, self.schema.target), self.targets_of(known)

    def targets_of(self, table: Table) -> Array:
        """Return the targets of a block of rows, which need not have inputs."""
        target, where = self.schema.target, f"{table.name}, {column_title(self.schema.target)}"
        return targets.by_names(table[target], self.schema.class_names, where, table.first_row).y


def known(table: Table, reading: Reading, schema: Schema) -> Surveyed:
    """Return what a network with this schema knows about a table. `table` may have the first rows only."""
    target = known_target(table, reading, schema)
    names = [column.name for column in schema.columns]
    if not names or not set(names) <= table.columns.keys():  # `inputs_of` takes all columns, or refuses the table
        names = [name for name in without_index(table).columns if name != target]
    return Surveyed(dataclasses.replace(schema, target=target), (*names, target), ())


def survey(blocks: Callable[[Sequence[str]], Iterable[Table]], reading: Reading) -> Surveyed:
    """Return what the columns and classes of a table mean, as `load` finds it out for a table in memory.

    Parameters
    ----------
    blocks : callable
        Called with the names of columns to read as text. Returns the table, a block of rows at a time. All blocks but
        the first may lack inputs.
    reading : Reading
        The arguments of `load`. `test_fraction` is the share of the rows that `test_rows` names.

    Raises
    ------
    DataError
        No network could be trained on the table.
    """
    as_text = reading.categorical
    while True:
        found = _Survey(reading)
        for table in blocks(as_text):
            found.add(table)
        if not found.is_mixed or found.target in as_text:
            return found.result(as_text)
        as_text = (*as_text, found.target)  # a late label is text, so that all labels are


def test_rows(start: int, stop: int, fraction: float) -> NDArray[np.bool_]:
    """Return which rows from number `start` up to `stop` are for the test: about `fraction` of them, at random."""
    return order_of_rows(start, stop) < np.uint64(fraction * 2.0**64)


class _Survey:
    """What is known after some blocks of a table."""

    def __init__(self, reading: Reading) -> None:
        self._reading, self.target, self._n_rows, self._name = reading, "", 0, ""
        self._inputs: list[str] = []
        self._gaps: dict[str, int] = {}
        self._levels: dict[str, set[str]] = {}
        self._texts, self._numbers = set[str | None](), np.empty(0, np.bool_)  # the different targets
        self._sample = _Sample()

    @property
    def is_mixed(self) -> bool:
        """Whether the targets are text in some blocks only."""
        return bool(self._texts) and bool(len(self._numbers))

    def add(self, table: Table) -> None:
        """Look at a block."""
        if not self._n_rows:
            self._begin(without_index(table))
        self._n_rows += len(table)
        self._add_targets(table)
        inputs = table.only([name for name in self._inputs if name in table.columns])
        encoding.refuse_kinds(inputs, [name for name in inputs.columns if name not in self._levels])
        for name in inputs.columns:
            self._gaps[name] += int(missing(inputs[name]).sum())
        for name, known in self._levels.items():
            known |= encoding.levels_of(inputs[name])
            encoding.checked_levels(table.name, name, known)
        if self._reading.impute:
            span = table.first_row - 1, table.first_row - 1 + len(table)
            is_train = ~test_rows(*span, self._reading.test_fraction)
            numbers = np.empty((len(table), len(self._numeric)))
            for k, name in enumerate(self._numeric):
                numbers[:, k] = inputs[name]
            self._sample.add(order_of_rows(*span)[is_train], numbers[is_train])

    def result(self, as_text: tuple[str, ...]) -> Surveyed:
        """Return what the blocks have shown. There is at least one."""
        reading, name = self._reading, self._name
        encoding.refuse_gaps(name, self._gaps, self._n_rows, self._inputs, [] if reading.impute else self._inputs)
        different = self._different()
        where = f"{name}, {column_title(self.target)}"
        if reading.label_column is None and len(different) == 1:
            raise DataError(f"{where}: all labels are the same: give the right column as label_column")
        class_names = targets.of_column(different, reading.task, where).class_names
        columns: tuple[Column, ...] = () if reading.pixels else tuple(self._columns())
        schema = Schema(columns, self.target, class_names, reading.pixels)
        return Surveyed(schema, (*self._inputs, self.target), as_text)

    def _different(self) -> Array:
        return np.array(sorted(text or "" for text in self._texts), object) if self._texts else self._numbers

    @property
    def _numeric(self) -> list[str]:
        return [name for name in self._inputs if name not in self._levels]

    def _begin(self, table: Table) -> None:
        self._name, self.target = table.name, target_column(table, self._reading.label_column)
        self._inputs = input_columns(table, self.target, self._reading)
        self._gaps = dict.fromkeys(self._inputs, 0)
        self._levels = {name: set() for name in self._inputs if name in self._reading.categorical}

    def _add_targets(self, table: Table) -> None:
        column = table[self.target]
        targets.refuse_gaps(column, f"{table.name}, {column_title(self.target)}", table.first_row)
        if column.dtype == object:
            self._texts |= set(column.tolist())
        elif column.dtype.kind in "MV":
            self._numbers = column[:1]  # `targets.of_column` refuses them
        elif len(self._numbers) < _MAX_DISTINCT:
            self._numbers = np.unique(np.concatenate([self._numbers, np.unique(column)]))

    def _columns(self) -> Iterable[Column]:
        fills = self._sample.medians() if self._reading.impute else None
        for name in self._inputs:
            if name in self._levels:
                yield Column(name, encoding.checked_levels(self._name, name, self._levels[name]))
            elif fills is None:
                yield Column(name)
            else:
                fill = float(fills[self._numeric.index(name)])
                if np.isnan(fill):
                    place = f"{self._name}, {column_title(name)}"
                    raise DataError(f"{place} has no value in the training rows that are looked at: drop it")
                yield Column(name, (), fill)


class _Sample:
    """The rows with the smallest random numbers: a random sample, and all rows of a small table."""

    def __init__(self) -> None:
        self._order, self._rows = np.empty(0, np.uint64), np.empty((0, 0))

    def add(self, order: NDArray[np.uint64], rows: NDArray[np.float64]) -> None:
        """Add rows with their random numbers."""
        order = np.concatenate([self._order, order])
        rows = np.concatenate([self._rows, rows]) if len(self._rows) else rows
        n = max(1000, _MAX_SAMPLE // max(1, rows.shape[1]))
        if len(order) > n:
            kept = np.argpartition(order, n)[:n]
            order, rows = order[kept], rows[kept]
        self._order, self._rows = order, rows

    def medians(self) -> list[float]:
        """Return the median of the known numbers of each column, nan if there are none."""
        known = [column[~np.isnan(column)] for column in self._rows.T]
        return [float(np.median(column)) if len(column) else np.nan for column in known]
