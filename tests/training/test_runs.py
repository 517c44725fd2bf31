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
from fastnet.errors import DataError
from fastnet.training.runs import Run


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
        ("network.npz", "zip", "not an NPZ file"),
        ("initial.npz", "zip", "not an NPZ file"),
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
