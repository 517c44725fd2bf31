"""Every function that takes a path refuses impossible paths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastnet
from fastnet import Network
from fastnet.data.arrays import read_idx, read_npy, read_npz
from fastnet.data.csv_tables import read_csv
from fastnet.data.files import atomic_write, make_folder
from fastnet.data.formats import read_array
from fastnet.data.pictures import read_picture
from fastnet.errors import DataError
from fastnet.training.runs import Run

NETWORK = Network([4, 3], seed=0)


def write(path: Any) -> None:
    with atomic_write(path) as file:
        file.write(b"text")


def picture(path: Any) -> None:
    style = pytest.importorskip("fastnet.plots.style", reason="needs Matplotlib (extra: plot)")
    style.save(style.figure(), path)


CALLS: dict[str, tuple[str, Callable[[Any], object]]] = {  # (name of the argument, call)
    "save": ("path", NETWORK.save),
    "load": ("path", Network.load),
    "read_idx": ("path", read_idx),
    "read_npy": ("path", read_npy),
    "read_npz": ("path", read_npz),
    "read_csv": ("path", read_csv),
    "read_array": ("path", read_array),
    "atomic_write": ("path", write),
    "read_picture": ("path", lambda path: read_picture(path, (2, 2))),
    "plot": ("path", picture),
    "source": ("source", lambda path: fastnet.data.load(path)),
    "labels": ("labels", lambda path: fastnet.data.load("x.npy", labels=path)),
    "data_dir": ("data_dir", lambda path: fastnet.data.load("mnist", data_dir=path)),
    "locate": ("data_dir", lambda path: fastnet.data.locate("mnist", path)),
    "Run.save": ("folder", Run(NETWORK).save),
    "save_record": ("folder", Run(NETWORK).save_record),
    "Run.load": ("folder", Run.load),
    "make_folder": ("folder", make_folder),
}


IMPOSSIBLE: list[tuple[Any, type[Exception], str]] = [
    ("", DataError, "{} is an empty string: give the name of a file or folder"),
    ("a\0b", DataError, r"{} 'a\x00b' has a null byte, which no file name can contain: give another name"),
    (3, TypeError, "{} must be a str or os.PathLike, not 3"),
    (b"a", TypeError, "{} must be a str or os.PathLike, not b'a'"),
]


@pytest.mark.parametrize(("argument", "call"), CALLS.values(), ids=CALLS)
def test_an_impossible_path_is_refused(
    argument: str, call: Callable[[Any], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path, error, words in IMPOSSIBLE:
        with pytest.raises(error) as caught:
            call(path)
        assert str(caught.value) == words.format(argument)
    assert not list(tmp_path.iterdir())
