"""ProgressBar: what it shows, and the error where tqdm is missing."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from trainer_cases import X, Y, make

from fastnet import FastnetError, Network, ProgressBar, Trainer
from fastnet.text import short_number
from fastnet.training import progress_bar


def last_line(trainer: Trainer, y: Any, capsys: pytest.CaptureFixture[str], **arguments: Any) -> str:
    pytest.importorskip("tqdm", reason="the bar needs tqdm (extra: cli)")
    bar = ProgressBar()  # kept, because tqdm closes a bar that nobody holds
    trainer.fit(X, y, callbacks=[bar], **arguments)
    drawn = capsys.readouterr()
    assert not drawn.out
    assert drawn.err.endswith("\n")
    return drawn.err.rstrip("\n").split("\r")[-1]


def test_the_bar_shows_the_last_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = make()
    for _ in range(2):  # a second fit counts its own epochs
        line = last_line(trainer, Y, capsys, epochs=12, validation_split=0.5)
        last = trainer.history.epochs[-1]
        scores = f"cost {last.cost:.4f}, accuracy {last.accuracy:.2%}, validation {last.validation_accuracy:.2%}, "
        assert line.startswith(f"epoch 12/12, {scores}")
        assert line.endswith("examples/s |██████████| 00:00 left")


def test_the_bar_of_a_regression_shows_r2(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = Trainer(Network([6, 1], output="identity", seed=0), learning_rate=0.05, seed=0)
    line = last_line(trainer, X.sum(1), capsys, epochs=3, validation_data=(X, X.sum(1)))
    last = trainer.history.epochs[-1]
    assert f"R2 {last.r2:.3f}, validation R2 {last.validation_r2:.3f}, " in line


def test_a_fit_that_fails_closes_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm", reason="the bar needs tqdm (extra: cli)")

    def fail(trainer: Trainer, epoch: Any) -> None:
        raise LookupError

    bar = ProgressBar()
    with pytest.raises(LookupError):
        make().fit(X, Y, epochs=3, callbacks=[bar, fail])
    assert capsys.readouterr().err.endswith("left\n")


def test_without_tqdm_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    trainer = make()
    with pytest.raises(FastnetError, match=r'a progress bar needs tqdm .*pip install "fastnet-mlp\[cli\]"'):
        trainer.fit(X, Y, epochs=3, callbacks=[ProgressBar()])
    assert trainer.steps == 0


def test_a_notebook_gets_the_bar_of_tqdm_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    auto = pytest.importorskip("tqdm.auto", reason="the bar needs tqdm (extra: cli)")
    made = []

    class Widget(auto.tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            made.append(self)

    monkeypatch.setattr(auto, "tqdm", Widget)
    monkeypatch.setitem(sys.modules, "ipykernel", np)
    make().fit(X, Y, epochs=3, callbacks=[ProgressBar()])
    assert (len(made), made[0].n) == (1, 3)


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (None, "epoch 3/3, cost {cost:.4f}, accuracy {accuracy:.2%}, validation {validation:.2%}, {speed} |{bar10}"),
        (120, "epoch 3/3, cost {cost:.4f}, accuracy {accuracy:.2%}, validation {validation:.2%}, {speed} |{bar}"),
        (90, "epoch 3/3, cost {cost:.4f}, accuracy {accuracy:.2%}, validation {validation:.2%} |{bar}"),
        (70, "epoch 3/3, cost {cost:.4f}, accuracy {accuracy:.2%}, validation {validation:.2%}"),
        (50, "epoch 3/3, cost {cost:.4f}, accuracy {accuracy:.2%}"),
        (35, "epoch 3/3, accuracy {accuracy:.2%}"),
        (20, "epoch 3/3"),
        (8, ""),
    ],
)
def test_a_narrow_terminal_gets_fewer_parts(
    columns: int | None, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress_bar, "terminal_columns", lambda: columns)
    trainer = make()
    drawn = last_line(trainer, Y, capsys, epochs=3, validation_split=0.5).rstrip()
    last = trainer.history.epochs[-1]
    start, _, bar = line.partition("|")
    shown = start.format(
        cost=last.cost,
        accuracy=last.accuracy,
        validation=last.validation_accuracy,
        speed=f"{short_number(last.examples_per_second)} examples/s",
    )
    assert drawn.partition("|")[0].rstrip() == shown.rstrip()
    width = drawn.count("█")
    assert bool(width) == bool(bar)
    assert columns is None or (len(drawn) < columns and (not bar or width >= progress_bar.MIN_BAR))
