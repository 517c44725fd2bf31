"""Impossible paths for every function that takes a path but no name of a data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastnet
from fastnet import Network
from fastnet.data.arrays import read_idx, read_npy, read_npz
from fastnet.data.files import atomic_write, make_folder
from fastnet.data.formats import read_array
from fastnet.data.pictures import read_picture
from fastnet.data.tables import read_csv
from fastnet.errors import DataError
from fastnet.training.runs import Run

NETWORK = Network([4, 3], seed=0)


def write(path: Any) -> None:
    with atomic_write(path) as file:
        file.write(b"text")


def picture(path: Any) -> None:
    style = pytest.importorskip("fastnet.plots.style", reason="needs Matplotlib (extra: plot)")
    style.save(style.figure(), path)


CALLS: dict[str, Callable[[Any], object]] = {
    "save": NETWORK.save,
    "load": Network.load,
    "read_idx": read_idx,
    "read_npy": read_npy,
    "read_npz": read_npz,
    "read_csv": read_csv,
    "read_array": read_array,
    "atomic_write": write,
    "read_picture": lambda path: read_picture(path, (2, 2)),
    "plot": picture,
    "data_dir": lambda path: fastnet.data.load("mnist", data_dir=path),
    "locate": lambda path: fastnet.data.locate("mnist", path),
    "Run.save": Run(NETWORK).save,
    "save_record": Run(NETWORK).save_record,
    "Run.load": Run.load,
    "make_folder": make_folder,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "the path is empty: give the name of a file or folder"),
        ("a\0b", r"'a\x00b' has a null byte, which no file name can contain: give another name"),
    ],
    ids=["empty", "null"],
)
def test_an_impossible_path_is_refused(
    call: Callable[[Any], object], path: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        call(path)
    assert str(caught.value) == words
    assert not list(tmp_path.iterdir())
