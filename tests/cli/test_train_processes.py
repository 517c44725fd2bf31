"""`mpiexec -n 2 fastnet train`: the processes share the rows, and process 0 prints and writes. It starts processes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_cases import error
from mpi_cases import Ended, mpiexec, needs_mpi

import fastnet
from fastnet.cli import resuming
from fastnet.training.checkpoint_file import numbered
from fastnet.training.configuration import read_configuration
from fastnet.training.runs import Run

N, HELD_OUT, TESTED = 303, 48, 61  # rows; those of --validation-split 0.2 of two processes; those of the test


def train(n: int, *arguments: object) -> Ended:
    return mpiexec(n, "-m", "fastnet", "train", *map(str, arguments))


def parameters(folder: Path) -> bytes:
    return fastnet.Network.load(folder / "network.npz").parameters.tobytes()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """The folder of a training by two processes, and what they printed."""
    folder = tmp_path_factory.mktemp("processes")
    rng = np.random.default_rng(0)
    x = rng.normal(2, 3, (N, 3))
    lines = [f"{a},{b},{d},{'abc'[int(abs(a + b)) % 3]}" for a, b, d in x]
    (folder / "table.csv").write_text("\n".join(["first,second,third,letter", *lines]))
    options = ["--epochs", 6, "--averaging", 4, "--batch-size", 8, "--patience", 0, "--validation-split", 0.2]
    done = train(2, "--data", folder / "table.csv", *options, "--checkpoint-every", "1epochs", "--out", folder / "run")
    assert done.status == 0, done.err
    return folder, done


@needs_mpi
def test_each_row_is_trained_on_by_one_process_and_process_0_prints(trained: tuple[Path, Ended]) -> None:
    folder, done = trained
    assert len(re.findall("^test  .* accuracy", done.out, re.MULTILINE)) == 1
    assert len(re.findall("^epoch 6/6", done.err, re.MULTILINE)) == 1
    assert "processes     2, each with 0.5 of the training rows; averages: parameters every 4 updates" in done.out
    run = Run.load(folder / "run")
    assert run.history["examples"] == [N - TESTED - HELD_OUT] * 6
    assert run.record["averaging"] == "parameters of 2 processes every 4 updates"
    assert run.record["split"]["validation"] == HELD_OUT
    made = read_configuration(folder / "run" / "run.toml")
    assert made.options["averaging"] == 4
    assert "To repeat it: mpiexec -n 2 fastnet train --config run.toml" in (folder / "run" / "run.toml").read_text()
    assert made.record["run"]["processes"] == 2
    assert [path.name for path in sorted((folder / "run" / "checkpoints").iterdir())] == ["rank-0", "rank-1"]


@needs_mpi
def test_a_run_of_processes_is_repeated_and_resumed_with_the_same_bits(trained: tuple[Path, Ended]) -> None:
    """The resumed run was killed in its fourth epoch."""
    folder, _ = trained
    again = train(2, "--config", folder / "run" / "run.toml", "--out", folder / "again", "--quiet")
    assert (again.status, again.out) == (0, ""), again.err
    assert parameters(folder / "again") == parameters(folder / "run")
    killed = folder / "killed"
    (killed / "checkpoints").mkdir(parents=True)
    shutil.copy(folder / "run" / "run.toml", killed)
    for rank in range(2):
        newest = numbered(folder / "run" / "checkpoints" / f"rank-{rank}")
        (killed / "checkpoints" / f"rank-{rank}").mkdir()
        for _, path in newest[2 + rank :]:  # the processes were not equally far
            shutil.copy(path, killed / "checkpoints" / f"rank-{rank}")
    others = train(3, "--resume", killed)
    words = (
        r"error: the training of \S+ had 2 processes, and this one has 3 processes: run the command under mpiexec -n 2"
    )
    assert len(re.findall(words, others.err)) == 1
    assert others.status == 2
    resumed = train(2, "--resume", killed)
    assert resumed.status == 0, resumed.err
    assert re.search(r"^resumed +after 39 updates, in epoch 4$", resumed.out, re.MULTILINE)
    assert parameters(killed) == parameters(folder / "run")


@needs_mpi
def test_an_error_of_process_0_alone_ends_all_within_two_seconds_of_it(trained: tuple[Path, Ended]) -> None:
    """Only process 0 checks the files that it will write. The other one waits for it before the training."""
    folder, whole = trained
    failed = train(2, "--data", folder / "table.csv", "--save", folder / "missing" / "a.npz")
    assert failed.status == 2
    assert len(re.findall("error: .*cannot be written", failed.err)) == 1
    assert failed.seconds < whole.seconds + 10  # it does not hang; the two seconds are measured in test_mpiexec.py


def test_one_process_is_no_place_for_averages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = error(capsys, "train", "--averaging", "4", "--data", "digits")
    assert "--averaging needs several processes: run mpiexec -n 4 fastnet train" in told


def test_the_command_that_goes_on_starts_as_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    assert resuming.command("runs/a") == "mpiexec -n 4 fastnet train --resume runs/a"


@needs_mpi
def test_the_training_of_processes_is_not_resumed_by_one(
    trained: tuple[Path, Ended], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = trained
    shutil.copy(folder / "run" / "run.toml", tmp_path)
    told = error(capsys, "train", "--resume", tmp_path)
    assert "had 2 processes, and this one has one process: run the command under mpiexec -n 2" in told
