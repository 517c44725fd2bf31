"""`fastnet scale --plan` measures this machine and prints the predicted speeds with every input beside them."""

from __future__ import annotations

import re

import pytest
from cli_cases import error, record
from mpi_cases import mpiexec, needs_mpi

from fastnet import cli
from fastnet.distributed import measuring

SMALL = ("scale", "--plan", "--layers", "8,4,3", "--batch-size", "16", "--backend", "numpy", "--quiet")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "ROWS", 64)


def test_the_plan_has_its_inputs_and_all_figures(capsys: pytest.CaptureFixture[str]) -> None:
    found = record(capsys, *SMALL, "--latency", "2us", "--bandwidth", "10 GB/s", "--processes", "1,4,1024")
    machines = found["machines"]
    assert (machines["latency"], machines["bandwidth"], machines["straggler"]) == (2e-6, 10e9, 0.05)
    assert machines["origin"] == "from the options"
    assert machines["adding"] > 0
    (plan,) = found["plans"]
    assert plan["measured"]["n_parameters"] == 51
    assert plan["measured"]["update_seconds"] > 0
    points = plan["points"]
    assert {point["processes"] for point in points} == {1, 4, 1024}
    assert {point["every"] for point in points} >= {1, 4, 16, 64, 256}
    assert {*points[0]} >= {"examples_per_second", "speedup", "efficiency", "communication", "is_chosen"}


def test_the_text_names_what_was_measured_and_what_was_assumed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    arguments = [argument for argument in SMALL if argument != "--quiet"]
    assert cli.main(arguments) == 0
    out, err = capsys.readouterr()
    assert re.search(r"latency 20 us, bandwidth 1.25 GB/s \(assumed: a network of 10 Gbit/s\)", out)
    assert re.search(r"measured +an update [\d.]+ [um]?s; with averaged gradients [\d.]+", " ".join(out.split()))
    assert re.search(r"^ *1,024 .*", out, re.M)
    assert "measuring 8-4-3" in err


def test_a_link_in_bits_is_an_eighth_in_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    found = record(capsys, *SMALL, "--bandwidth", "100Gbit/s", "--processes", "2")
    assert found["machines"]["bandwidth"] == 12.5e9
    assert found["machines"]["origin"] == "bandwidth from the options, latency assumed: a network of 10 Gbit/s"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("scale",), "--plan"),
        ((*SMALL, "--latency", "fast"), "expected a time such as 2us"),
        ((*SMALL, "--bandwidth", "10 miles"), "expected a speed such as 10GB/s"),
        ((*SMALL, "--straggler", "2"), "--straggler must be from 0 to below 1"),
        ((*SMALL, "--processes", "0,2"), "number 1 of --processes must be at least 1"),
        ((*SMALL, "--batch-size", "0"), "--batch-size must be at least 1"),
        ((*SMALL, "--optimizer", "adan"), "did you mean 'adam'"),
        (("scale", "--plan", "--layers", "8", "--quiet"), "--layers needs at least"),
    ],
)
def test_bad_options_are_refused_before_the_measurement(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in error(capsys, *arguments)


@needs_mpi
def test_under_mpiexec_the_messages_are_measured() -> None:
    done = mpiexec(2, "-m", "fastnet", *SMALL[:-1], "--processes", "2,4")
    assert done.status == 0, done.err
    assert done.out.count("measured between 2 processes of mpiexec") == 1
    assert done.out.count("\nnetwork") == 1  # process 0 alone prints
