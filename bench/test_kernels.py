"""pytest-benchmark suite: `python -m pytest bench --backend numba`. For the README's figures see run.py.

Each test first verifies its backend. With --benchmark-disable everything runs once, on a small part of the data.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from fastnet.bench.workloads import DTYPES, ROWS, WORKLOADS, Images, Workload, verify

EPOCH_ROWS = dict.fromkeys(WORKLOADS, ROWS) | {"W6": ROWS // 10}  # so that it ends in reasonable time
PREDICTED_ROWS = 10_000
DISABLED_ROWS = 1_000

Verify = Callable[[Workload, str, str], None]
pytestmark = [
    pytest.mark.parametrize("dtype", DTYPES),
    pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS),
]


@pytest.fixture(scope="module")
def verified(images: Images) -> Verify:
    """Call it with what is about to be timed; it does its work once for each combination."""

    @functools.cache
    def once(workload: Workload, backend: str, dtype: str) -> None:
        verify(workload, backend, dtype, images.x, images.y)

    return once


def record(benchmark: Any, images: Images, rows: int, flops: int) -> None:
    """Adds to the report what `rows` examples of `flops` dense operations each, in the median time, amount to."""
    benchmark.extra_info.update(data=images.about, rows=rows)
    if benchmark.enabled:
        rate = rows / benchmark.stats.stats.median
        benchmark.extra_info.update({"examples/s": rate, "dense-equivalent GFLOP/s": rate * flops / 1e9})


def test_epoch(benchmark: Any, verified: Verify, images: Images, workload: Workload, dtype: str, backend: str) -> None:
    verified(workload, backend, dtype)
    rows = EPOCH_ROWS[workload.name] if benchmark.enabled else DISABLED_ROWS
    trainer = workload.trainer(workload.network(dtype), backend)
    benchmark.pedantic(trainer.fit, (images.x[:rows], images.y[:rows]), rounds=5, warmup_rounds=1)
    record(benchmark, images, rows, workload.train_flops)


def test_predict(
    benchmark: Any, verified: Verify, images: Images, workload: Workload, dtype: str, backend: str
) -> None:
    verified(workload, backend, dtype)
    rows = PREDICTED_ROWS if benchmark.enabled else DISABLED_ROWS
    predict = functools.partial(workload.network(dtype).predict, backend=backend)
    benchmark.pedantic(predict, (images.x[:rows],), rounds=10, warmup_rounds=1)
    record(benchmark, images, rows, workload.forward_flops)


def test_predict_one(
    benchmark: Any, verified: Verify, images: Images, workload: Workload, dtype: str, backend: str
) -> None:
    """The latency of a single example, the checks of the public call included."""
    verified(workload, backend, dtype)
    predict = functools.partial(workload.network(dtype).predict, backend=backend)
    benchmark.pedantic(predict, (images.x[:1],), rounds=20, iterations=50, warmup_rounds=1)
    record(benchmark, images, 1, workload.forward_flops)
