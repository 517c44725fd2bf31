"""Starts programs under `mpiexec`. The tests that need real processes use it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

# CI sets this variable, so that there the tests fail if they cannot run.
REQUIRED = "FASTNET_REQUIRE_MPI"
# More processes than cores, and a container's root user, for Open MPI 4 and 5.
_SETTINGS = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


class Ended(NamedTuple):
    status: int
    out: str
    err: str
    seconds: float


needs_mpi = pytest.mark.skipif(
    not os.environ.get(REQUIRED) and not (shutil.which("mpiexec") and find_spec("mpi4py")),
    reason="this test starts processes with mpiexec, and mpiexec or mpi4py is missing",
)


def mpiexec(n: int, *arguments: str | int | Path, seconds: float = 60, cwd: Path | None = None) -> Ended:
    """Run `python ARGUMENTS` in n processes, and return how it ended. A program that hangs fails the test."""
    command = ["mpiexec", "-n", str(n), sys.executable, *map(str, arguments)]
    environment = os.environ | _SETTINGS | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    began = time.monotonic()
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=seconds, cwd=cwd, stdin=subprocess.DEVNULL
    )
    return Ended(done.returncode, done.stdout, done.stderr, time.monotonic() - began)
