"""Random networks, optimisers and data on every backend and every instruction set, against the scalar oracle.

Half of the cases call the kernels (kernel_calls.py), the others use the public interface (user_calls.py).
"""

from __future__ import annotations

import backend_calls as bc
import kernel_cases as kc
import numpy as np

import fastnet

from . import kernel_calls, user_calls
from .harness import Case, Danger
from .problems import problem

WORK = 30_000  # multiply-adds of a forward pass in most cases; the oracle takes 1 microsecond for each
LEVELS = {"kernels": kernel_calls, "user": user_calls}


class Program(Danger):
    def draw(self, rng: np.random.Generator) -> Case:
        level = str(rng.choice(list(LEVELS)))
        case = {"level": level, **network_of(rng), **training_of(rng)}
        output, cost = kc.PAIRS[case["output"]]
        if cost not in ("cross_entropy", "poisson"):  # the other costs grow with the number of outputs
            case["rate"] /= case["sizes"][-1]
        if output == "exponential":
            case["rate"] /= 100
        weights = sum((n + 1) * m for n, m in zip(case["sizes"], case["sizes"][1:], strict=False))
        most = max(1, WORK // weights)
        case["rows"] = int(rng.integers(1, 1 + min(most, (3, 12, 40, 700)[int(rng.integers(4))])))
        rest: Case = LEVELS[level].drawn(rng, case, most)
        return case | rest

    def prepare(self) -> None:
        for dtype in kc.DTYPES:
            fastnet.warmup("numba", dtype=dtype, x_dtypes=("uint8", dtype))

    def check(self, case: Case) -> str:
        return f"{case['level']}, {case['dtype']}: {LEVELS[case['level']].check(case, problem(case))}"


def network_of(rng: np.random.Generator) -> Case:
    """Draw a network: most are small, because the oracle is slow, and some reach all loops of the kernels."""
    most = int(rng.choice([4, 20, 80, 300], p=[0.35, 0.35, 0.2, 0.1]))
    sizes = rng.integers(1, most + 1, 2 + int(rng.choice(6, p=[0.2, 0.35, 0.2, 0.1, 0.1, 0.05]))).tolist()
    hidden = rng.choice(kc.HIDDEN, len(sizes) - 2).tolist()
    return {
        "sizes": sizes,
        "hidden": hidden,
        "output": int(rng.integers(len(kc.PAIRS))),
        "dtype": str(rng.choice(kc.DTYPES)),
        "inputs": str(rng.choice(kc.INPUTS)),
        "targets": str(rng.choice(kc.TARGETS)),
        "mostly_zero": bool(rng.random() < 0.5),
        "seed": int(rng.integers(1000)),
    }


def training_of(rng: np.random.Generator) -> Case:
    """Draw an optimiser's settings. With a smaller epsilon or beta2 a step could be pure rounding error (kc.RULES)."""
    return {
        "rule": str(rng.choice(list(bc.KINDS))),
        "beta1": float(rng.choice([0, 0.5, 0.9, 0.99, round(rng.uniform(0, 0.999), 3)])),
        "beta2": float(rng.choice([0.5, 0.9, 0.999, round(rng.uniform(0.5, 0.999), 3)])),
        "epsilon": float(rng.choice([1e-3, 1e-2, 0.1])),
        "nesterov": bool(rng.random() < 0.5),
        "weight_decay": float(rng.choice([0, 0, 0.05, 1e-4])),
        "clip_norm": float(rng.choice([0, 0, 0.3, 0.01, 100])),
        "rate": float(rng.choice([0.1, 0.01, 0])),
        "drops": [float(rng.choice([0, 0.5, 0.2, 0.9])) if rng.random() < 0.5 else 0 for _ in range(5)],
        "dropout": bool(rng.random() < 0.3),
    }
