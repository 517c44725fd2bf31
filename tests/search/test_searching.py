"""search: the same table whatever runs it, the score by its formula, and errors before the first training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from search_cases import SMALL, SPACE, X, Y, run, table

import fastnet
from fastnet import EarlyStopping, Huber, Network, Trainer
from fastnet.search import Record, Trial, integers, search
from fastnet.search.records import standings


@pytest.mark.parametrize("method", ["random", "grid", "halving"])
def test_the_table_is_the_same_for_any_number_of_workers(method: str) -> None:
    joblib = pytest.importorskip("joblib", reason="joblib is an extra")
    space = {name: value for name, value in SPACE.items() if name != "learning_rate"}
    if method == "random":
        del space["backend"]  # threads of the backend in use; the other methods run NumPy
    arguments: dict[str, Any] = {"space": space, "method": method}
    wanted = table(run(**arguments))
    for n_jobs in (2, 16):
        with joblib.parallel_config("threading"):
            assert table(run(**arguments, n_jobs=n_jobs)) == wanted
    if method == "halving":  # for all methods, starting processes takes too long
        with joblib.parallel_config("loky"):
            assert table(run(**arguments, n_jobs=2)) == wanted


def test_a_training_is_that_of_a_trainer() -> None:
    found = run(validation=(X[:20], Y[:20]), class_weight="balanced", keep=6)
    seeds = {(record.trial.number, record.trial.replicate): record.trial.seed for record in found.records}
    assert {seed for (_, replicate), seed in seeds.items() if replicate == 0} == {seeds[0, 0]} != {seeds[0, 1]}
    for record in found.records:
        setting = dict(record.trial.setting)
        network = Network([5, *setting.pop("hidden"), 3], seed=record.trial.seed)
        trainer = Trainer(network, seed=record.trial.seed, **setting)
        trainer.fit(X, Y, epochs=6, class_weight="balanced")
        key = record.trial.number, record.trial.replicate
        assert found.networks[key].parameters.tobytes() == network.parameters.tobytes()
        assert record.value == network.accuracy(X[:20], Y[:20], backend="numpy")
        assert record.epochs == len(record.history["validation_accuracy"]) == 6


@pytest.mark.parametrize(("metric", "sign"), [("accuracy", -1), ("cost", 1), (None, -1)])
def test_settings_are_ranked_by_the_mean_less_one_standard_error(metric: Any, sign: int) -> None:
    found = run(metric=metric, seeds=3, trials=4)
    values = np.array([record.value for record in found.records]).reshape(4, 3)
    errors = values.std(axis=1, ddof=1) / math.sqrt(3)
    scores = values.mean(axis=1) + sign * errors
    ranked = standings(found.records, found.request.lower_is_better)
    assert [one.number for one in ranked] == sorted(range(4), key=lambda k: sign * scores[k])
    for one in ranked:
        assert one.mean == pytest.approx(values[one.number].mean(), rel=1e-12)
        assert one.standard_error == pytest.approx(errors[one.number], rel=1e-12, abs=1e-12)
        assert one.score == pytest.approx(scores[one.number], rel=1e-12)


def test_the_best_setting_is_good_with_all_seeds() -> None:
    """A lucky training does not win, a diverged one is last, and a later rung comes before all earlier ones."""
    values = {0: (0.99, 0.5, 0.7), 1: (0.72, 0.73, 0.72), 2: (0.9, 0.9, math.nan)}
    records = [
        Record(Trial(number, k, {}, k), 1, 0, value, 0.0, {}, "")
        for number, of_setting in values.items()
        for k, value in enumerate(of_setting)
    ]
    assert [one.number for one in standings(records, False)] == [1, 0, 2]
    later = [Record(Trial(3, k, {}, k), 3, 1, 0.2, 0.0, {}, "") for k in range(3)]  # a later rung of a halving
    assert [one.number for one in standings([*records, *later], False)] == [3, 1, 0, 2]


def test_the_same_rows_are_held_out_for_all_settings() -> None:
    seen: list[tuple[bytes, bytes]] = []

    def metric(network: Network, x: Any, y: Any) -> float:
        seen.append((x.tobytes(), y.tobytes()))
        assert np.abs(np.bincount(y) - np.bincount(Y) / 4).max() < 1  # the same share of each class
        return 0.5

    for seed in range(4):
        run(validation=0.25, metric=metric, seed=seed, trials=2)
        assert len(seen) == 4
        assert len(set(seen)) == 1
        assert len(np.frombuffer(seen[0][1], np.int64)) == 30
        seen.clear()


def test_folds_hold_out_each_row_once() -> None:
    weights = np.arange(1.0, 121.0)
    held: dict[int, list[bytes]] = {}

    def metric(network: Network, x: Any, y: Any) -> float:
        held[len(held)] = [row.tobytes() for row in x]
        assert np.abs(np.bincount(y) - np.bincount(Y) / 3).max() <= 1
        return 0.5

    found = run(validation=3, seeds=3, trials=1, metric=metric, sample_weight=weights, keep=1)
    assert [len(rows) for rows in held.values()] == [40, 40, 40]
    assert sorted(row for rows in held.values() for row in rows) == sorted(row.tobytes() for row in X)
    assert all(record.history["examples"] == [80] * 6 for record in found.records)


def test_a_training_that_diverges_is_a_result() -> None:
    values = X[:, 0].astype(np.float64)
    space = {"learning_rate": [1e-3, 1e30], "optimizer": "sgd"}
    found = run(space=space, y=values, method="grid")
    assert found.request.metric == "cost"
    last = standings(found.records, found.request.lower_is_better)[-1]
    assert last.setting["learning_rate"] == 1e30
    assert math.isnan(last.score)
    assert "no longer finite" in last.message


def test_each_training_has_callbacks_of_its_own() -> None:
    made: list[EarlyStopping] = []

    def callbacks(trial: Trial) -> list[Any]:
        made.append(EarlyStopping(patience=2))
        return made[-1:]

    found = run(space=SPACE | {"learning_rate": 0.3}, callbacks=callbacks, budget=40)
    assert len(made) == 12
    for record, stopping in zip(found.records, made, strict=True):  # the value is that of the restored parameters
        assert record.value == record.history["validation_accuracy"][(stopping.best_epoch or 0) - 1]
    assert [record.epochs for record in found.records] == [min(40, (one.best_epoch or 0) + 2) for one in made]


def test_a_callback_of_two_trainings_at_the_same_time_is_refused() -> None:
    shared = EarlyStopping()

    def callbacks(trial: Trial) -> list[Any]:
        return [shared, lambda trainer, epoch: run(callbacks=callbacks)]  # a training within a training

    with pytest.raises(TypeError, match="the same EarlyStopping for two trainings"):
        run(callbacks=callbacks)
    assert len(run(callbacks=lambda trial: [shared]).records) == 12  # one after the other, each begins anew


@pytest.mark.parametrize("form", ["csr", "frame", "images", "float64", "two dtypes", "mapped"])
def test_forms_of_x(form: str, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is an extra")
    forms = {
        "csr": sparse.csc_array(X),
        "frame": pandas.DataFrame(X.astype(np.float64)),
        "images": X[:, :4].reshape(-1, 2, 2),
        "float64": X.astype(np.float64),
        "two dtypes": X,
        "mapped": _mapped(tmp_path),
    }
    space = SPACE | {"dtype": [np.float32, np.float64]} if form == "two dtypes" else SPACE
    found = run(x=forms[form], space=space)
    if form in ("frame", "float64"):
        assert table(found) == table(run())


@pytest.mark.parametrize(
    ("y", "extra", "task", "width"),
    [
        (Y > 0, {}, "classification", 2),
        (Y, {"task": "regression"}, "regression", 1),
        (Y.astype(np.float32), {}, "regression", 1),
        (np.eye(3)[Y], {"task": "multilabel"}, "multilabel", 3),
        ((Y > 0).astype(np.float32), {"output": "sigmoid"}, "classification", 1),  # of the classes 0 and 1
    ],
)
def test_the_outputs_follow_from_the_targets(y: Any, extra: Any, task: str, width: int) -> None:
    class_weight = {1: 2.0} if task == "classification" else None
    found = run(y=y, space=SPACE | extra, trials=1, class_weight=class_weight)
    network = found.networks[0, 0]
    assert (network.task, network.sizes[-1]) == (task, width)
    assert not math.isnan(found.records[0].value)


def _mapped(folder: Path) -> Any:
    np.save(folder / "x.npy", X)
    return np.load(folder / "x.npy", mmap_mode="r")


STOPPED = "the search must be refused before its first training"


def _no_training(trial: Trial) -> list[Any]:
    raise AssertionError(STOPPED)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"space": {"learning_rate": [0.1, -1]}, "method": "grid"}, r"setting 1, \{learning_rate: -1\}: learning_rate"),
        ({"space": {"hidden": [(4, 0)]}}, r"setting 0.*must be at least 1"),
        ({"space": {"activation": "rely"}}, "did you mean 'relu'"),
        ({"space": {"backend": "numppy"}}, "setting 0.*no backend is called 'numppy'"),
        ({"space": {"epochs": [0]}}, "epochs must be at least 1"),
        ({"space": {"cost": ["squared_error", "cross_entropy"]}, "metric": "cost", "trials": 20}, "different costs"),
        (
            {"space": {"cost": [Huber(1.0), Huber(2.0)]}, "y": X[:, 0], "metric": "cost", "trials": 20},
            "different costs",
        ),
        ({"metric": "r2"}, "metric='r2' has no meaning for setting 0"),
        ({"metric": "acuracy"}, "did you mean 'accuracy'"),
        ({"method": "halfing"}, "did you mean 'halving'"),
        ({"trials": 0}, "trials must be at least 1"),
        ({"seeds": 1.5}, "seeds must be a whole number"),
        ({"n_jobs": 0}, "n_jobs"),
        ({"x": X[:, 0]}, "x has shape"),
        ({"x": X[:50]}, "y has|expected"),
        ({"x": np.where(X > 2, np.nan, X)}, "nan"),
        ({"y": Y - 1}, "labels"),
        ({"y": None}, "y is missing"),
        ({"validation": 0.0001}, "none to validate on"),
        ({"validation": 1}, "at least 2"),
        ({"validation": "0.2"}, "validation must be a share"),
        ({"validation": fastnet.data.source((X, Y))}, "validation must be a share"),
        ({"validation": (X[:, :3], Y)}, "validation x has"),
        ({"validation": (X, Y + 1)}, "validation y"),
        ({"sample_weight": -np.ones(120)}, "sample_weight"),
        ({"class_weight": {7: 1.0}}, "class_weight names the class 7"),
        ({"callbacks": [EarlyStopping()]}, "callbacks must be a function"),
        (
            {"callbacks": lambda trial: EarlyStopping()},
            "callbacks must return a list of callbacks for a training, not <",
        ),
        ({"space": {"learning_rate": (0.1, 0.2)}}, r"learning_rate is one value, .*: put candidates into a list"),
        ({"space": {"hidden": 4.5}}, "a width of hidden must be a whole number, not 4.5"),
        (
            {"y": np.where(Y == 0, 10**9, Y)},
            r"setting 0.*parameters; at most",
        ),  # refused without a network of this size
        ({"sample_weight": np.eye(120)[0], "validation": 3}, "no example with a weight above 0 to"),
        ({"space": {"optimizer": [type("Mine", (fastnet.Adam,), {})()]}, "method": "halving"}, "cannot keep"),
    ],
)
def test_bad_arguments_are_refused_before_the_first_training(changes: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"space": SPACE, "x": X, "y": Y, **SMALL, "callbacks": _no_training, **changes}
    with pytest.raises((ValueError, TypeError, fastnet.FastnetError), match=words):
        search(**arguments)


def test_a_source_is_refused_in_words() -> None:
    with pytest.raises(TypeError, match="a search trains on arrays, not on a Source"):
        search(SPACE, fastnet.data.source((X, Y)))


@pytest.mark.parametrize("value", [None, "0.5"])
def test_a_metric_that_returns_no_number_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=f"metric must return a number, not {value!r}"):
        run(metric=lambda network, x, y: value)


def test_a_metric_that_is_not_finite_is_nan() -> None:
    found = run(metric=lambda network, x, y: math.inf)
    assert all(math.isnan(record.value) for record in found.records)


def test_whole_numbers_can_be_drawn_for_a_hidden_layer() -> None:
    found = run(space={"hidden": integers(2, 9)}, trials=3)
    widths = [found.networks[number, 0].sizes[1] for number in range(3)]
    assert widths == [found.records[2 * number].trial.setting["hidden"] for number in range(3)]


def test_columns_that_need_scaling_give_one_warning() -> None:
    with pytest.warns(UserWarning, match="standard deviation") as found:
        run(x=X * 1000)
    assert len(found) == 1
