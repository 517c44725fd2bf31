"""The reader of CSV files: separators, headers, the kind of each column, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from data_cases import refused

from fastnet.data import csv_tables
from fastnet.data.csv_tables import read_csv, written_rows
from fastnet.data.formats import read_array


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("a,b\n1,2\n3,4.5\n", ["a", "b"]),
        ("\ufeffa, b\r\n1, 2\r\n3, 4.5\r\n", ["a", "b"]),
        ('"a";"b"\n1;2\n3;4.5', ["a", "b"]),
        ('"a\nb",c\n1,2\n3,4.5\n', ["a\nb", "c"]),
        ("1\t2\n3\t4.5\n\n", ["column 1", "column 2"]),
        (",0\n1,2\n3,4.5\n", ["column 1", "0"]),  # as pandas writes an index and columns without names
        ("2019,x\n1,2\n3,4.5\n", ["2019", "x"]),
    ],
)
def test_csv_is_read_with_or_without_a_header(tmp_path, text, columns):
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode())
    table = read_csv(path)
    assert (table.names, len(table)) == (columns, 2)
    assert table.has_header == (columns[1] != "column 2")
    assert [column.tolist() for column in table.columns.values()] == [[1, 3], [2, 4.5]]
    assert [column.dtype for column in table.columns.values()] == [np.int64, np.float64]
    assert read_array(path).tolist() == [[1, 2], [3, 4.5]]


@pytest.mark.parametrize("first", ["5.1,3,setosa", "?,3,setosa", "5.1,3,true"])
def test_a_first_row_like_the_others_is_not_a_header(write, first):
    table = read_csv(write("x.csv", f"{first}\n4.9,2,{first.split(',')[-1]}\n".encode()))
    assert (len(table), table.has_header) == (2, False)


@pytest.mark.parametrize(
    ("cells", "dtype", "values"),
    [
        ("1 -2 +3", np.int64, [1, -2, 3]),
        ("1 2.0 3", np.int64, [1, 2, 3]),
        ("1.0 2.0 3", np.float64, [1, 2, 3]),
        ("1 2e3 .5", np.float64, [1, 2000, 0.5]),
        ("1 NA 3", np.float64, [1, None, 3]),
        ("n/a NaN null", np.float64, [None, None, None]),
        ("true False TRUE", np.bool_, [True, False, True]),
        ("true ? False", np.float64, [1, None, 0]),
        ("true 1 False", object, ["true", "1", "False"]),
        ("1 NA x", object, ["1", None, "x"]),
        ("1_0 2 3", object, ["1_0", "2", "3"]),  # Python's int accepts 1_0
        ("٣ 2 3", object, ["٣", "2", "3"]),
        ("9999999999999999999 1 2", np.float64, [1e19, 1, 2]),
        ("9007199254740993 1 2", np.int64, [(1 << 53) + 1, 1, 2]),
    ],
)
@pytest.mark.parametrize("other", ["0", "0.5", "text"], ids=["beside whole numbers", "beside numbers", "beside text"])
def test_the_cells_tell_the_kind_of_a_column(write, cells, dtype, values, other):
    rows = [f"{cell},{other}" for cell in cells.split()]
    column = read_csv(write("x.csv", "\n".join(["a,b", *rows]).encode()))["a"]
    assert column.dtype == dtype
    assert [None if value != value else value for value in column.tolist()] == values


@pytest.mark.parametrize("late", ["x", "true", "1"])
def test_a_column_that_changes_its_kind_late_is_text(write, monkeypatch, late):
    monkeypatch.setattr(csv_tables, "_BLOCK_CELLS", 4)
    first = "true" if late == "1" else "01"
    rows = [f"{first},0.5"] * 5 + [f"{late},2"]
    table = read_csv(write("x.csv", "\n".join(["a,b", *rows]).encode()))
    assert table["a"].tolist() == [first] * 5 + [late]  # the first cells as they are written
    assert table["b"].tolist() == [0.5] * 5 + [2]


def test_columns_can_be_read_as_text(write):
    table = read_csv(write("x.csv", b"a,b\n01,2\n1, \n"), as_text=["a"])
    assert table["a"].tolist() == ["01", "1"]
    np.testing.assert_array_equal(table["b"], [2, np.nan])


def test_rows_as_written(write):
    with written_rows(write("x.csv", b"a;b\n\n1,50; x\n?;\n")) as (separator, names, rows):
        assert (separator, names, list(rows)) == (";", ["a", "b"], [["1,50", "x"], ["?", ""]])
    with written_rows(write("x.csv", b"1,2\n")) as (_, names, rows):
        assert (names, list(rows)) == (["column 1", "column 2"], [["1", "2"]])


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "no rows"),
        (b"a,b\n", "no rows"),
        (b"a,b\n\n1,2\n3\n", "x.csv, line 4: expected 2 cells as in the first row, not 1"),
        (b"a,b,c\n1,2\n3,4,5\n", "line 2: expected 3 cells as in the first row, not 2: make all rows equally long"),
        (b"a,b\n1,2,3\n4,5,6\n7,8\n", "line 2: expected 2 cells as in the first row, not 3"),
        (b"a,b\n" + b"1,2\n" * 60_000 + b"1\n", "line 60002: expected 2 cells"),  # NumPy reads 50,000 rows at a time
        (b"a,b,a\n1,2,3\n", "x.csv has two columns named 'a': give each column its own name"),
        (b"\xff\xfe\x00", "x.csv is not text in UTF-8 ('utf-8' codec"),
        (b"1,2\n3,\xe9\n", "save it as UTF-8"),
        (b"1" * (1 << 20), "first line"),
        (b"1," * 70_000, "70,001 columns: expected at most 65,536"),
        (b"1,2\n\0\0\n", "line 2"),
        (b'a,b\nx,"' + b"y" * 200_000, "line 2: not a row of a table (field larger than field limit"),
    ],
    ids=[
        *("empty", "header only", "short row", "short first row", "long row", "late", "names", "UTF-16", "Latin-1"),
        *("line", "columns", "NUL", "quote"),
    ],
)
def test_invalid_csv_is_refused(write, content, word):
    refused(lambda: read_csv(write("x.csv", content)), word, peak=14 << 20)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,b\n1,2\n3,x\n", "the column b has text ('x' in row 2); expected numbers"),
        (b"a;b\n1,5;2\n", "the column a has text ('1,5' in row 1); expected numbers: write numbers such as 1234.5"),
        (b"1,5;2,5\n3,5;4,5\n", "without commas"),
        (b"a,b\n1,2\n3, \nNA,4\n?,5\n", "x.csv has 3 missing values (2 in a, 1 in b)"),
        (b"1,,3\n4,5,6\n", "x.csv has 1 missing value (1 in column 2)"),  # the first row is not a header
        (b"a,b\n1,2\n3,inf\n", "x.csv, row 2, column 'b': expected a number, not inf"),
    ],
)
def test_an_array_of_a_table_without_numbers_is_refused(write, content, words):
    refused(lambda: read_array(write("x.csv", content)), words)
