"""The folder of a training run: a saved run loads unchanged, and an incomplete or damaged run is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_cases import picture_data, trained

import fastnet
from fastnet.data import Dataset, Schema
from fastnet.errors import DataError
from fastnet.training.runs import Run, check_data, class_names


@pytest.fixture(scope="module")
def run() -> Run:
    return trained(picture_data(), 8, 3)


def test_a_saved_run_loads_unchanged(run: Run, tmp_path: Path) -> None:
    run.save(tmp_path / "deep" / "run")
    found = Run.load(tmp_path / "deep" / "run")
    np.testing.assert_array_equal(found.network.parameters, run.network.parameters)
    assert found.initial is not None
    assert run.initial is not None
    np.testing.assert_array_equal(found.initial.parameters, run.initial.parameters)
    assert found.history == run.history
    assert found.record == run.record
    dataclasses.replace(run, initial=None).save(tmp_path / "deep" / "run")
    assert Run.load(tmp_path / "deep" / "run").initial is None


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("run.json", None, "holds no training run"),
        ("run.json", "{", "is corrupt"),
        ("run.json", "[]", "holds no JSON object"),
        ("run.json", '{"format": "another"}', "is not in the format"),
        ("run.json", '{"seconds": NaN}', "the number NaN is not a finite float"),
        ("run.json", '{"seconds": -Infinity}', "the number -Infinity is not a finite float"),
        ("run.json", '{"deep": [{"in": 1e999}]}', "the number 1e999 is not a finite float"),
        ("history.json", f'{{"epoch": [1{"0" * 400}]}}', "the number 10000"),
        ("history.json", None, "there is no file"),
        ("history.json", '{"epoch": [1, 2], "cost": [1]}', "not a history"),
        ("history.json", '{"epoch": 1}', "not a history"),
        ("history.json", '{"epoch": [1]}', "not a history"),
        ("network.npz", None, "there is no file"),
        ("network.npz", "zip", "neither an NPZ file nor"),
        ("initial.npz", "zip", "neither an NPZ file nor"),
    ],
)
def test_an_incomplete_folder_is_refused(name: str, text: str | None, said: str, run: Run, tmp_path: Path) -> None:
    run.save(tmp_path)
    if text is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said):
        Run.load(tmp_path)


def test_paths_that_are_no_run_folders_are_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        Run.load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot make the folder"):
        run.save(tmp_path / "file")
    (tmp_path / "b" / "initial.npz").mkdir(parents=True)
    with pytest.raises(DataError, match=r"cannot remove .*initial\.npz"):
        dataclasses.replace(run, initial=None).save(tmp_path / "b")
    (tmp_path / "b" / "initial.npz").rmdir()
    run.save(tmp_path / "b")
    (tmp_path / "b" / "initial.npz").unlink()
    (tmp_path / "b" / "initial.npz").mkdir()
    with pytest.raises(DataError, match=r"initial\.npz is a folder"):
        Run.load(tmp_path / "b")
    run.save(tmp_path / "a")
    fastnet.Network([64, 3]).save(tmp_path / "a" / "initial.npz")
    with pytest.raises(DataError, match="files of two runs"):
        Run.load(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("run", change) for change in ({"seconds": "1"}, {"test": 3}, {"test": {"cost": "x"}}, {"dropout": 0.5})),
        *(("run", change) for change in ({"dropout": ["x"]}, {"optimizer_settings": [1]}, {"learning_rate": "a"})),
        *(("run", change) for change in ({"schedule_settings": {"a": "b"}}, {"backend": 5}, {"source": "x"})),
        *(("history", change) for change in ({"cost": [None]}, {"cost": ["x"]}, {"seconds": [None]}, {"backend": [1]})),
    ],
)
def test_a_damaged_record_is_refused(name: str, value: dict[str, Any], run: Run, tmp_path: Path) -> None:
    run.save(tmp_path)
    path = tmp_path / f"{name}.json"
    kept = json.loads(path.read_text())
    for key, entry in value.items():
        kept[key] = entry * len(kept[key]) if name == "history" else entry
        path.write_text(json.dumps(kept))
        with pytest.raises(DataError, match=rf"{name}.json is damaged \({key}\)"):
            Run.load(tmp_path)


def test_a_run_of_an_earlier_version_loads_without_the_new_columns(run: Run, tmp_path: Path) -> None:
    added = ("label_accuracy", "r2", "validation_label_accuracy", "validation_r2")
    older = {name: column for name, column in run.history.items() if name not in added}
    dataclasses.replace(run, history=older).save(tmp_path)
    assert Run.load(tmp_path).history == {**older, **{name: [None] * len(older["epoch"]) for name in added}}


def data_of(y: np.ndarray, task: Any, names: tuple[str, ...] = ()) -> Dataset:
    x = np.zeros((len(y), 4))
    return Dataset("table.csv", x, y, x, y, None, names, task)


@pytest.mark.parametrize(
    ("network", "data", "said"),
    [
        (([4, 3], None), data_of(np.zeros((5, 1)), "regression"), "distinguishes 3 classes, but .* and 1 number: give"),
        (([4, 1], "regression"), data_of(np.arange(5), "classification", tuple("abcde")), "1 number, but .* 5 classes"),
        (([4, 1], "regression"), data_of(np.zeros((5, 2)), "regression"), "1 number, but .* 2 numbers"),
        (([4, 2], "multilabel"), data_of(np.zeros((5, 3)), "multilabel"), "2 labels, but .* 3 labels"),
        (([5, 1], "regression"), data_of(np.zeros((5, 1)), "regression"), "takes 5 inputs .* has 4 inputs"),
    ],
)
def test_data_of_another_task_are_refused(network: tuple[list[int], Any], data: Dataset, said: str) -> None:
    sizes, task = network
    with pytest.raises(ValueError, match=said):
        check_data("the network", fastnet.Network(sizes, task=task), data)


@pytest.mark.parametrize(
    ("sizes", "task", "y"),
    [
        ([4, 1], "regression", np.zeros((5, 1))),
        ([4, 3], "multilabel", np.zeros((5, 3))),
        ([4, 1], None, np.zeros(5, int)),
    ],
)
def test_data_of_the_same_task_fit(sizes: list[int], task: Any, y: np.ndarray) -> None:
    check_data("the network", fastnet.Network(sizes, task=task), data_of(y, task or "classification", ("a", "b")))


def test_classes_have_the_names_of_the_network() -> None:
    data, network = data_of(np.arange(2), "classification", ("a", "b")), fastnet.Network([4, 3])
    assert class_names(network, data) == ["a", "b", "2"]
    network.schema = Schema((), "kind", ("x", "y", "z"))
    assert class_names(network, data) == ["x", "y", "z"]
    assert class_names(fastnet.Network([4, 3], task="multilabel"), data) == ["a", "b", "2"]
    assert class_names(fastnet.Network([4, 3], task="regression"), data) == []
