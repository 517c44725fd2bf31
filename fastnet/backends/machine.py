"""Describes the machine, and measures the speed of its arithmetic and its memory for a benchmark."""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from fastnet import backends
from fastnet.kernels import cython_dispatch
from fastnet.version import __version__

PEAK_SECONDS = 0.02
PEAK_LIMIT = 1 << 32  # repeats of the loop; no core reaches this number in PEAK_SECONDS
MIN_STREAM, MAX_STREAM = 1 << 27, 1 << 29  # bytes
CACHES = 4  # the stream is this many times as large as the largest cache
Meter = Callable[[], float]


def peak_meter(dtype: str) -> Meter | None:
    """Return a function that measures the core's peak of multiply-adds in FLOP/s, or None without compiled kernels."""
    try:
        module = cython_dispatch.module(dtype)
    except ImportError:
        return None

    def rate(repeats: int) -> tuple[float, float]:
        began = time.perf_counter()
        done = float(module.peak_flops(repeats))
        seconds = time.perf_counter() - began
        return seconds, done / seconds

    repeats = 1 << 10
    while rate(repeats)[0] < PEAK_SECONDS:
        repeats *= 2
        if repeats > PEAK_LIMIT:  # the compiler optimised the loop away
            return None
    return lambda: rate(repeats)[1]


def stream_bytes() -> int:
    """Return how many bytes a bandwidth test must read so that nearly all of them come from memory, not from caches."""
    return min(max(CACHES * largest_cache(), MIN_STREAM), MAX_STREAM)


def largest_cache() -> int:
    """Return the size of the largest cache in bytes, or 0 if the system does not report it."""
    sizes = [0]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        with contextlib.suppress(OSError, ValueError):
            text = path.read_text().strip()
            sizes.append(int(text.rstrip("KM")) << {"K": 10, "M": 20}.get(text[-1], 0))
    return max(sizes)


def bandwidth(size: int, repeats: int = 5) -> float:
    """Return the bytes per second that one thread reads from memory: the median of several dot products.

    The two float32 vectors have `size` bytes together. A dot product does one multiply-add per 8 bytes, so memory
    limits its speed.
    """
    a, b = np.ones((2, size // 8), np.float32)
    rates = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        np.dot(a, b)
        rates.append((a.nbytes + b.nbytes) / (time.perf_counter() - began))
    return median(rates[1:])  # the first round also includes page faults


def resident_peak() -> int:
    """Return the largest resident size of this process in bytes, or 0 if the system does not report it.

    `getrusage` is not used: its figure in a child process starts at the parent's figure.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0


def peak_fact(peaks: list[float]) -> str:
    """Return the median of the measured peaks as text. An unknown peak is nan."""
    known = [peak for peak in peaks if not math.isnan(peak)]
    if not known:
        return "not known: the Cython backend, which measures it, is missing here or was compiled without the loop"
    return f"{median(known) / 1e9:.0f} GFLOP/s, measured before every epoch"


def facts() -> dict[str, str]:
    """Return the hardware and software of this machine, to print with measurements."""
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    about = {
        "processor": processor(),
        "instruction set": cython_dispatch.runnable(cython_dispatch.cpu_features())[0],
        "cores": str(os.cpu_count()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "fastnet": __version__,
        "numpy": f"{np.__version__} with {blas.get('name', 'no BLAS known')} {blas.get('version', '')}".rstrip(),
    }
    for info in backends.available():
        if info.name != "numpy":
            about[info.name] = f"{info.version} for {info.instruction_set}" if info.available else "missing"
    return about | {"date": datetime.date.today().isoformat()}


def processor() -> str:
    """Return the processor's name as the system reports it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
