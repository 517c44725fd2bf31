"""SearchResult: its tables, its best setting, refits and ensembles follow from the records of the trainings."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from network_cases import refused
from scipy import sparse

from fastnet import Trainer
from fastnet.search import OMIT, SearchResult, loguniform, search
from fastnet.search.standing_texts import standing_rows

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
SPACE = {
    "hidden": [(4,), (16, 8)],
    "learning_rate": loguniform(1e-3, 1e-1),
    "optimizer": ["adam", "sgd"],
    "weight_decay": lambda setting: [1e-4, 1e-3] if setting["optimizer"] == "sgd" else OMIT,
}
ASKED: dict[str, Any] = {"trials": 6, "seeds": 2, "budget": 3, "n_jobs": 1}


@pytest.fixture(scope="module")
def found() -> SearchResult:
    return search(SPACE, X, Y, **ASKED)


@pytest.fixture(scope="module")
def halved() -> SearchResult:
    return search(SPACE, X, Y, **ASKED | {"trials": 9, "budget": 9}, method="halving")


def with_values(found: SearchResult, values: list[float]) -> SearchResult:
    """Return the result with other values of the metric, one for each training in order."""
    records = [replace(record, value=value) for record, value in zip(found.records, values, strict=True)]
    return SearchResult(records, found.networks, found.request)


# -- tables ----------------------------------------------------------------------------------------------------


def rows_of(table: Any) -> list[dict[str, Any]]:
    return table if isinstance(table, list) else table.to_dict("records")


def test_the_tables_have_a_row_for_each_setting_and_for_each_training(found: SearchResult) -> None:
    rows = rows_of(found.table)
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5, 6]
    for row in rows:
        values = [record.value for record in found.records if record.trial.number == row["number"]]
        error = abs(values[0] - values[1]) / 2  # the standard deviation of two numbers, over the root of 2
        assert row["mean"] == pytest.approx(np.mean(values))
        assert row["standard_error"] == pytest.approx(error)
        assert row["score"] == pytest.approx(np.mean(values) - error)
        setting = found.records[2 * row["number"]].trial.setting
        assert all(row[name] == value for name, value in setting.items())
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    trainings = rows_of(found.trainings)
    assert [(row["number"], row["replicate"]) for row in trainings] == [(k, j) for k in range(6) for j in range(2)]
    assert [row["value"] for row in trainings] == [record.value for record in found.records]


def test_the_tables_are_lists_without_pandas(found: SearchResult, monkeypatch: pytest.MonkeyPatch) -> None:
    framed = found.table
    monkeypatch.setattr("fastnet.search.result.find_spec", lambda name: None)
    rows = found.table
    assert isinstance(rows, list)
    if "pandas" in sys.modules:
        assert [*framed.columns] == [*rows[0]]
        assert len(framed) == len(rows)


def test_json_has_both_tables_and_no_nan(found: SearchResult) -> None:
    worse = with_values(found, [math.nan, *(record.value for record in found.records[1:])])
    read = json.loads(worse.to_json(), parse_constant=lambda name: pytest.fail(name))
    assert (len(read["settings"]), len(read["trainings"]), read["metric"]) == (6, 12, "accuracy")
    assert (read["settings"][-1]["number"], read["settings"][-1]["score"]) == (0, None)
    assert read["settings"][0]["hidden"] == [*worse.best.setting["hidden"]]


def test_a_notebook_shows_the_best_settings(found: SearchResult) -> None:
    assert repr(found) == "<SearchResult of 6 settings with 2 trainings each, metric accuracy>"
    html = found._repr_html_()
    assert html.count("<tr>") == 7
    assert "learning rate" in html


# -- models ----------------------------------------------------------------------------------------------------


def test_the_best_setting_has_the_network_of_its_best_training(found: SearchResult) -> None:
    values = [0.5, 0.6, 0.9, 0.95, 0.99, 0.7, *([0.1] * 6)]  # setting 2 has the best value, and a large spread
    best = with_values(found, values).best
    assert (best.rank, best.number, best.setting) == (1, 1, found.records[2].trial.setting)
    assert best.network is found.networks[1, 1]
    lower = SearchResult(found.records, found.networks, replace(found.request, lower_is_better=True))
    assert with_values(lower, values[::-1]).best.number == 0


def test_a_refit_is_the_fit_of_the_best_setting_on_all_rows(found: SearchResult) -> None:
    best = found.best
    trainer = found.refit()
    record = next(record for record in found.records if record.trial.number == best.number)
    mine = Trainer(
        type(best.network)([3, *best.setting["hidden"], 2], seed=record.trial.seed),
        seed=record.trial.seed,
        **{name: value for name, value in best.setting.items() if name != "hidden"},
    )
    mine.fit(X, Y, epochs=3)
    assert trainer.network.parameters.tobytes() == mine.network.parameters.tobytes()
    assert len(found.refit(epochs=5, seed=1).history) == 5
    assert found.refit(seed=1).network.parameters.tobytes() != trainer.network.parameters.tobytes()


@pytest.mark.parametrize("kind", ["floats", "sparse", "bytes"])
def test_a_refit_takes_given_validation_rows_too(kind: str) -> None:
    x: Any = X
    if kind == "sparse":
        x = sparse.csr_array(X)
    elif kind == "bytes":
        x = RNG.integers(0, 256, (120, 3)).astype(np.uint8)
    other = (x[80:].astype(np.float32) / 255, Y[80:]) if kind == "bytes" else (x[80:], Y[80:])
    weights = np.linspace(0.5, 1, 120)
    parts = search(
        {"learning_rate": [0.01]},
        x[:80],
        Y[:80],
        method="grid",
        seeds=1,
        budget=2,
        n_jobs=1,
        validation=(*other, weights[80:]),
        sample_weight=weights[:80],
    )
    whole = x if kind != "bytes" else x.astype(np.float32) / 255
    trainer = Trainer(parts.best.network.copy(), seed=parts.records[0].trial.seed, learning_rate=0.01)
    trainer.network.parameters = type(trainer.network)([3, 16, 16, 2], seed=parts.records[0].trial.seed).parameters
    trainer.fit(whole, Y, epochs=2, sample_weight=weights)
    np.testing.assert_allclose(parts.refit().network.parameters, trainer.network.parameters, rtol=2e-4, atol=1e-6)


def test_an_ensemble_has_the_best_network_of_each_of_the_best_settings(found: SearchResult) -> None:
    values = [0.5, 0.6, 0.9, 0.95, 0.8, 0.7, *([0.1] * 6)]
    ranked = with_values(found, values)
    assert [*ranked.ensemble(3)] == [found.networks[key] for key in ((1, 1), (2, 0), (0, 1))]
    assert len(found.ensemble()) == 5
    more = ranked.ensemble(8)  # settings 3 to 5 are equal: their first networks come first
    keys = [(1, 1), (2, 0), (0, 1), (3, 0), (4, 0), (5, 0), (1, 0), (2, 1)]
    assert [*more] == [found.networks[key] for key in keys]
    refused(lambda: found.ensemble(13), "an ensemble of 13 networks", "take 12 or fewer")
    refused(lambda: found.ensemble(0), "n must be at least 1")


def test_an_ensemble_of_a_halving_begins_with_the_last_rung(halved: SearchResult) -> None:
    rungs = {(record.trial.number, record.trial.replicate): record.rung for record in halved.records}
    keys = {id(network): key for key, network in halved.networks.items()}
    chosen = [rungs[keys[id(network)]] for network in halved.ensemble(5)]
    assert chosen == [2, 2, 1, 1, 1]


def test_diverged_trainings_are_in_no_model(found: SearchResult) -> None:
    values = [math.nan, 1.0, *([0.5] * 10)]
    some = with_values(found, values)
    assert some.best.number == 1
    assert not {id(found.networks[0, j]) for j in range(2)} & {id(one) for one in some.ensemble(10)}
    refused(lambda: some.ensemble(11), "kept 10 networks")
    none = with_values(found, [math.nan] * 12)
    for call in (lambda: none.best, none.refit):
        refused(call, "each of the 6 settings had a training that diverged")
    assert some.has_best
    assert not none.has_best


def test_a_metric_that_is_not_finite_is_said() -> None:
    values = iter([math.nan, 0.1, 0.2, math.inf])
    unsure = search(
        {"hidden": [(2,), (4,)]}, X, Y, metric=lambda *_: next(values), method="grid", seeds=2, budget=1, n_jobs=1
    )
    assert {one.message for one in unsure.standings} == {
        "the metric is nan on the rows held out",
        "the metric is inf on the rows held out",
    }
    refused(lambda: unsure.best, "so none is the best: the metric is nan on the rows held out")


def accuracy(*_: Any) -> float:
    return 93.0


def mine(*_: Any) -> float:
    return 1.0


@pytest.mark.parametrize(("metric", "name"), [(accuracy, "metric"), (lambda *_: 1.0, "metric"), (mine, "mine")])
def test_a_function_is_not_called_like_a_measure(metric: Any, name: str) -> None:
    found = search({"hidden": (2,)}, X, Y, metric=metric, trials=1, seeds=1, budget=1, n_jobs=1)
    assert found.request.metric == name


@pytest.mark.parametrize("columns", [(1, 0), (0, 1)])
def test_a_refit_joins_values_in_a_row_and_in_a_column(columns: tuple[int, int]) -> None:
    y = [
        X[part, :1] if column else X[part, 0] for part, column in zip((slice(80), slice(80, 120)), columns, strict=True)
    ]
    space = {"hidden": (2,), "task": "regression"}
    found = search(space, X[:80], y[0], validation=(X[80:], y[1]), trials=1, seeds=1, budget=1, n_jobs=1)
    whole = search(space, X, X[:, 0], trials=1, seeds=1, budget=1, n_jobs=1)
    assert found.refit().network.parameters.tobytes() == whole.refit().network.parameters.tobytes()


def test_functions_in_tables_have_no_address(found: SearchResult) -> None:
    space = {"schedule": [accuracy, "constant"]}
    table = standing_rows(search(space, X, Y, method="grid", seeds=1, budget=1, n_jobs=1).standings, "accuracy", 2)
    assert sorted(row[table[0].index("schedule")] for row in table[1:]) == ["constant", f"function {__name__}.accuracy"]
