"""`fastnet evaluate`: the results equal the network's, and data of another shape are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_cases import error, pictures, record

import fastnet
from fastnet import cli


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
    assert "is not a network" in error(capsys, "evaluate", "--model", data, "--data", data)
    assert "no file" in error(capsys, "evaluate", "--model", folder / "no.npz", "--data", data)
    assert "--model" in error(capsys, "evaluate")


def test_evaluate_shows_the_number_of_the_cost(folder: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    fastnet.Network([64, 3], cost=fastnet.Huber(2.5)).save(folder / "huber.npz")
    assert cli.main(["evaluate", "--model", str(folder / "huber.npz"), "--data", data]) == 0
    assert "cost huber(delta=2.5)" in capsys.readouterr().out
