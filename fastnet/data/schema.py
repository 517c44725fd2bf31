"""Schema: what the inputs and outputs of a network mean: the columns of a table, the classes, the scale of pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.data.encoding import Column, encoded
from fastnet.data.table import Table, of_frame


@dataclass(frozen=True)
class Schema:
    """What the inputs and outputs of a network mean. It is saved with the network.

    Attributes
    ----------
    columns : tuple of Column
        The columns of the table, in the order of the inputs. () for inputs without names, such as pixels.
    target : str
        The name of the column that the network predicts, or "".
    class_names : tuple of str
        The name of each class, or of each label of a multilabel network. () for a regression.
    pixels : bool
        Whether the network was trained on bytes, where 255 stands for 1. False: on numbers as they are.
    test_fraction : float or None
        The share of the rows that was held out of the training for the test. None: unknown, or no rows were held out.

    Raises
    ------
    TypeError, ValueError
        A part has the wrong type, or two columns, two levels of a column or two classes have the same name.

    Examples
    --------
    >>> schema = Schema((Column("age"), Column("city", ("Oslo", "Rome"))), "bought", ("no", "yes"))
    >>> schema.feature_names
    ('age', 'city=Oslo', 'city=Rome')
    """

    columns: tuple[Column, ...] = ()
    target: str = ""
    class_names: tuple[str, ...] = ()
    pixels: bool = False
    test_fraction: float | None = None

    def __post_init__(self) -> None:
        columns: Any = self.columns
        if isinstance(columns, (str, Column)) or not isinstance(columns, Iterable):
            raise TypeError(f"columns must be a list of fastnet.data.Column, not {checks.given(columns)}")
        parts = {
            "columns": tuple(map(_checked, columns)),
            "target": checks.text("target", self.target),
            "class_names": checks.texts("class_names", self.class_names),
            "pixels": checks.boolean("pixels", self.pixels),
            "test_fraction": self.test_fraction and checks.fraction("test_fraction", self.test_fraction),
        }
        for name, part in parts.items():
            object.__setattr__(self, name, part)  # as a frozen dataclass sets its fields
        _refuse_twins("columns", [column.name for column in self.columns])
        _refuse_twins("class_names", self.class_names)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name of each input of the network: a column's name, or name=level for a level of a categorical column."""
        return tuple(
            name
            for column in self.columns
            for name in ([f"{column.name}={level}" for level in column.levels] if column.levels else [column.name])
        )

    def encode(self, table: Any) -> NDArray[np.float64]:
        """Return the inputs of the network for the rows of a table.

        Columns are found by name, in any order. A table has more columns than the schema, such as the target: they are
        ignored.

        Parameters
        ----------
        table : pandas.DataFrame, polars.DataFrame or Table
            The table, with a column for each one in `columns`.

        Returns
        -------
        float64 array of shape (n, n_in)
            One example per row, C-contiguous. Missing values are filled, categorical columns are one-hot encoded.

        Raises
        ------
        DataError
            A column is missing, holds no numbers, or holds a value that the network does not know.
        TypeError
            `table` is not a table.

        Examples
        --------
        >>> import pandas
        >>> schema = Schema((Column("age", fill=30.0), Column("city", ("Oslo", "Rome"))))
        >>> schema.encode(pandas.DataFrame({"city": ["Rome", "Oslo"], "age": [41.0, None]}))
        array([[41.,  0.,  1.],
               [30.,  1.,  0.]])
        """
        if not isinstance(table, Table):
            if not checks.is_frame(table):
                raise TypeError(f"table must be a data frame of pandas or polars, not {checks.given(table)}")
            table = of_frame(table)
        if not self.columns:
            raise ValueError("the schema has no columns, so it cannot read a table: give an array of inputs")
        return encoded(self.columns, table)

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as values that JSON can hold."""
        return {
            "columns": [column._asdict() for column in self.columns],
            "target": self.target,
            "class_names": self.class_names,
            "pixels": self.pixels,
            "test_fraction": self.test_fraction,
        }

    @classmethod
    def from_dict(cls, found: Any) -> Schema:
        """Return the schema that `to_dict` described. Raises ValueError or TypeError for anything else."""
        if not isinstance(found, dict) or not isinstance(found.get("columns"), list):
            raise ValueError("its schema does not describe columns")
        columns = []
        for column in found["columns"]:
            if not isinstance(column, dict):
                raise ValueError("its schema does not describe columns")
            fields: dict[str, Any] = {name: column.get(name) for name in Column._fields}
            columns.append(Column(**fields))
        parts: dict[str, Any] = {name: found.get(name) for name in ("target", "class_names", "pixels", "test_fraction")}
        return cls(tuple(columns), **parts)


def _checked(column: Any) -> Column:
    """Return a column whose fields have the right types."""
    checks.instance("a column", column, Column, "fastnet.data")
    checks.text("the name of a column", column.name)
    levels = checks.texts("levels", column.levels)
    _refuse_twins(f"the levels of {checks.given(column.name)}", levels)
    return Column(column.name, levels, None if column.fill is None else checks.number("fill", column.fill))


def _refuse_twins(what: str, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        twin = next(name for name, count in Counter(names).items() if count > 1)
        raise ValueError(f"{what} must have different names, not {checks.given(twin)} twice")
