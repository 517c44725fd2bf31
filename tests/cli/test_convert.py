"""`fastnet convert`: shards of a table, and what `train`, `evaluate`, `predict` and `data` make of them."""

from __future__ import annotations

from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest
from cli_cases import error, flowers, record

from fastnet import cli
from fastnet.cli import progress
from fastnet.data import large_datasets


@pytest.fixture
def table(folder: Path) -> str:
    """Write a table of 300 flowers, whose size is large or small."""
    return flowers(folder, 300)[0]


def test_convert_writes_shards_that_train_reads(table, folder, capsys):
    out, model = str(folder / "flowers.npy"), str(folder / "model.npz")
    found = record(capsys, "convert", table, out, "--test-fraction", "0.2", "--rows-per-shard", "100")
    assert (found["n_train"] + found["n_test"], found["dtype"]) == (300, "float64")
    assert (found["target"], found["class_names"], found["n_shards"]) == ("size", ["large", "small"], 4)
    about = record(capsys, "data", out)
    assert (about["n_train"], about["n_test"]) == (found["n_train"], found["n_test"])
    trained = record(capsys, "train", "--data", out, "--epochs", "5", "--save", model)
    assert trained["test"]["accuracy"] > 0.9
    assert record(capsys, "evaluate", "--model", model, "--data", out)["accuracy"] == trained["test"]["accuracy"]
    whole = record(capsys, "evaluate", "--model", model, "--data", table, "--test-fraction", "1")
    assert whole["examples"] == 300
    by_row = record(capsys, "predict", "--model", model, table)["predictions"]
    record(capsys, "convert", table, f"{out}.all")
    of_shards = record(capsys, "predict", "--model", model, f"{out}.all")["predictions"]
    assert [row["outputs"] for row in of_shards] == [row["outputs"] for row in by_row]
    assert cli.main(["predict", "--model", model, f"{out}.all", "--out", str(folder / "out.csv"), "--quiet"]) == 0
    assert (folder / "out.csv").read_text().startswith("file,row,predicted size")


def test_convert_says_what_is_wrong(table, folder, capsys):
    (folder / "full").mkdir()
    (folder / "full" / "file").write_text("")
    assert "is not empty" in error(capsys, "convert", table, folder / "full")
    message = error(capsys, "convert", table, folder / "a", "--rows-per-shard", "0")
    assert "--rows-per-shard must be at least 1" in message
    assert "--dtype must be float32" in error(capsys, "convert", table, folder / "a", "--dtype", "int8")
    assert "--drop is for a table" in error(capsys, "convert", folder / "bands.npz", folder / "a", "--drop", "width")
    assert sorted(path.name for path in folder.iterdir()) == ["bands.npz", "flowers.csv", "flowers.npz", "full"]


def test_convert_shows_its_progress_on_a_terminal(table, folder, capsys, monkeypatch):
    assert cli.main(["convert", table, str(folder / "a")]) == 0
    out, err = capsys.readouterr()
    assert "300 to train, 0 to test" in out
    assert not err
    monkeypatch.setattr(progress, "terminal_columns", lambda: 80)
    assert cli.main(["convert", table, str(folder / "b")]) == 0
    err = capsys.readouterr().err
    assert "looking at: " in err
    assert "/300 [" in err


@pytest.mark.parametrize("kind", ["shards", "parquet"])
def test_large_sets_are_read_from_the_disk_in_each_epoch(table, folder, capsys, monkeypatch, kind):
    monkeypatch.setattr(large_datasets, "LARGE", 1000)
    out, model = str(folder / f"flowers.{kind}"), str(folder / "model.npz")
    if kind == "shards":
        record(capsys, "convert", table, out, "--test-fraction", "0.2", "--rows-per-shard", "100")
    else:
        pyarrow.parquet.write_table(pyarrow.csv.read_csv(table), out, row_group_size=40)
    options = ("--label-column", "size") if kind == "parquet" else ()
    assert cli.main(["train", "--data", out, *options, "--epochs", "30", "--save", model]) == 0
    text = capsys.readouterr().out
    assert "read from the disk in each epoch" in text
    assert "inputs; the saved network takes raw values" in text
    options = (*options, "--epochs", "30", "--validate", "--patience", "0", "--save", model)
    found = record(capsys, "train", "--data", out, *options)
    assert found["test"]["accuracy"] > 0.9
    assert found["examples"]["train"] + found["examples"]["test"] == 300
    evaluated = record(capsys, "evaluate", "--model", model, "--data", out)
    assert evaluated["accuracy"] == found["test"]["accuracy"]
