"""Prepares a fit's data before the first batch: checks them, compresses them and compiles the kernels for them."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from fastnet.backends.compression import compressed, compresses, described
from fastnet.backends.engine import Engine
from fastnet.backends.interrupts import Interrupts
from fastnet.backends.warming import compiles, warm_up
from fastnet.kernels.contract import Rows, SparseRows
from fastnet.network import Network


class Examples(NamedTuple):
    """Checked examples: x (n, n_in), and y with labels (n,) or targets (n, n_out)."""

    x: Rows
    y: NDArray[Any]


def check_examples(network: Network, x: object, y: object, name: str = "") -> Examples:
    """Return the examples in the form that the kernels take. In error messages `name` stands before x and y.

    Raises ValueError if a shape, dtype or value is invalid.
    """
    rows = network.check_inputs(x, f"{name}x")
    return Examples(rows, network.check_targets(y, len(rows), f"{name}y"))


def check_validation_data(network: Network, pair: object) -> Examples | None:
    """Return the pair (x, y) as checked examples. Raises ValueError or TypeError if the pair is invalid."""
    if pair is None:
        return None
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        length = f" of length {len(pair)}" if isinstance(pair, (tuple, list)) else ""
        raise TypeError(f"validation_data must be a pair (x, y), a tuple or list, not {type(pair).__name__}{length}")
    return check_examples(network, pair[0], pair[1], "validation ")


def prepare(
    x: Rows, dtype: np.dtype[Any], engine: Engine, interrupts: Interrupts, *, sparse: bool | None, epochs: int
) -> tuple[Rows, str]:
    """Return the rows, perhaps compressed, and their description for the history.

    `sparse` says whether to compress dense rows. None, for "auto", compresses them if that saves time over `epochs`
    epochs. Kernels are compiled here, so that the first epoch's `seconds` do not include compilation.
    """
    is_compressed = compresses(sparse, engine.kernels, x, epochs)
    compile_for(x, dtype, engine, interrupts, sparse=is_compressed)
    if is_compressed and not interrupts.pending:
        x = cast(SparseRows, interrupts.call(partial(compressed, engine.kernels, x, dtype)))
    return x, described(x, is_compressed)


def compile_for(x: Rows, dtype: np.dtype[Any], engine: Engine, interrupts: Interrupts, *, sparse: bool = False) -> None:
    """Compile the kernels for rows like x, or for sparse rows if `sparse` is true. Ctrl-C ends the wait at once."""
    if compiles(engine.kernels) and not interrupts.pending:
        sparse = sparse or isinstance(x, SparseRows)
        interrupts.call(partial(warm_up, engine.kernels, dtype, x.dtype, sparse), abandon=True)
