"""The progress of `fastnet train` on terminals of several widths, read as a terminal shows it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cli_cases import FIT

from fastnet import Callback, EpochSoFar, Network, Trainer
from fastnet.cli import entry, progress
from fastnet.training import progress_bar

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="this system has no pseudo-terminals")

# What a row may hold. No number is cut, since each part is complete.
TITLE, COST, SCORE, TEST = r"epoch +\d+/\d+", r"cost \d+\.\d{4}", r"accuracy \d+\.\d\d%", r"test \d+\.\d\d%"
LIVE = re.compile(
    rf"{TITLE}(, {COST})?(, {SCORE})?(, {TEST})?(, [\d.]+[kM]? examples/s)?( \|[^|]+\| (\?|[\d:]+) left)? *"
)
FINISHED = re.compile(rf"{TITLE}  ({COST}, )?{SCORE}(  test ({COST}, {SCORE}|\d+\.\d\d%))?(  [\d,]+ examples/s)?")


class Terminal:
    """A command whose stderr is a terminal."""

    def __init__(self, columns: int, *arguments: object, **environment: str) -> None:
        import pty

        self._ours, self._theirs = pty.openpty()
        self.resize(columns)
        command = [sys.executable, "-m", "fastnet", *map(str, arguments)]
        environment = {"TERM": "xterm-256color"} | environment
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._theirs, env=dict(os.environ) | environment
        )
        os.close(self._theirs)
        self.drawn = ""

    def resize(self, columns: int) -> None:
        import fcntl
        import termios

        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))

    def read(self, is_enough: Callable[[str], bool] = lambda new: False) -> str:
        """Return what is drawn from now on, until it is enough, or until the command ends."""
        new = b""
        with contextlib.suppress(OSError):  # on Linux, reading raises when the other side has closed
            while not is_enough(new.decode(errors="ignore")) and (part := os.read(self._ours, 1 << 16)):
                new += part
        self.drawn += new.decode(errors="ignore")
        return new.decode(errors="ignore")

    def end(self) -> int:
        """Read to the end, and return the command's exit status."""
        self.read()
        self.drawn = re.sub(r"compiling [^\n]*\n", "", self.drawn)  # a busy machine prints this line
        os.close(self._ours)
        self.process.communicate(timeout=60)
        return self.process.returncode


def rows(drawn: str) -> list[str]:
    """Return the rows that a terminal shows after this output, which has no escape codes and fits the width."""
    assert "\x1b" not in drawn
    found = []
    for line in drawn.replace("\r\n", "\n").split("\n"):
        row = ""
        for part in line.split("\r"):
            row = part + row[len(part) :]
        found.append(row.rstrip())
    return found


@pytest.fixture(autouse=True)
def _tqdm() -> None:
    pytest.importorskip("tqdm", reason="the live line needs tqdm (extra: cli)")


@pytest.mark.parametrize(
    ("columns", "live", "finished"),
    [
        (24, "epoch 15/15", "epoch 15/15"),
        (40, "epoch 15/15, accuracy 100.00%", "epoch 15/15  accuracy 100.00%"),
        (80, "epoch 15/15, cost 0.0", "epoch 15/15  cost 0.0"),
        (200, "epoch 15/15, cost 0.0", "epoch 15/15  cost 0.0"),
    ],
)
def test_every_row_fits_and_no_number_is_cut(columns: int, live: str, finished: str, data: str) -> None:
    terminal = Terminal(columns, "train", "--data", data, *FIT, "--validate")
    assert terminal.end() == 0
    *shown, last = rows(terminal.drawn)
    assert last == ""  # the live line is gone
    assert [int(row[5:8]) for row in shown] == list(range(1, 16))
    assert shown[-1].startswith(finished)
    assert all(FINISHED.fullmatch(row) or columns == 24 for row in shown)
    frames = [
        frame for frame in re.split(r"[\r\n]+", terminal.drawn) if frame.strip() and not FINISHED.fullmatch(frame)
    ]
    assert any(frame.startswith(live) for frame in frames)
    assert all(LIVE.fullmatch(frame) and len(frame) < columns for frame in frames)
    assert ("examples/s" in shown[-1], "examples/s" in frames[-1]) == (columns == 200, columns == 200)
    assert ("test cost" in shown[-1], any("|" in frame for frame in frames[2:])) == (columns >= 80, columns >= 80)


def test_many_epochs_leave_a_screen_of_lines(data: str) -> None:
    terminal = Terminal(80, "train", "--data", data, "--layers", "64,8,3", "--epochs", "430", "--learning-rate", "0.5")
    assert terminal.end() == 0
    shown = [int(row[5:9]) for row in rows(terminal.drawn)[:-1]]
    assert shown == [1, *range(50, 401, 50), 430]


def test_the_line_follows_the_width_and_ctrl_c_leaves_it(data: str) -> None:
    terminal = Terminal(100, "train", "--data", data, "--layers", "64,8,3", "--epochs", "100000000")
    terminal.read(lambda new: " left" in new)
    terminal.resize(50)
    new = terminal.read(lambda new: new.count("\r") > 20)
    assert all(len(frame) < 50 for frame in new.split("\r")[-10:-1])
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == entry.INTERRUPTED
    *_, before, last, end = rows(terminal.drawn)
    assert before.startswith("epoch ")
    assert re.fullmatch(
        r"fastnet: interrupted after [\d,]+ updates; nothing is saved, since .* is given; exit code 130", last
    )
    assert end == ""


def test_a_warning_stands_above_the_live_line(data: str) -> None:
    arguments = ("--layers", "64,8,3", "--epochs", "7", "--learning-rate", "1e-9")
    terminal = Terminal(80, "train", "--data", data, *arguments)
    assert terminal.end() == 0
    starts = [row.split()[:2] for row in rows(terminal.drawn)[:-1]]
    assert starts == [
        *(["epoch", f"{k}/7"] for k in range(1, 6)),
        ["fastnet:", "warning:"],
        ["epoch", "6/7"],
        ["epoch", "7/7"],
    ]


def test_no_escape_codes_are_written(data: str) -> None:
    terminal = Terminal(80, "train", "--data", data, *FIT, NO_COLOR="1", TQDM_COLOUR="red")
    assert terminal.end() == 0
    assert "\x1b" not in terminal.drawn


@pytest.mark.parametrize(("columns", "term"), [(0, "xterm"), (80, "dumb")])
def test_a_terminal_that_cannot_show_a_live_line_gets_a_line_an_epoch(columns: int, term: str, data: str) -> None:
    terminal = Terminal(columns, "train", "--data", data, *FIT, TERM=term)
    assert terminal.end() == 0
    assert "\r" not in terminal.drawn.replace("\r\n", "\n")
    assert [int(row[5:8]) for row in rows(terminal.drawn)[:-1]] == list(range(1, 16))


@pytest.fixture
def width(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list whose entry is the width of the terminal that stderr pretends to be."""
    columns = [120]
    for module in (progress, progress_bar):
        monkeypatch.setattr(module, "terminal_columns", lambda: columns[0])
    monkeypatch.setenv("TERM", "xterm")
    return columns


def fit(epochs: int, act: Callable[[Trainer, Any], object]) -> None:
    """Train with the live line. `act` is called with the trainer and what is known of the epoch after each batch."""

    class Act(Callback):
        every = 1

        def on_batches(self, trainer: Trainer, so_far: EpochSoFar) -> None:
            act(trainer, so_far)

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 4)), rng.integers(0, 2, 60)
    live = progress.training_progress(epochs, quiet=False, validation_name="held out")
    trainer = Trainer(Network([4, 8, 2], seed=0), batch_size=12, seed=0)
    trainer.fit(x, y, epochs=epochs, validation_split=0.2, callbacks=[*live, Act()])


def test_a_fit_that_stops_early_shows_its_last_epoch(width: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    fit(1000, lambda trainer, so_far: so_far.epoch == 57 and trainer.stop())
    *shown, end = rows(capsys.readouterr().err)
    assert [int(row[5:10]) for row in shown] == [1, 50, 57]
    assert all("  held out cost " in row for row in shown)
    assert end == ""


def test_ctrl_c_leaves_the_line_of_the_running_epoch(width: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(trainer: Trainer, so_far: EpochSoFar) -> None:
        if (so_far.epoch, so_far.batch) == (24, 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(100, interrupt)
    *_, before, finished, running, end = rows(capsys.readouterr().err)
    assert before.startswith("epoch  20/100  ")
    assert finished.startswith("epoch  23/100  ")
    assert running.startswith("epoch  24/100, ")
    assert end == ""


def test_a_terminal_that_shrinks_gets_a_new_line(width: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    def shrink(trainer: Trainer, so_far: EpochSoFar) -> None:
        if (so_far.epoch, so_far.batch) == (3, 2):
            assert "examples/s" in capsys.readouterr().err
            width[0] = 40

    fit(5, shrink)
    drawn = capsys.readouterr().err
    assert drawn.startswith("\n")
    assert all(len(part) <= 40 for part in re.split(r"[\r\n]", drawn))
    assert [int(row[5:7]) for row in rows(drawn[1:])[:-1]] == [3, 4, 5]


@pytest.mark.parametrize(
    ("epochs", "step"), [(0, 1), (20, 1), (21, 2), (40, 2), (41, 5), (100, 5), (101, 10), (10**9, 5 * 10**7)]
)
def test_the_lines_are_at_round_epochs(epochs: int, step: int) -> None:
    assert progress._step(epochs) == step
