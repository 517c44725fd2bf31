"""Loggers: what they write equals the history, they continue a log, and their failures never stop a training."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnet import Checkpoint, CSVLogger, DataError, FastnetError, JSONLines, Logger, Network, TensorBoard, Trainer
from fastnet.training import loggers
from fastnet.training.history import FIELDS, TEXTS, Epoch

X, Y = np.random.default_rng(0).random((30, 3)), np.arange(30) % 2
Log = dict[int, dict[str, Any]]  # the fields of each epoch


def read_csv(path: Path) -> Log:
    with open(path, newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert all(tuple(row) == FIELDS for row in rows)
    return by_epoch([{k: text if k in TEXTS else converted(text) for k, text in row.items()} for row in rows])


def converted(text: str) -> float:
    return float(text) if text else math.nan


def read_json(path: Path) -> Log:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return by_epoch([{name: math.nan if value is None else value for name, value in row.items()} for row in rows])


def by_epoch(rows: list[dict[str, Any]]) -> Log:
    found = {row["epoch"]: row for row in rows}
    assert [row["epoch"] for row in rows] == sorted(found)  # none twice, and in order
    return found


def read_tensorboard(path: Path) -> Log:
    """Return the scalars that TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(path)).Reload()
    rows: Log = {}
    for name in events.Tags()["scalars"]:
        for event in events.Scalars(name):
            rows.setdefault(event.step, {})[name] = event.value
    return {epoch: dict.fromkeys(FIELDS, math.nan) | row for epoch, row in sorted(rows.items())}


needs_tensorboard = pytest.mark.skipif(
    not importlib.util.find_spec("tensorboard"), reason="TensorBoard is missing (extra: tensorboard)"
)
KINDS = [
    pytest.param(CSVLogger, read_csv, id="csv"),
    pytest.param(JSONLines, read_json, id="json"),
    pytest.param(TensorBoard, read_tensorboard, id="tensorboard", marks=needs_tensorboard),
]
kinds = pytest.mark.parametrize(("make", "read"), KINDS)


def trainer() -> Trainer:
    return Trainer(Network([3, 4, 2], seed=0), backend="numpy", seed=0)


def agrees(log: Log, epochs: list[Epoch]) -> None:
    """Check that a log holds these epochs. TensorBoard keeps numbers only, as float32."""
    log_has_no_texts = not any(isinstance(value, str) for row in log.values() for value in row.values())
    assert list(log) == [epoch.epoch for epoch in epochs]
    for epoch in epochs:
        assert log[epoch.epoch].keys() == set(FIELDS)
        for name, found in log[epoch.epoch].items():
            expected = getattr(epoch, name)
            if isinstance(expected, str):
                is_empty = log_has_no_texts or not expected  # `converted` reads an empty text as nan
                assert found == expected or (is_empty and math.isnan(found))
            else:
                np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=name)


@kinds
def test_a_log_holds_all_fields_of_the_history(make: Any, read: Callable[[Path], Log], tmp_path: Path) -> None:
    one = trainer()
    assert any(math.isnan(epoch.r2) for epoch in one.fit(X, Y, epochs=3, callbacks=[make(tmp_path / "a")]))
    agrees(read(tmp_path / "a"), one.history.epochs)
    assert one.history["epoch"] == [1, 2, 3]


@kinds
def test_another_fit_of_a_trainer_continues_and_a_new_trainer_begins_anew(
    make: Any, read: Callable[[Path], Log], tmp_path: Path
) -> None:
    one, logger = trainer(), make(tmp_path / "a")
    one.fit(X, Y, epochs=2, callbacks=[logger])
    one.fit(X, Y, epochs=2, callbacks=[logger])
    one.fit(X, Y, epochs=1, callbacks=[make(tmp_path / "a")])
    agrees(read(tmp_path / "a"), one.history.epochs)
    assert len(one.history) == 5
    other = trainer()
    other.fit(X, Y, epochs=3, callbacks=[logger])
    agrees(read(tmp_path / "a"), other.history.epochs)


@kinds
def test_a_resumed_training_drops_the_lines_after_its_checkpoint(
    make: Any, read: Callable[[Path], Log], tmp_path: Path
) -> None:
    def fail(_: Trainer, epoch: Epoch) -> None:
        if epoch.epoch == 5:
            raise OSError("the power fails")

    first = [make(tmp_path / "a"), Checkpoint(tmp_path / "checkpoints", every=2), fail]
    with pytest.raises(OSError, match="power"):
        trainer().fit(X, Y, epochs=7, callbacks=first)
    assert list(read(tmp_path / "a")) == [1, 2, 3, 4, 5]
    resumed, logger = Trainer.resume(tmp_path / "checkpoints"), make(tmp_path / "a")
    assert len(resumed.history) == 4
    resumed.fit(X, Y, callbacks=[logger, Checkpoint(tmp_path / "checkpoints", every=2)])
    agrees(read(tmp_path / "a"), resumed.history.epochs)
    assert resumed.history["epoch"] == [1, 2, 3, 4, 5, 6, 7]
    assert logger.state == {"epoch": 7}


def test_setting_the_state_drops_later_lines(tmp_path: Path) -> None:
    class Restore(Logger):
        def open(self, after: int) -> None:
            logger.state = {"epoch": 2}  # a resumed fit sets the state after on_fit_begin

    one, logger = trainer(), JSONLines(tmp_path / "a")
    one.fit(X, Y, epochs=4, callbacks=[logger])
    one.fit(X, Y, epochs=1, callbacks=[logger, Restore()])
    assert list(read_json(tmp_path / "a")) == [1, 2, 5]


@pytest.mark.parametrize(("make", "read"), KINDS[:2])
def test_a_part_of_a_line_is_dropped(make: Any, read: Callable[[Path], Log], tmp_path: Path) -> None:
    one = trainer()
    one.fit(X, Y, epochs=2, callbacks=[make(tmp_path / "a")])
    os.truncate(tmp_path / "a", (tmp_path / "a").stat().st_size - 1)  # the end of the line of epoch 2 is lost
    one.fit(X, Y, epochs=1, callbacks=[make(tmp_path / "a")])
    assert list(read(tmp_path / "a")) == [1, 3]


def test_a_file_with_other_columns_keeps_them(tmp_path: Path) -> None:
    path, one = tmp_path / "a.csv", trainer()
    one.fit(X, Y, epochs=1)
    path.write_text("epoch,old,cost\n1,7,0.5\n")
    one.fit(X, Y, epochs=1, callbacks=[CSVLogger(path)])
    assert path.read_text() == f"epoch,old,cost\n1,7,0.5\n2,,{one.history['cost'][1]!r}\n"
    path.write_text("a,table\n1,2\n")  # not a log
    one.fit(X, Y, epochs=1, callbacks=[CSVLogger(path)])
    assert list(read_csv(path)) == [3]


FOREIGN = [
    b"",
    b"\n",
    b"1,2\n",
    b"\xff\xfe\n",
    b"epoch;1\n",
    b"epoch,\xff\nx\n",
    b"[" * 100_000 + b"\n",
    b"9" * 5000 + b"\n",
]
FOREIGN += [
    b"%s\n" % text for text in (b"[1]", b"{}", b"null", b'{"epoch": 1e999}', b'{"epoch": null}', b'{"epoch": "x"}')
]


@pytest.mark.parametrize("content", FOREIGN, ids=lambda content: str(content[:20]))
@pytest.mark.parametrize(("make", "read"), KINDS[:2])
def test_a_file_that_is_no_log_is_replaced(
    make: Any, read: Callable[[Path], Log], content: bytes, tmp_path: Path
) -> None:
    one = trainer()
    one.fit(X, Y, epochs=1)
    (tmp_path / "a").write_bytes(content)
    one.fit(X, Y, epochs=1, callbacks=[make(tmp_path / "a")])
    if make is CSVLogger and content.startswith(b"epoch,"):
        assert (tmp_path / "a").read_bytes().splitlines()[1:] == [b"2,"]  # the columns of the file stay
    else:
        assert list(read(tmp_path / "a")) == [2]


# -- failures ----------------------------------------------------------------------------------------------------------


class FullDisk(io.FileIO):
    """A file on a disk with room for two and a half lines of JSON."""

    def write(self, content: Any) -> int:
        room = 1200 - self.seek(0, os.SEEK_END)
        return super().write(content[: max(room, 0)])


def full_disk(path: Path, logger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loggers.io, "FileIO", FullDisk)


def removed_file(path: Path, logger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    step = logger.write

    def write(record: dict[str, Any]) -> None:
        if record["epoch"] == 2:
            path.unlink()
        step(record)

    logger.write = write


def closed_file(path: Path, logger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    step = logger.write

    def write(record: dict[str, Any]) -> None:
        step(record)
        if record["epoch"] == 2:
            logger.close()

    logger.write = write


def missing_folder(path: Path, logger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.rmdir()


@pytest.mark.parametrize(
    ("damage", "words", "kept"),
    [
        (full_disk, "No space left on device", [1, 2]),
        (removed_file, "its file was removed", None),
        (closed_file, "its file was closed", [1, 2]),
        (missing_folder, "No such file or directory", None),
    ],
)
def test_a_failure_warns_once_and_the_training_goes_on(
    damage: Any, words: str, kept: list[int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    path.parent.mkdir()
    one, other, logger = trainer(), trainer(), JSONLines(path)
    damage(path, logger, monkeypatch)
    with pytest.warns(UserWarning, match=rf"JSONLines\('.*a.jsonl'\) ends its log .*{words}") as warned:
        one.fit(X, Y, epochs=5, callbacks=[logger])
    assert len(warned) == 1
    other.fit(X, Y, epochs=5)
    assert one.network.parameters.tobytes() == other.network.parameters.tobytes()
    assert (list(read_json(path)) if path.exists() else None) == kept
    monkeypatch.undo()
    path.parent.mkdir(exist_ok=True)
    vars(logger).pop("write", None)
    one.fit(X, Y, epochs=1, callbacks=[logger])  # the next fit tries again
    assert list(read_json(path)) == [*(kept or []), 6]


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.warns(UserWarning, match="pipe is not a regular file"):
        trainer().fit(X, Y, epochs=1, callbacks=[CSVLogger(tmp_path / "pipe")])


def test_what_is_no_path_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="path must be a str"):
        CSVLogger(3)  # type: ignore[arg-type]  # the wrong type is the point
    with pytest.raises(DataError, match="folder is an empty string"):
        TensorBoard("")


def test_a_missing_tensorboard_is_an_error_before_the_first_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    one = trainer()
    with pytest.raises(FastnetError, match=r'python -m pip install "fastnet-mlp\[tensorboard\]"'):
        one.fit(X, Y, epochs=1, callbacks=[TensorBoard(tmp_path)])
    assert not one.history


ENDLESS = """
import sys
import numpy as np
import fastnet
trainer = fastnet.Trainer(fastnet.Network([3, 2], seed=0), backend="numpy")
logs = [fastnet.CSVLogger(sys.argv[1] + "/a.csv"), fastnet.JSONLines(sys.argv[1] + "/a.jsonl")]
trainer.fit(np.ones((9, 3)), np.zeros(9, int), epochs=10**6, callbacks=logs)
"""


def test_lines_appear_at_once_and_a_kill_leaves_whole_lines(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen([sys.executable, "-c", ENDLESS, str(tmp_path)], env=environment)
    log, deadline = tmp_path / "a.jsonl", time.monotonic() + 60
    try:
        while not log.exists() or log.read_bytes().count(b"\n") < 50:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.001)
    finally:
        process.kill()
        process.wait()
    for path in (tmp_path / "a.csv", log):
        assert path.read_bytes().endswith(b"\n")
    assert len(read_csv(tmp_path / "a.csv")) - len(read_json(log)) in (0, 1)
