"""The plan of the workspace: nobody can change it, and what it takes for sparse rows."""

from __future__ import annotations

import kernel_cases as kc
import pytest

from fastnet.kernels import contract as c


def test_a_plan_is_read_only_for_good() -> None:
    """It is kept for later calls, whose kernels take addresses from it."""
    nodes = c.plan(kc.network((3, 2), ("sigmoid",), "squared_error"), 4, 0, 4).nodes
    with pytest.raises(ValueError, match="WRITEABLE"):
        nodes.flags.writeable = True
    with pytest.raises(ValueError, match="read-only"):
        nodes[0, 0] = 1
