"""The only module that rejects arguments: once, at the boundary, in the user's words.

Each function returns its argument in the form the library works with, or raises ValueError or TypeError that says
what was wrong, what was expected and what to do. Files are rejected by their readers (files.py, datasets.py).
"""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnet.kernels import contract as c

Array = NDArray[Any]
HARD_STEPS = ("step", "hard_step", "heaviside", "threshold", "sign")


def name_of(kind: str, name: object, known: Iterable[str]) -> str:
    """`name` if it is one of `known`."""
    known = tuple(known)
    if isinstance(name, str) and name in known:
        return name
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"unknown {kind} {name!r}; there are {', '.join(known)}{hint}")


def whole_number(name: str, value: object, least: int) -> int:
    """An int of at least `least`."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]  # that it may not be one is what is asked
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, not {number}")
    return number


def flag(name: str, value: object) -> bool:
    """A bool, not just something true or false."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def number(name: str, value: object, *, above: float | None = None, least: float | None = None) -> float:
    """A finite float, above or at least a bound."""
    try:
        if isinstance(value, (str, bytes, bool, np.bool_)):
            raise TypeError
        result = float(value)  # type: ignore[arg-type]  # that it may not be one is what is asked
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {value!r}") from None
    if not math.isfinite(result):
        raise ValueError(f"{name} must be finite, not {result}")
    if above is not None and not result > above:
        raise ValueError(f"{name} must be more than {above:g}, not {result:g}")
    if least is not None and not result >= least:
        raise ValueError(f"{name} must be at least {least:g}, not {result:g}")
    return result


# -- a network's parts -----------------------------------------------------------------------------------------


def layer_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    if isinstance(sizes, (str, bytes)) or not isinstance(sizes, (Sequence, np.ndarray)):
        raise TypeError(f"sizes must be a list of layer widths such as [784, 16, 16, 10], not {sizes!r}")
    if len(sizes) < 2:
        raise ValueError(f"sizes needs at least an input and an output width, such as [784, 10], not {list(sizes)}")
    if len(sizes) > c.MOST_LAYERS + 1:
        raise ValueError(f"a network has at most {c.MOST_LAYERS} layers of weights, not {len(sizes) - 1}")
    found = tuple(whole_number(f"sizes[{i}]", n, 1) for i, n in enumerate(sizes))
    parameters = sum(b * (a + 1) for a, b in pairwise(found))
    if parameters > MOST_PARAMETERS:
        raise ValueError(
            f"sizes {list(found)} make {parameters:,} parameters; at most {MOST_PARAMETERS:,} are possible"
        )
    return found


MOST_PARAMETERS = 2**31 - 1


def hidden_activations(activation: str | Sequence[str], n_hidden: int) -> tuple[str, ...]:
    """One name for each hidden layer, from one name for all or a list."""
    if not isinstance(activation, str) and not isinstance(activation, Sequence):
        raise TypeError(f"activation must be a name or a list of names, one a hidden layer, not {activation!r}")
    hidden = [name for name in c.ACTIVATIONS if name != "softmax"]
    names = [activation] * n_hidden if isinstance(activation, str) else list(activation)
    if len(names) != n_hidden:
        raise ValueError(f"activation lists {len(names)} names for {n_hidden} hidden layers; the output has its own")
    for name in [activation] if isinstance(activation, str) else names:  # wrong even where no layer is hidden
        if name == "softmax":
            raise ValueError("softmax is an output activation; for a hidden layer use sigmoid, relu or tanh")
        _activation(name, hidden)
    return tuple(names)


def output_and_cost(output: str | None, cost: str, n_out: int) -> tuple[str, str]:
    """The output activation (by default the one that goes with the cost) and the cost, if they go together."""
    name_of("cost", cost, c.COSTS)
    if output is None:
        output = "sigmoid" if cost == "squared_error" or n_out == 1 else "softmax"
    _activation(output)
    if cost == "cross_entropy" and output not in ("softmax", "sigmoid"):
        raise ValueError(
            f"cross_entropy needs outputs that are probabilities, and those of {output} are not; "
            "use output='softmax', output='sigmoid' or cost='squared_error'"
        )
    if output == "softmax" and n_out == 1:
        raise ValueError("a softmax over one output is always 1 and cannot learn; use output='sigmoid'")
    return output, cost


def generator(seed: int | np.random.Generator | None) -> np.random.Generator:
    """A random generator: of that seed, that one itself, or another each time for None."""
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(None if seed is None else whole_number("seed", seed, 0))


def _activation(name: object, known: Iterable[str] = c.ACTIVATIONS) -> str:
    if isinstance(name, str) and name in HARD_STEPS:
        raise ValueError(
            f"a hard step ({name!r}) cannot be trained: its slope is zero everywhere, so gradient descent finds no "
            "direction; use 'sigmoid', the smooth step"
        )
    return name_of("activation", name, known)


def real_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    try:
        if dtype is None:  # which NumPy takes for float64
            raise TypeError
        found = np.dtype(dtype)
    except (TypeError, SyntaxError):
        raise TypeError(f"dtype must be float32 or float64, not {dtype!r}") from None
    if found not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, not {found}")
    return found.newbyteorder("=")


def factors(values: object, steps: int, first: int) -> NDArray[np.float64]:
    """A schedule's factors (steps,) of the updates from number `first` on, as the kernels take them."""
    found = np.ascontiguousarray(values, np.float64)
    if found.shape != (steps,):
        raise ValueError(f"the schedule gave factors of shape {found.shape}; expected ({steps},), one an update")
    bad = np.flatnonzero(~(np.isfinite(found) & (found >= 0)))
    if bad.size:
        raise ValueError(
            f"the schedule gave {found[bad[0]]} at step {first + bad[0]}; expected a finite factor, 0 or more"
        )
    return found


# -- data --------------------------------------------------------------------------------------------------------


def inputs(x: object, n_in: int, dtype: np.dtype[Any], name: str = "x") -> Array:
    """x as C-contiguous (n, n_in), uint8 or dtype; a copy is made only where it is neither already.

    Images (n, rows, columns) are flattened. Bytes stay bytes: the kernels scale them by 1/255.
    """
    array = _array(x, name)
    if array.ndim < 2:
        raise ValueError(
            f"{name} has shape {array.shape}; expected (n, {n_in}), one row an example"
            + (f": for one example, {name}[None]" if array.ndim == 1 else "")
        )
    if len(array) == 0:
        raise ValueError(f"{name} is empty; expected at least one example")
    width = math.prod(array.shape[1:])
    if width != n_in:
        raise ValueError(f"{name} has shape {array.shape}: {width} values an example; the network takes {n_in}")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array).reshape(len(array), n_in)
    if array.dtype.kind != "f":
        raise ValueError(
            f"{name} has dtype {array.dtype}; expected floats, or uint8, which stands for value / 255: "
            f"use {name}.astype(np.float32), or {name}.astype(np.uint8) for pixels from 0 to 255"
        )
    return _finite(_converted(array, dtype, name), name).reshape(len(array), n_in)


def outputs(y: object, n: int, n_out: int, output: str, cost: str, dtype: np.dtype[Any], name: str = "y") -> Array:
    """y as int64 (n,) class labels or dtype (n, n_out) targets, C-contiguous.

    For a network with one output, y (n,) holds the target values themselves: 0 and 1, or a regression's numbers.
    """
    array = _array(y, name)
    if array.ndim == 0 or len(array) != n:
        raise ValueError(f"{name} has shape {array.shape}; expected one entry for each of the {n} examples")
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} has dtype {array.dtype}; expected whole-number class labels from 0 to {n_out - 1}, or targets of "
            f"shape (n, {n_out}): number your classes with np.unique({name}, return_inverse=True)"
        )
    if array.ndim == 1 and n_out == 1:
        array = array[:, None]
    if array.ndim == 1:
        return _labels(array, n_out, name)
    if array.shape != (n, n_out):
        hint = f": use {name}.ravel()" if array.shape == (n, 1) else ""
        raise ValueError(f"{name} has shape {array.shape}; expected labels ({n},) or targets ({n}, {n_out}){hint}")
    targets = _finite(_converted(array, dtype, name), name)
    if (cost == "cross_entropy" or (output == "sigmoid" and array.dtype.kind != "f")) and (
        targets.min() < 0 or targets.max() > 1
    ):
        raise ValueError(
            f"{name} ranges from {targets.min():g} to {targets.max():g}; {output} outputs need targets from 0 to 1"
        )
    if output == "softmax" and cost == "cross_entropy":
        sums = targets.sum(axis=1, dtype=np.float64)
        worst = int(np.argmax(np.abs(sums - 1)))
        if abs(sums[worst] - 1) > 1e-3:
            raise ValueError(
                f"{name}[{worst}] sums to {sums[worst]:g}; the targets of a softmax are probabilities and sum to 1"
            )
    return targets


def _labels(array: Array, n_out: int, name: str) -> Array:
    if array.dtype.kind == "f":
        raise ValueError(
            f"{name} holds floats of shape {array.shape}; class labels are whole numbers: use {name}.astype(np.int64), "
            f"or give targets of shape (n, {n_out})"
        )
    bad = np.flatnonzero((array < 0) | (array >= n_out))
    if bad.size:
        raise ValueError(
            f"{name}[{bad[0]}] is {array[bad[0]]}; the network has {n_out} outputs, so labels are from 0 to {n_out - 1}"
        )
    return np.ascontiguousarray(array, np.int64)


def vector(v: object, length: int, name: str) -> Array:
    """A one-dimensional array of that length, as it is: views of it are asked for, never a copy."""
    if not isinstance(v, np.ndarray) or v.shape != (length,):
        shape = v.shape if isinstance(v, np.ndarray) else type(v).__name__
        raise ValueError(f"{name} must be an array of shape ({length},), one entry a parameter, not {shape}")
    return v


def _array(values: object, name: str) -> Array:
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(f"{name} has masked values, which would be trained on: fill or drop them first")
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} is not an array of numbers: {error}") from None
    if array.dtype == object:
        raise ValueError(f"{name} is an array of Python objects; expected numbers, all rows of one length")
    return array


def _converted(array: Array, dtype: np.dtype[Any], name: str) -> Array:
    with np.errstate(over="ignore"):  # an infinity made here is told from the user's own below
        converted = np.ascontiguousarray(array, dtype)
    if converted.dtype.itemsize < array.dtype.itemsize:
        for extreme, found in ((array.min(), converted.min()), (array.max(), converted.max())):
            if np.isinf(found) and np.isfinite(extreme):
                raise ValueError(f"{name} holds {extreme:g}, beyond {dtype}: use a float64 network or smaller values")
    return converted


def _finite(array: Array, name: str) -> Array:
    # A NaN is the minimum and the maximum of any array that holds one, and no temporary array is needed.
    if not (np.isfinite(array.min()) and np.isfinite(array.max())):
        bad = tuple(int(i[0]) for i in np.nonzero(~np.isfinite(array)))
        raise ValueError(f"{name}[{', '.join(map(str, bad))}] is {array[bad]}; every value must be finite")
    return array
