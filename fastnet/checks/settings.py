"""Checks of the settings of a network, a trainer and a backend."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnet.checks.values import boolean, fraction, name_of, number, whole_number
from fastnet.kernels import contract as c
from fastnet.kernels.formulas import ACTIVATIONS, COSTS, TASKS

Array = NDArray[Any]
MAX_PARAMETERS = 2**31 - 1
MIN_SCALE, MAX_SCALE = 1e-30, 1e30  # float32 holds these numbers times 255
HARD_STEPS = ("step", "hard_step", "heaviside", "threshold", "sign")


def layer_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the widths of the layers, inputs first."""
    if isinstance(sizes, (str, bytes)) or not isinstance(sizes, (Sequence, np.ndarray)):
        raise TypeError(f"sizes must be a list of layer widths such as [784, 16, 16, 10], not {sizes!r}")
    if len(sizes) < 2:
        raise ValueError(f"sizes needs at least an input and an output width, such as [784, 10], not {list(sizes)}")
    if len(sizes) > c.MAX_LAYERS + 1:
        raise ValueError(f"a network has at most {c.MAX_LAYERS} layers of weights, not {len(sizes) - 1}")
    found = tuple(whole_number(f"sizes[{i}]", n, 1) for i, n in enumerate(sizes))
    parameters = c.count_parameters(found)
    if parameters > MAX_PARAMETERS:
        raise ValueError(f"sizes {list(found)} make {parameters:,} parameters; at most {MAX_PARAMETERS:,} are possible")
    return found


def hidden_activations(activation: str | Sequence[str], n_hidden: int) -> tuple[str, ...]:
    """Return one activation for each hidden layer, from one name for all or a list."""
    if not isinstance(activation, str) and not isinstance(activation, Sequence):
        raise TypeError(f"activation must be a name, or a list with one name for each hidden layer, not {activation!r}")
    hidden = [row.name for row in ACTIVATIONS.values() if row.is_hidden]
    names = [activation] * n_hidden if isinstance(activation, str) else list(activation)
    if len(names) != n_hidden:
        raise ValueError(
            f"activation has length {len(names)}; expected length {n_hidden}, one name for each hidden layer: the "
            "argument output sets the output layer's"
        )
    for name in [activation] if isinstance(activation, str) else names:  # check the name even without a hidden layer
        if isinstance(name, str) and name in ACTIVATIONS and name not in hidden:
            raise ValueError(
                f"activation sets the hidden layers, and {name} is for the output layer: use output={name!r}; hidden "
                f"layers take {', '.join(hidden)}"
            )
        _activation(name, hidden)
    return tuple(names)


def dropout(value: float | Sequence[float] | Array, n_hidden: int) -> tuple[float, ...]:
    """Return a dropout rate for each hidden layer, from one rate for all or a list."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        rates = [fraction("dropout", value)] * max(n_hidden, 1)
    elif len(value) != n_hidden:
        raise ValueError(
            f"dropout has length {len(value)}; expected length {n_hidden}, one rate for each hidden layer: inputs and "
            "outputs are never dropped"
        )
    else:
        rates = [fraction(f"dropout[{i}]", rate) for i, rate in enumerate(value)]
    if not n_hidden and any(rates):
        raise ValueError(f"dropout={rates[0]:g} needs a hidden layer, and the network has none: use dropout=0")
    return tuple(rates[:n_hidden])


def output_cost_and_task(output: str | None, cost: str | None, task: str | None, n_out: int) -> tuple[str, str, str]:
    """Return the output activation, the cost and the task, if they go together. None stands for what the others imply.

    Without an output and a cost, the task decides. An output decides the cost, a cost decides the output, and the
    output decides the task.
    """
    if task is not None:
        name_of("task", task, TASKS)
    if cost is not None:
        name_of("cost", cost, COSTS)
    if output is None:
        output = _default_output(cost, task, n_out)
    _activation(output)
    is_probability = ACTIVATIONS[output].is_probability
    if cost is None:
        cost = "cross_entropy" if is_probability else "poisson" if output == "exponential" else "squared_error"
    if output not in COSTS[cost].outputs:
        outputs = " or ".join(f"output={name!r}" for name in COSTS[cost].outputs)
        raise ValueError(f"{cost} cannot have {output} outputs: use {outputs}, or cost='squared_error'")
    if output == "softmax" and n_out == 1:
        raise ValueError("a softmax over one output is always 1 and cannot learn; use output='sigmoid'")
    if task is None:
        task = "classification" if is_probability else "regression"
    if task == "classification" and not is_probability:
        raise ValueError(
            f"task='classification' needs outputs that are probabilities, and those of {output} are not: use "
            "output='softmax' or output='sigmoid', or task='regression' for values"
        )
    if task == "multilabel" and output != "sigmoid":
        raise ValueError(
            f"task='multilabel' needs output='sigmoid', a probability for each label, not {output!r}: use "
            "task='classification' for classes that exclude each other, or task='regression' for values"
        )
    return output, cost, task


def _default_output(cost: str | None, task: str | None, n_out: int) -> str:
    if cost is None:
        cost = "squared_error" if task == "regression" else "cross_entropy"
    if cost == "squared_error":
        return "identity" if task == "regression" else COSTS[cost].default_output
    return "sigmoid" if cost == "cross_entropy" and (n_out == 1 or task == "multilabel") else COSTS[cost].default_output


def byte_scale(value: object) -> float:
    """Return the number that a byte of 1 stands for."""
    found = number("byte_scale", value)
    if not MIN_SCALE <= found <= MAX_SCALE:
        raise ValueError(
            f"byte_scale must be from {MIN_SCALE:g} to {MAX_SCALE:g}, not {found:g}: use 1/255 for pixels, 1 for "
            "bytes that are numbers"
        )
    return found


def classifier(task: str, lacks: str) -> None:
    """Refuse a network that is no classifier. `lacks` is the end of the message: what the network does not have."""
    if task != "classification":
        raise ValueError(f"a network with task={task!r} has no {lacks}")


def same_sizes(sizes: tuple[int, ...], before: tuple[int, ...]) -> None:
    """Refuse to compare two networks of different sizes."""
    if sizes != before:
        raise ValueError(
            f"before has the sizes {list(before)}, but the network has {list(sizes)}: give this network as it was "
            "before its training"
        )


def image_shape(shape: object, n_in: int, name: str = "image_shape") -> tuple[int, int]:
    """Return the rows and columns of images with n_in pixels. A shape of None stands for a square."""
    if shape is None:
        side = math.isqrt(n_in)
        if side * side != n_in:
            raise ValueError(f"{n_in} inputs are not the pixels of a square image: give {name}, its rows and columns")
        return side, side
    rows, columns = rows_and_columns(shape)
    if rows * columns != n_in:
        raise ValueError(f"{name} {rows} x {columns} has {rows * columns} pixels, but there are {n_in} inputs")
    return rows, columns


def rows_and_columns(shape: object) -> tuple[int, int]:
    """Return the rows and columns of an image."""
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise TypeError(f"image_shape must be rows and columns such as (28, 28), not {shape!r}")
    rows, columns = (whole_number("image_shape", side, 1) for side in shape)
    return rows, columns


def _activation(name: object, known: Iterable[str] = ACTIVATIONS) -> str:
    if isinstance(name, str) and name in HARD_STEPS:
        raise ValueError(
            f"a hard step ({name!r}) cannot be trained: its derivative is zero everywhere, so gradient descent "
            "finds no direction; use 'sigmoid', the smooth step"
        )
    return name_of("activation", name, known)


def real_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return float32 or float64 as NumPy's own dtype object, in native byte order."""
    try:
        if dtype is None:  # NumPy would read None as float64
            raise TypeError
        found = np.dtype(dtype)
    except (TypeError, SyntaxError):
        raise TypeError(f"dtype must be float32 or float64, not {dtype!r}") from None
    if found not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, not {found}")
    return np.dtype(found.type)  # drops the byte order and any metadata


def dtype_of(name: str, dtype: DTypeLike, known: Sequence[str]) -> np.dtype[Any]:
    """Return a dtype whose name is one of `known`, in native byte order. Errors call it `name`."""
    try:
        found = np.dtype(dtype).name
    except (TypeError, SyntaxError):
        found = ""
    if found not in known:
        raise ValueError(f"{name} must be {', '.join(known[:-1])} or {known[-1]}, not {dtype!r}")
    return np.dtype(found)


def input_dtype(dtype: DTypeLike, network: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of inputs after conversion: uint8 stays uint8, other numbers get the network's dtype."""
    try:
        found = np.dtype(dtype)
    except (TypeError, SyntaxError):
        found = np.dtype(object)
    if found.kind not in "biuf":
        raise ValueError(f"the dtype of inputs must be one of numbers, such as uint8 or float32, not {dtype!r}")
    return np.dtype(np.uint8) if found == np.uint8 else network


def factors(values: object, steps: int, first: int) -> NDArray[np.float64]:
    """Return a copy of the factors (steps,) that a schedule gave for the updates from `first` on."""
    try:
        given = np.asarray(values)
    except ValueError:
        given = np.empty(0, object)
    if given.dtype.kind not in "biuf":
        raise ValueError(f"the schedule gave {values!r:.80}; expected an array with a factor for each update")
    with np.errstate(over="ignore"):  # a float128 may overflow; infinity is refused below
        found = given.astype(np.float64)
    if found.shape != (steps,):
        raise ValueError(f"the schedule gave factors of shape {found.shape}; expected ({steps},), one for each update")
    if not ((found >= 0) & (found < np.inf)).all():
        bad = np.flatnonzero(~(np.isfinite(found) & (found >= 0)))
        raise ValueError(
            f"the schedule gave {found[bad[0]]} at step {first + bad[0]}; expected a finite factor, 0 or more"
        )
    return found


def rates(learning_rate: float, factors: NDArray[np.float64], first: int) -> NDArray[np.float64]:
    """Return the learning rates of the updates from `first` on."""
    largest = max(factors.tolist()) if len(factors) < 16 else float(np.maximum.reduce(factors))  # NumPy takes 1 us
    if math.isfinite(learning_rate * largest):
        return learning_rate * factors
    with np.errstate(over="ignore"):
        found = learning_rate * factors
    if not np.isfinite(found).all():
        bad = np.flatnonzero(~np.isfinite(found))
        raise ValueError(
            f"the learning rate of {learning_rate:g} times the schedule's factor of {factors[bad[0]]:g} at step "
            f"{first + bad[0]} is beyond float64: use a smaller learning rate or factor"
        )
    return found


def threads(value: object) -> int | None:
    """Return the number of threads, or None for "auto"."""
    if type(value) is int and value >= 1:
        return value
    if isinstance(value, str):
        if value == "auto":
            return None
        raise ValueError(f"threads must be a whole number or 'auto', not {value!r}")
    return whole_number("threads", value, 1)


def one_thread(threads: int | None, backend: str) -> None:
    """Refuse more than one thread for a backend that runs on one thread."""
    if threads is not None and threads > 1:
        raise ValueError(
            f"threads={threads}: the {backend} backend runs on one thread of fastnet; use threads=1 or 'auto', or "
            "another backend (OPENBLAS_NUM_THREADS and its like set the threads of BLAS)"
        )


def sparse(value: object) -> bool | None:
    """Return True, False, or None for "auto"."""
    if isinstance(value, str) and value == "auto":
        return None
    if not isinstance(value, (bool, np.bool_)):
        raise (ValueError if isinstance(value, str) else TypeError)(
            f"sparse must be True, False or 'auto', not {value!r}"
        )
    return bool(value)


def result(out: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any] | type) -> Array:
    """Return the array to write a result to: `out`, or a new array for None."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype:
        given = f"of {out.shape} and {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"out must be an array of shape {shape} and dtype {np.dtype(dtype)}, not {given}")
    if not (out.flags.carray and out.dtype.isnative):
        raise ValueError("out must be C-contiguous, aligned, writeable and in native byte order: use np.empty")
    return out


# -- a backend that a user registers ---------------------------------------------------------------------------------


def backend_name(name: object, taken: Iterable[str]) -> None:
    """Refuse a name that a registered backend cannot have."""
    if not isinstance(name, str) or not name or name != "".join(name.split()):
        raise ValueError(f"the name of a backend must be one word, such as 'mine', not {name!r}")
    if name in taken:
        raise ValueError(f"{name!r} is a backend of fastnet: give your backend another name")


def backend(name: str, candidate: Any) -> None:
    """Refuse an object that is not a `Backend` of the contract. Its functions are inspected, but not called."""
    settings = tuple(c.Backend.__annotations__)
    functions = [key for key in vars(c.Backend) if not key.startswith("_")]
    missing = [key for key in (*functions, *settings) if not hasattr(candidate, key)]
    if missing:
        raise TypeError(
            f"the backend {name!r} lacks {', '.join(missing)}: fastnet.kernels.contract.Backend describes them"
        )
    for key in functions:
        if not callable(getattr(candidate, key)):
            raise TypeError(f"{key} of the backend {name!r} must be a function, not {getattr(candidate, key)!r}")
        wanted = [*inspect.signature(getattr(c.Backend, key)).parameters][1:]
        if not _takes(getattr(candidate, key), len(wanted)):
            hint = f"; register an object, {candidate.__name__}()" if isinstance(candidate, type) else ""
            raise TypeError(f"{key} of the backend {name!r} cannot be called as {key}({', '.join(wanted)}){hint}")
    whole_number(f"MAX_THREADS of the backend {name!r}", candidate.MAX_THREADS, 1)
    boolean(f"COMPRESSION_PAYS of the backend {name!r}", candidate.COMPRESSION_PAYS)


def averaging_backend(name: str, candidate: c.Backend) -> c.AveragingBackend:
    """Return the backend, which must have the function `update`. Without it, gradients cannot be averaged."""
    if not callable(getattr(candidate, "update", None)):
        raise ValueError(
            f"the backend {name!r} cannot average gradients, because it has no function update "
            "(fastnet.kernels.contract.AveragingBackend describes it): choose another backend, or average parameters, "
            "such as averaging=16"
        )
    return cast("c.AveragingBackend", candidate)


def _takes(function: Callable[..., Any], count: int) -> bool:
    """Return whether a function takes `count` positional arguments. True if the signature is unknown."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # a compiled function without a signature
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True
