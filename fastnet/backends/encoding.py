"""Encodes a network's settings as the integer array that kernels take: see kernels/contract.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastnet.kernels import contract as c
from fastnet.kernels import formulas


def encode(
    sizes: Sequence[int], activations: Sequence[str], cost: str, cost_number: float, task: str, byte_scale: float
) -> c.Ints:
    """Return a row for each layer of weights. Nobody can make the array writeable."""
    layers = np.zeros((len(activations), c.LAYER_COLUMNS), np.int64)
    at = 0
    for row, n_in, n_out, activation in zip(layers, sizes, sizes[1:], activations, strict=False):
        row[: c.DROP] = n_in, n_out, formulas.ACTIVATIONS[activation].code, at, at + n_in * n_out, c.NO_COST
        at += c.count_parameters((n_in, n_out))
    layers[-1, [c.COST, c.COST_NUMBER, c.TASK]] = formulas.COSTS[cost].code, c.bits(cost_number), formulas.TASKS[task]
    layers[0, c.BYTE_SCALE] = c.bits(byte_scale)
    return c.frozen(layers)
