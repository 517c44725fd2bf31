"""`fastnet train` on tables: what it understands, its defaults, and the network that it saves."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_cases import error, flowers, pictures, record

import fastnet
from fastnet import cli
from fastnet.training.runs import Run

KINDS = ("bird", "cat", "dog")


def animals(folder: Path, n: int = 300, seed: int = 0) -> Path:
    """Write a table of animals. Two of its columns decide their kind. The columns are far from mean 0, deviation 1."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3))
    kinds = np.digitize(z[:, 0] + 0.5 * z[:, 1] + 0.1 * rng.normal(size=n), [-0.5, 0.5])
    lines = [f"{2000 + 300 * a},{b / 1000},{c},{KINDS[k]}" for (a, b, c), k in zip(z, kinds, strict=True)]
    path = folder / "animals.csv"
    path.write_text("\n".join(["mass,wing,noise,kind", *lines, ""]))
    return path


def houses(folder: Path, n: int = 300) -> Path:
    """Write a table of houses with their price and their town."""
    rng = np.random.default_rng(1)
    areas, towns = rng.uniform(20, 200, n), rng.integers(0, 2, n)
    prices = 1000 * areas + 50_000 * towns + rng.normal(0, 3000, n)
    lines = [
        f"{p:.2f},{('Oslo', 'Rome')[t]},{a:.1f},{k}"
        for k, (p, t, a) in enumerate(zip(prices, towns, areas, strict=True))
    ]
    path = folder / "houses.csv"
    path.write_text("\n".join(["price,town,area,id", *lines, ""]))
    return path


HOUSES = ("--label-column", "price", "--categorical", "town", "--drop", "id")


def test_classes_are_saved_by_name_and_the_network_takes_raw_values(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, model = animals(folder), folder / "model.npz"
    assert cli.main(["train", "--data", str(path), "--save", str(model)]) == 0
    out, err = capsys.readouterr()
    for words in (
        "60 of 300 rows, held out at random with the same share of each class (--test-fraction 0.2)",
        "classification of kind (from its values; --task overrides): bird, cat, dog",
        "3: mass, wing, noise",
        "the inputs; the saved network takes raw values",
        "3-100-3",
        "adam, learning rate 0.001 (constant), batches of 32, weight decay 0.0083, at most 200 epochs",
        "after 20 epochs without a lower cost on 48 rows held out of the training rows",
    ):
        assert words in out
    assert " held out cost" in err
    assert " test cost" not in err
    network, data = fastnet.Network.load(model), fastnet.data.load(path)
    assert network.schema is not None
    assert (network.schema.class_names, network.schema.feature_names) == (KINDS, ("mass", "wing", "noise"))
    accuracy = network.accuracy(data.x_test, data.y_test)
    assert accuracy > 0.85
    assert f"accuracy {accuracy:.2%} (60 examples)" in out
    assert cli.main(["evaluate", "--model", str(model), "--data", str(path)]) == 0
    assert f"accuracy {accuracy:.2%} (60 examples)" in capsys.readouterr().out


def test_numbers_are_predicted_in_their_own_units(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, model = houses(folder), folder / "model.npz"
    found = record(capsys, "train", "--data", path, *HOUSES, "--save", model)
    assert (found["task"], found["target"], found["class_names"]) == ("regression", "price", [])
    assert (found["columns"], found["feature_names"]) == (["town", "area"], ["town=Oslo", "town=Rome", "area"])
    assert found["test"]["r2"] > 0.95
    assert found["test"]["values"]["rmse"][0] < 0.2 * found["test"]["values"]["baseline_rmse"][0]
    data = fastnet.data.load(path, label_column="price", categorical=["town"], drop=["id"])
    network = fastnet.Network.load(model)
    np.testing.assert_allclose(found["standardization"]["inputs"]["means"], data.x_train.mean(axis=0))
    np.testing.assert_allclose(found["standardization"]["targets"]["deviations"], data.y_train.std(axis=0))
    np.testing.assert_allclose(network.predict(data.x_test), data.y_test, atol=40_000)
    assert cli.main(["train", "--data", str(path), *HOUSES, "--epochs", "2"]) == 0
    out = capsys.readouterr().out
    assert "left out      id" in out
    assert "always the mean" in out


def test_the_saved_network_equals_the_calls_of_the_library(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, model = animals(folder, n=100), folder / "model.npz"
    found = record(capsys, "train", "--data", path, "--save", model, "--seed", 3, "--backend", "numpy", "--epochs", 7)
    data = fastnet.data.load(path)
    means, deviations = data.x_train.mean(axis=0), data.x_train.std(axis=0)
    network = fastnet.Network([3, 100, 3], seed=3)
    trainer = fastnet.Trainer(network, batch_size=32, weight_decay=2 / 80, backend="numpy", seed=3)
    history = trainer.fit((data.x_train - means) / deviations, data.y_train, epochs=7)
    saved = fastnet.Network.load(model)
    np.testing.assert_allclose(saved.weights[0] * deviations, network.weights[0], rtol=1e-3, atol=1e-4)
    assert found["train"]["cost"] == pytest.approx(history["cost"][-1], rel=1e-5)
    assert (found["validation"], found["best_epoch"], found["split"]["validation"]) == (None, None, 0)


def test_training_ends_early_and_the_best_network_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = animals(folder), folder / "run"
    options = ("--epochs", 300, "--learning-rate", 0.03, "--patience", 4, "--validation-split", 0.3)
    found = record(capsys, "train", "--data", path, *options, "--out", out)
    assert found["validation"] == "72 rows held out of the training rows"
    assert found["split"] == {"train": 168, "validation": 72, "test": 60, "test_is_held_out": True}
    assert found["epochs"] == found["best_epoch"] + 4 < 300
    run = Run.load(out)
    assert run.record["validation"] == found["validation"]
    costs = run.history["validation_cost"]
    assert np.argmin(costs) + 1 == found["best_epoch"]
    assert set(run.history["examples"]) == {168}
    shares = 72 * np.array(run.history["validation_accuracy"])  # whole numbers of the rows held out, not of the test
    np.testing.assert_allclose(shares, shares.round(), atol=1e-9)
    assert run.initial is not None  # it takes raw values too
    data = fastnet.data.load(path)
    assert run.initial.cost(data.x_test, data.y_test) < 3
    assert run.network.schema == run.initial.schema == data.schema


@pytest.mark.filterwarnings("default:column .* has a standard deviation")  # which is why columns are standardized
def test_what_the_user_says_wins(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = animals(folder)
    options = "--activation tanh --optimizer sgd --cost squared_error --schedule cosine --batch-size 9 --weight-decay 0"
    options += " --epochs 3 --layers 3,5,3 --patience 0 --validate --test-fraction 0.5 --no-standardize"
    found = record(capsys, "train", "--data", path, *options.split())
    assert (found["layers"], found["activations"], found["cost_function"]) == (
        [3, 5, 3],
        ["tanh", "sigmoid"],
        "squared_error",
    )
    assert (found["optimizer"], found["learning_rate"], found["schedule"]) == ("sgd", 0.1, "cosine")
    assert (found["batch_size"], found["weight_decay"], found["epochs"]) == (9, 0, 3)
    assert (found["standardization"], found["validation"]) == (None, "the test examples")
    assert found["split"]["test"] == 150


def test_pictures_keep_their_defaults_and_may_stop_early(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = record(capsys, "train", "--data", data, "--epochs", 1)
    assert (found["layers"], found["optimizer"], found["batch_size"]) == ([64, 16, 16, 3], "sgd", 10)
    assert (found["standardization"], found["validation"], found["weight_decay"]) == (None, None, 0)
    assert cli.main(["train", "--data", data, "--epochs", "2", "--patience", "1"]) == 0
    out, err = capsys.readouterr()
    assert "on 24 rows held out of the training rows" in out
    assert err.count("held out cost") == 2
    found = record(capsys, "train", "--data", data, "--epochs", 1, "--standardize")
    assert len(found["standardization"]["inputs"]["means"]) == 64
    assert found["test"]["accuracy"] > 0.3


def test_numbers_may_be_predicted_from_pictures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = pictures(120, 0)
    np.savez(folder / "light.npz", X=x, y=1000.5 + 10 * y)
    found = record(capsys, "train", "--data", folder / "light.npz", "--task", "regression")
    assert found["standardization"]["inputs"] is None
    assert found["test"]["r2"] > 0.5


def test_a_column_of_little_spread_needs_float64(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = 1.7e9 + np.random.default_rng(0).normal(size=100)
    (folder / "far.csv").write_text("\n".join(["time,kind", *(f"{v},{'ab'[int(v > 1.7e9)]}" for v in x)]))
    assert cli.main(["train", "--data", str(folder / "far.csv"), "--save", str(folder / "m.npz")]) == 0
    assert (
        "dtype       float64: some columns vary so little that float32 cannot take raw values"
        in capsys.readouterr().out
    )
    network, data = fastnet.Network.load(folder / "m.npz"), fastnet.data.load(folder / "far.csv")
    assert network.dtype == "float64"
    assert network.accuracy(data.x_test, data.y_test) > 0.9


@pytest.mark.parametrize(("x", "y"), [("X", "y"), ("data", "target")])
def test_arrays_of_other_names_are_tables_too(x: str, y: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(1000, 50, (90, 4))
    arrays: dict[str, Any] = {x: rows, y: (rows[:, 0] > 1000).astype(int)}
    np.savez(folder / "table.npz", **arrays)
    found = record(capsys, "train", "--data", folder / "table.npz")
    assert found["layers"] == [4, 100, 2]
    assert found["test"]["accuracy"] > 0.8


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--label-column 9", "has 4 columns, so it has no column 9"),
        ("--label-column 0", "--label-column: columns count from 1: give a number from 1, or a name"),
        ("--label-column 1", "has 300 different labels"),
        ("--drop noise,", "--drop: expected names such as age,city; got 'noise,'"),
        ("--task clasification", "did you mean 'classification'"),
        ("--layers 3,4,2", "has 3 inputs and 3 classes: use --layers 3,4,3"),
        ("--label-column mass --task regression --layers 3,4,2", "has 5 inputs and 1 value to predict: use"),
        ("--patience 3 --validation-split 0", "--patience needs rows that are held out of the training rows"),
        ("--validate", "leave out --validate, or give --patience 0 without --validation-split"),
        ("--validation-split 1", "--validation-split must be from 0 to below 1"),
        ("--test-fraction 1", "--test-fraction"),
        ("--label-column d", "all labels are the same (1), so there is nothing to learn: give data of two classes"),
        ("--test-fraction 0", "no example is held out for the test: give more examples or a larger --test-fraction"),
    ],
)
def test_unusable_options_of_tables_are_refused(
    options: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = animals(folder)
    if "label-column" in options:  # a table of which every column is a number
        path.write_text(path.read_text().replace("bird", "1").replace("cat", "2").replace("dog", "3"))
    if options in ("--label-column 1", "--label-column d"):
        path.write_text("\n".join(["a,b,c,d", *(f"{k},{k % 7},{k % 5},1" for k in range(300))]))
    if "--label-column mass" in options:
        path.write_text("a,b,c,d,e,mass\n" + "1,2,3,4,5,6.5\n2,3,4,5,6,7.5\n" * 20)
    assert said in error(capsys, "train", "--data", path, *options.split())


def test_columns_that_need_scaling_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "--data", str(animals(folder)), "--no-standardize", "--epochs", "1"]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert cli.main(arguments) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(said) == 1
    assert "warning: column 'wing' has a standard deviation of 0.001 and 1 more column" in said[0]
    assert said[0].endswith("use --standardize")


def test_ctrl_c_keeps_a_network_of_raw_values(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = fastnet.Trainer.fit

    def interrupted(trainer: fastnet.Trainer, *arguments: Any, **options: Any) -> None:
        fit(trainer, *arguments, **{**options, "epochs": 5})
        raise KeyboardInterrupt

    monkeypatch.setattr(fastnet.Trainer, "fit", interrupted)
    path, model = animals(folder), folder / "model.npz"
    assert cli.main(["train", "--data", str(path), "--save", str(model), "--quiet"]) == 130
    assert "the network trained so far is saved in" in capsys.readouterr().err
    data = fastnet.data.load(path)
    assert fastnet.Network.load(model).accuracy(data.x_test, data.y_test) > 0.5  # 1/3 without the folding


def test_the_record_is_json_with_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = houses(folder), folder / "run"
    found = record(capsys, "train", "--data", path, *HOUSES, "--out", out, "--epochs", 3)
    saved = json.loads((out / "run.json").read_text())
    assert {name: saved[name] for name in ("columns", "feature_names", "split", "standardization", "validation")} == {
        name: found[name] for name in ("columns", "feature_names", "split", "standardization", "validation")
    }
    assert saved["source"]["categorical"] == ["town"]
    assert cli.main(["report", str(out), "--quiet"]) == 0


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_evaluate_judges_the_rows_that_the_training_held_out(
    share: float, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, _ = flowers(folder)
    model = folder / "share.npz"
    trained = record(capsys, "train", "--data", table, "--test-fraction", share, "--save", model, "--quiet")
    found = record(capsys, "evaluate", "--model", model, "--data", table)
    assert found["examples"] == trained["test"]["examples"] == round(40 * share)
    assert found["confusion_matrix"] == trained["test"]["confusion_matrix"]
    assert f"--test-fraction {share:g}" in found["judged"]
