"""Hypothesis strategies that draw problems for the kernels."""

from __future__ import annotations

from typing import Any

import backend_calls as bc
import kernel_cases as kc
from hypothesis import strategies as st

from fastnet.kernels import contract as c

# Small widths, and widths just below, at and just above the size of a vector or a cache line.
WIDTHS = (1, 1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 64)
ROWS = (1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 16, 17, 20)


@st.composite
def cases(draw: st.DrawFn) -> kc.Case:
    """Draw any shape, activations, cost, dtype, inputs, targets, task and weights."""
    sizes = [draw(st.sampled_from(WIDTHS)) for _ in range(draw(st.integers(2, 4)))]
    arguments: dict[str, Any] = {
        "hidden": [draw(st.sampled_from(kc.HIDDEN)) for _ in sizes[2:]],
        "output": draw(st.sampled_from(kc.PAIRS)),
        "rows": draw(st.sampled_from(ROWS)),
        "dtype": draw(st.sampled_from(kc.DTYPES)),
        "inputs": draw(st.sampled_from(kc.INPUTS)),
        "targets": draw(st.sampled_from(kc.TARGETS)),
        "seed": draw(st.integers(0, 999)),
        "task": draw(st.sampled_from(list(kc.TASKS))),
        "weights": draw(st.sampled_from(kc.WEIGHTS)),
        "byte_scale": draw(st.sampled_from([c.PIXEL_SCALE, 0.01])),
    }
    return kc.case(sizes, **arguments)


def rules() -> st.SearchStrategy[Any]:
    """Draw each optimiser, with and without weight decay and clipping."""
    return st.builds(
        lambda rule, extra: bc.rule(rule, extra), st.sampled_from(list(kc.RULES)), st.sampled_from(list(kc.EXTRAS))
    )
