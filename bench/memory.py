"""The suite `memory`: the peak resident memory of a new process after one epoch of W1, for each backend and peer."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fastnet.backends.machine import resident_peak
from fastnet.bench.peers import PEERS
from fastnet.bench.peers.process import OwnPeer, PeerError
from fastnet.bench.report import Section
from fastnet.bench.suites import Task
from fastnet.bench.workloads import WORKLOADS, Setup

WORKLOAD = WORKLOADS["W1"]
NOTE = (
    "Peak resident memory of a new process, including Python, the libraries and the images. The images alone take "
    "{images:.0f} MB. The backends read the images as they are; the peers convert the images to floats."
)
CODE = "import sys; sys.path[:] = {!r}; from fastnet.bench.memory import trained; print(trained(*{!r}))"


def run(task: Task) -> Section:
    task.say("memory of an epoch of W1")
    records: list[dict[str, Any]] = []
    for setup in task.setups:
        arguments = (task.folder, json.dumps(asdict(setup)))
        words = [sys.executable, "-c", CODE.format(sys.path, arguments)]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            raise PeerError(
                f"the process of the backend {setup.backend} failed: {done.stderr.strip().splitlines()[-1]}"
            )
        records.append({"backend": setup.backend, "peak_bytes": int(done.stdout)})
    for name in [name for name in task.peers if PEERS[name].trains]:
        peer = OwnPeer(name, PEERS[name].module, task.folder, WORKLOAD, task.dtype)
        try:
            peer.epoch()
            records.append({"backend": name, "peak_bytes": peer.memory()})
        finally:
            peer.close()
    images = sum(array.nbytes for array in (task.dense.x, task.dense.x_test))
    return Section(
        "memory",
        "Memory of an epoch of W1",
        ("backend", "MB"),
        [(r["backend"], f"{r['peak_bytes'] / 1e6:.0f}" if r["peak_bytes"] else "unknown") for r in records],
        NOTE.format(images=images / 1e6),
        records,
        text_columns=1,
    )


def trained(folder: str, setup: str) -> int:
    """Trains one epoch of W1 on the images of the folder and returns the peak memory of this process in bytes."""
    x, y = (np.load(Path(folder, f"{name}.npy")) for name in ("x", "y"))
    made = Setup(**json.loads(setup))
    WORKLOAD.trainer(WORKLOAD.network(made.dtype), made).fit(x, y, epochs=1)
    return resident_peak()
