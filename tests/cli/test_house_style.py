"""What all commands share: 80 columns, --json and --quiet, exit codes, no escape codes."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_cases import FIT, flowers

from fastnet import cli
from fastnet.cli import entry
from fastnet.text import folded_table, wrapped

TRAIN = ("train", "--data", "bands.npz", *FIT, "--backend", "numpy")
SEARCH = ("search", "--space", "space.toml", "--data", "bands.npz", "--backend", "numpy")
CALLS = {  # a small run of each command
    "train": (*TRAIN, "--save", "model.npz"),
    "search": (*SEARCH, "--trials", "2", "--seeds", "1", "--budget", "2", "--jobs", "1", "--save", "model.npz"),
    "report": ("report", "runs/a", "--backend", "numpy"),
    "runs": ("runs",),
    "compare": ("compare", "runs/a", "runs/b"),
    "evaluate": ("evaluate", "--model", "flowers.npz", "--data", "flowers.csv", "--backend", "numpy"),
    "predict": ("predict", "--model", "flowers.npz", "flowers.csv", "--backend", "numpy"),
    "explore": ("explore",),
    "backends": ("backends",),
    "data": ("data", "flowers.csv"),
    "convert": ("convert", "flowers.csv", "shards"),
    "scale": ("scale", "--plan", "--layers", "8,4,3", "--batch-size", "16", "--backend", "numpy"),
}
COMMANDS = list(entry.parser().commands)
COMMAND_LINE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """The working folder of the calls: two runs, a table, a network, and a terminal of 80 columns."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    flowers(folder)
    (folder / "space.toml").write_text("[space]\nlearning_rate = [0.1, 0.5]\n")
    for name, rate in (("a", "0.5"), ("b", "0.1")):
        assert cli.main([*TRAIN, "--out", f"runs/{name}", "--learning-rate", rate, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    return folder


def called(command: str) -> list[str]:
    """Return the call of a command, which can be made again."""
    shutil.rmtree("shards", ignore_errors=True)  # `convert` writes into a new folder only
    if command == "report":
        for package in ("matplotlib", "jinja2", "scipy"):
            pytest.importorskip(package, reason="reports need the extras plot and insight")
    return list(CALLS[command])


def too_long(text: str) -> list[str]:
    return [line for line in text.splitlines() if len(line) > 80]


def test_every_command_has_a_call() -> None:
    assert sorted(CALLS) == sorted(COMMANDS)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", COMMANDS)
def test_results_fit_80_columns_without_escape_codes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(called(command)) == 0
    out, err = capsys.readouterr()
    assert out
    assert too_long(out) == []
    assert "\x1b" not in out + err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_one_object_and_quiet_is_silent(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*called(command), "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)
    assert cli.main([*called(command), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("command", [None, *COMMANDS, "bench"])
def test_help_fits_80_columns(
    command: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if command == "bench":
        pytest.importorskip("fastnet.bench.run", reason="needs the extra bench")
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main([*([command] if command else []), "--help"]) == 0
    assert too_long(capsys.readouterr().out) == []


def test_a_long_line_goes_on_where_its_text_starts() -> None:
    assert wrapped("judged      40 rows, held out of all", 30) == "judged      40 rows, held out\n            of all"
    assert wrapped("left out    a/path/that-is-too-long", 25) == "left out    a/path/that-is-too-long"
    assert wrapped("one two three\n\n  four", 8) == "one two\nthree\n\n  four"


def test_a_wide_table_is_split_between_its_columns() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        n, columns = int(rng.integers(1, 9)), int(rng.integers(22, 50))
        rows = [["x" * rng.integers(1, 9) + f"{i}{k}" for k in range(n)] for i in range(3)]
        parts = folded_table(rows, columns).split("\n\n")
        assert max(len(line) for part in parts for line in part.splitlines()) <= columns
        split = [[line.split() for line in part.splitlines()] for part in parts]
        assert [rows[0][0], *(cell for part in split for cell in part[0][1:])] == rows[0]
        assert {part[2][0] for part in split} == {rows[2][0]}
        for one, other in itertools.pairwise(parts):  # the next column has no room
            column = [line.split()[1] for line in other.splitlines()]
            assert max(map(len, one.splitlines())) + 2 + max(map(len, column)) > columns


# -- exit codes ------------------------------------------------------------------------------------------------------

EXIT_CODES = {0: "backends", 2: "train --data nowhere", entry.INTERRUPTED: "train", entry.PIPE_CLOSED: "data"}


@pytest.mark.skipif(not COMMAND_LINE.exists(), reason="needs a checkout")
def test_the_page_lists_every_exit_code() -> None:
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", COMMAND_LINE.read_text("utf-8"), re.M)] == [*EXIT_CODES]


@pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes end differently on Windows")
@pytest.mark.parametrize("code", EXIT_CODES)
def test_exit_codes(code: int, folder: Path, data: str) -> None:
    command = [sys.executable, "-m", "fastnet", *EXIT_CODES[code].split()]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reader, writer = os.pipe()
    if code == entry.PIPE_CLOSED:
        os.close(reader)
    elif code == entry.INTERRUPTED:
        command += ["--data", data, "--epochs", "100000000"]
    with subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE, env=buffered) as process:
        assert process.stderr is not None
        if code == entry.INTERRUPTED:
            assert process.stderr.readline()  # the training runs
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    os.close(writer)
    assert process.returncode == code
    assert (b"fastnet: " in err) == (code in (2, entry.INTERRUPTED))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", COMMANDS)
def test_an_error_of_any_command_has_the_exit_code_2(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--nonsense"]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("fastnet: error: there is no option '--nonsense'")
