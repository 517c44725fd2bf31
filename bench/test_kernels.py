"""The suite for pytest-benchmark: `python -m pytest bench --backend numba`. Each test verifies its backend first.

With --benchmark-disable each test runs once, on a small part of the data. The published figures come from run.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fastnet.bench.workloads import DTYPES, INPUTS, ROWS, WORKLOADS, Images, Setup, Workload, as_input, verify

EPOCH_ROWS = dict.fromkeys(WORKLOADS, ROWS) | {"W6": ROWS // 10}  # W6 takes 50 times as long as W1
PREDICTED_ROWS, SWEPT_ROWS, DISABLED_ROWS = 10_000, 6_144, 1_000
BATCH_SIZES = [2**k for k in range(11)]

Verify = Callable[[Workload, Setup, str], None]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_workload = pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)


@pytest.fixture(scope="module")
def inputs(images: Images) -> Callable[[str], Images]:
    """The images in each form, converted once."""
    return functools.cache(functools.partial(as_input, images))


@pytest.fixture(scope="module")
def verified(inputs: Callable[[str], Images]) -> Verify:
    """A function that verifies a backend before a test times it, once for each workload, setup and kind of input."""

    @functools.cache
    def once(workload: Workload, setup: Setup, kind: str) -> None:
        verify(workload, setup, inputs(kind).x, inputs(kind).y)

    return once


def record(benchmark: Any, images: Images, rows: int, flops: int) -> None:
    """Adds examples per second and GFLOP/s to the report: `rows` examples of `flops` dense operations each."""
    benchmark.extra_info.update(data=images.about, rows=rows)
    if benchmark.enabled:
        rate = rows / benchmark.stats.stats.median
        benchmark.extra_info.update({"examples/s": rate, "dense-equivalent GFLOP/s": rate * flops / 1e9})


def time_epoch(benchmark: Any, workload: Workload, setup: Setup, images: Images, rows: int) -> None:
    rows = rows if benchmark.enabled else DISABLED_ROWS
    trainer = workload.trainer(workload.network(setup.dtype), setup)
    one_epoch = functools.partial(trainer.fit, epochs=1)
    benchmark.pedantic(one_epoch, (images.x[:rows], images.y[:rows]), rounds=5, warmup_rounds=1)
    record(benchmark, images, rows, workload.train_flops)


@every_dtype
@every_workload
def test_epoch(benchmark: Any, verified: Verify, images: Images, workload: Workload, dtype: str, backend: str) -> None:
    setup = Setup(backend, dtype)
    verified(workload, setup, "bytes")
    time_epoch(benchmark, workload, setup, images, EPOCH_ROWS[workload.name])


@pytest.mark.parametrize("kind", INPUTS)
@every_dtype
def test_epoch_by_input(
    benchmark: Any, verified: Verify, inputs: Callable[[str], Images], kind: str, dtype: str, backend: str
) -> None:
    workload, setup = WORKLOADS["W1"], Setup(backend, dtype)
    verified(workload, setup, kind)
    time_epoch(benchmark, workload, setup, inputs(kind), ROWS)


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@every_dtype
def test_epoch_by_batch_size(
    benchmark: Any, verified: Verify, images: Images, batch_size: int, dtype: str, backend: str
) -> None:
    workload = replace(WORKLOADS["W1"], name=f"batch {batch_size}", batch_size=batch_size)
    verified(workload, Setup(backend, dtype), "bytes")
    time_epoch(benchmark, workload, Setup(backend, dtype), images, SWEPT_ROWS)


@every_dtype
@every_workload
def test_predict(
    benchmark: Any, verified: Verify, images: Images, workload: Workload, dtype: str, backend: str
) -> None:
    verified(workload, Setup(backend, dtype), "bytes")
    rows = PREDICTED_ROWS if benchmark.enabled else DISABLED_ROWS
    predict = functools.partial(workload.network(dtype).predict, backend=backend)
    benchmark.pedantic(predict, (images.x[:rows],), rounds=10, warmup_rounds=1)
    record(benchmark, images, rows, workload.forward_flops)


@every_dtype
@every_workload
def test_predict_one(
    benchmark: Any, verified: Verify, images: Images, workload: Workload, dtype: str, backend: str
) -> None:
    """The latency of a single example, including the checks of the public call."""
    verified(workload, Setup(backend, dtype), "bytes")
    predict = functools.partial(workload.network(dtype).predict, backend=backend)
    benchmark.pedantic(predict, (images.x[:1],), rounds=20, iterations=50, warmup_rounds=1)
    record(benchmark, images, 1, workload.forward_flops)


@every_dtype
def test_predictor_of_one(benchmark: Any, verified: Verify, images: Images, dtype: str, backend: str) -> None:
    """The latency of a single example with a compiled predictor."""
    workload = WORKLOADS["W1"]
    verified(workload, Setup(backend, dtype), "bytes")
    network = workload.network(dtype)
    predictor = network.compile(backend=backend, max_batch=1)
    assert predictor.predict(images.x[0]) == network.predict(images.x[:1], backend=backend)[0]
    benchmark.pedantic(predictor.predict, (images.x[0],), rounds=20, iterations=200, warmup_rounds=1)
    record(benchmark, images, 1, workload.forward_flops)
