"""The plan of the workspace: it is read-only, and its size for sparse rows is small."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import kernel_cases as kc
import pytest
from conftest import name_of

from fastnet.kernels import contract as c


def test_a_plan_stays_read_only() -> None:
    """Plans are cached, and the kernels of later calls take addresses from them."""
    nodes = c.plan(kc.network((3, 2), ("sigmoid",), "squared_error"), 4, 0, 4).nodes
    with pytest.raises(ValueError, match="WRITEABLE"):
        nodes.flags.writeable = True
    with pytest.raises(ValueError, match="read-only"):
        nodes[0, 0] = 1


@pytest.mark.parametrize("n_threads", [1, 4])
@pytest.mark.parametrize("itemsize", [4, 8])
def test_the_workspace_of_sparse_rows_does_not_grow_with_rows_times_inputs(itemsize: int, n_threads: int) -> None:
    def size(n_in: int, rows: int) -> int:
        net = kc.network((n_in, 2), ("sigmoid",), "squared_error")
        plan = c.plan(net, rows, 2, itemsize, n_threads, sparse=True)
        return itemsize * (plan.size - 5 * plan.packed)  # 5 vectors: parameters, gradient, scratch and two of state

    assert size(10_000_000, 256) <= size(10_000, 256) < n_threads << 26


MILLIONS_OF_INPUTS = """
import resource, sys
import numpy as np
from fastnet import Network, Trainer
from fastnet.kernels.contract import SparseRows

resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
name, rows, n_in = sys.argv[1], 128, 4_000_000
y = np.arange(rows) % 2
indices = np.sort(np.random.default_rng(0).integers(2, n_in, (rows, 20), np.int32), axis=1)
indices[:, 0] = y  # the input that tells the class
x = SparseRows(np.arange(0, indices.size + 1, 20), indices.ravel(), np.ones(indices.size, np.float32), n_in)
net = Network([n_in, 1], seed=0)
trainer = Trainer(net, optimizer="sgd", learning_rate=2, batch_size=rows, backend=name)
costs = trainer.fit(x, y, epochs=2)["cost"]
evaluation = trainer.evaluate(x, y)
gradient = net.gradient(x, y, backend=name)
print(costs[0] > costs[1] > evaluation.cost, evaluation.accuracy, np.array_equal(net.predict(x, backend=name), y))
print(np.array_equal(np.flatnonzero(gradient[:-1]), np.unique(indices)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this limit")
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer needs more memory than the limit")
def test_millions_of_inputs_fit_into_little_memory(backend: Any) -> None:
    """The compiled backends need three packed parameter vectors of 256 MB each. A dense batch would take 2 GB."""
    call = [sys.executable, "-c", MILLIONS_OF_INPUTS, name_of(backend)]
    run = subprocess.run(call, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "True 1.0 True\nTrue\n"
