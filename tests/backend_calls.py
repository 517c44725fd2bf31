"""Buffers in the layout of contract.py, and calls of a backend's functions on the cases of kernel_cases.py."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple
from unittest import mock

import kernel_cases as kc
import naive
import numpy as np
import pytest

from fastnet.kernels import contract as c

KINDS = {"gradient_descent": c.GRADIENT_DESCENT, "momentum": c.MOMENTUM, "adam": c.ADAM}


class Trained(NamedTuple):
    cost: float
    params: kc.Array
    state: kc.Array
    steps: int
    report: kc.Array  # (steps, REPORT_COLUMNS)

    @property
    def score(self) -> float:
        """The score of all steps: the number of correct examples in a classification without weights."""
        return float(self.report[:, c.SCORE].sum())


def workspace(k: kc.Case, rows: int, slots: int = 0, n_threads: int = 1) -> kc.Array:
    """Return a workspace of exactly the planned size, full of NaN, because its contents must not matter."""
    plan = c.plan(k.net, rows, slots, k.params.itemsize, n_threads, isinstance(k.x, c.SparseRows))
    work = c.aligned_empty(plan.size, k.params.dtype)
    work.fill(np.nan)
    return work


def optimizer(rule: naive.Rule) -> kc.Array:
    vector = np.zeros(c.OPTIMIZER_COLUMNS)
    vector[[c.KIND, c.BETA1, c.BETA2, c.EPSILON]] = KINDS[rule.kind], rule.beta1, rule.beta2, rule.epsilon
    vector[[c.NESTEROV, c.WEIGHT_DECAY, c.CLIP_NORM]] = rule.nesterov, rule.weight_decay, rule.clip_norm
    vector[[c.PENALTY, c.PLAIN_EPSILON]] = rule.penalty, rule.plain_epsilon
    return vector


def rule(name: str, extra: str) -> naive.Rule:
    return replace(kc.RULES[name], **kc.EXTRAS[extra])


def first_rate(k: kc.Case) -> float:
    """Return the learning rate of the first step. With exponential outputs, larger rates make the training diverge."""
    return 0.001 if k.naive.activations[-1] == "exponential" else 0.1


def rates(order: kc.Array, batch_size: int, first: float = 0.1) -> kc.Array:
    """Return a different learning rate for each step."""
    return first / (1 + 0.25 * np.arange(-(-len(order) // batch_size)))


@contextmanager
def forced_path(is_narrow: bool) -> Iterator[None]:
    """Let `train` use columns (contract.narrow) for every dense network, or for none."""
    with mock.patch.object(c, "narrow", return_value=is_narrow):
        forget_plans()
        try:
            yield
        finally:
            forget_plans()


def forget_plans() -> None:
    c._plan.cache_clear()
    if "fastnet.kernels.numba_backend" in sys.modules:
        sys.modules["fastnet.kernels.numba_backend"]._template.cache_clear()


def predict(backend: Any, k: kc.Case) -> kc.Array:
    out = np.full((len(k.x), k.naive.sizes[-1]), np.nan, k.params.dtype)
    backend.predict(k.net, k.params, k.x, out, workspace(k, len(k.x)))
    return out


def gradient(backend: Any, k: kc.Case) -> tuple[float, kc.Array]:
    grad = np.full_like(k.params, np.nan)
    cost = backend.gradient(k.net, k.params, k.x, k.y, k.weights, grad, workspace(k, len(k.x)))
    return float(cost), grad


def train(
    backend: Any,
    k: kc.Case,
    order: kc.Array,
    batch_size: int,
    rule: naive.Rule,
    rate: kc.Array | None = None,
    step: int = 0,
    state: kc.Array | None = None,
    stop: int = 0,
    n_threads: int = 1,
) -> Trained:
    """Call `train` with a team of n_threads on copies of the case. Return the changed arrays and numbers."""
    return trained(backend, call(k, order, batch_size, rule, rate, step, state, stop, n_threads))


def call(
    k: kc.Case,
    order: kc.Array,
    batch_size: int,
    rule: naive.Rule,
    rate: kc.Array | None = None,
    step: int = 0,
    state: kc.Array | None = None,
    stop: int = 0,
    n_threads: int = 1,
) -> c.TrainCall:
    """Return the record of a call of `train`. The arrays that `train` changes are copies."""
    progress = np.full(c.PROGRESS_COLUMNS, -7)  # `train` must overwrite STEPS
    progress[c.STOP] = stop
    rate = rates(order, batch_size, first_rate(k)) if rate is None else rate
    return c.TrainCall(
        net=k.net,
        params=k.params.copy(),
        state=np.zeros((rule.slots(), len(k.params)), k.params.dtype) if state is None else state.copy(),
        x=k.x,
        y=k.y,
        weights=k.weights,
        order=order,
        batch_size=batch_size,
        rates=rate,
        optimizer=optimizer(rule),
        step=step,
        progress=progress,
        report=np.full((len(rate), c.REPORT_COLUMNS), np.nan),
        work=workspace(k, batch_size, rule.slots(), n_threads),
        team=c.team(n_threads),
        worker=0,
    )


def trained(backend: Any, call: c.TrainCall) -> Trained:
    """Call `train` and return the changed arrays and numbers. The report of updates not made must stay NaN."""
    cost = together(backend, call)
    steps = int(call.progress[c.STEPS])
    assert np.isnan(call.report[steps:]).all()
    assert cost == pytest.approx(call.report[:steps, c.COST_SUM].sum(), rel=1e-12)
    return Trained(float(cost), call.params, call.state, steps, call.report[:steps])


def together(backend: Any, call: c.TrainCall, seconds: float = 60) -> Any:
    """Call `train` from all threads of the team and return worker 0's result. Fail if a thread does not return."""
    n_threads = int(call.team[c.N_THREADS])
    if n_threads == 1:
        return backend.train(call)
    returned: dict[int, Any] = {}

    def run(worker: int) -> None:
        returned[worker] = backend.train(call._replace(worker=worker))

    threads = [threading.Thread(target=run, args=(worker,), daemon=True) for worker in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    if len(returned) < n_threads:
        call.team[c.BROKEN] = 1
        pytest.fail(f"only workers {sorted(returned)} of {n_threads} returned")
    return returned[0]


# The end of a program that defines train() and imports os, sys and time. A forked child must get the same bytes from
# train() and must not hang.
AND_IN_A_CHILD = """
expected = train()
child = os.fork()
if child == 0:
    os._exit(0 if train() == expected else 3)
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.02)
os.kill(child, 9)
sys.exit("the child hangs")
"""
