"""One network trained by several processes: the processes as threads, and the plan of what more processes bring."""

from fastnet.distributed.cost import Cluster, allreduce_seconds
from fastnet.distributed.in_threads import ThreadCommunicator, in_threads
from fastnet.distributed.measuring import measured_cluster, measured_work
from fastnet.distributed.mpi import world
from fastnet.distributed.plan import Point, Work, plan
from fastnet.training.averaging import Averaging, Communicator

__all__ = [
    "Averaging",
    "Cluster",
    "Communicator",
    "Point",
    "ThreadCommunicator",
    "Work",
    "allreduce_seconds",
    "in_threads",
    "measured_cluster",
    "measured_work",
    "plan",
    "world",
]
