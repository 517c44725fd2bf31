"""Tables from Parquet files and from data frames of pandas and polars."""

from __future__ import annotations

import datetime
import sys
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnet
from fastnet.data import Column, Schema
from fastnet.data.arrow_tables import read_arrow
from fastnet.data.table import of_frame
from fastnet.errors import DataError, FastnetError

pandas = pytest.importorskip("pandas", reason="needs pandas (extra: dev)")
polars = pytest.importorskip("polars", reason="needs polars (extra: dev)")
pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow (extra: arrow)")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow (extra: arrow)")

DAYS = [datetime.date(2024, 1, 1), datetime.date(2024, 1, 2), None]
VALUES: dict[str, list[Any]] = {
    "whole": [1, 2, 3],
    "gap": [1, None, 3],
    "float": [0.5, None, float("nan")],
    "bool": [True, False, True],
    "bool gap": [True, None, False],
    "text": ["a", None, "b"],
    "none": [None, None, None],
}
EXPECTED = {
    "whole": (np.int64, [1, 2, 3]),
    "gap": (np.float64, [1, None, 3]),
    "float": (np.float64, [0.5, None, None]),
    "bool": (np.bool_, [True, False, True]),
    "bool gap": (np.float64, [1, None, 0]),
    "text": (object, ["a", None, "b"]),
    "none": (np.float64, [None, None, None]),
}


def written(folder: Path, columns: dict[str, Any]) -> Path:
    parquet.write_table(pyarrow.table(columns), folder / "x.parquet")
    return folder / "x.parquet"


def made(kind: str, columns: dict[str, list[Any]], folder: Path) -> Any:
    if kind == "parquet":
        return read_arrow(written(folder, columns))
    if kind == "pandas objects":
        return of_frame(
            pandas.DataFrame({name: pandas.Series(values, dtype=object) for name, values in columns.items()})
        )
    frame = polars.DataFrame(columns, strict=False) if kind == "polars" else pandas.DataFrame(columns)
    return of_frame(frame.convert_dtypes() if kind == "pandas nullable" else frame)


@pytest.mark.parametrize("kind", ["parquet", "pandas", "pandas nullable", "pandas objects", "polars"])
def test_each_column_keeps_its_kind(kind, tmp_path):
    columns = dict(VALUES)
    if kind == "pandas":
        columns["bool gap"] = pandas.Series([True, None, False], dtype="boolean")
    table = made(kind, columns, tmp_path)
    assert (table.names, len(table)) == (list(VALUES), 3)
    for name, (dtype, values) in EXPECTED.items():
        assert table[name].dtype == dtype, name
        assert [None if value != value else value for value in table[name].tolist()] == values, name


def test_other_types(tmp_path):
    columns = {
        "decimal": [Decimal("1.5"), None],
        "day": DAYS[:2],
        "list": [[1], [2]],
        "float16": np.array([1, 2], np.float16),
        "uint64": np.array([1, 2**63], np.uint64),
    }
    table = read_arrow(written(tmp_path, columns))
    assert table["decimal"].dtype == table["float16"].dtype == table["uint64"].dtype == np.float64
    assert table["uint64"].tolist() == [1, 2**63]
    assert [table[name].dtype.kind for name in ("day", "list")] == ["M", "V"]
    category = pyarrow.array(["a", "b", None]).dictionary_encode()
    assert read_arrow(written(tmp_path, {"c": category}))["c"].tolist() == ["a", "b", None]
    frame = pandas.DataFrame({"c": pandas.Categorical(["a", None]), "n": pandas.Categorical([2, 1]), "d": DAYS[:2]})
    frame["t"] = pandas.to_datetime(frame["d"])
    frame["big"] = np.array([1, 2**63], np.uint64)
    table = of_frame(frame)
    assert (table["c"].tolist(), table["n"].tolist(), table["big"].dtype) == (["a", None], [2, 1], np.float64)
    assert [table[name].dtype.kind for name in "dt"] == ["M", "M"]
    table = of_frame(polars.DataFrame({"c": polars.Series(["a", "b"], dtype=polars.Categorical), "d": DAYS[:2]}))
    assert (table["c"].tolist(), table["d"].dtype.kind) == (["a", "b"], "M")


def test_a_parquet_file_is_a_data_set(tmp_path):
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({"a": rng.normal(size=30), "city": ["Oslo", "Rome", None] * 10, "day": DAYS * 10})
    frame["label"] = ["no", "yes", "no"] * 10
    path = tmp_path / "x.parquet"
    frame.to_parquet(path, index=False)
    with pytest.raises(DataError, match="the column day has dates or times; expected numbers or text"):
        fastnet.data.load(path, categorical=["city"], impute=True)
    data = fastnet.data.load(path, categorical=["city"], drop=["day"], impute=True)
    assert data.feature_names == ("a", "city=", "city=Oslo", "city=Rome")
    frame.to_csv(tmp_path / "x.csv", index=False)
    again = fastnet.data.load(tmp_path / "x.csv", schema=data.schema)
    np.testing.assert_array_equal(again.x_test, data.x_test)
    np.testing.assert_array_equal(again.y_test, data.y_test)
    for table in (frame, polars.from_pandas(frame)):  # a schema reads a frame as it reads a file
        inputs = data.schema.encode(table)
        np.testing.assert_array_equal(inputs, fastnet.data.read_inputs(path, data.schema, 4))
    with pytest.raises(DataError, match="the frame, row 2, column 'city': 'Pisa' is not among the values"):
        data.schema.encode(pandas.DataFrame({"city": ["Rome", "Pisa"], "a": [1.0, 2.0]}))
    frame.sample(frac=1, random_state=0).to_parquet(path)  # pandas adds a column with the row labels
    with pytest.warns(UserWarning, match="row labels"):
        assert fastnet.data.load(path, categorical=["city"], drop=["day"], impute=True).feature_names[0] == "a"


def test_a_schema_encodes_tables_only():
    schema = Schema((Column("a"),))
    with pytest.raises(TypeError, match="table must be a data frame of pandas or polars, not \\[\\[1\\]\\]"):
        schema.encode([[1]])
    with pytest.raises(ValueError, match="the schema has no columns"):
        Schema().encode(pandas.DataFrame({"a": [1]}))
    with pytest.raises(DataError, match=r"the frame has shape \(0, 1\)"):
        schema.encode(pandas.DataFrame({"a": []}))
    with pytest.raises(DataError, match="the frame has two columns named 'a'"):
        schema.encode(pandas.DataFrame([[1, 2]], columns=["a", "a"]))


def test_unusable_parquet_files_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "x.parquet"
    parquet.write_table(pyarrow.table({"a": np.zeros(10_000_000, np.int8)}), path)  # equal values take no room
    with pytest.raises(DataError, match="announces more data than fits into it"):
        read_arrow(path)
    content = written(tmp_path, VALUES).read_bytes()
    for k in range(0, len(content), 40):
        path.write_bytes(content[:k] + bytes([content[k] ^ 255]) + content[k + 1 :])
        with suppress(DataError):
            read_arrow(path)
    with pytest.raises(DataError, match="no rows"):
        read_arrow(written(tmp_path, {"a": pyarrow.array([], pyarrow.int64())}))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(
        FastnetError, match=r'x\.parquet is a Parquet or Arrow file, which needs pyarrow .*"fastnet-mlp\[arrow\]"'
    ):
        fastnet.data.load(path)
