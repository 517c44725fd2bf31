"""--checkpoint-every and --resume of `fastnet train`: a killed training goes on to the same bits."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import conftest
import numpy as np
import pytest
from cli_cases import FIT, error, flowers, prices, record
from pairwise import cover

import fastnet
from fastnet import cli
from fastnet.backends import interrupts
from fastnet.cli import progress, resuming
from fastnet.data.files import locked_folder
from fastnet.training.callbacks import Callback, EpochSoFar
from fastnet.training.history import Epoch
from fastnet.training.runs import FILES

TIMES = ("seconds", "examples_per_second", "date", "started")
REASONS = ("backend_reason",)  # run.toml names the backend, so a resumed training was told which one to use


class Interrupt(Callback):
    """Ctrl-C after some batches of some epoch, or after the epoch (batch 0).

    Ctrl-C in a kernel ends the fit at the next batch. Ctrl-C in a callback raises KeyboardInterrupt there, and the last
    checkpoint before it counts.
    """

    every = 1

    def __init__(self, epoch: int, batch: int, *, in_callback: bool = False) -> None:
        self._at, self._in_callback = (epoch, batch), in_callback

    def on_batches(self, trainer: Any, so_far: EpochSoFar) -> None:
        self._interrupt(so_far.epoch, so_far.batch)

    def on_epoch_end(self, trainer: Any, epoch: Epoch) -> None:
        self._interrupt(epoch.epoch, 0)

    def _interrupt(self, *at: int) -> None:
        if at == self._at and self._in_callback:
            raise KeyboardInterrupt
        if at == self._at:
            interrupts._deferring[-1].note()


def train(*arguments: object, status: int = 0) -> None:
    assert cli.main(["train", *map(str, arguments), "--quiet"]) == status


def results(folder: Path) -> dict[str, Any]:
    """Return everything in the files of a run but times."""
    texts = [json.loads((folder / name).read_text()) for name in ("history.json", "run.json")]
    found = {f"{k}.{name}": text[name] for k, text in enumerate(texts) for name in text if name not in TIMES + REASONS}
    networks = [fastnet.Network.load(folder / name) for name in ("network.npz", "initial.npz")]
    return found | {f"network {k}": network.parameters.tobytes() for k, network in enumerate(networks)}


def data_sets(folder: Path) -> dict[str, tuple[str, ...]]:
    return {
        "pictures": ("--data", str(folder / "bands.npz"), "--activation", "relu", "--learning-rate", "0.01"),
        "classes": ("--data", flowers(folder, 100)[0]),
        "numbers": ("--data", prices(folder, 100)[0], "--label-column", "price"),
    }


AXES: dict[str, tuple[Any, ...]] = {
    "data": ("pictures", "classes", "numbers"),
    "optimizer": ("", "--optimizer adam --schedule step", "--optimizer momentum"),
    "rest": ("", "--dropout 0.2 --sparse no", "--dtype float64 --no-shuffle"),
    "kernels": ("--backend numpy", "--backend cython --threads 2", "--backend cython"),
    "end": ("--epochs 8", "--epochs 40 --patience 2 --validation-split 0.2"),
    "every": ("0.001s", "2epochs"),
    "breaks": (((1, 2), (2, 0)), ((3, 1),), ((4, 0), (4, 0), (6, 2))),
    "in callback": (False, True),
}


def _drawn(n: int) -> list[tuple[Any, ...]]:
    rng = random.Random(1)
    return [tuple(map(rng.choice, AXES.values())) for _ in range(n)]


@pytest.mark.parametrize("case", [*cover(*AXES.values()), *_drawn(3)], ids=str)
def test_a_training_with_breaks_gives_the_bits_of_one_without(
    case: tuple[Any, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conftest.load_backend("cython")
    data, *options, every, breaks, in_callback = case
    command = [*data_sets(folder)[data], *" ".join(options).split()]
    train(*command, "--out", folder / "whole")
    start = [*command, "--out", folder / "a", "--checkpoint-every", every]
    for at in breaks:
        breaking = Interrupt(*at, in_callback=in_callback)
        monkeypatch.setattr(progress, "training_progress", lambda *arguments, breaking=breaking: [breaking])
        assert cli.main(["train", *map(str, start), "--quiet"]) in (0, 130)
        if (folder / "a" / resuming.CHECKPOINTS).is_dir() and any((folder / "a" / resuming.CHECKPOINTS).iterdir()):
            start = ["--resume", str(folder / "a")]  # before the first checkpoint the training begins again
    monkeypatch.undo()
    train(*start)
    assert results(folder / "a") == results(folder / "whole")


@pytest.mark.parametrize("every", ["0.01s", None])
def test_a_killed_process_is_resumed_to_the_same_bits(every: str | None, folder: Path, data: str) -> None:
    """SIGKILL at random moments with checkpoints, Ctrl-C without --checkpoint-every."""
    command = ["--data", data, *FIT, "--epochs", "1500", "--backend", "numpy", "--dropout", "0.1", "--quiet"]
    out = folder / "a"
    train(*command, "--out", folder / "whole")
    arguments = [*command, "--out", str(out), *(["--checkpoint-every", every] if every else [])]
    rng, kills, status = random.Random(2), 0, -1
    while status != 0:
        with subprocess.Popen([sys.executable, "-m", "fastnet", "train", *arguments]) as process:
            if kills < 3:
                waited = time.monotonic() + 60
                while not list(out.rglob("run.toml")) and time.monotonic() < waited:
                    time.sleep(0.01)
                time.sleep(rng.uniform(0.05, 0.4))
                process.send_signal(signal.SIGKILL if every else signal.SIGINT)
                kills += 1
            status = process.wait(timeout=120)
        if list((out / resuming.CHECKPOINTS).glob("*.npz")):
            arguments = ["--resume", str(out), "--quiet"]
    assert kills
    assert results(out) == results(folder / "whole")
    assert [path.name for path in folder.rglob(".fastnet-*")] == [] or every


def test_ctrl_c_says_how_to_go_on_and_a_finished_training_prints_its_results(
    folder: Path, data: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, save = folder / "my run", folder / "m.npz"
    with monkeypatch.context() as patched:
        patched.setattr(progress, "training_progress", lambda *arguments: [Interrupt(3, 2)])
        started = ("train", "--data", data, *FIT, "--backend", "numpy", "--out", str(out), "--save", str(save))
        assert cli.main([*started, "--json"]) == 130
    said = f"fastnet: interrupted after 26 updates; the network trained so far is saved in {save} and {out}; "
    assert capsys.readouterr().err == f"{said}to continue: fastnet train --resume '{out}'; exit code 130\n"
    save.unlink()
    refused = f"--out {out} holds the checkpoints of a training that is not finished: continue it with fastnet train "
    assert refused in error(capsys, *started)
    assert cli.main(["train", "--resume", str(out)]) == 0
    text, err = capsys.readouterr()
    assert "resumed     after 26 updates, in epoch 3" in text
    assert err.splitlines()[0].startswith("epoch  3/15")
    assert (
        fastnet.Network.load(save).parameters.tobytes()
        == fastnet.Network.load(out / "network.npz").parameters.tobytes()
    )
    assert sorted(path.name for path in out.iterdir()) == sorted([*FILES, "run.toml"])
    again = record(capsys, "train", "--resume", out)
    assert (again["epochs"], again["test"]["accuracy"], again["out"]) == (15, 1.0, str(out))
    assert cli.main(["train", "--resume", str(out)]) == 0
    assert "after 15 epochs: there is nothing to continue" in capsys.readouterr().out
    assert cli.main([*started, "--quiet"]) == 0  # a finished training may be trained again


@pytest.fixture
def waiting(folder: Path, data: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training that was interrupted in its third epoch."""
    with monkeypatch.context() as patched:
        patched.setattr(progress, "training_progress", lambda *arguments: [Interrupt(3, 2)])
        train("--data", data, *FIT, "--backend", "numpy", "--seed", 5, "--out", folder / "a", status=130)
    return folder / "a"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            "--seed 0",
            "--resume continues the training of {run} as it began, but --seed would change it: leave out --seed",
        ),
        ("--set batch_size=32", "but --batch-size would change it"),
        ("--set batch_size=", "but --set would change it"),
        ("--epochs 30", "but --epochs would change it"),
        ("--config {run}/run.toml", "but --config would change it"),
        ("--out {run}b", "but --out would change it"),
        ("--no-shuffle", "but --no-shuffle would change it"),
        (
            "--data {run}/../other.npz",
            "the data {run}/../other.npz are not those of {run}/run.toml: the values differ: restore",
        ),
        ("--data {run}/../nowhere.npz", "there is no file"),
    ],
)
def test_what_would_change_the_training_is_refused(
    options: str, said: str, waiting: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = dict(np.load(waiting.parent / "bands.npz"))
    arrays["y_train"] = arrays["y_train"][::-1].copy()
    np.savez(waiting.parent / "other.npz", **arrays)
    words = options.format(run=waiting).split()
    assert said.format(run=waiting) in error(capsys, "train", "--resume", waiting, *words)


def test_what_does_not_change_the_training_is_allowed(
    waiting: Path, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = waiting.parent / "moved.npz"
    Path(data).rename(moved)
    (there := waiting.parent / "b").mkdir()
    waiting.rename(there / "a")
    monkeypatch.setenv("FASTNET_TRAIN_BATCH_SIZE", "64")
    words = ("--data", moved, "--seed", "5", "--batch-size", "10", "--history", there / "h.json")
    assert record(capsys, "train", "--resume", there / "a", *words)["epochs"] == 15
    assert len(json.loads((there / "h.json").read_text())["cost"]) == 15
    train("--data", moved, *FIT, "--backend", "numpy", "--seed", 5, "--out", there / "whole", "--batch-size", 10)
    monkeypatch.delenv("FASTNET_TRAIN_BATCH_SIZE")
    parameters = [fastnet.Network.load(there / name / "network.npz").parameters.tobytes() for name in ("a", "whole")]
    assert parameters[0] == parameters[1]


def test_a_folder_without_a_run_or_without_a_checkpoint_is_refused(
    waiting: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = error(capsys, "train", "--resume", waiting.parent)
    assert f"{waiting.parent} holds no run.toml: give --resume a folder that fastnet train --out wrote" in said
    for path in (waiting / resuming.CHECKPOINTS).iterdir():
        path.unlink()
    said = error(capsys, "train", "--resume", waiting)
    assert "holds no checkpoint and no complete results: begin the training again with fastnet train " in said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks of folders")
def test_a_folder_that_another_command_trains_into_is_refused_before_anything_is_written(
    folder: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (out := folder / "a").mkdir()
    with locked_folder(out):
        said = error(capsys, "train", "--data", data, "--out", out)
    assert f"another training writes to {out}: wait for its end, or give another --out" in said
    assert not [*out.iterdir()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("60s", {"seconds": 60}),
        ("0.5s", {"seconds": 0.5}),
        ("5m", {"seconds": 300}),
        ("2h", {"seconds": 7200}),
        ("10epochs", {"every": 10}),
        ("10 epochs", {"every": 10}),
        ("1epoch", {"every": 1}),
    ],
)
def test_the_time_between_checkpoints(text: str, expected: dict[str, float]) -> None:
    assert resuming.settings(text) == expected


@pytest.mark.parametrize("text", ["", "60", "s", "1.5epochs", "0epochs", "0s", "-1s", "1d", "1e3s", "\u0661s"])
def test_an_unusable_time_between_checkpoints_is_refused(
    text: str, folder: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = error(capsys, "train", "--data", data, "--out", folder / "a", f"--checkpoint-every={text}")
    assert "argument --checkpoint-every: expected a" in found
    assert "give --out too" in error(capsys, "train", "--data", data, "--checkpoint-every", "60s")
