"""Random networks, optimisers and data on every backend and every instruction set, against the scalar oracle.

A case is one configuration. Half of the cases call the kernels (this file): every buffer stands against a protected
page, once at its end and once at its beginning. The others call what a user calls (user_calls.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import guard_pages
import kernel_cases as kc
import naive
import numpy as np

import fastnet
from fastnet import backends
from fastnet.kernels import compiled
from fastnet.kernels import contract as c

from . import user_calls
from .harness import Case, Danger, Unfit

WORK = 60_000  # multiply-adds forward of a case, about: the oracle takes a fifth of a microsecond for each
SIDES = ("end", "start")


class Program(Danger):
    def draw(self, rng: np.random.Generator) -> Case:
        level = ("kernels", "user")[int(rng.integers(2))]
        case = {"level": level, **network_of(rng), **training_of(rng)}
        weights = sum((n + 1) * m for n, m in zip(case["sizes"], case["sizes"][1:], strict=False))
        most = max(1, WORK // weights)
        case["rows"] = int(rng.integers(1, 1 + min(most, (3, 12, 40, 700)[int(rng.integers(4))])))
        case["order"] = int(rng.integers(1, 1 + min(most, 3 * case["rows"])))
        steps = int(rng.integers(1, 7))
        case["batch_size"] = -(-case["order"] // steps)
        return case | (user_calls.drawn(rng, case) if level == "user" else kernel_calls_of(rng))

    def prepare(self) -> None:
        self._builds = {dtype: list(builds(dtype)) for dtype in kc.DTYPES}
        for dtype in kc.DTYPES:
            fastnet.warmup("numba", dtype=dtype, x_dtypes=("uint8", dtype))

    def check(self, case: Case) -> str:
        k, rule = problem(case), rule_of(case)
        if case["level"] == "user":
            return user_calls.check(case, k, rule)
        plan = plan_of(case, k, rule)
        for side in SIDES:
            for name, backend in self._builds[case["dtype"]]:
                try:
                    check_calls(backend, plan, side)
                    check_training(backend, plan, side)
                except AssertionError as error:
                    raise AssertionError(f"{name}, guard at the {side}: {error}") from error
        what = "sparse rows" if case["sparse"] else case["inputs"]
        return f"kernels, {len(self._builds[case['dtype']])} builds, {case['dtype']} {what} {case['rule']}"


def builds(dtype: str) -> Iterator[tuple[str, Any]]:
    """Each backend of this machine, and the Cython one once for each instruction set."""
    for info in backends.available():
        if info.available and info.name != "cython":
            yield info.name, backends.get(info.name)
    for isa in compiled.runnable(compiled.cpu_features()):
        name = f"fastnet.kernels._cython_{isa}_{dtype}"
        if find_spec(name) is not None:
            yield f"cython {isa}", import_module(name)


# -- cases ------------------------------------------------------------------------------------------------------------


def network_of(rng: np.random.Generator) -> Case:
    """Most networks small, for the oracle is slow; some of widths that make every loop go round."""
    most = int(rng.choice([4, 20, 80, 300], p=[0.35, 0.35, 0.2, 0.1]))
    sizes = rng.integers(1, most + 1, 2 + int(rng.choice(6, p=[0.2, 0.35, 0.2, 0.1, 0.1, 0.05]))).tolist()
    hidden = rng.choice(kc.HIDDEN, len(sizes) - 2).tolist()
    return {
        "sizes": sizes,
        "hidden": hidden,
        "output": int(rng.integers(len(kc.OUTPUTS))),
        "dtype": str(rng.choice(kc.DTYPES)),
        "inputs": str(rng.choice(kc.INPUTS)),
        "targets": str(rng.choice(kc.TARGETS)),
        "thin": bool(rng.random() < 0.5),
        "seed": int(rng.integers(1000)),
    }


def training_of(rng: np.random.Generator) -> Case:
    """Every setting of an optimiser. With less of an epsilon or a beta2 a step may be all rounding, see kc.RULES."""
    return {
        "rule": str(rng.choice(list(kc.KINDS))),
        "beta1": float(rng.choice([0, 0.5, 0.9, 0.99, round(rng.random(), 3)])),
        "beta2": float(rng.choice([0.5, 0.9, 0.999, round(rng.uniform(0.5, 1), 3)])),
        "epsilon": float(rng.choice([1e-3, 1e-2, 0.1])),
        "nesterov": bool(rng.random() < 0.5),
        "weight_decay": float(rng.choice([0, 0, 0.05, 1e-4])),
        "clip_norm": float(rng.choice([0, 0, 0.3, 0.01, 100])),
        "rate": float(rng.choice([0.1, 0.01, 0])),
        "drops": [float(rng.choice([0, 0.5, 0.2, 0.9])) if rng.random() < 0.5 else 0 for _ in range(5)],
        "dropout": bool(rng.random() < 0.3),
    }


def kernel_calls_of(rng: np.random.Generator) -> Case:
    return {
        "sparse": bool(rng.random() < 0.4),
        "zeros": bool(rng.random() < 0.5),
        "step": int(rng.choice([0, 1, 7, 100_000, (1 << 32) - 2])),
        "started": bool(rng.random() < 0.5),
        "members": int(rng.integers(1, 5)),
        "at_once": int(rng.integers(1, 9)),
        "cuts": [int(rng.integers(1, 6)) for _ in range(int(rng.integers(3)))],
    }


def problem(case: Case) -> kc.Case:
    sizes = case["sizes"]
    if len(sizes) < 2 or min(*sizes, case["rows"], case["order"], case["batch_size"]) < 1:
        raise Unfit
    hidden = [case["hidden"][i % len(case["hidden"])] if case["hidden"] else "identity" for i in range(len(sizes) - 2)]
    words = {key: case[key] for key in ("rows", "dtype", "inputs", "targets", "seed")}
    k = kc.case(sizes, hidden, kc.OUTPUTS[case["output"]], **words)
    return kc.thinned(k, seed=case["seed"]) if case["thin"] else k


def drops_of(case: Case) -> list[float]:
    """The share dropped of each hidden layer; [] without dropout."""
    hidden = len(case["sizes"]) - 2
    return [*case["drops"], *[0.0] * hidden][:hidden] if case["dropout"] else []


def rule_of(case: Case) -> naive.Rule:
    extras = {key: case[key] for key in ("weight_decay", "clip_norm")}
    if case["rule"] == "momentum":
        return naive.Rule("momentum", case["beta1"], nesterov=case["nesterov"], **extras)
    if case["rule"] == "adam":
        if case["beta2"] < 0.5 or case["epsilon"] < 1e-3:
            raise Unfit
        return naive.Rule("adam", case["beta1"], case["beta2"], case["epsilon"], **extras)
    return naive.Rule(**extras)


# -- what the oracle expects ------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """An update as the oracle makes it, from parameters and a state that every backend is given to start from."""

    rows: kc.Array
    rate: float
    number: int
    params: kc.Array
    state: kc.Array
    after: kc.Trained
    near: bool  # to a kink of a relu, where rounding decides on which side
    ties: int  # examples whose class rounding may change


class Plan(NamedTuple):
    """A configuration, and what the oracle finds for it."""

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
    if case["rate"] < 0 or case["step"] < 0:
        raise Unfit
    rates = kc.rates(order, case["batch_size"], case["rate"])
    state = np.zeros((rule.slots(), len(k.params)), k.params.dtype)
    if case["started"]:
        state[...] = rng.uniform(0.1, 1, state.shape)
    outputs = naive.predict(k.naive, k.params.tolist(), kc.naive_inputs(k.x))
    everything = judged(k, np.arange(len(k.x)))
    drops = drops_of(case)
    if drops:
        keys = rng.integers(-(2**63), 2**63 - 1, len(drops), endpoint=True).tolist()
        k = kc.dropping(k, *((int(share * c.DROP_RANGE), key) for share, key in zip(drops, keys, strict=True)))
    plan = Plan(case, k, rule, order, rates, state, outputs, None if everything[0] else kc.naive_gradient(k), [])
    plan.steps.extend(oracle_steps(plan))
    return plan


def oracle_steps(plan: Plan) -> Iterator[Step]:
    k, size = plan.k, plan.case["batch_size"]
    params, state = k.params, plan.state
    for number, rate in enumerate(plan.rates.tolist()):
        rows, count = plan.order[number * size : (number + 1) * size], plan.case["step"] + number + 1
        yield (step := oracle_step(k, params, state, rows, plan.rule, rate, count))
        params, state = step.after.params, step.after.state.astype(params.dtype)


def oracle_step(
    k: kc.Case, params: kc.Array, state: kc.Array, rows: kc.Array, rule: naive.Rule, rate: float, count: int
) -> Step:
    after = kc.naive_step(k, params, state.tolist(), rows, rule, rate, count)
    return Step(rows, rate, count, params, state, after, *judged(k._replace(params=params), rows, count))


def judged(k: kc.Case, rows: kc.Array, count: int = 0) -> tuple[bool, int]:
    """Whether a weighted sum is so near a kink, and in how many rows two outputs so near a tie, that rounding tells."""
    reach = 20 * kc.TRAINED[k.params.dtype.name]
    kept = naive.factors(k.naive, len(rows), count) if count and k.naive.drops else None
    near, ties = False, 0
    for number, x in enumerate(kc.naive_inputs(k.x[rows])):
        sums, outputs = naive.forward(k.naive, k.params.tolist(), x, kept[number] if kept else None)
        for name, layer in zip(k.naive.activations, sums, strict=True):
            near |= name in ("relu", "leaky_relu") and min(map(abs, layer)) < reach * max(1.0, *map(abs, layer))
        *_, second, first = sorted([0.5, *outputs[-1]] if len(outputs[-1]) == 1 else outputs[-1])
        ties += first - second < reach * max(1.0, abs(first))
    return near, ties


# -- the calls ------------------------------------------------------------------------------------------------------


class Edge:
    """Copies of arrays against a protected page; those that are only read are read-only, and compared afterwards."""

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
        x = kc.sparse(k.x, k.params.dtype, plan.case["zeros"])
        first, last = int(x.starts[0]), int(x.starts[-1])
        if self._side == "end":  # rows that are not the first of their arrays; their last entry is the last
            return c.SparseRows(self.read(x.starts), self.read(x.indices[:last]), self.read(x.values[:last]), x.n_in)
        starts = self.read(x.starts - first)
        return c.SparseRows(starts, self.read(x.indices[first:last]), self.read(x.values[first:last]), x.n_in)

    def assert_unchanged(self) -> None:
        kc.assert_same_bits(*zip(*self._read, strict=True))


def check_calls(backend: Any, plan: Plan, side: str) -> None:
    """predict, gradient, predictor and compress."""
    k, edge = plan.k, Edge(side)
    tolerance = scale(plan) * kc.TOLERANCE[k.params.dtype.name]
    net, params, x, y = edge.read(k.net), edge.read(k.params), edge.inputs(plan), edge.read(k.y)
    work = edge.own(kc.workspace(k, len(k.x)))
    nothing = np.full((len(k.x), k.naive.sizes[-1]), np.nan, k.params.dtype)
    backend.predict(net, params, x, out := edge.own(nothing), work)
    kc.assert_close(out, plan.outputs, tolerance)
    if not k.naive.drops:
        work.fill(np.nan)
        cost = backend.gradient(net, params, x, y, grad := edge.own(np.full_like(k.params, np.nan)), work)
        if plan.gradient is not None:
            kc.assert_close(cost, plan.gradient[0], tolerance)
            kc.assert_close(grad, plan.gradient[1], tolerance)
    if not plan.case["sparse"]:
        at_once = max(1, plan.case["at_once"])
        run = backend.predictor(net, params, at_once, k.x.dtype, edge.own(kc.workspace(k, at_once)))
        run(x, out := edge.own(nothing))
        kc.assert_close(out, plan.outputs, tolerance)
        starts, none, no = edge.own(np.full(len(k.x) + 1, -1)), np.empty(0, np.int32), np.empty(0, k.params.dtype)
        count = backend.compress(x, starts, edge.own(none), edge.own(no))
        entries = edge.own(np.full(count, -1, np.int32)), edge.own(np.full(count, np.nan, k.params.dtype))
        assert backend.compress(x, starts, *entries) == count
        rows, columns = np.nonzero(k.x)
        kc.assert_same_bits(
            [starts, entries[0]], [np.searchsorted(rows, np.arange(len(k.x) + 1)), columns.astype("i4")]
        )
        kc.assert_close(entries[1], kc.as_floats(k.x, k.params.dtype)[rows, columns], tolerance)
    edge.assert_unchanged()


def check_training(backend: Any, plan: Plan, side: str) -> None:
    """train: each update alone against the oracle's; then all of them in one call, twice, and cut: to the bit."""
    members = min(max(1, plan.case["members"]), backend.MOST_MEMBERS)
    tolerance = scale(plan) * kc.TRAINED[plan.k.params.dtype.name]
    edge = Edge(side)
    x, y = edge.inputs(plan), edge.read(plan.k.y)
    for step in plan.steps[SIDES.index(side) :: 2]:  # each of them on one side
        found = trained(
            backend, plan, edge, x, y, step.params, step.state, step.rows, [step.rate], step.number - 1, members
        )
        if not step.near:
            kc.assert_close(found.params, step.after.params, tolerance)
            kc.assert_close(found.state, step.after.state, tolerance)
            kc.assert_close(found.cost / len(step.rows), step.after.cost / len(step.rows), tolerance)
        assert found.steps == 1
        assert abs(found.correct - step.after.correct) <= step.ties, (found.correct, step.after.correct)

    def run(cuts: list[int]) -> kc.Trained:
        done, so_far = 0, kc.Trained(0.0, plan.k.params, plan.state, 0, 0)
        size = plan.case["batch_size"]
        while done < len(plan.rates):
            count = cuts.pop() if cuts else len(plan.rates)
            order, rates = plan.order[done * size : (done + count) * size], plan.rates[done : done + count]
            step = plan.case["step"] + done
            part = trained(backend, plan, edge, x, y, so_far.params, so_far.state, order, rates, step, members)
            steps, correct = so_far.steps + part.steps, so_far.correct + part.correct
            so_far = part._replace(cost=so_far.cost + part.cost, steps=steps, correct=correct)
            done += count
        return so_far

    whole = run([])
    assert whole.steps == len(plan.rates)
    kc.assert_same_bits(run([]), whole)
    cut = run([max(1, count) for count in plan.case["cuts"]])
    kc.assert_same_bits(cut._replace(cost=0), whole._replace(cost=0))
    kc.assert_close(cut.cost, whole.cost, 1e-12)
    edge.assert_unchanged()


def trained(
    backend: Any, plan: Plan, edge: Edge, x: Any, y: kc.Array, params: kc.Array, state: kc.Array, order: kc.Array,
    rates: Any, step: int, members: int,
) -> kc.Trained:  # fmt: skip
    """A call of train, every buffer against a protected page."""
    params, state = edge.own(params), edge.own(state)
    progress = edge.own(np.array([0, -7, -7]))
    size = plan.case["batch_size"]
    vectors = (edge.read(order), size, edge.read(np.array(rates)), edge.read(kc.optimizer(plan.rule)), step)
    work = edge.own(kc.workspace(plan.k, size, plan.rule.slots(), members))
    arguments = (edge.read(plan.k.net), params, state, x, y, *vectors, progress, work)
    cost = kc.together(backend, members, arguments)
    return kc.Trained(float(cost), params, state, int(progress[c.STEPS]), int(progress[c.CORRECT]))


def scale(plan: Plan) -> float:
    """Each layer adds its roundings to those below."""
    return float(len(plan.case["sizes"]))
