"""The processes of mpiexec: the tests of several processes in this folder, and processes that get signals."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from process_cases import UNDER_MPI

pytest.importorskip("mpi4py", reason="the processes are those of MPI")
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
pytestmark = [
    pytest.mark.skipif(MPIEXEC is None, reason="mpiexec is missing"),
    pytest.mark.skipif(UNDER_MPI, reason="mpiexec has started these tests"),
]
HERE = Path(__file__).parent
# One test of each promise. .ci/run gives all tests of these files to mpiexec.
SOME = (
    "(whole_batch and numpy and True) or (same_bits and cython) or records or (diverges and 4) or early_stopping "
    "or stop_in_one or auto or (callback and disk) or (other_settings and network)"
)
TRAINING = """
import os, sys
import numpy as np
from mpi4py import MPI
import fastnet
comm = MPI.COMM_WORLD
def tell(trainer, epoch):
    if epoch.epoch == 3:
        print("pid", comm.rank, os.getpid(), flush=True)
network = fastnet.Network([20, 8, 2], seed=0)
trainer = fastnet.Trainer(network, communicator=comm, averaging=int(sys.argv[1]), seed=0, batch_size=10)
rng = np.random.default_rng(comm.rank)
try:
    trainer.fit(rng.random((500, 20)), rng.integers(0, 2, 500), epochs=10**7, callbacks=[tell])
except BaseException as error:
    print("end", comm.rank, f"{type(error).__name__}: {error}", network.parameters.tobytes().hex()[:40], flush=True)
"""


def mpiexec(n: int, *words: str) -> subprocess.Popen[str]:
    """Start n Python processes."""
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}  # of a container's root
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    oversubscribe = ["--oversubscribe"] * ("OMPI" in _kind())
    command = [str(MPIEXEC), "-n", str(n), *oversubscribe, sys.executable, *words]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | allowed | path,
        start_new_session=True,
    )


def _kind() -> str:
    return subprocess.run([str(MPIEXEC), "--version"], capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("n", [2, 4])
def test_the_promises_hold_under_mpiexec(n: int) -> None:
    files = [str(HERE / name) for name in ("test_averages.py", "test_common_errors.py")]
    options = ["-q", "-x", "-n", "0", "-p", "no:cacheprovider", "--color=no"]
    with mpiexec(n, "-m", "pytest", *options, *files, "-k", SOME) as job:
        said, _ = job.communicate(timeout=200)
    assert job.returncode == 0, said
    assert said.count(" passed") == n, said


def begun(n: int, averaging: int) -> tuple[subprocess.Popen[str], dict[int, int]]:
    """Start a training and return its job, with the process numbers by rank."""
    job = mpiexec(n, "-c", TRAINING, str(averaging))
    assert job.stdout is not None
    pids: dict[int, int] = {}
    for line in job.stdout:
        if line.startswith("pid"):
            _, rank, pid = line.split()
            pids[int(rank)] = int(pid)
        if len(pids) == n:
            break
    assert len(pids) == n
    return job, pids


@pytest.mark.parametrize("averaging", [1, 8])
def test_ctrl_c_in_one_process_ends_all_with_the_same_parameters(averaging: int) -> None:
    job, pids = begun(2, averaging)
    os.kill(pids[1], signal.SIGINT)
    said, _ = job.communicate(timeout=60)
    ends = sorted(line for line in said.splitlines() if line.startswith("end"))
    assert [line.rpartition(" ")[0] for line in ends] == [
        "end 0 KeyboardInterrupt: process 1 of 2: Ctrl-C",
        "end 1 KeyboardInterrupt: ",
    ]
    assert len({line.rpartition(" ")[2] for line in ends}) == 1
    assert job.returncode == 0, said


def test_a_killed_process_ends_the_job() -> None:
    job, pids = begun(2, 8)
    os.kill(pids[1], signal.SIGKILL)
    said, _ = job.communicate(timeout=60)
    assert job.returncode != 0
    assert "end" not in {line.partition(" ")[0] for line in said.splitlines()}
