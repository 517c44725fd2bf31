"""Schema: what the inputs and outputs of a network mean: the columns of a table, the classes, the scale of pixels."""

from __future__ import annotations

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
            fill = column.get("fill")
            columns.append(
                Column(
                    _text(column.get("name")),
                    _texts(column.get("levels")),
                    None if fill is None else checks.number("fill", fill),
                )
            )
        pixels = checks.boolean("pixels", found.get("pixels"))
        return cls(tuple(columns), _text(found.get("target")), _texts(found.get("class_names")), pixels)


def _text(found: Any) -> str:
    if not isinstance(found, str):
        raise ValueError(f"its schema has {checks.given(found)} in place of a text")
    return found


def _texts(found: Any) -> tuple[str, ...]:
    if not isinstance(found, list):
        raise ValueError(f"its schema has {checks.given(found)} in place of a list")
    return tuple(map(_text, found))
