"""The kernel calls of `configurations`: every build of every backend, with every buffer next to a protected page."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import backend_calls as bc
import comparisons as cmp
import guard_pages
import kernel_cases as kc
import naive
import numpy as np

from fastnet import backends
from fastnet.kernels import contract as c
from fastnet.kernels import cython_dispatch

from .harness import Case, Unfit
from .problems import Step, drops_of, judged, oracle_step, rule_of, tolerance

SIDES = ("end", "start")
HEAVIEST = 3.0  # no example weighs more


def drawn(rng: np.random.Generator, case: Case, most: int) -> Case:
    """Draw the rest of a case, with at most `most` training rows."""
    order, steps = int(rng.integers(1, 1 + min(most, 3 * case["rows"]))), int(rng.integers(1, 7))
    return {
        "order": order,
        "batch_size": -(-order // steps),
        "sparse": bool(rng.random() < 0.4),
        "zeros": bool(rng.random() < 0.5),
        "step": int(rng.choice([0, 1, 7, 100_000, (1 << 32) - 2])),
        "started": bool(rng.random() < 0.5),
        "n_threads": int(rng.integers(1, 5)),
        "at_once": int(rng.integers(1, 9)),
        "task": str(rng.choice(list(kc.TASKS))),
        "weights": str(rng.choice(kc.WEIGHTS)),
        "byte_scale": float(rng.choice([c.PIXEL_SCALE, 0.01])),
        "penalty": float(rng.choice([0, 0, 0.05])),
        "plain_epsilon": bool(rng.random() < 0.5),
        "cuts": [int(rng.integers(1, 6)) for _ in range(int(rng.integers(3)))],
    }


def check(case: Case, k: kc.Case) -> str:
    plan = plan_of(case, k, rule_of(case))
    for side in SIDES:
        for name, backend in builds(case["dtype"]):
            print(f"{name}, guard at the {side}", flush=True)  # if the process dies, the last line names the build
            try:
                check_calls(backend, plan, side)
                check_training(backend, plan, side)
            except AssertionError as error:
                raise AssertionError(f"{name}, guard at the {side}: {error}") from error
    what = "sparse rows" if case["sparse"] else case["inputs"]
    return f"{len(builds(case['dtype']))} builds, {what}, {case['rule']}"


@functools.cache
def builds(dtype: str) -> list[tuple[str, Any]]:
    """Return each backend of this machine by name. Cython has an entry for each instruction set."""
    found = [(name, backends.get(name)) for name in available() if name != "cython"]
    for isa in cython_dispatch.runnable(cython_dispatch.cpu_features()):
        name = f"fastnet.kernels._cython_{isa}_{dtype}"
        if find_spec(name) is not None:
            found.append((f"cython {isa}", import_module(name)))
    return found


@functools.cache
def available() -> list[str]:
    """Return the names of the backends of this machine."""
    return [info.name for info in backends.available() if info.available]


class Plan(NamedTuple):
    """A configuration and the oracle's results for it."""

    case: Case
    k: kc.Case
    rule: naive.Rule
    order: kc.Array
    rates: kc.Array
    state: kc.Array
    outputs: list[naive.Vector]
    gradient: tuple[float, naive.Vector] | None
    steps: list[Step]


def plan_of(case: Case, k: kc.Case, rule: naive.Rule) -> Plan:
    rng = np.random.default_rng(case["seed"])
    order = np.array(rng.integers(0, len(k.x), case["order"]))
    if min(case["order"], case["batch_size"]) < 1 or case["step"] < 0:
        raise Unfit
    rates = bc.rates(order, case["batch_size"], case["rate"])
    state = np.zeros((rule.slots(), len(k.params)), k.params.dtype)
    if case["started"]:
        state[...] = rng.uniform(0.1, 1, state.shape)
    try:
        outputs = naive.predict(k.naive, k.params.tolist(), cmp.naive_inputs(k.x, k.scale))
    except OverflowError:
        raise Unfit from None
    if max(map(max, outputs)) > 1e3:
        raise Unfit  # of the exponential: the rounding errors of large sums become those of its outputs
    everything = judged(k, np.arange(len(k.x)))
    drops = drops_of(case)
    if drops:
        keys = rng.integers(-(2**63), 2**63 - 1, len(drops), endpoint=True).tolist()
        k = kc.dropping(k, *((int(share * c.DROP_RANGE), key) for share, key in zip(drops, keys, strict=True)))
    plan = Plan(case, k, rule, order, rates, state, outputs, None if everything[0] else cmp.naive_gradient(k), [])
    try:
        with np.errstate(over="ignore"):
            plan.steps.extend(oracle_steps(plan))
    except OverflowError:
        raise Unfit from None
    if max(np.abs(step.after.params).max() for step in plan.steps) > 1e3:
        raise Unfit  # the training diverges, and rounding errors grow with it
    return plan


def oracle_steps(plan: Plan) -> Iterator[Step]:
    k, size = plan.k, plan.case["batch_size"]
    params, state = k.params, plan.state
    for number, rate in enumerate(plan.rates.tolist()):
        rows, count = plan.order[number * size : (number + 1) * size], plan.case["step"] + number + 1
        yield (step := oracle_step(k, params, state, rows, plan.rule, rate, count))
        params, state = step.after.params, step.after.state.astype(params.dtype)


class Edge:
    """Copies of arrays next to a protected page. Inputs are read-only and must be unchanged afterwards."""

    def __init__(self, side: str) -> None:
        self._side = side
        self._read: list[tuple[kc.Array, kc.Array]] = []

    def own(self, array: kc.Array) -> kc.Array:
        return guard_pages.at_the_edge(array, self._side)

    def read(self, array: kc.Array) -> kc.Array:
        copy = self.own(array)
        copy.flags.writeable = False
        self._read.append((copy, array))
        return copy

    def inputs(self, plan: Plan) -> Any:
        k = plan.k
        if not plan.case["sparse"]:
            return self.read(k.x)
        x = kc.sparse(k.x, k.params.dtype, plan.case["zeros"], k.scale)
        first, last = int(x.starts[0]), int(x.starts[-1])
        if self._side == "end":  # the arrays keep the entries before the first row, and end with the last row
            return c.SparseRows(self.read(x.starts), self.read(x.indices[:last]), self.read(x.values[:last]), x.n_in)
        starts = self.read(x.starts - first)
        return c.SparseRows(starts, self.read(x.indices[first:last]), self.read(x.values[first:last]), x.n_in)

    def assert_unchanged(self) -> None:
        cmp.assert_same_bits(*zip(*self._read, strict=True))


def check_calls(backend: Any, plan: Plan, side: str) -> None:
    """Check predict, gradient, predictor and compress."""
    k, edge = plan.k, Edge(side)
    within = tolerance(k, cmp.TOLERANCE)
    net, params, x, y = edge.read(k.net), edge.read(k.params), edge.inputs(plan), edge.read(k.y)
    weights = edge.read(k.weights)
    work = edge.own(bc.workspace(k, len(k.x)))
    nothing = np.full((len(k.x), k.naive.sizes[-1]), np.nan, k.params.dtype)
    backend.predict(net, params, x, out := edge.own(nothing), work)
    cmp.assert_close(out, plan.outputs, within)
    if not k.naive.drops:
        work.fill(np.nan)
        cost = backend.gradient(net, params, x, y, weights, grad := edge.own(np.full_like(k.params, np.nan)), work)
        if plan.gradient is not None:
            cmp.assert_close(cost, plan.gradient[0], within)
            cmp.assert_close(grad, plan.gradient[1], within)
    if not plan.case["sparse"]:
        at_once = max(1, plan.case["at_once"])
        run = backend.predictor(net, params, at_once, k.x.dtype, edge.own(bc.workspace(k, at_once)))
        run(x, out := edge.own(nothing))
        cmp.assert_close(out, plan.outputs, within)
        starts, none, no = edge.own(np.full(len(k.x) + 1, -1)), np.empty(0, np.int32), np.empty(0, k.params.dtype)
        count = backend.compress(x, k.scale, starts, edge.own(none), edge.own(no))
        entries = edge.own(np.full(count, -1, np.int32)), edge.own(np.full(count, np.nan, k.params.dtype))
        assert backend.compress(x, k.scale, starts, *entries) == count
        rows, columns = np.nonzero(k.x)
        cmp.assert_same_bits(
            [starts, entries[0]], [np.searchsorted(rows, np.arange(len(k.x) + 1)), columns.astype("i4")]
        )
        cmp.assert_close(entries[1], kc.as_floats(k.x, k.params.dtype, k.scale)[rows, columns], within)
    edge.assert_unchanged()


def check_training(backend: Any, plan: Plan, side: str) -> None:
    """Check each update against the oracle. One call, a repeated call and split calls must give the same bits."""
    n_threads = min(max(1, plan.case["n_threads"]), backend.MAX_THREADS)
    within = tolerance(plan.k, cmp.TRAINED)
    edge = Edge(side)
    x, y = edge.inputs(plan), edge.read(plan.k.y)
    for step in plan.steps[SIDES.index(side) :: 2]:  # to save time, each side checks every second step
        found = trained(
            backend, plan, edge, x, y, step.params, step.state, step.rows, [step.rate], step.number - 1, n_threads
        )
        expected = step.after.report.copy()
        if plan.k.naive.task != "regression":
            scores = [c.SCORE, c.LABELS]
            off = np.abs(found.report[0, scores] - expected[0, scores])
            assert off.max() <= step.ties * HEAVIEST + within * len(step.rows), (found.report, expected)
            expected[0, scores] = found.report[0, scores]
        if not step.near:
            cmp.assert_close(found.params, step.after.params, within)
            cmp.assert_close(found.state, step.after.state, within)
            cmp.assert_close(found.report / len(step.rows), expected / len(step.rows), within)
        assert found.steps == 1

    def run(cuts: list[int]) -> bc.Trained:
        done, so_far = 0, bc.Trained(0.0, plan.k.params, plan.state, 0, np.empty((0, c.REPORT_COLUMNS)))
        size = plan.case["batch_size"]
        while done < len(plan.rates):
            count = cuts.pop() if cuts else len(plan.rates)
            order, rates = plan.order[done * size : (done + count) * size], plan.rates[done : done + count]
            step = plan.case["step"] + done
            part = trained(backend, plan, edge, x, y, so_far.params, so_far.state, order, rates, step, n_threads)
            steps, report = so_far.steps + part.steps, np.concatenate((so_far.report, part.report))
            so_far = part._replace(cost=so_far.cost + part.cost, steps=steps, report=report)
            done += count
        return so_far

    whole = run([])
    assert whole.steps == len(plan.rates)
    cmp.assert_same_bits(run([]), whole)
    cut = run([max(1, count) for count in plan.case["cuts"]])
    cmp.assert_same_bits(cut._replace(cost=0), whole._replace(cost=0))
    cmp.assert_close(cut.cost, whole.cost, 1e-12)
    edge.assert_unchanged()


def trained(
    backend: Any, plan: Plan, edge: Edge, x: Any, y: kc.Array, params: kc.Array, state: kc.Array, order: kc.Array,
    rates: Any, step: int, n_threads: int,
) -> bc.Trained:  # fmt: skip
    """Call train with every buffer next to a protected page."""
    size = plan.case["batch_size"]
    call = c.TrainCall(
        net=edge.read(plan.k.net),
        params=edge.own(params),
        state=edge.own(state),
        x=x,
        y=y,
        weights=edge.read(plan.k.weights),
        order=edge.read(order),
        batch_size=size,
        rates=edge.read(np.array(rates)),
        optimizer=edge.read(bc.optimizer(plan.rule)),
        step=step,
        progress=edge.own(np.array([0, -7])),
        report=edge.own(np.full((len(rates), c.REPORT_COLUMNS), np.nan)),
        work=edge.own(bc.workspace(plan.k, size, plan.rule.slots(), n_threads)),
        team=edge.own(c.team(n_threads)),
        worker=0,
    )
    return bc.trained(backend, call)
