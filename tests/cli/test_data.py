"""`fastnet data`: the table of all sets, and the sizes and classes of one set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_cases import error, pictures, record

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
