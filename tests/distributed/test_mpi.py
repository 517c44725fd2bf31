"""Trainings under mpiexec: a killed process, an error of one process, and `fastnet train`. They start processes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mpi_cases import Ended, mpiexec, needs_mpi

pytestmark = needs_mpi
HERE = Path(__file__).parent
PROGRAM = HERE / "kill_and_resume.py"


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
