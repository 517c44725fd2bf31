"""Runs side by side: what differs, what is equal, the last and the best figures, the names and the states of runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnet
from fastnet.errors import DataError
from fastnet.report import compare
from fastnet.training.comparison import side_by_side
from fastnet.training.history import FIELDS, MEASURES
from fastnet.training.run_summary import distinct_names, run_folders, summary, summary_of
from fastnet.training.runs import Run

VALUES: dict[str, list[Any]] = {  # what a record may hold
    "optimizer": ["sgd", "adam"],
    "optimizer_settings": [{}, {"beta1": 0.9}, {"beta1": 0.8}],
    "learning_rate": [0.1, 0.2],
    "batch_size": [10, 32],
    "clip_norm": [None, 1.0],
    "dropout": [[0.0], [0.5], []],
    "data": ["mnist", "iris.csv"],
    "source": [{"data": "x", "label_column": None}, {"data": "x", "label_column": "size"}],
    "seed": [0, 2**70],
    "processor": ["old", "new"],
}


def run_of(record: dict[str, Any], sizes: tuple[int, ...] = (4, 3), **columns: list[Any]) -> Run:
    n = max(map(len, columns.values()), default=0)
    history = {name: columns.get(name, [None] * n) for name in FIELDS} | {"epoch": list(range(1, n + 1))}
    return Run(fastnet.Network(sizes, seed=0), history, record)


def saved(folder: Path, **record: Any) -> Path:
    """Save a run of one epoch."""
    network = fastnet.Network([4, 3], seed=0)
    trainer = fastnet.Trainer(network, backend="numpy", seed=0)
    trainer.fit(np.eye(4), [0, 1, 2, 0], epochs=1)
    Run.of(trainer, **record).save(folder)
    return folder


def test_each_setting_is_either_different_or_equal() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        records = [
            {name: values[rng.integers(len(values))] for name, values in VALUES.items()}
            for _ in range(rng.integers(1, 5))
        ]
        runs = [summary_of(run_of(record, (4, int(rng.integers(3, 5)), 3)), str(k)) for k, record in enumerate(records)]
        found = side_by_side(runs)
        names = dict.fromkeys(name for run in runs for name in run.settings)
        assert not found.different.keys() & found.equal.keys()
        for name in names:
            values = [run.settings.get(name) for run in runs]
            if values.count(values[0]) < len(values):
                assert found.different[name] == values
            else:
                assert found.equal.get(name) == values[0]
        assert found.different.keys() | found.equal.keys() <= names.keys()


def test_the_settings_have_the_names_of_the_options() -> None:
    from fastnet.cli.entry import parser

    options = vars(parser().parse_args(["train"])).keys()
    record = {
        name: values[-1] for name, values in VALUES.items() if name not in ("processor", "optimizer_settings")
    } | {"optimizer_settings": {"beta1": 0.9}}
    found = summary_of(run_of(record), "a").settings
    assert found.keys() - {"clip_norm"} <= options
    for name in ("optimizer", "learning_rate", "batch_size", "clip_norm", "seed", "data"):
        assert found[name] == record[name]
    assert (found["dropout"], found["beta1"], found["label_column"]) == (None, 0.9, "size")


def test_the_figures_are_the_last_and_the_best_of_each_column() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        n = int(rng.integers(1, 6))
        columns = {
            name: [None if rng.random() < 0.2 else float(rng.integers(5)) for _ in range(n)]
            for name in rng.permutation(MEASURES)[: rng.integers(1, 9)]
        }
        test = {"cost": 0.5, "accuracy": None, "r2": "x"}
        found = summary_of(run_of({"seconds": 3, "test": test}, **columns), "a").figures
        assert (found["epochs"], found["seconds"], found["test_cost"], found["test_r2"]) == (n, 3, 0.5, None)
        measured = summary_of(run_of({}, **columns), "a")
        validated = [n for n in MEASURES if n.startswith("validation_") and measured.figures[n] is not None]
        assert (measured.score == ("", None)) == (set(validated) <= {"validation_label_accuracy"})
        for name in MEASURES:
            column = columns.get(name, [None])
            known = [value for value in column if value is not None]
            best = (min if name.endswith("cost") else max)(known) if known else None
            epoch = column.index(best) + 1 if known else None  # the first epoch of equal ones
            last = known[-1] if known else None  # an epoch that Ctrl-C ended has no validation
            assert (found[name], found[f"best_{name}"], found[f"best_{name}_epoch"]) == (last, best, epoch)


def test_names_are_the_shortest_ends_that_differ() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        paths = {"/" + "/".join(rng.choice(["a", "b", "c"], rng.integers(1, 5))) for _ in range(rng.integers(1, 7))}
        folders = sorted(paths)
        names = distinct_names(folders)
        assert len(set(names)) == len(names)
        for path, name in zip(folders, names, strict=True):
            assert f"/{path}".endswith(f"/{name}")
            shorter = name.partition("/")[2]
            others = [other for other in folders if other != path]
            assert not shorter or any(f"/{other}".endswith(f"/{shorter}") for other in others)


def test_a_folder_is_compared_once(tmp_path: Path) -> None:
    saved(tmp_path / "a")
    with pytest.raises(DataError, match="is given twice: give each run once"):
        compare([tmp_path / "a", os.path.join(tmp_path, "a", "..", "a")])
    with pytest.raises(ValueError, match="expected the folder of at least one run"):
        compare([])
    with pytest.raises(TypeError, match="must be a list"):
        compare(str(tmp_path))  # type: ignore[arg-type] # what a user may give
    with pytest.raises(DataError, match="holds no training run"):
        compare([tmp_path])
    with pytest.raises(DataError, match="there is no folder"):
        compare([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("record", "files", "state"),
    [
        ({"source": {}, "test": {"cost": 1}}, {}, "finished"),
        ({"source": {}, "test": {"cost": 1}}, {"checkpoints/checkpoint-0000000001.npz": ""}, "finished"),
        ({"source": {}}, {}, "interrupted"),
        ({"source": {}}, {"checkpoints/checkpoint-0000000001.npz": ""}, "resumable"),
        ({"source": {}}, {"checkpoints/.fastnet-1.tmp": ""}, "interrupted"),
        ({}, {}, "saved"),
        (None, {"run.toml": "[options]\nepochs = 3"}, "interrupted"),
        (None, {"run.toml": "[options]\nepochs = 3", "checkpoints/checkpoint-0000000001.npz": ""}, "resumable"),
        (None, {"checkpoints/checkpoint-0000000001.npz": ""}, "resumable"),
    ],
)
def test_the_state_of_a_run(record: dict[str, Any] | None, files: dict[str, str], state: str, tmp_path: Path) -> None:
    if record is not None:
        saved(tmp_path / "a", **record)
    for name, text in files.items():
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / name).write_text(text)
    assert summary(tmp_path / "a").state == state
    saved(tmp_path / "a" / "inner")  # a run in a run is a part of it
    assert list(run_folders(tmp_path)) == [tmp_path / "a"]


def test_the_options_of_run_toml_count_where_every_run_has_them(tmp_path: Path) -> None:
    given = {"source": {"test_fraction": None}, "test": {"cost": 1.0}}
    runs = [saved(tmp_path / name, data="table.csv", **given) for name in "ab"]
    (runs[0] / "run.toml").write_text('[options]\npatience = 3\nbatch_size = 7\n[data]\nhash = "1"')
    assert compare(runs).different == {}
    (runs[1] / "run.toml").write_text('[options]\npatience = 5\ntest_fraction = 0.3\n[data]\nhash = "2"')
    found = compare(runs)
    assert found.different == {"test_fraction": [None, 0.3], "patience": [3, 5], "data_hash": ["1", "2"]}
    assert found.equal["batch_size"] == "auto"  # as the record has it
    assert found.remarks == ("The data have the same name but other contents, so the scores do not compare.",)
    (runs[1] / "run.toml").write_text("[options")
    with pytest.raises(DataError, match=r"run\.toml is no TOML file"):
        compare(runs)


def test_an_unfinished_run_lacks_settings_but_has_no_others(tmp_path: Path) -> None:
    done, begun = saved(tmp_path / "done"), tmp_path / "begun"
    begun.mkdir()
    (begun / "run.toml").write_text("[options]\nlayers = [4, 3]\nbatch_size = 7\nepochs = 9")
    found = compare([done, begun])
    assert found.different == {"batch_size": ["auto", 7]}
    assert found.equal["layers"] == "4-3"
    assert found.remarks == ("Not trained to the end: begun.",)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"data": "a"}, {"data": "b"}, "different data (a, b), so their scores"),
        ({"validation": "the test examples"}, {"validation": "3 rows"}, "different rows"),
        ({"processor": "old"}, {"processor": "new"}, "different machines"),
        ({"task": "regression"}, {}, "different tasks (regression, classification), so their scores"),
        ({"cost": "cross_entropy"}, {}, "different cost functions, so their costs"),
        ({}, {"seed": 1}, ""),
    ],
)
def test_what_limits_a_comparison_is_said(first: dict[str, Any], second: dict[str, Any], said: str) -> None:
    runs = []
    for k, given in enumerate((first, second)):
        network = fastnet.Network([4, 3], seed=0, task=given.get("task"), cost=given.get("cost", "squared_error"))
        runs.append(summary_of(Run(network, {}, given), str(k)))
    remarks = side_by_side(runs).remarks
    assert len(remarks) == (said != "")
    assert said in " ".join(remarks)
