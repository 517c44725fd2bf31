"""Data frames, arrays of Python objects and numbers of any width are inputs. What is no number is refused by name."""

from __future__ import annotations

import datetime
import re
from typing import Any

import numpy as np
import pandas
import polars
import pytest
import scipy.sparse

from fastnet import Network, Trainer

FLOATS = np.array([[1, 2.5, 0], [4, -1.5, 1], [7, 0.5, 1], [-1, 3, 0]])
WIDTHS = ["bool", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float64", ">i2"]
LIBRARIES = [pandas, polars]
NULLABLE = {"a": "Int64", "b": "Float64", "c": "boolean"}


def network(n_out: int = 2) -> Network:
    return Network([3, 4, n_out], output="sigmoid", cost="squared_error", seed=0)


def frame(library: Any, **changes: Any) -> Any:
    return library.DataFrame({"a": [1, 4, 7, -1], "b": FLOATS[:, 1], "c": [False, True, True, False]} | changes)


def every_call(x: Any) -> list[np.ndarray[Any, Any]]:
    """Return the results of every call that takes x."""
    y, net = np.array([0, 1, 1, 0]), network()
    results = [net.forward(x, backend="numpy"), net.compile(backend="numpy", max_batch=2)(x)]
    results += [net.predict(x, backend="numpy"), np.array(net.evaluate(x, y, backend="numpy"))]
    results += [net.gradient(x, y, backend="numpy")]
    for method, arguments in (("fit", {"epochs": 2}), ("partial_fit", {})):
        trained = network()
        trainer = Trainer(trained, optimizer="sgd", learning_rate=0.1, batch_size=2, seed=0, backend="numpy")
        getattr(trainer, method)(x, y, **arguments)
        results.append(trained.parameters)
    return results


@pytest.mark.parametrize("width", WIDTHS)
def test_numbers_of_any_width_are_inputs(width: str) -> None:
    x = np.abs(FLOATS).astype(width)
    expected = every_call(x.astype(np.float32))
    objects = x.astype(object)
    objects[0, 0] = bool(x[0, 0])
    sparse = [] if width == "float16" else [scipy.sparse.csr_array(x.astype(x.dtype.newbyteorder("=")))]
    for given in (x, *sparse, objects, x.tolist()):  # SciPy has no float16
        for found, wanted in zip(every_call(given), expected, strict=True):
            np.testing.assert_allclose(found, wanted, 1e-6)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"])
@pytest.mark.parametrize("width", ["bool", "int8", "uint64"])
def test_sparse_integers_are_inputs_in_every_format(form: str, width: str) -> None:
    x = np.eye(4, 3, dtype=width)
    found = network().forward(scipy.sparse.csr_array(x).asformat(form), backend="numpy")
    np.testing.assert_allclose(found, network().forward(x.astype(float), backend="numpy"), 1e-6)


@pytest.mark.parametrize("library", LIBRARIES)
def test_frames_of_numbers_are_inputs(library: Any) -> None:
    expected = every_call(FLOATS)
    frames = [frame(library), library.DataFrame(FLOATS)]
    if library is pandas:
        frames += [frames[0].astype(NULLABLE), frames[1].astype("Float64"), frames[0].astype(object)]
    for given in frames:
        for found, wanted in zip(every_call(given), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_frames_of_bytes_stay_bytes() -> None:
    x = np.arange(12, dtype=np.uint8).reshape(4, 3)
    for library in LIBRARIES:
        assert network().check_inputs(library.DataFrame(x)).dtype == np.uint8


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("column", "words"),
    [
        (["oslo", "rome", "rome", None], "has 1 missing value: fill them, or drop these rows or the column"),
        (["oslo", "rome", "rome", "oslo"], "holds text such as 'oslo'; expected numbers: one-hot encode it with {}"),
        ("categories", "holds categories; expected numbers: one-hot encode it with {}, or drop it"),
        ([None, 1.5, None, 2], "has 2 missing values: fill them, or drop these rows or the column"),
        ([None, 1, None, 2], "has 2 missing values: fill them, or drop these rows or the column"),
        ([True, None, True, False], "has 1 missing value: fill them, or drop these rows or the column"),
        ([np.nan, 1.5, 0, 2], "has 1 missing value: fill them, or drop these rows or the column"),
        ([datetime.datetime(2020, 1, day) for day in (1, 2, 3, 4)], "holds dates or times; expected numbers: use days"),
        ([1e300, 0, 0, 0], "holds 1e+300, beyond float32"),
    ],
)
def test_a_column_without_numbers_is_refused_by_name(library: Any, column: Any, words: str) -> None:
    if column == "categories":
        kind = "category" if library is pandas else polars.Categorical
        column = library.Series(["oslo", "rome", "rome", "oslo"], dtype=kind)
    x = frame(library, city=column)[["a", "b", "city"]]
    code = "pandas.get_dummies(x, columns=['city'])" if library is pandas else "x.to_dummies('city')"
    with pytest.raises(ValueError, match="^" + re.escape("column 'city' of x " + words.format(code))):
        network().forward(x)
    if code in words.format(code):
        encoded = eval(code, {"x": x, "pandas": pandas})
        assert Network([4, 2]).forward(encoded, backend="numpy").shape == (4, 2)


def test_nullable_columns_with_missing_values_are_refused_by_name() -> None:
    for name, kind in NULLABLE.items():
        x = frame(pandas).astype(NULLABLE)
        x.loc[2, name] = pandas.NA
        with pytest.raises(ValueError, match=f"^column '{name}' of x has 1 missing value"):
            network().forward(x.astype({name: kind}))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "has 1 missing value: fill them, or drop these rows"),
        ("3", "holds text such as '3'; expected numbers: one-hot encode categories; convert text of digits with"),
        (10**400, "holds a number that a float64 cannot hold"),
        (1j, "holds objects of the type complex; expected numbers"),
        ([1, 2], "is an array of Python objects; expected numbers, all rows of one length"),
    ],
)
def test_objects_that_are_no_numbers_are_refused(value: Any, words: str) -> None:
    x = FLOATS.astype(object)
    x[1, 2] = value
    with pytest.raises(ValueError, match=f"^x {re.escape(words)}"):
        network().forward(x)


LABELS = ["no", "yes", "yes", "no"]


@pytest.mark.parametrize(
    ("y", "code"),
    [
        (LABELS, "np.unique(y, return_inverse=True)[1]"),
        (np.array(LABELS, object), "np.unique(y, return_inverse=True)[1]"),
        (pandas.Series(LABELS), "np.unique(y, return_inverse=True)[1]"),
        (pandas.Series(LABELS, dtype="string"), "np.unique(y, return_inverse=True)[1]"),
        (pandas.Series(LABELS, dtype="category"), "y.cat.codes"),
        (polars.Series(LABELS), "np.unique(y, return_inverse=True)[1]"),
        (polars.Series(LABELS, dtype=polars.Categorical), "np.unique(y, return_inverse=True)[1]"),
    ],
)
def test_the_error_of_text_as_labels_has_the_code_that_numbers_them(y: Any, code: str) -> None:
    words = f"y holds text such as 'no'; expected numbers: number your classes from 0 with {code}"
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        network().evaluate(FLOATS, y, backend="numpy")
    found = network().evaluate(FLOATS, eval(code, {"y": y, "np": np}), backend="numpy")
    assert found == network().evaluate(FLOATS, np.array([0, 1, 1, 0]), backend="numpy")


@pytest.mark.parametrize("kind", [bool, object, "boolean", "Int64", "Int8", "Float64"])
def test_series_of_numbers_and_bools_are_labels_and_targets(kind: Any) -> None:
    y = pandas.Series([False, True, True, False]).astype(kind)
    if kind != "Float64":  # labels are whole numbers
        expected = network().evaluate(FLOATS, [0, 1, 1, 0], backend="numpy")
        assert network().evaluate(FLOATS, y, backend="numpy") == expected
    expected = network(1).evaluate(FLOATS, [0, 1, 1, 0], backend="numpy")
    assert network(1).evaluate(FLOATS, y, backend="numpy") == expected


def test_a_lazy_frame_is_refused_with_the_call_that_collects_it() -> None:
    with pytest.raises(ValueError, match=r"x must be an array .*, not <LazyFrame.*: use x\.collect\(\)"):
        Network([1, 2]).predict(polars.DataFrame({"a": [1.0]}).lazy())
