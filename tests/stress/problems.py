"""The problem of a case of `configurations`, and one update of it by the scalar oracle."""

from __future__ import annotations

from typing import NamedTuple

import kernel_cases as kc
import naive

from .harness import Case, Unfit


def problem(case: Case) -> kc.Case:
    sizes = case["sizes"]
    if len(sizes) < 2 or min(*sizes, case["rows"]) < 1 or case["rate"] < 0:
        raise Unfit
    hidden = [case["hidden"][i % len(case["hidden"])] if case["hidden"] else "identity" for i in range(len(sizes) - 2)]
    words = {key: case[key] for key in ("rows", "dtype", "inputs", "targets", "seed")}
    k = kc.case(sizes, hidden, kc.OUTPUTS[case["output"]], **words)
    return kc.mostly_zero(k, seed=case["seed"]) if case["mostly_zero"] else k


def drops_of(case: Case) -> list[float]:
    """Return the share dropped in each hidden layer, or [] without dropout."""
    hidden = len(case["sizes"]) - 2
    return [*case["drops"], *[0.0] * hidden][:hidden] if case["dropout"] else []


def rule_of(case: Case) -> naive.Rule:
    extras = {key: case[key] for key in ("weight_decay", "clip_norm")}
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
    after: kc.Trained
    near: bool  # whether rounding may decide the side of a ReLU's kink for some weighted sum
    ties: int  # number of examples whose class may change by rounding


def oracle_step(
    k: kc.Case, params: kc.Array, state: kc.Array, rows: kc.Array, rule: naive.Rule, rate: float, count: int
) -> Step:
    after = kc.naive_step(k, params, state.tolist(), rows, rule, rate, count)
    return Step(rows, rate, count, params, state, after, *judged(k._replace(params=params), rows, count))


def judged(k: kc.Case, rows: kc.Array, count: int = 0) -> tuple[bool, int]:
    """Return whether rounding may decide the side of a ReLU's kink, and the number of rows with an uncertain class."""
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


def tolerance(k: kc.Case, of: dict[str, float]) -> float:
    """Return kc.TOLERANCE or kc.TRAINED times the number of layers: each layer adds its rounding errors."""
    return len(k.naive.sizes) * of[k.params.dtype.name]
