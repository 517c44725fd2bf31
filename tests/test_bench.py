"""The benchmark script: nothing wrong is timed, figures are paired within a round, and a README keeps its text."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fastnet import backends, datasets
from fastnet.bench import run, workloads
from fastnet.bench.workloads import WORKLOADS, Images
from fastnet.errors import BackendError

QUICK = ["--workload", "W1", "--backend", "numpy", "--rounds", "2"]
README = f"# Title\r\n\r\n{run.BEGIN}\nold figures\n{run.END}\nthe end"  # neither its line ends nor its last are ours


def some_images(rows: int) -> Images:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (rows, 784), np.uint8), rng.integers(0, 10, rows)
    return Images(x, y, x[:20], y[:20], "noise")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small data set, and an environment in which the command stays in this process."""
    monkeypatch.setattr(run, "load_images", lambda data_dir: some_images(300))
    for name in run.ONE_THREAD:
        monkeypatch.setenv(name, "1")


@pytest.fixture
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test if anything is timed."""
    monkeypatch.setattr(run.Session, "epoch", lambda self: pytest.fail("an epoch was timed"))


def error_of(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """The one line that the command fails with."""
    assert run.main(arguments) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("fastnet bench: error: ")]
    assert len(errors) == 1
    assert captured.err.endswith(errors[0] + "\n")
    assert captured.out == ""
    return errors[0]


# -- figures ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_every_backend_here_is_in_the_table_and_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    assert run.main(["--workload", "W1", "--rounds", "2", "--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    names = {info.name for info in backends.available() if info.available}
    assert {result["backend"] for result in figures["results"]} == names
    for result in figures["results"]:
        assert len(result["seconds"]) == 2
        assert min(result["seconds"]) <= result["median_seconds"] <= max(result["seconds"])
        assert 0 <= result["test_accuracy"] <= 1
    assert figures["results"][0]["speed_over_numpy"] == 1
    table = capsys.readouterr().out
    assert "data: noise, as uint8" in table
    assert names == {line.split()[1] for line in table.splitlines() if line.startswith("W1 ")}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("options", [[], ["--dtype", "float64"], ["--input", "float32"]])
def test_json_on_standard_output_is_all_there_is(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main([*QUICK, *options, "--json", "-"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["machine"]["arithmetic"].startswith("float64" if "float64" in options else "float32")
    assert figures["machine"]["data"].endswith("float32" if "float32" in options else "uint8")


@pytest.mark.usefixtures("small")
def test_images_can_be_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(run, "verify", lambda workload, backend, dtype, x, y: given.append(x))
    assert run.main([*QUICK, "--input", "float32"]) == 0
    assert given[0].dtype == np.float32
    np.testing.assert_allclose(given[0], some_images(300).x / 255, rtol=1e-6)


def test_operations_of_an_example() -> None:
    # 784-16-16-10: three products a layer, two of the first
    assert WORKLOADS["W1"].train_flops == 2 * (2 * 784 * 16 + 3 * 16 * 16 + 3 * 16 * 10)
    assert WORKLOADS["W1"].forward_flops == 2 * (784 * 16 + 16 * 16 + 16 * 10)


class Scripted:
    """Takes the seconds that it is told to."""

    def __init__(self, name: str, seconds: list[float], log: list[str]) -> None:
        self._name, self._seconds, self._log = name, iter(seconds), log

    def epoch(self) -> float:
        self._log.append(self._name)
        return next(self._seconds)

    def accuracy(self) -> None:
        return None


def test_ratios_are_taken_within_rounds_after_a_first_epoch_that_does_not_count() -> None:
    log: list[str] = []
    runners: dict[str, run.Runner] = {
        "numpy": Scripted("n", [99, 1, 8, 10], log),
        "other": Scripted("o", [99, 1, 2, 5], log),
    }
    peak = 1e9 * WORKLOADS["W1"].train_flops
    baseline, other = run.measure(WORKLOADS["W1"], runners, 3, lambda: peak)
    assert "".join(log) == "no" + "no" + "on" + "no"
    assert other.seconds == [1, 2, 5]
    assert (baseline.speed, other.speed) == (1, 2)  # of 1, 4 and 2; the ratio of the medians is 4
    assert other.share == pytest.approx(run.ROWS / 2 / 1e9)


def test_a_peak_that_takes_no_time_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(peak_flops=lambda repeats: 384.0 * repeats)  # what is left of it without its loop
    monkeypatch.setattr(run.compiled, "module", lambda dtype: module)
    assert run.peak_meter("float32") is None


# -- nothing wrong is timed ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small", "untimed")
@pytest.mark.parametrize("broken", ["predict", "gradient", "train"])
def test_a_wrong_backend_stops_the_benchmark(
    broken: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = backends.get("numpy")
    output = {"predict": 3, "gradient": 4, "train": 1}[broken]  # the argument that it writes its result to

    def wrong(*arguments: Any) -> Any:
        result = getattr(right, broken)(*arguments)
        if arguments[1].dtype == np.float32:  # the reference computes in float64
            arguments[output][-1] *= 1.5
        return result

    functions = {name: getattr(right, name) for name in ("predict", "gradient", "train")} | {broken: wrong}
    monkeypatch.setattr(backends, "get", lambda name: SimpleNamespace(**functions))
    what = {"predict": "output", "gradient": "gradient of layer 3's biases", "train": "change of the parameters"}
    message = error_of(capsys, QUICK)
    assert f"W1, numpy, float32: the {what[broken]}" in message
    assert "is wrong" in message


@pytest.mark.usefixtures("small", "untimed")
def test_a_missing_backend_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def missing(name: str) -> None:
        raise BackendError(f"the {name} backend is missing here")

    monkeypatch.setattr(backends, "get", missing)
    assert "backend is missing here" in error_of(capsys, QUICK)


# -- the README ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_a_readme_changes_only_between_its_markers(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(README.encode())
    assert run.main([*QUICK, "--write-readme", str(path)]) == 0
    text = path.read_bytes().decode()
    before, _, rest = text.partition(run.BEGIN)
    table, _, after = rest.partition(run.END)
    assert (before, after) == ("# Title\r\n\r\n", "\nthe end")
    assert "old figures" not in table
    assert "| W1 | numpy |" in table
    assert f"`fastnet bench {' '.join(QUICK)} --write-readme {path}`" in table
    assert run.main([*QUICK, "--write-readme", str(path)]) == 0
    assert len(path.read_bytes().decode().splitlines()) == len(text.splitlines())  # it is replaced, not added


@pytest.mark.usefixtures("small", "untimed")
@pytest.mark.parametrize(
    "text", ["# Title\n", f"{run.END}\n{run.BEGIN}\n", f"{run.BEGIN}\n", f"{run.BEGIN}\n{run.END}\n{run.BEGIN}\n"]
)
def test_a_readme_without_its_markers_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "README.md"
    path.write_text(text)
    assert run.BEGIN in error_of(capsys, [*QUICK, "--write-readme", str(path)])
    assert path.read_text() == text


# -- other processes ----------------------------------------------------------------------------------------------


def peer_command(tmp_path: Path, program: str) -> str:
    path = tmp_path / "peer.py"
    path.write_text(program)
    return f'"{sys.executable}" "{path}" {{workload}}'


@pytest.mark.usefixtures("small")
def test_a_peer_is_timed_in_the_same_rounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = """
import sys
assert sys.argv[1] == "W1"
print("ready", flush=True)
for number, line in enumerate(sys.stdin):
    assert line == "E\\n"
    print(f"t {1000 + number} 0.5", flush=True)
"""
    assert run.main([*QUICK, "--json", "-", "--peer", peer_command(tmp_path, program)]) == 0
    ours, peer = json.loads(capsys.readouterr().out)["results"]
    assert (peer["backend"], peer["seconds"], peer["test_accuracy"]) == ("peer", [1001, 1002], None)
    expected = np.median(np.divide(ours["seconds"], peer["seconds"]))
    assert peer["speed_over_numpy"] == pytest.approx(expected)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("raise SystemExit(3)", "the peer ended, with status 3"),
        ("print('hello')", "the peer said 'hello'; expected 'ready'"),
        ("print('ready', flush=True); input(); print('t 0 0')", "the peer said 't 0 0'; expected 't <wall"),
        ("print('ready', flush=True); input(); print('t 1'); input()", "the peer said 't 1'; expected 't <wall"),
        ("print('ready', flush=True)", "the peer ended, with status 0"),
    ],
)
def test_a_peer_that_breaks_the_protocol_is_an_error(
    program: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in error_of(capsys, [*QUICK, "--peer", peer_command(tmp_path, program)])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("command", ["", "no-such-program-of-fastnet {workload}", "'unclosed"])
def test_a_peer_that_cannot_start_is_an_error(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot start the peer" in error_of(capsys, [*QUICK, "--peer", command])


def test_the_command_runs_again_on_one_thread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    calls = 0

    def noted(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
        nonlocal calls
        calls += 1
        assert {env[name] for name in run.ONE_THREAD} == {"1"}  # else it would run again and again
        return start(command, env=env)

    start: Callable[..., subprocess.CompletedProcess[bytes]] = subprocess.run
    monkeypatch.setattr(run.subprocess, "run", noted)
    monkeypatch.setenv(run.ONE_THREAD[0], "4")
    assert run.main(["--write-readme", str(tmp_path / "none.md")]) == 2  # an error that only the second process finds
    assert calls == 1
    captured = capfd.readouterr()
    assert captured.err.count("\n") == 1
    assert "none.md" in captured.err


# -- data ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [True, False])
def test_without_mnist_the_small_set_is_repeated(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    images = some_images(70)
    asked: list[tuple[str, dict[str, Any]]] = []

    def load(name: str, **options: Any) -> SimpleNamespace:
        asked.append((name, options))
        return SimpleNamespace(x_train=images.x, y_train=images.y, x_test=images.x_test, y_test=images.y_test)

    monkeypatch.setattr(datasets, "locate", lambda name, data_dir: "a folder" if there else None)
    monkeypatch.setattr(datasets, "load", load)
    monkeypatch.setattr(workloads, "ROWS", 160)
    found = workloads.load_images("folder")
    if there:
        assert asked == [("mnist", {"data_dir": "folder", "download": False})]
        assert found.x is images.x
    else:
        assert asked == [("mnist-5k", {})]
        assert "mnist-5k" in found.about
        rows = np.arange(160) % 70
        np.testing.assert_array_equal(found.x, images.x[rows])
        np.testing.assert_array_equal(found.y, images.y[rows])
