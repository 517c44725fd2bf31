"""Trainings under mpiexec: a killed process, an error of one process, and `fastnet train`. They start processes."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from mpi_cases import Ended, mpiexec, needs_mpi

pytestmark = needs_mpi
HERE = Path(__file__).parent
PROGRAM = HERE / "kill_and_resume.py"
SLACK = 3  # seconds that a busy machine may take to end the processes


def results(ended: Ended) -> list[str]:
    """Return the lines that say with which parameters each process ended."""
    assert ended.status == 0, ended.err
    return re.findall(r"^process \d after .*$", ended.out, re.MULTILINE)


@pytest.mark.parametrize(("n", "name"), [(2, "gradients"), (4, "parameters")])
def test_a_killed_training_goes_on_with_the_same_bits(tmp_path: Path, n: int, name: str) -> None:
    """With averages of gradients, and of parameters with an optimiser's state that each process keeps."""
    expected = results(mpiexec(n, PROGRAM, name, "whole", tmp_path))
    assert len(expected) == n
    killed = mpiexec(n, PROGRAM, name, "killed", tmp_path)
    assert killed.status != 0
    assert killed.out == ""  # no process ended its training
    resumed = mpiexec(n, PROGRAM, name, "resumed", tmp_path)
    assert results(resumed) == expected
    updates = set(re.findall(r"goes on after update (\d+)", resumed.out))
    last = re.search(r"after (\d+) updates", expected[0])
    assert last is not None
    assert len(updates) == 1
    assert 1 < 4 * int(*updates) / int(last[1]) < 2  # all go on after the same update, within the second epoch


@pytest.mark.parametrize("what", ["one", "exit", "all", "none"])
def test_an_exception_in_one_process_ends_all_within_two_seconds(what: str) -> None:
    """If all processes fail, process 0 alone says why. mpi4py alone would let the others wait forever."""
    ended = mpiexec(3, HERE / "fail.py", what)
    seconds = time.time() - max(float(text) for text in re.findall(r"begins (\S+)", ended.out))
    told = re.findall(r"^ValueError: (.*)$", ended.err, re.MULTILINE)
    assert told == {"all": ["process 0 has bad data"], "none": []}.get(what, ["process 1 has bad data"])
    assert ended.out.count("ends") == (3 if what == "none" else 0)
    assert (ended.status == 0) == (what == "none")
    assert seconds < 2 + SLACK
