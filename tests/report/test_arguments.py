"""A report takes data in memory as users have them: arrays, frames, sparse rows, estimators, pipelines, schemas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
pytest.importorskip("jinja2", reason="needs Jinja2 (extra: plot)")
pytest.importorskip("scipy", reason="needs the extra insight")
pytest.importorskip("sklearn", reason="needs scikit-learn (extra: sklearn)")
pytest.importorskip("pandas", reason="needs pandas (extra: dev)")
pytest.importorskip("polars", reason="needs polars (extra: dev)")

import pandas as pd
import polars as pl
from report_cases import Page, picture_data, table_data, trained, undrawn  # noqa: F401  # a fixture is found by name
from scipy.sparse import csr_array
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import fastnet
from fastnet import report
from fastnet.data import Column, Schema
from fastnet.errors import DataError
from fastnet.sklearn import MLPClassifier, MLPRegressor

# The models are trained for a few epochs only.
few_epochs = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
pytestmark = [pytest.mark.usefixtures("undrawn"), few_epochs]
PICTURES, TABLE = picture_data(), table_data()
NAMES = ["size", "age", "colour", "weight", "price", "year"]


def rendered(model: Any, *data: Any, **options: Any) -> Page:
    return Page(report.render(model, *data, **options))


def customers(n: int = 120) -> tuple[Any, Any]:
    """Return a frame with a column of text, and labels of text."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.integers(18, 90, n), "city": rng.choice(["Oslo", "Rome"], n), "id": np.arange(n)})
    return frame, np.where((frame["age"] > 50) | (frame["city"] == "Rome"), "yes", "no")


def pipeline() -> Any:
    frame, y = customers()
    before = make_column_transformer((StandardScaler(), ["age"]), (OneHotEncoder(), ["city"]))
    return make_pipeline(before, MLPClassifier((6,), max_iter=30, random_state=0)).fit(frame, y)


# -- arrays ------------------------------------------------------------------------------------------------------------


def test_arrays_give_the_page_of_a_data_set() -> None:
    run = trained(PICTURES, 8, 3)
    options: dict[str, Any] = {"name": PICTURES.name, "backend": "numpy"}
    expected = report.render(run, PICTURES, backend="numpy")
    for x in (PICTURES.x_test, PICTURES.x_test.reshape(-1, 8, 8)):
        given = report.render(run, x, PICTURES.y_test, class_names=PICTURES.class_names, **options)
        assert given == expected.replace("on 210 others", "on 210 examples")


def test_rows_of_bytes_that_fill_a_square_are_pictures() -> None:
    network, bytes_ = fastnet.Network([16, 2], seed=0), np.zeros((9, 16), np.uint8)
    assert "weights" in rendered(network, bytes_, np.zeros(9, int)).cards
    assert "inputs" in rendered(network, bytes_.astype(float), np.zeros(9, int)).cards
    assert "weights" in rendered(network, bytes_.astype(float), np.zeros(9, int), image_shape=(2, 8)).cards


def test_names_come_from_the_arguments_then_from_the_frame_or_are_numbers() -> None:
    run = trained(TABLE, 4, 2)

    def columns(x: Any, **options: Any) -> list[str]:
        return rendered(run, x, TABLE.y_test, **options).cards["mistakes"].rows[0][4:]

    for frame in (pd.DataFrame(TABLE.x_test, columns=NAMES), pl.DataFrame(TABLE.x_test, schema=NAMES)):
        assert columns(frame) == NAMES
        assert columns(frame, feature_names=list("abcdef")) == list("abcdef")
    assert columns(TABLE.x_test.tolist()) == [f"input {k}" for k in range(1, 7)]
    page = rendered(run, TABLE.x_test, TABLE.y_test, class_names=["no", "yes"])
    assert page.h1 == "6-4-2 on data in memory"
    assert [row[0] for row in page.cards["confusion"].rows[1:]] == ["no", "yes"]
    texts = np.array(["no", "yes"])[TABLE.y_test]
    named = rendered(run, TABLE.x_test, texts, class_names=["no", "yes"])
    assert named.cards["confusion"].rows == page.cards["confusion"].rows


def test_sparse_examples_have_no_rows_to_show() -> None:
    run = trained(TABLE, 4, 2)
    dense, sparse = (rendered(run, x, TABLE.y_test) for x in (TABLE.x_test, csr_array(TABLE.x_test)))
    assert dense.figures == sparse.figures
    assert "sparse" in sparse.cards["left-out"].text
    assert sparse.cards["mistakes"].rows[0] == ["row", "is", "says", "sure"]


# -- estimators --------------------------------------------------------------------------------------------------------


def test_an_estimator_is_judged_by_its_own_labels_and_shows_its_training() -> None:
    frame, y = pd.DataFrame(TABLE.x_train, columns=NAMES), np.array(["red", "blue"])[TABLE.y_train]
    model = MLPClassifier((5,), max_iter=40, early_stopping=True, random_state=0).fit(frame, y)
    x_test, y_test = pd.DataFrame(TABLE.x_test, columns=NAMES), np.array(["red", "blue"])[TABLE.y_test]
    page = rendered(model, x_test, y_test)
    assert page.figures["test accuracy"] == f"{model.score(x_test, y_test):.1%}"
    assert [row[0] for row in page.cards["confusion"].rows[1:]] == ["blue", "red"]
    facts = page.cards["learning"].facts
    assert facts["cost in the last epoch"] == f"{model.loss_curve_[-1]:.4g}"
    assert facts["validation accuracy in the end"] == f"{model.validation_scores_[-1]:.1%}"
    assert "held out of the training rows" in page.cards["learning"].text
    settings = page.cards["settings"].facts
    assert (settings["optimiser"], settings["epochs"]) == ("adam", str(model.n_iter_))
    assert settings["L2 penalty alpha"] == "0.0001"
    assert f"learned from {len(frame) * 9 // 10} examples" in page.text


def test_a_pipeline_shows_the_columns_of_the_frame() -> None:
    frame, y = customers()
    model = pipeline()
    page = rendered(model, frame, y)
    assert page.figures["test accuracy"] == f"{model.score(frame, y):.1%}"
    search = GridSearchCV(model, {"mlpclassifier__alpha": [1e-4]}, cv=2).fit(frame, y)
    assert rendered(search, frame, y).figures == page.figures
    head, *rows = page.cards["mistakes"].rows
    assert head[4:] == ["age", "city", "id"]
    assert rows
    for row in rows:
        assert row[4:] == [str(value) for value in frame.iloc[int(row[0]) - 1]]
    assert set(page.cards["inputs"].facts) == {"age", "city_Oslo", "city_Rome"}
    assert "“id”" not in page.cards["importance"].text  # the pipeline drops it


def test_values_are_named_by_the_columns_of_y() -> None:
    y = pd.DataFrame({"energy": TABLE.x_train[:, 0], "cost": TABLE.x_train[:, 1]})
    model = MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=50).fit(TABLE.x_train, y)
    y_test = pd.DataFrame({"energy": TABLE.x_test[:, 0], "cost": TABLE.x_test[:, 1]})
    page = rendered(model, TABLE.x_test, y_test)
    assert [row[0] for row in page.cards["values"].rows[1:]] == ["energy", "cost"]
    assert "no curves" in page.cards["left-out"].text  # L-BFGS has no epochs
    single = MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=50).fit(TABLE.x_train, y["cost"])
    page = rendered(single, TABLE.x_test, y_test["cost"])
    assert [row[0] for row in page.cards["values"].rows[1:]] == ["cost"]
    assert page.figures["test R2"] == f"{single.score(TABLE.x_test, y_test['cost']):.4g}"


def test_several_labels_of_an_estimator() -> None:
    y, y_test = (TABLE.x_train[:, :3] > 0).astype(int), (TABLE.x_test[:, :3] > 0).astype(int)
    model = MLPClassifier((8,), max_iter=50, random_state=0).fit(TABLE.x_train, y)
    page = rendered(model, TABLE.x_test, pd.DataFrame(y_test, columns=["a", "b", "c"]))
    assert page.figures["examples all right"] == f"{model.score(TABLE.x_test, y_test):.1%}"
    assert [row[0] for row in page.cards["labels"].rows[1:]] == ["a", "b", "c"]
    assert rendered(model, TABLE.x_test, csr_array(y_test)).figures == page.figures


# -- schemas -----------------------------------------------------------------------------------------------------------


def test_a_network_with_a_schema_takes_the_frame_of_its_training() -> None:
    frame, y = customers()
    schema = Schema((Column("age"), Column("city", ("Oslo", "Rome"))), "buys", ("no", "yes"))
    network = fastnet.Network([3, 2], seed=0)
    network.schema = schema
    page = rendered(network, frame[["id", "city", "age"]], y)
    x = np.column_stack((frame["age"], frame["city"] == "Oslo", frame["city"] == "Rome")).astype(float)
    assert page.figures["test accuracy"] == f"{network.accuracy(x, (y == 'yes').astype(int)):.1%}"
    head, *rows = page.cards["mistakes"].rows
    assert head[4:] == ["age", "city"]
    assert [row[4:] for row in rows] == [
        [str(frame["age"][int(row[0]) - 1]), frame["city"][int(row[0]) - 1]] for row in rows
    ]
    assert set(page.cards["inputs"].facts) == {"age", "city=Oslo", "city=Rome"}
    assert rendered(network, x, y).figures == page.figures
    with pytest.raises(DataError, match="'Bern' is not among the values"):
        rendered(network, frame.assign(city="Bern"), y)


def single_class() -> Any:
    return MLPClassifier((2,), solver="lbfgs", max_iter=20).fit(TABLE.x_train, np.zeros(len(TABLE.x_train)))


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"model": LogisticRegression()}, TypeError, "a Pipeline that ends in one, not LogisticRegression"),
        ({"model": MLPClassifier()}, NotFittedError, "not fitted yet"),
        ({"model": single_class()}, ValueError, "one class only"),
        ({"x_test": [[1, 2], [3]]}, ValueError, "x_test has rows of different lengths"),
        ({"x_test": TABLE.x_test[:, :5]}, ValueError, r"x_test has shape \(100, 5\)"),
        ({"x_test": TABLE.x_test[:0], "y_test": TABLE.y_test[:0]}, DataError, "x_test has no test examples"),
        ({"y_test": TABLE.y_test[:9]}, ValueError, r"y_test has shape \(9,\); expected one entry for each of 100"),
        ({"y_test": TABLE.y_test + 1}, ValueError, r"y_test\[1\] is 2; the network has 2 outputs"),
        (
            {"y_test": ["no", "maybe"] * 50, "class_names": ["no", "yes"]},
            ValueError,
            r"y_test\[1\] is 'maybe', .* none",
        ),
        ({"y_test": ["no", "yes"] * 50}, ValueError, "y_test holds text .* number your classes"),
        ({"feature_names": ["a"]}, ValueError, "feature_names has 1 names; expected one for each of 6 columns"),
        ({"feature_names": "abcdef"}, TypeError, "feature_names must be a list of names"),
        ({"class_names": 5}, TypeError, "class_names must be a list of names, not 5"),
        ({"class_names": ["a", "b", "c"]}, ValueError, "class_names has 3 names; the network has 2 classes"),
        ({"image_shape": (2, 2)}, ValueError, "image_shape"),
        ({"x_test": csr_array(TABLE.x_test), "image_shape": (2, 3)}, ValueError, r"use x_test.toarray\(\)"),
        ({"name": 5}, TypeError, "name must be a text, not 5"),
    ],
)
def test_errors_say_what_is_wrong(changed: dict[str, Any], error: type[Exception], words: str) -> None:
    given = {"model": fastnet.Network([6, 2], seed=0), "x_test": TABLE.x_test, "y_test": TABLE.y_test, **changed}
    with pytest.raises(error, match=words):
        report.render(**given)


def test_a_label_that_an_estimator_does_not_know_is_refused() -> None:
    frame, y = customers()
    with pytest.raises(ValueError, match=r"y_test\[2\] is 'maybe', which is none of the 2 classes .*'no', 'yes'"):
        report.render(pipeline(), frame, [*y[:2], "maybe", *y[3:]])
