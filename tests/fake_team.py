"""A backend for tests of threads that needs no compiler. Worker 0 waits for all threads and does all the work."""

from __future__ import annotations

import threading
import time

from fastnet.kernels import contract as c
from fastnet.kernels import numpy_backend
from fastnet.kernels.numpy_backend import compress, gradient, predict, predictor

__all__ = ["compress", "gradient", "predict", "predictor"]

MAX_THREADS = 8
COMPRESSION_PAYS = True
SEEN: list[int] = []  # the number of threads of each call
_lock = threading.Lock()


def train(call: c.TrainCall) -> float:
    team = call.team
    with _lock:
        team[c.ARRIVED] += 1
    deadline = time.monotonic() + 30
    while team[c.ARRIVED] < team[c.N_THREADS] and not team[c.BROKEN]:
        assert time.monotonic() < deadline, "a thread did not call train"
        time.sleep(1e-4)
    if team[c.BROKEN] or call.worker:
        return 0.0
    SEEN.append(int(team[c.N_THREADS]))
    return numpy_backend.train(call._replace(team=c.team(1)))
