"""Matrices of every scipy.sparse format, most of them damaged, as x of a call.

fastnet must refuse the matrix or give the result of the equal dense array. Either way the matrix must stay unchanged.
"""

from __future__ import annotations

import contextlib
import copy
import math
import re
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

import fastnet

from .harness import Case, Danger, Unfit
from .kernel_calls import available
from .sparse_meaning import meaning

FORMATS = ("csr", "csc", "coo", "bsr", "dia", "lil", "dok")
DTYPES = ("float32", "float64", "uint8", "float16", ">f8", "longdouble", "int64", "bool", "complex128", "int8")
TAKEN = ("float32", "float64", "uint8", "longdouble", "int64", "bool")  # scipy has no sparse float16 or >f8
CALLS: dict[str, Callable[[fastnet.Network, Any, Any], Any]] = {
    "forward": lambda net, x, y: net.forward(x),
    "predict": lambda net, x, y: net.predict(x),
    "evaluate": lambda net, x, y: np.array(net.evaluate(x, y)[:2]),
    "compiled": lambda net, x, y: net.compile(max_batch=2)(x),
    "fit": lambda net, x, y: fitted(net, x, y),
    "validation": lambda net, x, y: validated(net, x, y),
}
# SciPy or NumPy raises these errors if a damage is impossible, perhaps because of an earlier damage.
UNDOABLE = (ValueError, TypeError, IndexError, AttributeError, OverflowError, KeyError, ZeroDivisionError)
# The start of fastnet's own messages. The message names x, or y if the numbers of rows differ.
OURS = re.compile(r"^(validation )?[xy][ \[]")
PACKAGE = str(Path(fastnet.__file__).parent)
ARRAYS = {  # the internal arrays of each format
    "csr": ("data", "indices", "indptr"),
    "csc": ("data", "indices", "indptr"),
    "bsr": ("data", "indices", "indptr"),
    "coo": ("data", "row", "col"),
    "dia": ("data", "offsets"),
    "lil": ("data", "rows"),
    "dok": (),
}
NUMBERS = (0, 1, -1, 2, 3, 5, 70, 1 << 31, -(1 << 31), (1 << 32) + 1, (1 << 63) - 1, -(1 << 63))
VALUES = (0.5, 0.0, math.nan, math.inf, -math.inf, 1e300, -1e39, 1e-320, 300.0)
INDEX_DTYPES = ("int64", "int32", "int8", "uint8", "uint64", "float64", "bool", "object", "complex128", ">i4", "U3")
ODD_ARRAYS: dict[str, Callable[[Any], Any]] = {
    "none": lambda a: None,
    "number": lambda a: 3,
    "words": lambda a: "data",
    "list": lambda a: a.tolist(),
    "empty": lambda a: a[:0],
    "shorter": lambda a: a[:-1],
    "longer": lambda a: np.concatenate([a, a[-1:]]),
    "twice": lambda a: np.concatenate([a, a]),
    "column": lambda a: a[:, None],
    "scalar": lambda a: a.reshape(-1)[:1].reshape(()) if a.size else a,
    "flat": lambda a: a.reshape(-1),
    "reversed": lambda a: a[::-1],
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "readonly": lambda a: read_only(a),
    "matrix": lambda a: np.matrix(a) if a.dtype != object and a.ndim < 3 else a,
    "masked": lambda a: np.ma.masked_array(a, mask=True),
}
DAMAGES = ("entry", "entry", "value", "array", "dtype", "shape", "duplicate", "order", "wide", "own")
SHAPES = (
    "taller",
    "wider",
    "lower",
    "narrower",
    "flat",
    "deep",
    "empty",
    "negative",
    "floats",
    "huge",
    "none",
    "words",
)


class Program(Danger):
    seconds = 20.0

    def draw(self, rng: np.random.Generator) -> Case:
        damages = int(rng.choice(4, p=[0.15, 0.45, 0.25, 0.15]))
        return {
            "format": str(rng.choice(FORMATS)),
            "kind": str(rng.choice(["array", "matrix"])),
            "rows": int(rng.integers(1, 7)),
            "columns": int(rng.integers(1, 9)),
            "share": round(float(rng.random()), 2),
            "dtype": str(rng.choice(DTYPES, p=[0.2, 0.15, 0.15, 0.05, 0.05, 0.05, 0.15, 0.1, 0.05, 0.05])),
            "wide_indices": bool(rng.random() < 0.3),
            "seed": int(rng.integers(1 << 16)),
            "damages": [damage(rng) for _ in range(damages)],
            "call": str(rng.choice(list(CALLS))),
            "backend": str(rng.choice([name for name in ("cython", "numpy") if name in available()])),
            "net_dtype": str(rng.choice(["float32", "float64"])),
        }

    def check(self, case: Case) -> str:
        n, width = case["rows"], case["columns"]
        if n < 1 or width < 1:
            raise Unfit
        x = valid(case)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns of numbers that overflow
            for what in case["damages"]:
                with contextlib.suppress(*UNDOABLE):
                    apply(x, what)
            meant = meaning(x, width)
        net = fastnet.Network([width, 3], seed=case["seed"], dtype=case["net_dtype"])
        call, y = CALLS[case["call"]], np.arange(n) % 3
        before = snapshot(x)
        with fastnet.use_backend(case["backend"]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns of numbers that overflow
            try:
                found = call(net, x, y)
            except Exception as error:
                refusal(error, to_be_taken=not case["damages"] and case["dtype"] in TAKEN)
                end = "refused"
            else:
                assert meant is not None, f"fastnet returned {found!r} for an invalid matrix"
                net = fastnet.Network([width, 3], seed=case["seed"], dtype=case["net_dtype"])
                expected = call(net, meant, y)
                equal = np.allclose(found, expected, rtol=1e-5, atol=1e-5, equal_nan=True)
                assert equal, f"{found!r}, expected {expected!r}"
                end = "right"
        assert snapshot(x) == before, "the matrix was changed"
        return f"{case['format']}, {'damaged' if case['damages'] else 'valid'}: {end}"


def fitted(net: fastnet.Network, x: Any, y: Any) -> Any:
    fastnet.Trainer(net, batch_size=2, seed=0).fit(x, y, epochs=1)
    return net.parameters.copy()


def validated(net: fastnet.Network, x: Any, y: Any) -> Any:
    trainer = fastnet.Trainer(net, seed=0)
    return np.array(trainer.fit(np.ones((1, net.sizes[0])), [0], epochs=1, validation_data=(x, y))["validation_cost"])


def refusal(error: Exception, to_be_taken: bool) -> None:
    """Raise AssertionError if the error is not fastnet's own, or if it refuses a valid matrix."""
    frames = traceback.extract_tb(error.__traceback__)
    where = frames[-1].filename
    if type(error) not in (ValueError, TypeError, fastnet.DataError) or not where.startswith(PACKAGE):
        raise AssertionError(f"{type(error).__name__} of {Path(where).name}: {error}") from error
    assert OURS.match(str(error)), f"not fastnet's message: {type(error).__name__}: {error}"
    assert not to_be_taken, f"a valid matrix was refused: {error}"


# -- matrices and damages ---------------------------------------------------------------------------------------------


def valid(case: Case) -> Any:
    """Return a valid matrix. fastnet may refuse its dtype. Its numbers are sums of a few powers of 2."""
    rng = np.random.default_rng(case["seed"])
    n, width = case["rows"], case["columns"]
    dense = rng.integers(1, 9, (n, width)) * (rng.random((n, width)) < case["share"])
    dense = dense.astype(np.uint8 if case["dtype"] == "uint8" else np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy warns of DIA matrices with many diagonals
        x = getattr(scipy.sparse, f"{case['format']}_{case['kind']}")(dense)
    if np.dtype(case["dtype"]) != dense.dtype:
        with contextlib.suppress(ValueError, TypeError):
            x = x.astype(case["dtype"])
    if case["wide_indices"]:
        for name in set(ARRAYS[case["format"]]) - {"data", "rows"}:
            array = getattr(x, name).astype(np.int64)
            if case["format"] == "coo":
                x.coords = tuple(array if name == axis else getattr(x, axis) for axis in ("row", "col"))
            else:
                setattr(x, name, array)
    return x


def damage(rng: np.random.Generator) -> list[Any]:
    """Draw a damage: [kind, number of the internal array, index in this array, new value or replacement array]."""
    what = str(rng.choice(DAMAGES))
    at = [int(n) for n in rng.integers(0, 12, 2)]
    return [what, *at, int(rng.integers(1 << 10))]


def apply(x: Any, what: list[Any]) -> None:
    """Damage x in place."""
    if len(what) != 4:
        raise Unfit
    kind, which, at, value = what
    if kind == "shape":
        x._shape = other_shape(x.shape, SHAPES[value % len(SHAPES)])
        return
    if kind == "own":
        damage_own(x, which, at, value)
        return
    if x.format == "dok":
        damage_dok(x, kind, at, value)
        return
    names = ARRAYS[x.format]
    name = names[which % len(names)]
    if kind == "value":
        name = "data"
    elif kind in ("entry", "wide") and name == "data" and x.format != "lil":
        name = names[-1]
    array = getattr(x, name)
    if kind in ("entry", "value", "wide"):
        numbers = VALUES if kind == "value" else NUMBERS
        if x.format == "lil":
            damage_list(array[at % len(array)], at, numbers[value % len(numbers)], value)
            return
        if kind == "wide":
            array = array.astype(np.int64)
        array = array if array.flags.writeable else array.copy()
        array.reshape(-1)[at % array.size] = np.array(numbers[value % len(numbers)]).astype(array.dtype)
        if kind == "wide" or x.format == "coo":
            set_array(x, name, array)
    elif kind == "array":
        set_array(x, name, list(ODD_ARRAYS.values())[value % len(ODD_ARRAYS)](array))
    elif kind == "dtype":
        set_array(x, name, array.astype(INDEX_DTYPES[value % len(INDEX_DTYPES)]))
    elif kind == "duplicate":
        array.reshape(-1)[at % array.size] = array.reshape(-1)[(at + 1) % array.size]
    elif kind == "order":
        names_of_entries = ("data", "indices") if x.format in ("csr", "csc", "bsr") else names
        order = np.random.default_rng(value).permutation(len(getattr(x, names_of_entries[0])))
        for each in names_of_entries:
            set_array(x, each, getattr(x, each)[order])


def set_array(x: Any, name: str, array: Any) -> None:
    """Set an internal array. A COO array gets row and col through the tuple `coords`, which checks no lengths."""
    if x.format == "coo" and name in ("row", "col"):
        x.coords = (array, x.coords[1]) if name == "row" else (x.coords[0], array)
    else:
        setattr(x, name, array)


def damage_list(entries: Any, at: int, number: Any, value: int) -> None:
    """Damage a row of a LIL matrix: its columns or its values."""
    if value % 3 == 0:
        entries.append(number)
    elif value % 3 == 1:
        entries[at % len(entries)] = number
    else:
        del entries[at % len(entries)]


def damage_dok(x: Any, kind: str, at: int, value: int) -> None:
    """Damage a DOK matrix, which is a dict."""
    number = NUMBERS[value % len(NUMBERS)]
    keys: list[Any] = [
        (number, 0),
        (0, number),
        0,
        (0,),
        (0, 0, 0),
        "ab",
        (0.5, 0),
        (None, 0),
        (0, True),
        (np.int8(0), 0),
    ]
    entries: list[Any] = [*VALUES, None, "one", [1.0], 1 + 1j, True, np.float32(2), np.array([1.0, 2.0]), 10**400]
    key = keys[at % len(keys)] if kind in ("entry", "array", "dtype") else (0, 0)
    x._dict[key] = entries[value % len(entries)] if kind in ("value", "dtype", "order") else 1.0


def damage_own(x: Any, which: int, at: int, value: int) -> None:
    """Damage an attribute that only this format has."""
    if x.format == "lil":
        array = (x.rows, x.data)[which % 2]
        array[at % len(array)] = ([], None, 3, (0,), [0, 0], ["a"], [[0]], [0.5], np.array([0]), [None])[value % 10]
    elif x.format == "bsr":
        x.data = x.data[:, :, :0] if value % 2 else np.repeat(x.data, 2, axis=1 + which % 2)
    elif x.format in ("csr", "csc"):
        x.has_sorted_indices = x.has_canonical_format = True
        x.indices[...] = x.indices[::-1].copy()
    elif x.format == "coo":
        x.coords = (x.coords[:1], x.coords * 2, (), None, list(x.coords))[value % 5]
        x.has_canonical_format = True
    elif x.format == "dia":
        x.offsets = x.offsets[::-1].copy() if value % 2 else x.offsets + value % 5
    else:
        x._dict = ({}, None, [], dict.fromkeys(range(3)))[value % 4]


def other_shape(shape: Any, name: str) -> Any:
    n, width = shape
    return {
        "taller": (n + 1, width),
        "wider": (n, width + 1),
        "lower": (n - 1, width),
        "narrower": (n, width - 1),
        "flat": (width,),
        "deep": (n, 1, width),
        "empty": (0, width),
        "negative": (-n, width),
        "floats": (float(n), float(width)),
        "huge": (1 << 62, width),
        "none": None,
        "words": ("n", "m"),
    }[name]


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


# -- the internal arrays must not change ------------------------------------------------------------------------------


def snapshot(x: Any) -> str:
    """Return the bits of the internal arrays."""
    names = ("_shape", "_dict", *ARRAYS[x.format], *(("coords",) if x.format == "coo" else ()))
    return repr([described(vars(x).get(name, vars(x).get(f"_{name}"))) for name in names])


def described(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        bits = value.tolist() if value.dtype == object else value.tobytes()
        return str(value.dtype), value.shape, value.flags.writeable, bits
    if isinstance(value, tuple):
        return tuple(map(described, value))
    return copy.deepcopy(value)
