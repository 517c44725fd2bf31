"""`fastnet data`: the table of all sets, and the sizes and classes of one set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_cases import error, pictures, prices, record

import fastnet
from fastnet import cli
from fastnet.data.downloads import Progress


def test_data_lists_the_sets_and_describes_one(folder: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    sets = record(capsys, "data")["data"]
    assert [s["name"] for s in sets] == list(fastnet.data.names())
    assert cli.main(["data"]) == 0
    assert "not here: downloaded when first used" in capsys.readouterr().out
    found = record(capsys, "data", data)
    assert (found["n_train"], found["n_test"], found["image_shape"]) == (120, 30, [8, 8])
    assert found["class_counts"] == {"train": [40, 40, 40], "test": [10, 10, 10]}
    assert cli.main(["data", data]) == 0
    assert "64 uint8, pictures of 8x8" in capsys.readouterr().out
    assert "did you mean 'mnist'" in error(capsys, "data", "mnit")
    rows = [f"{k % 2},{k},{k * k}" for k in range(10)]
    (folder / "table.csv").write_text("\n".join(["kind,a,b", *rows]))
    found = record(capsys, "data", folder / "table.csv", "--label-column", "kind")
    assert found["class_counts"] == {"train": [4, 4], "test": [1, 1]}


def test_data_describes_the_columns_of_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "people.csv"
    path.write_text("age,city,member,bought\n" + 4 * "30,Rome,true,yes\n,Oslo,false,no\n41.5,Rome,true,yes\n")
    found = record(capsys, "data", path)
    assert (found["rows"], found["target"]) == (12, "bought")
    columns = {column.pop("name"): column for column in found["columns"]}
    assert columns["age"] == {
        "kind": "numbers", "missing": 4, "minimum": 30, "maximum": 41.5, "n_levels": 2, "levels": []
    }  # fmt: skip
    assert columns["city"]["levels"] == ["Rome", "Oslo"]  # the most frequent first
    assert columns["member"]["kind"] == "true and false"
    assert "city has text" in found["problem"]
    assert "--categorical" in found["problem"]
    assert "task" not in found
    found = record(capsys, "data", path, "--categorical", "city,member", "--impute")
    assert "problem" not in found
    assert (found["task"], found["class_names"]) == ("classification", ["no", "yes"])
    assert found["feature_names"] == ["age", "city=Oslo", "city=Rome", "member=false", "member=true"]

    assert cli.main(["data", str(path)]) == 0
    out = capsys.readouterr().out
    assert "12 rows, 4 columns" in out
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert lines["age"] == ["age", "numbers", "4", "30", "to", "41.5,", "2", "different"]
    assert lines["bought"][:5] == ["bought", "(to", "predict)", "text", "-"]
    assert cli.main(["data", prices(folder)[0], "--label-column", "price"]) == 0
    assert "task        regression" in capsys.readouterr().out


def test_a_class_that_is_missing_from_a_part_has_count_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = pictures(20, 0)
    np.savez(folder / "d.npz", x_train=x, y_train=y, x_test=x[y == 0], y_test=y[y == 0])
    assert record(capsys, "data", folder / "d.npz")["class_counts"]["test"] == [7, 0, 0]
    assert cli.main(["train", "--data", str(folder / "d.npz"), "--epochs", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("-")  # a class without test examples has no recall


def test_too_few_examples_to_hold_out_are_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, _ = pictures(2, 0)
    np.savez(folder / "d.npz", x=x, y=np.array([0, 1]))
    assert "no example is held out" in error(capsys, "train", "--data", folder / "d.npz")


def test_a_download_prints_one_line_for_each_file(
    data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ready = fastnet.data.load(data)

    def load(source: str, *, progress: Progress | None, **options: object) -> fastnet.data.Dataset:
        for file in ("images", "labels"):
            for done in (1, 2, 3) if progress else ():
                progress(file, done, 3)
        return ready

    monkeypatch.setattr(fastnet.data, "load", load)
    assert cli.main(["data", "mnist"]) == 0
    assert capsys.readouterr().err == "downloading images\ndownloading labels\n"
    assert cli.main(["data", "mnist", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
