"""The problem of a case of `configurations`, and one update of it by the scalar oracle."""

from __future__ import annotations

from typing import NamedTuple

import backend_calls as bc
import comparisons as cmp
import kernel_cases as kc
import naive

from .harness import Case, Unfit


def problem(case: Case) -> kc.Case:
    sizes = case["sizes"]
    if len(sizes) < 2 or min(*sizes, case["rows"]) < 1 or case["rate"] < 0:
        raise Unfit
    hidden = [case["hidden"][i % len(case["hidden"])] if case["hidden"] else "identity" for i in range(len(sizes) - 2)]
    always, of_kernels = ("rows", "dtype", "inputs", "targets", "seed"), ("task", "weights", "byte_scale")
    words = {key: case[key] for key in always} | {key: case[key] for key in of_kernels if key in case}
    k = kc.case(sizes, hidden, kc.PAIRS[case["output"]], **words)
    return kc.mostly_zero(k, seed=case["seed"]) if case["mostly_zero"] else k


def drops_of(case: Case) -> list[float]:
    """Return the share dropped in each hidden layer, or [] without dropout."""
    hidden = len(case["sizes"]) - 2
    return [*case["drops"], *[0.0] * hidden][:hidden] if case["dropout"] else []


def rule_of(case: Case) -> naive.Rule:
    extras = {key: case.get(key, 0) for key in ("weight_decay", "clip_norm", "penalty", "plain_epsilon")}
    if case["rule"] == "momentum":
        return naive.Rule("momentum", case["beta1"], nesterov=case["nesterov"], **extras)
    if case["rule"] == "adam":
        if not 0.5 <= case["beta2"] < 1 or case["epsilon"] < 1e-3:
            raise Unfit
        return naive.Rule("adam", case["beta1"], case["beta2"], case["epsilon"], **extras)
    return naive.Rule(**extras)


class Step(NamedTuple):
    """An update by the oracle. Every backend makes the same update from the same parameters and state."""

    rows: kc.Array
    rate: float
    number: int
    params: kc.Array
    state: kc.Array
    after: bc.Trained
    near: bool  # whether rounding may decide the side of a kink, of a ReLU or of a cost
    ties: int  # number of examples whose class may change by rounding, or of such labels


def oracle_step(
    k: kc.Case, params: kc.Array, state: kc.Array, rows: kc.Array, rule: naive.Rule, rate: float, count: int
) -> Step:
    after = cmp.naive_step(k, params, state.tolist(), rows, rule, rate, count)
    return Step(rows, rate, count, params, state, after, *judged(k._replace(params=params), rows, count))


def judged(k: kc.Case, rows: kc.Array, count: int = 0) -> tuple[bool, int]:
    """Return whether rounding may decide the side of a kink, and the number of uncertain classes or labels."""
    reach = 20 * cmp.TRAINED[k.params.dtype.name]
    kept = naive.factors(k.naive, len(rows), count) if count and k.naive.drops else None
    near, ties = False, 0
    targets = cmp.naive_targets(k.y[rows], k.naive.sizes[-1])
    for number, (x, target) in enumerate(zip(cmp.naive_inputs(k.x[rows], k.scale), targets, strict=True)):
        sums, outputs = naive.forward(k.naive, k.params.tolist(), x, kept[number] if kept else None)
        for name, layer in zip(k.naive.activations, sums, strict=True):
            near |= name in ("relu", "leaky_relu") and min(map(abs, layer)) < reach * max(1.0, *map(abs, layer))
        z, errors = sums[-1], [abs(a - t) for a, t in zip(outputs[-1], target, strict=True)]
        near |= any(abs(e - kink) < reach * max(1.0, e) for e in errors for kink in naive.kinks(k.naive))
        if k.naive.task == "multilabel":
            ties += sum(abs(value) < reach * max(1.0, *map(abs, z)) for value in z)
        else:
            *_, second, first = sorted([0.0, *z] if len(z) == 1 else z)
            ties += first - second < reach * max(1.0, *map(abs, z))
    return near, ties


def tolerance(k: kc.Case, of: dict[str, float]) -> float:
    """Return cmp.TOLERANCE or cmp.TRAINED times the number of layers: each layer adds its rounding errors."""
    return len(k.naive.sizes) * of[k.params.dtype.name]
