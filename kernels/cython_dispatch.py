"""The Cython backend: hands each call to the extension module for this CPU and dtype.

It imports no module with instructions that the CPU lacks. FASTNET_ISA=x86_v3 excludes the builds above x86_v3.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels.contract import AveragingBackend, Floats, Ints, PreparedPredict, Rows, TrainCall

# The builds, best first, and the CPU features that each build uses (NumPy's names). setup.py compiles these builds.
V2 = ("SSE3", "SSSE3", "SSE41", "SSE42", "POPCNT")
V3 = (*V2, "AVX", "F16C", "FMA3", "AVX2")
V4 = (*V3, "AVX512F", "AVX512CD", "AVX512BW", "AVX512DQ", "AVX512VL")
LEVELS: Mapping[str, tuple[str, ...]] = {"x86_v4": V4, "x86_v3": V3, "x86_v2": V2, "generic": ()}


def cpu_features() -> Mapping[str, bool]:
    """The features that NumPy found in this CPU. Newer versions of NumPy name only whole levels, such as X86_V3."""
    from numpy._core._multiarray_umath import __cpu_features__  # type: ignore[import-not-found]  # no stubs

    return cast("Mapping[str, bool]", __cpu_features__)


def has(features: Mapping[str, bool], name: str) -> bool:
    if name in features:
        return bool(features[name])
    level = next(level for level, names in (("X86_V2", V2), ("X86_V3", V3), ("X86_V4", V4)) if name in names)
    return bool(features.get(level, False))


def runnable(features: Mapping[str, bool]) -> list[str]:
    """The builds that this CPU can run, best first, whether they are installed or not."""
    names = [name for name, needs in LEVELS.items() if all(has(features, need) for need in needs)]
    cap = os.environ.get("FASTNET_ISA")
    if cap and cap not in LEVELS:
        # An ImportError would mean that the backend is missing.
        raise ValueError(f"FASTNET_ISA={cap} is unknown: use one of {', '.join(LEVELS)}")
    return names[names.index(cap) :] if cap in names else names


DTYPES = ("float32", "float64")
COMPRESSION_PAYS = True
warm_up = None  # nothing is compiled at the first call; without this line, each look for it would take 0.8 us


@functools.cache
def module(dtype: str) -> Any:
    """The extension module for "float32" or "float64". Raises ImportError if no installed build runs on this CPU."""
    builds = [f"fastnet.kernels._cython_{isa}_" for isa in runnable(cpu_features())]
    for build in builds:
        if all(find_spec(build + each) is not None for each in DTYPES):
            return importlib.import_module(build + dtype)
    raise ImportError("no compiled kernels are installed for this CPU")


def instruction_set() -> str:
    return str(module("float32").instruction_set)


def peak_flops(repeats: int) -> float:
    """Run `repeats` rounds of float32 multiply-adds in registers and return the number of operations, for bench/."""
    return float(module("float32").peak_flops(repeats))


def _for(params: Floats) -> AveragingBackend:
    # dtype.name takes microseconds
    backend: AveragingBackend = module("float32" if params.itemsize == 4 else "float64")
    return backend


def predict(net: Ints, params: Floats, x: Rows, out: Floats, work: Floats) -> None:
    _for(params).predict(net, params, x, out, work)


def predictor(net: Ints, params: Floats, rows: int, x_dtype: np.dtype[Any], work: Floats) -> PreparedPredict:
    return _for(params).predictor(net, params, rows, x_dtype, work)


def gradient(
    net: Ints, params: Floats, x: Rows, y: NDArray[Any], weights: NDArray[np.float64], grad: Floats, work: Floats
) -> float:
    return _for(params).gradient(net, params, x, y, weights, grad, work)


def train(call: TrainCall) -> float:
    return _for(call.params).train(call)


def update(
    net: Ints,
    params: Floats,
    state: Floats,
    gradient: Floats,
    optimizer: NDArray[np.float64],
    rate: float,
    done: int,
) -> None:
    _for(params).update(net, params, state, gradient, optimizer, rate, done)


def compress(x: NDArray[Any], scale: float, starts: Ints, indices: NDArray[np.int32], values: NDArray[Any]) -> int:
    return _for(values).compress(x, scale, starts, indices, values)


def __getattr__(name: str) -> Any:
    if name == "MAX_THREADS":  # 1 if the C compiler had no atomic operations
        return module("float32").MAX_THREADS
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
