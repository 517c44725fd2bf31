"""The picture of a run: bars of speed ratios, a roofline, and how the cost grows where that was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import PurePath
from statistics import median
from typing import TYPE_CHECKING, Any

from fastnet.bench.peers import TUNED
from fastnet.bench.report import number
from fastnet.bench.suites import BASELINE
from fastnet.bench.training import Result
from fastnet.errors import DataError
from fastnet.plots import style
from fastnet.text import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Shapes and labels say again what the colours do; the lighter ones are the lesser of a library's two contenders.
COLOURS = {
    "cython": style.BLUE,
    "numba": style.RED,
    "numpy": style.GREEN,
    "numpy-tuned": style.SKY,
    "numpy-idiomatic": "#A6D8F0",
    "jax": style.ORANGE,
    "torch-compiled": style.PINK,
    "torch-eager": "#E3B7D0",
    "sklearn": "#999999",
}
MARKERS = dict(zip(COLOURS, "osD^vPX*<", strict=True))
OTHER = "#555555"
SHIFT = 1.18  # between two workloads of one intensity, to either side


def check(path: str) -> None:
    """Raises DataError or FastnetError where no picture can be made or of that kind, before anything is measured."""
    if PurePath(path).suffix.lower() not in style.KINDS:
        raise DataError(f"--picture {shown(path)}: give it a name that ends in {', '.join(style.KINDS)}")
    style.check()


def write(path: str, results: Sequence[Result], growth: Sequence[dict[str, Any]], bandwidth: float, about: str) -> None:
    style.save(_figure(results, growth, bandwidth, about), path)


@style.picture
def _figure(results: Sequence[Result], growth: Sequence[dict[str, Any]], bandwidth: float, about: str) -> Figure:
    workloads = list(dict.fromkeys(result.workload for result in results))
    most = max(sum(r.workload == w for r in results) for w in workloads)
    lines = math.ceil(len(workloads) / 2)
    sweeps = list(dict.fromkeys(record["sweep"] for record in growth))
    heights = [0.55 + 0.27 * most] * lines + [4.0] + [2.6] * math.ceil(len(sweeps) / 2)
    figure = style.figure(10, sum(heights) + 1.3)
    figure.set_layout_engine("constrained", h_pad=0.07)
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights)
    for k, workload in enumerate(workloads):
        _bars(figure.add_subplot(grid[k // 2, k % 2]), [r for r in results if r.workload == workload])
    _roofline(figure.add_subplot(grid[lines, :]), results, bandwidth)
    for k, sweep in enumerate(sweeps):
        axes = figure.add_subplot(grid[lines + 1 + k // 2, k % 2])
        _growth(axes, sweep, [record for record in growth if record["sweep"] == sweep])
    figure.suptitle(about, fontsize=10)
    return figure


def _bars(axes: Axes, results: Sequence[Result]) -> None:
    """How many times faster than the baseline, the fastest on top."""
    baseline = TUNED if TUNED in results[0].baselines else BASELINE
    ordered = sorted(results, key=lambda r: r.speed(baseline))
    speeds = [r.speed(baseline) for r in ordered]
    axes.axvline(1, color="black", linewidth=0.8, linestyle=":", zorder=0)
    axes.barh([r.name for r in ordered], speeds, color=[COLOURS.get(r.name, OTHER) for r in ordered], height=0.72)
    for place, (result, speed) in enumerate(zip(ordered, speeds, strict=True)):
        label = f"{speed:.2f}   {number(1000 * result.timing.median)} ms"
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(speed + 0.012 * max(speeds), place, label, va="center", fontsize=8, bbox=box)
    axes.set_xlim(0, 1.35 * max(speeds))
    axes.tick_params(axis="y", length=0)
    workload = results[0].workload
    layers = "-".join(map(str, workload.sizes))
    axes.set_title(f"{workload.name}: {layers}, batch {workload.batch_size}", loc="left", fontsize=9, weight="bold")
    of = "tuned NumPy" if baseline == TUNED else "NumPy"
    axes.set_xlabel(f"speed ({of} = 1), and milliseconds an epoch", fontsize=8)


def _roofline(axes: Axes, results: Sequence[Result], bandwidth: float) -> None:
    """Operations a second against operations for each byte of images read from memory."""
    places = _places(results)
    left, right = min(places.values()) / 4, max(places.values()) * 2
    best, least = max(result.flops for result in results), min(result.flops for result in results)
    peaks = [peak for result in results for peak in result.timing.peaks if not math.isnan(peak)]
    xs = [left, right]
    if peaks:
        peak = median(peaks)
        ridge, best = peak / bandwidth, max(best, peak)
        left = min(left, ridge / 3)
        xs = [left, ridge, right]
        axes.text(ridge, 1.12 * peak / 1e9, f"multiply-add peak {peak / 1e9:.0f} GFLOP/s", fontsize=8)
    else:
        peak = math.inf
    axes.plot(xs, [min(bandwidth * x, peak) / 1e9 for x in xs], color="black", linewidth=1.2)
    middle = math.sqrt(xs[0] * xs[1]) if peaks else left
    axes.text(middle, bandwidth * middle / 1e9 / 1.6, f" memory {bandwidth / 1e9:.1f} GB/s", fontsize=8, va="top")
    for name in dict.fromkeys(result.name for result in results):
        own = [result for result in results if result.name == name]
        axes.plot(
            [places[result.workload.name, result.row_bytes] for result in own],
            [result.flops / 1e9 for result in own],
            MARKERS.get(name, "p"),
            color=COLOURS.get(name, OTHER),
            markeredgecolor="black",
            markeredgewidth=0.4,
            markersize=8,
            linestyle="none",
            label=name,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left, right)
    axes.set_ylim(least / 3.5 / 1e9, best * 1.7 / 1e9)
    for (name, _), place in places.items():
        axes.text(place, least / 1.9 / 1e9, name, ha="center", fontsize=8, weight="bold")
    for size, intensity in {(result.row_bytes, result.intensity) for result in results}:
        axes.text(intensity, least / 3 / 1e9, f"{size} B", ha="center", fontsize=7)
    axes.grid(alpha=0.25, which="both", linewidth=0.5)
    axes.set_xlabel("operations for each byte of images read; at the bottom the workload, and the bytes of an image")
    axes.set_ylabel("GFLOP/s, dense-equivalent")
    title = "Roofline. Zeros that a kernel skips count as done: a point may lie above"
    axes.set_title(title, loc="left", fontsize=9, weight="bold")
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _places(results: Sequence[Result]) -> dict[tuple[str, int], float]:
    """Where a workload's points are, by its name and the bytes of an example: its intensity, but side by side."""
    columns: dict[float, list[tuple[str, int]]] = {}
    for result in results:
        keys = columns.setdefault(result.intensity, [])
        key = result.workload.name, result.row_bytes
        keys += [] if key in keys else [key]
    return {
        key: intensity * SHIFT ** (2 * k - len(keys) + 1)
        for intensity, keys in columns.items()
        for k, key in enumerate(keys)
    }


def _growth(axes: Axes, sweep: str, records: Sequence[dict[str, Any]]) -> None:
    per_item = sweep != "examples"
    for name in dict.fromkeys(record["backend"] for record in records):
        own = [record for record in records if record["backend"] == name]
        axes.plot(
            [record["value"] for record in own],
            [record["ns_per_multiply_add"] if per_item else record["median_seconds"] for record in own],
            marker=MARKERS.get(name, "p"),
            color=COLOURS.get(name, OTHER),
            label=name,
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.grid(alpha=0.25, which="both", linewidth=0.5)
    values = sorted({record["value"] for record in records})
    axes.set_xticks(values, [f"{value:,}" for value in values], fontsize=7)
    axes.set_xlabel(
        {"examples": "examples", "width": "width of two hidden layers", "batch": "batch size"}.get(sweep, sweep)
    )
    axes.set_ylabel("ns a multiply-add" if per_item else "seconds an epoch")
    axes.legend(fontsize=8, frameon=False)
