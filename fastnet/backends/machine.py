"""The machine: what it is, and what it could do at the moment of a measurement (multiply-adds, memory)."""

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
from fastnet.kernels import compiled
from fastnet.version import __version__

PEAK_SECONDS = 0.02
PEAK_LIMIT = 1 << 32  # rounds no core does in that time
MIN_STREAM, MAX_STREAM = 1 << 27, 1 << 29  # bytes
CACHES = 4  # the stream is so many times the largest cache
Meter = Callable[[], float]


def peak_meter(dtype: str) -> Meter | None:
    """A function that measures this core's multiply-add peak in operations a second; None where there is none."""
    try:
        module = compiled.module(dtype)
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
        if repeats > PEAK_LIMIT:  # a build whose compiler took the loop away
            return None
    return lambda: rate(repeats)[1]


def stream_bytes() -> int:
    """How much to read so that hardly any of it can be in a cache."""
    return min(max(CACHES * largest_cache(), MIN_STREAM), MAX_STREAM)


def largest_cache() -> int:
    """Bytes of the largest cache that the system tells of; 0 where it tells of none."""
    sizes = [0]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        with contextlib.suppress(OSError, ValueError):
            text = path.read_text().strip()
            sizes.append(int(text.rstrip("KM")) << {"K": 10, "M": 20}.get(text[-1], 0))
    return max(sizes)


def bandwidth(size: int, repeats: int = 5) -> float:
    """Bytes a second that one thread reads from memory: the median over dot products of two float32 vectors.

    `size` bytes in all. A product that reads two streams does one multiply-add for 8 bytes, so that memory is what
    it waits for.
    """
    a, b = np.ones((2, size // 8), np.float32)
    rates = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        np.dot(a, b)
        rates.append((a.nbytes + b.nbytes) / (time.perf_counter() - began))
    return median(rates[1:])  # the first also fetches pages


def resident_peak() -> int:
    """Bytes that this process has had in memory at most, since it was started; 0 where the system does not tell.

    Not by `getrusage`: a child inherits its figure from the process that started it.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0


def peak_fact(peaks: list[float]) -> str:
    known = [peak for peak in peaks if not math.isnan(peak)]
    if not known:
        return "not known: the Cython backend measures it, which is missing here or was compiled without the loop"
    return f"{median(known) / 1e9:.0f} GFLOP/s, measured before every epoch"


def facts() -> dict[str, str]:
    """What the figures were measured on."""
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    about = {
        "processor": processor(),
        "instruction set": compiled.runnable(compiled.cpu_features())[0],
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
    """The processor's name, as the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
