"""The optimisers of the scalar-loop oracle. Like naive.py, this file imports neither NumPy nor fastnet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Vector = list[float]


@dataclass(frozen=True)
class Rule:
    """An optimiser. beta1 is mu for momentum, and the decay rate of the first moment for Adam."""

    kind: str = "gradient_descent"  # or "momentum", "adam"
    beta1: float = 0.0
    beta2: float = 0.0
    epsilon: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    clip_norm: float = 0.0  # 0: no clipping
    penalty: float = 0.0  # the factor of half the squared weights, which are added to the summed cost of a batch
    plain_epsilon: bool = False  # whether Adam adds epsilon to the root of the biased second moment

    def slots(self) -> int:
        return {"gradient_descent": 0, "momentum": 1, "adam": 2}[self.kind]


def update(
    rule: Rule,
    params: Vector,
    state: list[Vector],
    grad: Sequence[float],
    is_weight: Sequence[bool],
    rate: float,
    count: int,
    weight: float = 1.0,
) -> None:
    """Make one update in place. `count` is the update's number, from 1. `weight` is the sum of the batch's weights."""
    decay = rule.weight_decay + (rule.penalty / weight if weight else 0.0)
    norm = math.sqrt(math.fsum(g * g for g in grad))
    scale = rule.clip_norm / norm if rule.clip_norm and norm > rule.clip_norm else 1.0
    for i in range(len(params)):
        g = grad[i] * scale
        if is_weight[i]:  # weight decay follows clipping, and biases do not decay
            g += decay * params[i]
        if rule.kind == "gradient_descent":
            params[i] -= rate * g
        elif rule.kind == "momentum":
            velocity = rule.beta1 * state[0][i] + g
            state[0][i] = velocity
            params[i] -= rate * (g + rule.beta1 * velocity if rule.nesterov else velocity)
        elif rule.kind == "adam":
            mean = rule.beta1 * state[0][i] + (1 - rule.beta1) * g
            square = rule.beta2 * state[1][i] + (1 - rule.beta2) * g * g
            state[0][i], state[1][i] = mean, square
            unbiased_mean = mean / (1 - rule.beta1**count)
            root = math.sqrt(1 - rule.beta2**count)
            if rule.plain_epsilon:
                params[i] -= rate * root * unbiased_mean / (math.sqrt(square) + rule.epsilon)
            else:
                params[i] -= rate * unbiased_mean / (math.sqrt(square) / root + rule.epsilon)
        else:
            raise ValueError(rule.kind)
