"""`fastnet bench` verifies before it times, takes ratios within a round, and keeps the text of a page."""

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
from bench_cases import QUICK, error_of, small, some_images, untimed  # noqa: F401  # fixtures are found by name

from fastnet import backends, cli
from fastnet.backends import machine, selection
from fastnet.bench import contenders, run, workloads
from fastnet.bench.contenders import Session
from fastnet.bench.pages import markers
from fastnet.bench.training import Result
from fastnet.bench.workloads import WORKLOADS, Setup, as_input
from fastnet.errors import BackendError

BEGIN, END = markers(run.SECTION)
PAGE = f"# Title\r\n\r\n{BEGIN}\nold figures\n{END}\nthe end"  # mixed line ends; the last line has no end


# -- figures ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_every_backend_here_is_in_the_table_and_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    assert cli.main(["bench", "--workload", "W1", "--rounds", "2", "--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    names = {info.name for info in backends.available() if info.available}
    assert {result["backend"] for result in figures["results"]} == names
    for result in figures["results"]:
        assert len(result["seconds"]) == 2
        assert min(result["seconds"]) <= result["median_seconds"] <= max(result["seconds"])
        assert 0 <= result["test_accuracy"] <= 1
        assert result["once_a_fit_seconds"] > 0
    assert figures["results"][0]["speed_over_numpy"] == 1
    assert figures["memory_bytes_per_second"] > 0
    table = capsys.readouterr().out
    assert "data: noise, as bytes" in table
    assert names == {line.split()[1] for line in table.splitlines() if line.startswith("W1 ")}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "options", [[], ["--dtype", "float64"], ["--input", "float32"], ["--input", "uint8"], ["--sparse", "no"]]
)
def test_json_on_standard_output_is_the_only_output(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", *QUICK, *options, "--json", "-"]) == 0
    facts = json.loads(capsys.readouterr().out)["machine"]
    assert facts["arithmetic"].startswith("float64" if "float64" in options else "float32")
    assert facts["arithmetic"].endswith("sparse=False" if "no" in options else "sparse=auto")
    assert facts["data"].endswith("float32" if "float32" in options else "bytes")


@pytest.mark.usefixtures("small")
def test_threads_apply_to_backends_with_teams(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", *QUICK, "--threads", "2", "--json", "-"]) == 0  # NumPy uses the threads of its BLAS
    assert "float32, one thread" in json.loads(capsys.readouterr().out)["machine"]["arithmetic"]


@pytest.mark.usefixtures("small")
def test_quick_takes_one_round_of_few_examples(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(run, "QUICK_ROWS", 150)
    assert cli.main(["bench", "--workload", "W1", "--backend", "numpy", "--quick", "--json", "-"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["rounds"], len(figures["results"][0]["seconds"])) == (1, 1)
    assert "the first 150" in figures["machine"]["data"]


def test_images_are_converted_to_each_kind_of_input() -> None:
    images = some_images(30)
    assert as_input(images, "bytes").x is images.x
    floats = as_input(images, "float32")
    assert floats.x.dtype == floats.x_test.dtype == np.float32
    np.testing.assert_allclose(floats.x, images.x / 255, rtol=1e-6)
    pytest.importorskip("scipy", reason="needs the extra bench")
    sparse = as_input(images, "sparse")
    assert sparse.x.dtype == np.uint8
    np.testing.assert_array_equal(sparse.x.toarray(), images.x)


def test_operations_of_an_example_by_hand() -> None:
    # A step of 784-16-16-10 has two matrix products in the first layer and three in every other layer.
    assert WORKLOADS["W1"].train_flops == 2 * (2 * 784 * 16 + 3 * 16 * 16 + 3 * 16 * 10)
    assert WORKLOADS["W1"].forward_flops == 2 * (784 * 16 + 16 * 16 + 16 * 10)


def scripted(name: str, seconds: list[float], log: list[str]) -> Callable[[], float]:
    """Return a function that returns these numbers of seconds, one in each call."""
    script = iter(seconds)

    def turn() -> float:
        log.append(name)
        return next(script)

    return turn


def test_speed_is_the_median_of_the_ratios_within_rounds() -> None:
    log: list[str] = []
    turns = {"numpy": scripted("n", [99, 1, 8, 10], log), "other": scripted("o", [99, 1, 2, 5], log)}
    peak = 1e9 * WORKLOADS["W1"].train_flops
    timings = contenders.take_turns(turns, 3, lambda: peak)
    assert "".join(log) == "no" + "no" + "on" + "no"
    assert timings["other"].seconds == [1, 2, 5]
    result = Result(WORKLOADS["W1"], "other", 60_000, 784, timings["other"], timings, None)
    assert result.speed() == 2  # the median of 1, 4 and 2; the ratio of the medians is 4
    assert result.share == pytest.approx(60_000 / 2 / 1e9)
    assert result.speed("numpy-tuned") != result.speed("numpy-tuned")  # nan, because numpy-tuned did not run


def test_each_round_begins_with_the_next_contender() -> None:
    log: list[str] = []
    turns = {name: scripted(name, [1.0] * 9, log) for name in "abc"}
    contenders.take_turns(turns, 4, rehearsals=0)
    assert "".join(log) == "abc" + "bca" + "cab" + "abc"


def test_the_epochs_of_a_session_are_one_fit() -> None:
    images, workload = some_images(60), WORKLOADS["W1"]
    session = Session(workload, Setup("numpy"), images)
    try:
        assert session.epoch() > 0
        assert session.preparation > 0
        after_one = session._network.parameters.copy()
        session.epoch()
    finally:
        session.close()
    network = workload.network("float32")
    trainer = workload.trainer(network, Setup("numpy"))
    trainer.fit(images.x, images.y, epochs=1)
    np.testing.assert_array_equal(after_one, network.parameters)
    trainer.fit(images.x, images.y, epochs=1)
    np.testing.assert_array_equal(session._network.parameters, network.parameters)
    assert not session._thread.is_alive()


def test_an_error_of_a_session_is_raised_in_the_caller() -> None:
    images = some_images(60)
    session = Session(WORKLOADS["W1"], Setup("numpy"), images._replace(y=images.y + 10))
    with pytest.raises(ValueError, match="y"):
        session.epoch()
    session.close()


# -- the machine --------------------------------------------------------------------------------------------------


def test_a_peak_that_takes_no_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(peak_flops=lambda repeats: 384.0 * repeats)  # each call takes no time
    monkeypatch.setattr(machine.cython_dispatch, "module", lambda dtype: module)
    assert machine.peak_meter("float32") is None


def test_the_bandwidth_counts_the_bytes_of_both_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(machine.time, "perf_counter", lambda: float(next(clock)))  # each product takes a second
    assert machine.bandwidth(1 << 16) == 1 << 16


def test_the_bandwidth_of_this_machine_is_positive() -> None:
    found = machine.bandwidth(1 << 20, repeats=3)
    assert np.isfinite(found)
    assert found > 0
    assert machine.MIN_STREAM <= machine.stream_bytes() <= machine.MAX_STREAM


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="this system does not report the memory of a process"
)
def test_resident_memory_is_that_of_the_process_alone() -> None:
    """A child of a larger parent must report its own memory. getrusage would report the parent's memory."""
    ballast = np.ones(1 << 27, np.uint8)
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; from fastnet.backends.machine import resident_peak as r; print(r())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1 << 20 < int(done.stdout) < ballast.nbytes < machine.resident_peak()


# -- wrong results are not timed ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("small", "untimed")
@pytest.mark.parametrize("broken", ["predict", "gradient", "train"])
def test_a_wrong_backend_stops_the_benchmark(
    broken: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = backends.get("numpy")

    def wrong(*arguments: Any) -> Any:
        result = getattr(right, broken)(*arguments)
        written = arguments[0].params if broken == "train" else arguments[{"predict": 3, "gradient": 5}[broken]]
        if written.dtype == np.float32:  # the reference computes in float64
            written[-1] *= 1.5
        return result

    module = SimpleNamespace(**{**vars(right), "MAX_THREADS": right.MAX_THREADS, broken: wrong})
    for place in (
        selection,
        backends,
    ):  # networks and trainers call selection.get, the benchmarks call backends.get
        monkeypatch.setattr(place, "get", lambda name: module)
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


# -- the page -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_a_page_changes_only_between_its_markers(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_bytes(PAGE.encode())
    assert cli.main(["bench", *QUICK, "--write", str(path)]) == 0
    text = path.read_bytes().decode()
    before, _, rest = text.partition(BEGIN)
    table, _, after = rest.partition(END)
    assert (before, after) == ("# Title\r\n\r\n", "\nthe end")
    assert "old figures" not in table
    assert "| W1 | numpy |" in table
    assert f"`fastnet bench {' '.join(QUICK)} --write {path}`" in table
    assert cli.main(["bench", *QUICK, "--write", str(path)]) == 0
    assert len(path.read_bytes().decode().splitlines()) == len(text.splitlines())  # the new table replaces the old one


@pytest.mark.usefixtures("small", "untimed")
@pytest.mark.parametrize("text", ["# Title\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n", f"{BEGIN}\n{END}\n{BEGIN}\n"])
def test_a_page_without_markers_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "page.md"
    path.write_text(text)
    assert BEGIN in error_of(capsys, [*QUICK, "--write", str(path)])
    assert path.read_text() == text


@pytest.mark.usefixtures("small", "untimed")
@pytest.mark.parametrize("option", ["--json", "--picture", "--write"])
def test_a_file_that_cannot_be_written_is_refused_before_measuring(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nowhere" / "x.svg"
    assert f"{option} {path} cannot be written" in error_of(capsys, [*QUICK, option, str(path)])


@pytest.mark.usefixtures("small", "untimed")
def test_a_page_that_does_not_exist_is_refused_before_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = error_of(capsys, [*QUICK, "--write", str(tmp_path / "none.md")])
    assert said.endswith("none.md (No such file or directory): give a page that exists")


@pytest.mark.usefixtures("untimed")
def test_errors_use_the_names_of_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in run.ONE_THREAD:
        monkeypatch.setenv(name, "1")  # the command then stays in this process
    assert "check --data-dir" in error_of(capsys, [*QUICK, "--data-dir", str(tmp_path / "nowhere")])


# -- one thread ---------------------------------------------------------------------------------------------------


def test_the_command_runs_again_on_one_thread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    calls = 0

    def noted(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
        nonlocal calls
        calls += 1
        assert {env[name] for name in run.ONE_THREAD} == {"1"}  # with other values the command would restart for ever
        return start(command, env=env)

    start: Callable[..., subprocess.CompletedProcess[bytes]] = subprocess.run
    monkeypatch.setattr(run.subprocess, "run", noted)
    monkeypatch.setenv(run.ONE_THREAD[0], "4")
    assert cli.main(["bench", "--write", str(tmp_path / "none.md")]) == 2  # the status comes from the second process
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

    monkeypatch.setattr(workloads, "locate", lambda name, data_dir: "a folder" if there else None)
    monkeypatch.setattr(workloads, "load", load)
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
