"""Schema: what the inputs and outputs of a network mean: the columns of a table, the classes, the scale of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from fastnet import checks


class Column(NamedTuple):
    """A column of a table that a network takes as input.

    Attributes
    ----------
    name : str
        The column's name in the header, or "column 1", "column 2", ... in a table without a header.
    levels : tuple of str
        The texts that occur in a categorical column. Each is one input of the network: 1 where the row has this text,
        else 0. () for a column of numbers, which is one input.
    fill : float or None
        The number that replaces a missing value. None: a missing value is an error.
    """

    name: str
    levels: tuple[str, ...] = ()
    fill: float | None = None


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
