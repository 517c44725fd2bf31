"""The program of test_mpiexec.py: an exception ends one process or all of them. python fail.py one|all|none|exit."""

from __future__ import annotations

import sys
import time

from fastnet.distributed import mpi

communicator = mpi.world()
communicator.allgather(0)  # all processes have started
print(f"begins {time.time()}", flush=True)
what = sys.argv[1]
if what == "all" or (what == "one" and communicator.rank == 1):
    raise ValueError(f"process {communicator.rank} has bad data")
if what == "exit" and communicator.rank == 1:
    sys.exit("ValueError: process 1 has bad data")
communicator.allgather(0)
print("ends", flush=True)
mpi.wait_for_all()
