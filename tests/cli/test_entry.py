"""The entry point: help, errors, warnings, exit statuses and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import conftest
import numpy as np
import pytest
from cli_cases import FIT, error, run

import fastnet
from fastnet import backends, cli
from fastnet.cli import entry
from fastnet.kernels import formulas
from fastnet.training.optimizers import OPTIMIZERS
from fastnet.training.schedules import SCHEDULES


@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "backends", "data", "bench"])
def test_help_of_every_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    if command == "bench":
        pytest.importorskip("fastnet.bench.run", reason="needs the extra bench")
    assert cli.main([command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert f"usage: fastnet {command}" in out
    assert f"  fastnet {command}" in out.partition("example")[2]
    assert not err
    assert max(map(len, out.splitlines())) <= 120


def test_help_lists_the_names_of_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for names in (formulas.ACTIVATIONS, formulas.COSTS, OPTIMIZERS, SCHEDULES, backends.NAMES, fastnet.data.names()):
        assert all(name in out for name in names)


def test_no_command_prints_help_and_version_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "usage: fastnet" in capsys.readouterr().out
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"fastnet {fastnet.__version__}\n"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("tarin", "train"),
        ("tarin --epochs 3", "train"),
        ("Train", "train"),
        ("-train", "train"),
        ("benhc", "bench"),
        ("help", "--help"),
        ("--vesrion", "--version"),
        ("-version", "--version"),
        ("-V", "--version"),
        ("train --epoch 3", "--epochs"),
        ("train -epochs 3", "--epochs"),
        ("train -e 3", "--epochs"),
        ("train \N{EM DASH}epochs 3", "--epochs"),  # as a word processor writes the two dashes
        ("train --epochs30", "--epochs"),
        ("train epochs=30", "--epochs"),
        ("train epochs 30", "--epochs"),
        ("train --lables x", "--labels"),
        ("train --learningrate 0.1", "--learning-rate"),
        ("train --learn 0.1", "--learning-rate"),
        ("train --lr 0.1", "--learning-rate"),  # --layers has more similar letters
        ("train -lr 0.1", "--learning-rate"),
        ("train --n_jobs=2", "--threads"),
        ("train --output-dir run", "--out"),  # not --output, which sets an activation
        ("train --SEED 3", "--seed"),
        ("predict --modle x.npz", "--model"),  # the error must not be about the missing --model
        ("bench --workloads=W1", "--workload"),
        ("data -h5", "-h"),
        ("train --optimizer adm", "adam"),
        ("train --optimizer mom", "momentum"),
        ("train --activation rleu", "relu"),
        ("train --activation sigmiod,relu --layers 784,8,8,10", "sigmoid"),
        ("train --output sofmax", "softmax"),
        ("train --cost crossentropy", "cross_entropy"),
        ("train --init scald", "scaled"),
        ("train --schedule cosin", "cosine"),
        ("train --backend cyton", "cython"),
        ("train --sparse yse", "yes"),
        ("train --data mnsit", "mnist"),
        ("explore decsent", "descent"),
        ("explore descent --format pgn", "png"),
        ("bench --suite usres", "users"),
    ],
)
def test_the_closest_command_option_or_value_is_suggested(
    line: str, found: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"; did you mean {found!r}?" in error(capsys, *line.split())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("tarin", "unknown command 'tarin'; there are train, search, report, "),
        ("train --epoch 3", "there is no option '--epoch' (see fastnet train --help); did you mean '--epochs'?\n"),
        ("evaluate --lr 0.1", "there is no option '--lr' (see fastnet evaluate --help)\n"),
        ("backends extra", "'extra' belongs to no option (see fastnet backends --help)\n"),
        ("train --learning-rate -1", "--learning-rate must be at least 0, not -1"),  # a number is no option
    ],
)
def test_an_error_about_arguments_says_where_the_help_is(
    line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"fastnet: error: {said}" in error(capsys, *line.split())


@pytest.mark.parametrize("command", [(), ("train",)])
def test_the_short_option_for_help(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command, "-h"]) == 0
    short = capsys.readouterr().out
    assert cli.main([*command, "--help"]) == 0
    assert short == capsys.readouterr().out
    assert "-h, --help" in short


@pytest.mark.filterwarnings("always")
def test_a_warning_is_one_line_in_the_words_of_the_options(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("train", "--data", data, "--layers", "64,8,3", "--epochs", "9", "--learning-rate", "1e-9")
    assert cli.main([*arguments]) == 0
    lines = capsys.readouterr().err.splitlines()
    (at,) = (k for k, line in enumerate(lines) if line.startswith("fastnet: warning: "))
    assert lines[at - 1].startswith("epoch 5/9 ")  # the warning does not wait for the end
    assert lines[at].startswith("fastnet: warning: the network does not learn: ")
    assert lines[at].endswith(
        ": use --activation relu; use a tenth or ten times of --learning-rate 1e-09; use --optimizer adam"
    )
    assert cli.main([*arguments, "--quiet"]) == 0
    assert not capsys.readouterr().err


def test_an_error_is_one_printable_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    errors = [MemoryError(), MemoryError("9 GB"), OSError(28, "No space left on device", "a\nb"), ValueError("a\nb")]
    for failure in errors:

        def fail(failure: Exception = failure) -> None:
            raise failure

        monkeypatch.setattr(backends, "available", fail)
        assert len(error(capsys, "backends").split("error: ")[1]) > 3


# -- as a process ------------------------------------------------------------------------------------------------


def test_exit_statuses_and_streams(data: str) -> None:
    done = run("train", "--data", data, *FIT)
    assert (done.returncode, done.stderr.count("\n")) == (0, 15)
    assert "confusion matrix" in done.stdout
    done = run("train", "--data", data, *FIT, "--json", "--quiet")
    assert json.loads(done.stdout)["test"]["accuracy"] == 1
    assert not done.stderr
    done = run("train", "--data", data, *FIT, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run("train", "--data", "nowhere")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("fastnet: error: there is no data set or file nowhere")
    assert run().returncode == 2


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, fastnet.cli; fastnet.cli.main(['--help']); "
        "heavy = {'numba', 'matplotlib', 'mlxtend', 'tqdm', 'PIL', 'sklearn', 'scipy'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end differently on Windows")
@pytest.mark.parametrize("arguments", [("train", "--help"), ("data",), ("data", "--json"), ("predict",)])
def test_a_closed_pipe_is_no_error(arguments: tuple[str, ...], folder: Path, model: str) -> None:
    if arguments == ("predict",):
        np.save(folder / "many.npy", np.zeros((20_000, 64), np.uint8))  # more lines than a pipe holds
        arguments = ("predict", "--model", model, str(folder / "many.npy"))
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "fastnet", *arguments]
    # Python's output must be buffered, because the test needs the flush at exit.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, env=buffered)
    os.close(writer)
    assert (done.returncode, done.stderr) == (entry.PIPE_CLOSED, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("arguments", [("train", "--help"), ("data",), ("data", "--json")])
def test_a_full_disk_is_one_line(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "fastnet", *arguments]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, env=buffered)
    said = "fastnet: error: cannot write to standard output (No space left on device)\n"
    assert (done.returncode, done.stderr) == (2, said)


def interrupted(*arguments: object, after: int = 3) -> tuple[int, float, str, str]:
    """Send Ctrl-C after some epochs. Return the status, the seconds until the end, stdout, and stderr's end."""
    command = [sys.executable, "-m", "fastnet", "train", *map(str, arguments), "--epochs", "100000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for _ in range(after):
            assert process.stderr.readline().startswith("epoch ")
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        seconds = time.monotonic() - sent
    return process.returncode, seconds, out, err.splitlines()[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill sends no SIGINT on Windows")
@pytest.mark.parametrize("name", ["numpy", "cython"])
def test_interrupt_keeps_the_network(name: str, folder: Path, data: str) -> None:
    conftest.load_backend(name)
    model, history = folder / "model.npz", folder / "run.json"
    given = ("--data", data, "--layers", "64,8,3", "--backend", name, "--learning-rate", "0.5")
    status, seconds, _, last = interrupted(*given, "--save", model, "--history", history)
    assert status == entry.INTERRUPTED
    assert seconds < 10  # the fit stops within 0.2 s, but the process may end slowly on a busy machine
    assert last.startswith("fastnet: interrupted after ")
    assert last.endswith(
        f" updates; the network trained so far is saved in {model}; the history is saved in {history}; exit code 130"
    )
    untrained = fastnet.Network([64, 8, 3], seed=0)
    found = fastnet.Network.load(model)
    assert not np.array_equal(found.parameters, untrained.parameters)
    assert len(json.loads(history.read_text())["cost"]) >= 3
    assert sorted(path.name for path in folder.iterdir()) == ["bands.npz", "model.npz", "run.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill sends no SIGINT on Windows")
def test_interrupt_without_save(data: str) -> None:
    status, _, out, last = interrupted("--data", data, "--json")
    assert (status, out) == (entry.INTERRUPTED, "")
    assert last.startswith("fastnet: interrupted after ")
    assert last.endswith(" updates; nothing is saved, since neither --save nor --out is given; exit code 130")


def test_interrupt_before_training_replaces_nothing(
    folder: Path, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    path = folder / "model.npz"
    path.write_text("of another day")
    for where, said in (
        ((fastnet.Trainer, "fit"), "fastnet: interrupted after 0 updates; nothing is saved; exit code 130\n"),
        ((fastnet.data, "load"), "fastnet: interrupted; exit code 130\n"),
    ):
        monkeypatch.setattr(*where, interrupt)
        assert cli.main(["train", "--data", data, "--save", str(path)]) == entry.INTERRUPTED
        assert capsys.readouterr().err == said
    assert path.read_text() == "of another day"
