"""Makes a data set of a table: finds the target, encodes the columns, holds out the test rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fastnet import checks
from fastnet.data import encoding, targets
from fastnet.data.arrays import Array
from fastnet.data.dataset import Dataset
from fastnet.data.encoding import Column
from fastnet.data.schema import Schema
from fastnet.data.split import OF_FILES, Split, split_rows
from fastnet.data.table import Table, column_title, without_index
from fastnet.errors import DataError
from fastnet.names import TaskName
from fastnet.text import listed, shown

_LABEL_COLUMNS = ("label", "class", "target", "y")


@dataclass(frozen=True)
class Reading:
    """How to read the user's own data: the arguments of `load`."""

    test_fraction: float
    label_column: str | int | None = None
    task: TaskName | None = None
    categorical: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    impute: bool = False
    pixels: bool = False
    schema: Schema | None = None

    def refuse_columns(self, what: str) -> None:
        """Refuse the arguments that are for tables."""
        for name in ("label_column", "categorical", "drop", "impute"):
            if getattr(self, name) not in (None, (), False):
                raise ValueError(f"{name} is for a table that holds the labels too, and {what}: leave it out")


def table_dataset(table: Table, reading: Reading) -> Dataset:
    """Return the data set of a table with a column of targets."""
    if len(table.columns) < 2:
        raise DataError(
            f"{table.name} has one column: expected inputs and labels in columns, with a comma, a semicolon or "
            "a tab between them"
        )
    if reading.schema is not None:
        return _as_trained(table, reading, reading.schema)
    table = without_index(table)
    target = target_column(table, reading.label_column)
    where = f"{table.name}, {column_title(target)}"
    column = table[target]
    if reading.label_column is None and len(set(column[:1000].tolist())) == 1 and len(set(column.tolist())) == 1:
        raise DataError(
            f"{table.name}: all labels in {column_title(target)} are the same: give the right column as label_column"
        )
    task, y, class_names = targets.of_column(column, reading.task, where)
    inputs = table.only(input_columns(table, target, reading))
    train, test = split_rows(y, reading.test_fraction, OF_FILES)
    if reading.pixels:
        x: Array = encoding.pixels_of(inputs)
        schema = Schema((), target, class_names, True, reading.test_fraction or None)
    else:
        columns, x = encoding.fitted(inputs, train, reading.categorical, reading.impute)
        schema = Schema(columns, target, class_names, False, reading.test_fraction or None)
    return _dataset(table, (x[train], y[train], x[test], y[test]), task, schema)


def _as_trained(table: Table, reading: Reading, schema: Schema) -> Dataset:
    """Return the data set of a table, read as the schema says."""
    target = known_target(table, reading, schema)
    where = f"{table.name}, {column_title(target)}"
    task, y, _ = targets.by_names(table[target], schema.class_names, where)
    x = inputs_of(table, schema, target)
    train, test = split_rows(y, reading.test_fraction, OF_FILES)
    return _dataset(table, (x[train], y[train], x[test], y[test]), task, schema)


def known_target(table: Table, reading: Reading, schema: Schema) -> str:
    """Return the name of the column that a network with this schema predicts."""
    wanted = schema.target or None if reading.label_column is None else reading.label_column
    if wanted == schema.target and wanted not in table.columns:
        inputs_of(table, schema, None)  # what the network takes may be missing, too
        raise DataError(
            f"{table.name} has no column {shown(wanted)}, which the network predicts: give the right column as "
            "label_column"
        )
    return target_column(table, wanted)


def inputs_of(table: Table, schema: Schema, target: str | None) -> Array:
    """Return the inputs of a network with this schema. `target` is a column to leave out."""
    if schema.columns:
        return schema.encode(table)
    table = without_index(table)
    inputs = table.only([name for name in table.columns if name != target])
    if schema.pixels:
        return encoding.pixels_of(inputs)
    return encoding.encoded([Column(name) for name in inputs.columns], inputs)


def target_column(table: Table, wanted: str | int | None) -> str:
    """Return the name of the column to predict."""
    lower = [name.lower() for name in table.names]
    if wanted is None:
        return next((table.names[lower.index(label)] for label in _LABEL_COLUMNS if label in lower), table.names[-1])
    if wanted in table.columns:
        return str(wanted)
    if isinstance(wanted, int):
        if wanted < len(table.columns):
            return table.names[wanted]
        raise DataError(
            f"{table.name} has {len(table.columns)} columns, so it has no column {wanted + 1}: give another"
        )
    raise _no_column(table, "label_column", wanted)


def label_named(table: Table) -> str | None:
    """Return the name of the column that is named as labels are, or None."""
    found = target_column(table, None)
    return found if found.lower() in _LABEL_COLUMNS else None


def input_columns(table: Table, target: str, reading: Reading) -> list[str]:
    """Return the names of the columns that are inputs."""
    for name, columns in (("categorical", reading.categorical), ("drop", reading.drop)):
        if unknown := [column for column in columns if column not in table.columns]:
            raise _no_column(table, name, unknown[0])
        if target in columns:
            raise DataError(f"{name} names {shown(target)}, the column of {table.name} to predict: give another column")
    if both := [name for name in reading.categorical if name in reading.drop]:
        raise ValueError(f"{shown(both[0])} is named as categorical, and as drop: leave it out of one")
    found = [name for name in table.columns if name != target and name not in reading.drop]
    if not found:
        raise DataError(f"{table.name} has no columns left to learn from: drop fewer")
    return found


def _no_column(table: Table, argument: str, name: str) -> DataError:
    hint = checks.suggestion(name, table.names)
    there = hint or f" ({listed(table.names)}): give one of these as {argument}"
    return DataError(f"{table.name} has no column {shown(name)}{there}")


def image_shape_of(n_in: int) -> tuple[int, int] | None:
    """Return the shape of the pictures that bytes stand for: bytes that fill a square count as a picture."""
    side = math.isqrt(n_in)
    return (side, side) if side >= 4 and side * side == n_in else None


def _dataset(table: Table, split: Split, task: TaskName, schema: Schema) -> Dataset:
    image_shape = image_shape_of(split[0].shape[1]) if schema.pixels else None
    return Dataset(table.name, *split, image_shape, schema.class_names, task, schema, is_held_out=True)
