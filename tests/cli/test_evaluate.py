"""`fastnet evaluate`: the results equal the network's, and data of another shape are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_cases import error, flowers, pictures, prices, record

import fastnet
from fastnet import cli
from fastnet.data import Column, Schema


def test_evaluate_agrees_with_the_network(model: str, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    network = fastnet.Network.load(model)
    network.biases[-1][0] += 3  # the network then classifies some examples as 0
    network.save(model)
    x, y = pictures(30, 1)
    found = record(capsys, "evaluate", "--model", model, "--data", data)
    assert found["cost"] == network.cost(x, y)
    assert found["accuracy"] == network.accuracy(x, y) < 1
    expected = np.zeros((3, 3), int)
    for truth, label in zip(y, network.predict(x), strict=True):
        expected[truth, label] += 1
    assert found["confusion_matrix"] == expected.tolist()
    assert record(capsys, "evaluate", "--model", model, "--data", data, "--threads", "auto") == found
    assert "threads must be" in error(capsys, "evaluate", "--model", model, "--data", data, "--threads", "some")
    assert cli.main(["evaluate", "--model", model, "--data", data]) == 0
    text = capsys.readouterr().out
    assert f"accuracy {network.accuracy(x, y):.2%} (30 examples)" in text
    assert "row: the truth, column: the prediction" in text
    recalls = [f"{row[k] / row.sum():.1%}" for k, row in enumerate(expected)]
    assert [line.split()[-1] for line in text.splitlines()[-3:]] == recalls
    assert recalls != [f"{column[k] / max(column.sum(), 1):.1%}" for k, column in enumerate(expected.T)]


def test_evaluate_refuses_other_data(model: str, folder: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = pictures(40, 0)
    np.savez(folder / "narrow.npz", x=x[:, :4], y=y)
    np.savez(folder / "more.npz", x=x, y=y + 1)
    np.savez(folder / "fewer.npz", x=x, y=y % 2)
    assert "takes 64 inputs" in error(capsys, "evaluate", "--model", model, "--data", folder / "narrow.npz")
    assert "3 classes" in error(capsys, "evaluate", "--model", model, "--data", folder / "more.npz")
    assert record(capsys, "evaluate", "--model", model, "--data", folder / "fewer.npz")["class_names"] == [
        "0",
        "1",
        "2",
    ]
    own = ("evaluate", "--model", model, "--data", "mnist-5k", "--test-fraction", "1")
    assert "mnist-5k has its own test examples: leave out --test-fraction" in error(capsys, *own)
    assert "is not a network" in error(capsys, "evaluate", "--model", data, "--data", data)
    assert "no file" in error(capsys, "evaluate", "--model", folder / "no.npz", "--data", data)
    assert "--model" in error(capsys, "evaluate")


def test_evaluate_shows_the_number_of_the_cost(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, _ = prices(folder)
    fastnet.Network([2, 1], cost=fastnet.Huber(2.5)).save(folder / "huber.npz")
    evaluate = ["evaluate", "--model", str(folder / "huber.npz"), "--data", table, "--label-column", "price"]
    assert cli.main(evaluate) == 0
    assert "cost huber(delta=2.5)" in capsys.readouterr().out


def test_a_table_is_judged_by_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, model = flowers(folder)
    evaluate = ("evaluate", "--model", model, "--data", table)
    assert cli.main(list(evaluate)) == 0
    out = capsys.readouterr().out
    assert "8 of 40 rows, those that fastnet train holds out with --test-fraction 0.2" in out
    assert [line.split() for line in out.splitlines()[-3:]] == [
        ["large", "small", "recall"],
        ["large", "4", ".", "100.0%"],
        ["small", ".", "4", "100.0%"],
    ]
    found = record(capsys, *evaluate, "--test-fraction", "1")
    assert (found["examples"], found["judged"], found["accuracy"]) == (40, "all 40 rows", 1)
    assert (found["columns"], found["class_names"]) == (["length", "width"], ["large", "small"])
    assert found["confusion_matrix"] == [[20, 0], [0, 20]]

    text = Path(table).read_text()
    (folder / "unknown.csv").write_text(text.replace("small", "tiny", 1))
    assert "'tiny' is not among the network's classes" in error(capsys, *evaluate[:-1], folder / "unknown.csv")
    (folder / "unlabelled.csv").write_text(text.replace("size", "note", 1))
    said = error(capsys, *evaluate[:-1], folder / "unlabelled.csv")
    assert "no column size, which the network predicts: give the right column as --label-column" in said
    found = record(capsys, *evaluate[:-1], folder / "unlabelled.csv", "--label-column", "note")
    assert found["accuracy"] == 1
    (folder / "missing.csv").write_text(text.replace("length", "stem", 1))
    assert "length" in error(capsys, *evaluate[:-1], folder / "missing.csv")
    # One class in the file, and the numbers of the classes of the network.
    lines = [line for line in text.splitlines() if not line.endswith("large")]
    (folder / "small.csv").write_text("\n".join(lines))
    found = record(capsys, *evaluate[:-1], folder / "small.csv", "--test-fraction", "1")
    assert found["confusion_matrix"] == [[0, 0], [0, 20]]


def test_a_regression_is_judged_beside_the_mean(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, model = prices(folder)
    evaluate = ("evaluate", "--model", model, "--data", table, "--test-fraction", "1")
    found = record(capsys, *evaluate)
    y = np.loadtxt(table, delimiter=",", skiprows=1)[:, 0]
    assert found["values"]["mae"] == found["values"]["rmse"] == [1]
    assert found["values"]["mean"] == [pytest.approx(y.mean())]
    assert found["values"]["baseline_rmse"] == [pytest.approx(y.std())]
    assert found["r2"] == pytest.approx(1 - 1 / y.var())
    assert (found["task"], found["output_names"], found["columns"]) == ("regression", ["price"], ["rooms", "area"])
    assert cli.main(list(evaluate)) == 0
    assert capsys.readouterr().out.splitlines()[-2].split() == ["network", f"{1 - 1 / y.var():.3f}", "1", "1"]

    flower_table, flower_model = flowers(folder)
    on_flowers = ("evaluate", "--model", model, "--data", flower_table, "--label-column", "size")
    assert "a regression needs numbers" in error(capsys, *on_flowers)
    assert "has no columns length, width" in error(capsys, "evaluate", "--model", flower_model, "--data", table)
    assert "predicts 1 number, but digits has 64 inputs and 10 classes" in error(
        capsys, "evaluate", "--model", model, "--data", "digits"
    )


def test_labels_are_judged_one_by_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = fastnet.Network([2, 2], task="multilabel", seed=0)
    network.parameters = [1, 0, 0, 1, 0, 0]
    network.schema = Schema((Column("a"), Column("b")), "", ("urgent", "spam"))
    network.save(folder / "m.npz")
    x = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    y = (x > 0).astype(float)
    y[:, 1] = 1
    np.savez(folder / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert cli.main(["evaluate", "--model", str(folder / "m.npz"), "--data", str(folder / "data.npz")]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[-3:]]
    n, right = int((x[:, 0] > 0).sum()), (x[:, 1] > 0).mean()
    assert lines[1] == ["urgent", "100.0%", "100.0%", "100.0%", str(n)]
    assert lines[2] == ["spam", "100.0%", f"{right:.1%}", f"{2 * right / (1 + right):.1%}", "30"]


def test_dark_pixels_in_a_text_file_are_still_pixels(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The largest number of the test file is 120, that of the training file is 255: the scale must be the same."""
    rng = np.random.default_rng(0)
    brightness = rng.integers(0, 101, 500)
    x = (brightness[:, None] + rng.integers(0, 21, (500, 16))).astype(np.uint8)
    y = (brightness > 50).astype(int)
    x[:400:40, 3] = 255
    for name, part in (("train", slice(400)), ("test", slice(400, 500))):
        lines = [
            ",".join(map(str, [*row, "bright" if label else "dark"]))
            for row, label in zip(x[part], y[part], strict=True)
        ]
        (folder / f"{name}.csv").write_text("\n".join([",".join([*map("p{}".format, range(16)), "label"]), *lines]))
    model = str(folder / "m.npz")
    options = ["--layers", "16,2", "--cost", "cross_entropy", "--optimizer", "adam", "--learning-rate", "0.1"]
    train = ["train", "--data", str(folder / "train.csv"), "--pixels", *options, "--epochs", "40", "--save", model]
    assert cli.main([*train, "--quiet"]) == 0
    test = x[400:], 1 - y[400:]  # the classes in the order of their names
    assert test[0].max() <= 120
    network = fastnet.Network.load(model)
    expected = network.accuracy(*test)
    assert expected > 0.9 > network.accuracy(test[0].astype(float), test[1]) + 0.3  # at the wrong scale all are bright
    evaluate = ("evaluate", "--model", model, "--data", folder / "test.csv", "--test-fraction", "1")
    assert record(capsys, *evaluate)["accuracy"] == expected
    assert record(capsys, *evaluate, "--pixels")["accuracy"] == expected
    np.savez(folder / "floats.npz", x=test[0].astype(np.float32), y=test[1])
    assert "was trained on pixels" in error(capsys, "evaluate", "--model", model, "--data", folder / "floats.npz")


def test_bytes_for_a_network_of_numbers_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, model = flowers(folder)
    np.savez(folder / "bytes.npz", x=np.arange(40, dtype=np.uint8).reshape(20, 2), y=np.arange(20) % 2)
    evaluate = ("evaluate", "--model", model, "--data")
    assert "was trained on numbers as they are" in error(capsys, *evaluate, folder / "bytes.npz")
    assert "leave out --pixels" in error(capsys, *evaluate, table, "--pixels")
