"""The only module that rejects arguments: once, at the boundary, in the user's words.

Each function returns its argument in the form the library works with, or raises ValueError or TypeError that says
what was wrong, what was expected and what to do. Files are rejected by their readers (files.py, datasets.py).
"""

from __future__ import annotations

import difflib
import inspect
import math
import operator
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnet.kernels import contract as c

Array = NDArray[Any]
Rows = c.Rows
T = TypeVar("T")
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


def instance(name: str, value: object, kind: type[T]) -> T:
    """The value, if it is one of fastnet's own such objects."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a fastnet.{kind.__name__}, not {type(value).__name__}")
    return value


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


def dropout(value: float | Sequence[float] | Array, n_hidden: int) -> tuple[float, ...]:
    """A share from 0 to below 1 for each hidden layer, from one for all or a list."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        rates = [number("dropout", value, least=0)] * max(n_hidden, 1)
    elif len(value) != n_hidden:
        raise ValueError(
            f"dropout lists {len(value)} numbers for {n_hidden} hidden layers; inputs and outputs are never dropped"
        )
    else:
        rates = [number(f"dropout[{i}]", rate, least=0) for i, rate in enumerate(value)]
    for rate in rates:
        if rate >= 1:
            raise ValueError(f"dropout is the share of the activations to drop, from 0 to below 1, not {rate:g}")
    if not n_hidden and any(rates):
        raise ValueError(f"dropout={rates[0]:g}: the network has no hidden layer, whose activations could be dropped")
    return tuple(rates[:n_hidden])


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


def classifier(is_one: bool, output: str, lacks: str) -> None:
    """Refuses a regression network, which has no classes to answer with."""
    if not is_one:
        raise ValueError(f"a network with {output} outputs is a regression's and has no {lacks}")


def same_sizes(sizes: tuple[int, ...], before: tuple[int, ...]) -> None:
    """Refuses to compare a network with another shape's."""
    if sizes != before:
        raise ValueError(
            f"before is a network {list(before)}, and the other {list(sizes)}: give the same before training"
        )


def position(name: str, value: object, length: int) -> int:
    """A position from 0 to length - 1; negative ones count from the end."""
    found = whole_number(name, value, -length)
    if found >= length:
        raise ValueError(f"{name} {found} is not there: they are numbered from 0 to {length - 1}")
    return found % length


def image_shape(shape: object, n_in: int) -> tuple[int, int]:
    """Rows and columns of images of n_in pixels: those given, or those of a square for None."""
    if shape is None:
        side = math.isqrt(n_in)
        if side * side != n_in:
            raise ValueError(f"{n_in} inputs are no square image: give image_shape, such as (28, 28), if they are one")
        return side, side
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise TypeError(f"image_shape must be rows and columns such as (28, 28), not {shape!r}")
    rows, columns = (whole_number("image_shape", side, 1) for side in shape)
    if rows * columns != n_in:
        raise ValueError(f"image_shape {rows} x {columns} has {rows * columns} pixels, but there are {n_in} inputs")
    return rows, columns


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
    return np.dtype(found.type)  # in native byte order, and the one object that NumPy has for it


def input_dtype(dtype: DTypeLike, network: np.dtype[Any]) -> np.dtype[Any]:
    """What inputs of that dtype are for a network of another: bytes stay bytes, floats become the network's."""
    try:
        found = np.dtype(dtype)
    except (TypeError, SyntaxError):
        found = np.dtype(object)
    if found != np.uint8 and found.kind != "f":
        raise ValueError(f"inputs are uint8 or floats such as float32, not {dtype!r}")
    return np.dtype(np.uint8) if found == np.uint8 else network


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


def threads(value: object) -> int | None:
    """A number of threads, or None for "auto"."""
    if isinstance(value, str):
        if value == "auto":
            return None
        raise ValueError(f"threads must be a whole number or 'auto', not {value!r}")
    return whole_number("threads", value, 1)


def one_thread(threads: int | None, backend: str) -> None:
    """Refuses more than one thread for a backend that takes no team, such as one whose BLAS has threads of its own."""
    if threads is not None and threads > 1:
        raise ValueError(
            f"threads={threads}: the {backend} backend takes one thread of ours (of BLAS's own, OPENBLAS_NUM_THREADS "
            "and the like say how many); use threads=1 or 'auto', or another backend"
        )


def sparse(value: object) -> bool | None:
    """True, False, or None for "auto"."""
    if isinstance(value, str) and value == "auto":
        return None
    if not isinstance(value, (bool, np.bool_)):
        raise (ValueError if isinstance(value, str) else TypeError)(
            f"sparse must be True, False or 'auto', not {value!r}"
        )
    return bool(value)


def result(out: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any] | type) -> Array:
    """The array to write a result to: `out`, or a new one for None."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype:
        given = f"{out.shape} {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"out must be an array {shape} {np.dtype(dtype)}, as the result is, not {given}")
    if not (out.flags.carray and out.dtype.isnative):
        raise ValueError("out must be C-contiguous, aligned, writeable and in native byte order: use np.empty")
    return out


# -- a backend of the user's own ---------------------------------------------------------------------------------


def backend_name(name: object, taken: Iterable[str]) -> None:
    """Refuses what cannot name a backend of the user's own."""
    if not isinstance(name, str) or not name or name != "".join(name.split()):
        raise ValueError(f"a backend's name is a word, such as 'mine', not {name!r}")
    if name in taken:
        raise ValueError(f"{name!r} is fastnet's own: give your backend another name")


def backend(name: str, candidate: Any) -> None:
    """Refuses an object that is no c.Backend, as far as can be seen without calling it."""
    settings = tuple(c.Backend.__annotations__)
    functions = [key for key in vars(c.Backend) if not key.startswith("_")]
    missing = [key for key in (*functions, *settings) if not hasattr(candidate, key)]
    if missing:
        raise TypeError(
            f"the backend {name!r} lacks {', '.join(missing)}: fastnet.kernels.contract.Backend says what each is"
        )
    for key in functions:
        if not callable(getattr(candidate, key)):
            raise TypeError(f"{key} of the backend {name!r} must be a function, not {getattr(candidate, key)!r}")
        wanted = [*inspect.signature(getattr(c.Backend, key)).parameters][1:]
        if not _takes(getattr(candidate, key), len(wanted)):
            hint = f"; register an object, {candidate.__name__}()" if isinstance(candidate, type) else ""
            raise TypeError(f"{key} of the backend {name!r} cannot be called as {key}({', '.join(wanted)}){hint}")
    whole_number(f"MOST_MEMBERS of the backend {name!r}", candidate.MOST_MEMBERS, 1)
    flag(f"COMPRESSION_PAYS of the backend {name!r}", candidate.COMPRESSION_PAYS)


def _takes(function: Callable[..., Any], count: int) -> bool:
    """Whether so many arguments, by their places, are what a function takes, as far as it tells."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # compiled, and silent about it
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


# -- data --------------------------------------------------------------------------------------------------------


def inputs(x: object, n_in: int, dtype: np.dtype[Any], name: str = "x") -> Rows:
    """x as C-contiguous (n, n_in), uint8 or dtype; a copy is made only where it is neither already.

    Images (n, rows, columns) are flattened. Bytes stay bytes: the kernels scale them by 1/255. A matrix or array of
    scipy.sparse, of any format, becomes SparseRows.
    """
    if isinstance(x, c.SparseRows) or is_scipy_sparse(x):
        return _sparse_inputs(x, n_in, dtype, name)
    array = _array(x, name)
    _examples(array.shape, n_in, name, f"{name}[None]")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array).reshape(len(array), n_in)
    _floats_or_bytes(array.dtype, name)
    return _finite(_converted(array, dtype, name), name).reshape(len(array), n_in)


def dense_inputs(x: object, n_in: int, dtype: np.dtype[Any], name: str) -> Array:
    """The same for what is looked at pixel by pixel, and so must not be sparse."""
    if isinstance(x, c.SparseRows) or is_scipy_sparse(x):
        raise ValueError(f"{name} must be dense, for the pixels are looked at: use {name}.toarray()")
    found = inputs(x, n_in, dtype, name)
    assert not isinstance(found, c.SparseRows)
    return found


def _examples(shape: tuple[int, ...], n_in: int, name: str, one: str) -> None:
    """Refuses a shape that is not that of some examples; `one` is how to give a single one."""
    if len(shape) < 2:
        hint = f": for one example, {one}" if len(shape) == 1 else ""
        raise ValueError(f"{name} has shape {shape}; expected (n, {n_in}), one row an example{hint}")
    if shape[0] == 0:
        raise ValueError(f"{name} is empty; expected at least one example")
    width = math.prod(shape[1:])
    if width != n_in:
        raise ValueError(f"{name} has shape {shape}: {width} values an example; the network takes {n_in}")


def _floats_or_bytes(dtype: np.dtype[Any], name: str) -> None:
    if dtype != np.uint8 and dtype.kind != "f":
        raise ValueError(
            f"{name} has dtype {dtype}; expected floats, or uint8, which stands for value / 255: "
            f"use {name}.astype(np.float32), or {name}.astype(np.uint8) for pixels from 0 to 255"
        )


# -- sparse data -------------------------------------------------------------------------------------------------


def is_scipy_sparse(x: object) -> bool:
    scipy_sparse = sys.modules.get("scipy.sparse")  # whoever has such a matrix has imported it: we need not
    return scipy_sparse is not None and bool(scipy_sparse.issparse(x))


def _sparse_inputs(x: Any, n_in: int, dtype: np.dtype[Any], name: str) -> c.SparseRows:
    """x as canonical SparseRows of dtype, sharing its arrays where they fit; x itself is never changed."""
    _examples(x.shape, n_in, name, f"{name}.reshape(1, -1)")
    _floats_or_bytes(x.dtype, name)
    if isinstance(x, c.SparseRows):
        starts, indices, values = x.starts, x.indices, x.values
    else:
        csr = _csr(x, name)
        starts, indices, values = csr.indptr, csr.indices, csr.data
    count = values.size if values.ndim == 1 else 0
    _check_compressed(starts, indices, count, x.shape[0], n_in, name)
    starts = np.ascontiguousarray(starts, np.int64)
    indices = np.ascontiguousarray(indices, np.int32)  # a network has no more inputs than these can count
    used = slice(int(starts[0]), int(starts[-1]))
    if not _ascending(starts, indices[used]):
        starts, indices, values = _summed(starts, indices[used], values[used])
        used = slice(0, len(values))
    if values.dtype == np.uint8:
        return c.SparseRows(starts, indices, np.multiply(values, dtype.type(1 / 255), dtype=dtype), n_in)
    values = _converted(values, dtype, name, used)
    if not np.isfinite(values[used]).all():
        at = used.start + int(np.argmin(np.isfinite(values[used])))
        row = int(np.searchsorted(starts, at, "right")) - 1
        raise ValueError(f"{name}[{row}, {indices[at]}] is {values[at]}; every value must be finite")
    return c.SparseRows(starts, indices, values, n_in)


def _csr(x: Any, name: str) -> Any:
    """x in scipy's CSR format. Its conversions trust the indices, and would write anywhere: they are checked first."""
    n, width = x.shape
    if x.format in ("csr", "csc", "bsr") and x.indptr[:1].any():
        raise _corrupt(name, "indptr does not begin with 0")
    if x.format == "csr":
        return x
    if x.format == "csc":
        _check_compressed(x.indptr, x.indices, len(x.data), width, n, name)
    elif x.format == "bsr":
        rows, columns = x.blocksize
        _check_compressed(x.indptr, x.indices, len(x.data), n // rows, width // columns, name)
    else:
        if x.format == "dia" and not _diagonals_in(x.offsets, x.data, n, width):
            raise _corrupt(
                name, "its offsets are not those of different diagonals in its shape, one for each row of data"
            )
        x = x.tocoo()
        for numbers, end in ((x.row, n), (x.col, width)):
            if len(numbers) != len(x.data) or (len(numbers) and not (numbers.min() >= 0 and numbers.max() < end)):
                raise _corrupt(name, f"a row or column is not in its shape {x.shape}, or not given")
    return x.tocsr()


def _diagonals_in(offsets: Array, data: Array, n: int, width: int) -> bool:
    return (
        (offsets.ndim, data.ndim, len(offsets)) == (1, 2, len(data))
        and bool(((offsets > -n) & (offsets < width)).all())
        and len(np.unique(offsets)) == len(offsets)
    )


def _check_compressed(starts: Array, indices: Array, values: int, lines: int, width: int, name: str) -> None:
    """Refuses what would have a kernel read or write out of bounds: starts, indices and that many values."""
    if starts.dtype.kind not in "iu" or indices.dtype.kind not in "iu" or starts.ndim != 1 or indices.ndim != 1:
        raise _corrupt(name, "its index arrays are not one-dimensional and of whole numbers")
    if len(starts) != lines + 1:
        raise _corrupt(name, f"indptr has {len(starts)} entries, not {lines + 1}")
    if starts[0] < 0 or (starts[1:] < starts[:-1]).any():
        raise _corrupt(name, "indptr does not ascend")
    if starts[-1] > min(len(indices), values):
        raise _corrupt(name, f"indptr ends at {starts[-1]}, with {len(indices)} indices and {values} values")
    used = indices[starts[0] : starts[-1]]
    if used.size and (used.min() < 0 or used.max() >= width):
        raise _corrupt(name, f"its indices run from {used.min()} to {used.max()}; expected 0 to {width - 1}")


def _corrupt(name: str, why: str) -> ValueError:
    return ValueError(f"{name} is not a valid sparse matrix: {why}; build it anew, with scipy's own functions")


def _ascending(starts: Array, indices: Array) -> bool:
    """Whether each row's columns ascend, none twice. scipy's own flag for it may be out of date."""
    fall = np.flatnonzero(indices[1:] <= indices[:-1]) + 1 + starts[0]
    return bool(np.isin(fall, starts).all())  # such a place is right only where a row begins


def _summed(starts: Array, indices: Array, values: Array) -> tuple[Array, Array, Array]:
    """The same entries in order, those of one place added up, as scipy's toarray does (bytes: modulo 256)."""
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    order = np.lexsort((indices, rows))
    rows, indices = rows[order], indices[order]
    first = np.flatnonzero(np.append(True, (np.diff(rows) != 0) | (np.diff(indices) != 0)))
    with np.errstate(over="ignore"):  # an infinity made here is refused like one that was given
        values = np.add.reduceat(values[order], first, dtype=values.dtype)
    counts = np.bincount(rows[first], minlength=len(starts) - 1)
    return np.concatenate(([0], np.cumsum(counts))), np.ascontiguousarray(indices[first]), values


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


def classes(y: object, n: int, name: str = "y") -> tuple[Array, int]:
    """y as int64 class labels (n,), and the number of classes: one more than the largest label."""
    array = _array(y, name)
    if array.shape != (n,) or array.dtype.kind not in "biu":
        raise ValueError(
            f"{name} has shape {array.shape} and dtype {array.dtype}; expected ({n},) whole-number class labels from 0"
        )
    n_out = int(array.max()) + 1
    return _labels(array, n_out, name), n_out


def whole_numbers(name: str, values: object, least: int, most: int | None = None) -> tuple[int, ...]:
    """At least one whole number, none twice, each within the bounds."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be whole numbers in a list or range, not {values!r}")
    found = tuple(whole_number(f"{name}[{i}]", value, least) for i, value in enumerate(values))
    if not found or len(set(found)) < len(found):
        raise ValueError(f"{name} must be at least one, none twice, not {list(found)}")
    if most is not None and max(found) > most:
        raise ValueError(f"{name} must be at most {most}, not {max(found)}")
    return found


def seeds(values: object) -> tuple[int, ...]:
    """Seeds of several runs, such as range(5): at least one, none twice."""
    return whole_numbers("seeds", values, 0)


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


def _converted(array: Array, dtype: np.dtype[Any], name: str, used: slice = slice(None)) -> Array:
    """The array in dtype; what lies outside of `used` may be anything."""
    with np.errstate(over="ignore", invalid="ignore"):  # an infinity made here is told from the user's own below
        converted = np.ascontiguousarray(array, dtype)
    if converted.dtype.itemsize < array.dtype.itemsize and array[used].size:
        seen = array[used]
        for extreme, found in ((seen.min(), converted[used].min()), (seen.max(), converted[used].max())):
            if np.isinf(found) and np.isfinite(extreme):
                raise ValueError(f"{name} holds {extreme:g}, beyond {dtype}: use a float64 network or smaller values")
    return converted


def _finite(array: Array, name: str) -> Array:
    # A NaN is the minimum and the maximum of any array that holds one, and no temporary array is needed.
    if not (np.isfinite(array.min()) and np.isfinite(array.max())):
        bad = tuple(int(i[0]) for i in np.nonzero(~np.isfinite(array)))
        raise ValueError(f"{name}[{', '.join(map(str, bad))}] is {array[bad]}; every value must be finite")
    return array
