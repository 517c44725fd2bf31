"""The promises of trainings on several processes, under mpiexec. .ci/run gives all of these tests to mpiexec."""

from __future__ import annotations

from pathlib import Path

import pytest
from mpi_cases import mpiexec, needs_mpi
from process_cases import UNDER_MPI

pytestmark = [needs_mpi, pytest.mark.skipif(UNDER_MPI, reason="mpiexec has started these tests")]
HERE = Path(__file__).parent
# A test or two of each promise.
SOME = "(whole_batch and numpy and adam) or (same_bits and cython and averaging13) or records or (callback and disk)"


@pytest.mark.parametrize("n", [2, 4])
def test_the_promises_hold_for_the_processes_of_mpiexec(n: int) -> None:
    options = ["-q", "-x", "-n", "0", "-p", "no:cacheprovider", "--color=no"]
    files = [HERE / "test_averages.py", HERE / "test_common_errors.py"]
    ended = mpiexec(n, "-m", "pytest", *options, "-k", SOME, *files, seconds=200)
    assert ended.status == 0, ended.out + ended.err
    assert ended.out.count(" passed") == n


@pytest.mark.parametrize("every", [1, 8])
def test_ctrl_c_in_one_process_ends_all_after_the_same_update(every: int) -> None:
    ended = mpiexec(2, HERE / "interrupted.py", every)
    first, second = sorted(ended.out.splitlines())
    assert ended.status == 0, ended.err
    assert first.startswith("0: KeyboardInterrupt('process 1 of 2: Ctrl-C') ")
    assert second.startswith("1: KeyboardInterrupt() ")
    assert first.partition(") ")[2] == second.partition(") ")[2] != ""
