"""`fastnet predict` and `fastnet evaluate` take the file of an ensemble, with the results of the ensemble."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_cases import error, flowers, prices, record

import fastnet
from fastnet import cli


def ensemble(network: str, path: Path) -> fastnet.Ensemble:
    """Write an ensemble of a network and of others like it, and return it."""
    first = fastnet.Network.load(network)
    others = [first.copy() for _ in range(2)]
    for k, other in enumerate(others):
        other.parameters += 0.3 * np.random.default_rng(k).standard_normal(first.n_parameters)
    made = fastnet.Ensemble([first, *others])
    made.save(path)
    return made


def test_evaluate_agrees_with_the_ensemble(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for make in (flowers, prices):
        table, network = make(tmp_path)
        path = tmp_path / "ensemble.npz"
        made = ensemble(network, path)
        found = record(capsys, "evaluate", "--model", path, "--data", table, "--test-fraction", "1")
        data = fastnet.data.load(table, schema=made.schema, test_fraction=1.0)
        expected = made.evaluate(data.x_test, data.y_test)
        assert (found["cost"], found["examples"]) == (expected.cost, 40)
        if made.is_classifier:
            assert found["accuracy"] == expected.accuracy
            assert np.trace(found["confusion_matrix"]) == round(40 * expected.accuracy)
        else:
            assert found["r2"] == expected.r2
            assert len(found["values"]["rmse"]) == 1
    assert cli.main(["evaluate", "--model", str(path), "--data", table]) == 0
    text = capsys.readouterr().out
    assert "networks 3, inputs 2, outputs 1: 9 parameters, float32, cost squared_error" in text


def test_predict_agrees_with_the_ensemble(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, network = flowers(tmp_path)
    path = tmp_path / "ensemble.npz"
    made = ensemble(network, path)
    found = record(capsys, "predict", "--model", path, table, "--out", tmp_path / "out.csv")
    x = fastnet.data.load(table, schema=made.schema, test_fraction=1.0).x_test
    outputs = [one["outputs"] for one in found["predictions"]]
    np.testing.assert_array_equal(sorted(outputs), sorted(made.forward(x).tolist()))
    assert found["class_names"] == ["large", "small"]
    assert (tmp_path / "out.csv").read_text().count("\n") == 41


def test_a_damaged_ensemble_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, network = flowers(tmp_path)
    path = tmp_path / "ensemble.npz"
    ensemble(network, path)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{name: array for name, array in arrays.items() if name != "member_2.about"})
    for command in (["predict", table], ["evaluate", "--data", table]):
        text = error(capsys, command[0], "--model", path, *command[1:])
        assert "ensemble.npz is not an ensemble that fastnet saved: it has no array member_2.about" in text
