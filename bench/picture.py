"""Pictures of the results: bars of speed ratios, a roofline, and curves of how the time grows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from fastnet.bench import pages
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

# Markers and labels repeat what the colours say. A library with two contenders has a dark and a light colour.
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
SHIFT = 1.18  # the factor between the positions of two workloads of equal intensity


class Bar(NamedTuple):
    """One contender on one workload."""

    name: str
    speed: float  # relative to the baseline
    seconds: float  # per epoch


def check(path: str) -> None:
    """Raises DataError for a wrong kind of file, FastnetError if Matplotlib is missing."""
    if PurePath(path).suffix.lower() not in style.KINDS:
        raise DataError(f"--picture {shown(path)}: expected a name that ends in {', '.join(style.KINDS)}")
    style.check()


def write(path: str, results: Sequence[Result], growth: Sequence[dict[str, Any]], bandwidth: float, about: str) -> None:
    """Draws a run to a file. `growth` has the records of the suite growth; it may be empty."""
    pages.save_picture(_figure(results, growth, bandwidth, about), path)


@style.picture
def speeds(workloads: Mapping[str, Sequence[Bar]], baseline: str) -> Figure:
    """A figure of bars only, in two columns; `workloads` has titles as keys."""
    n_lines = math.ceil(len(workloads) / 2)
    figure = style.figure(8, n_lines * (0.6 + 0.24 * max(map(len, workloads.values()))))
    for k, (title, bars) in enumerate(workloads.items()):
        _bars(figure.add_subplot(n_lines, 2, k + 1), title, bars, baseline)
    return figure


@style.picture
def _figure(results: Sequence[Result], growth: Sequence[dict[str, Any]], bandwidth: float, about: str) -> Figure:
    workloads = list(dict.fromkeys(result.workload for result in results))
    n_bars = max(sum(r.workload == w for r in results) for w in workloads)
    n_lines = math.ceil(len(workloads) / 2)
    sweeps = list(dict.fromkeys(record["sweep"] for record in growth))
    heights = [0.55 + 0.27 * n_bars] * n_lines + [4.0] + [2.6] * math.ceil(len(sweeps) / 2)
    figure = style.figure(10, sum(heights) + 1.3)
    figure.set_layout_engine("constrained", h_pad=0.07)
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights)
    baseline = TUNED if TUNED in results[0].baselines else BASELINE
    for k, workload in enumerate(workloads):
        bars = [Bar(r.name, r.speed(baseline), r.timing.median) for r in results if r.workload == workload]
        _bars(figure.add_subplot(grid[k // 2, k % 2]), workload.label, bars, baseline)
    _roofline(figure.add_subplot(grid[n_lines, :]), results, bandwidth)
    for k, sweep in enumerate(sweeps):
        axes = figure.add_subplot(grid[n_lines + 1 + k // 2, k % 2])
        _growth(axes, sweep, [record for record in growth if record["sweep"] == sweep])
    figure.suptitle(about, fontsize=10)
    return figure


def _bars(axes: Axes, title: str, bars: Sequence[Bar], baseline: str) -> None:
    """Speeds relative to the baseline, the fastest on top."""
    ordered = sorted(bars, key=lambda bar: bar.speed)
    fastest = ordered[-1].speed
    axes.axvline(1, color="black", linewidth=0.8, linestyle=":", zorder=0)
    colours = [COLOURS.get(bar.name, OTHER) for bar in ordered]
    axes.barh([bar.name for bar in ordered], [bar.speed for bar in ordered], color=colours, height=0.72)
    for place, bar in enumerate(ordered):
        label = f"{bar.speed:.2f}   {number(1000 * bar.seconds)} ms"
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(bar.speed + 0.012 * fastest, place, label, va="center", fontsize=8, bbox=box)
    axes.set_xlim(0, 1.35 * fastest)
    axes.tick_params(axis="y", length=0)
    axes.set_title(title, loc="left", fontsize=9, weight="bold")
    axes.set_xlabel(f"speed ({baseline} = 1), and milliseconds per epoch", fontsize=8)


def _roofline(axes: Axes, results: Sequence[Result], bandwidth: float) -> None:
    """Plots operations a second against operations per byte of images read from memory."""
    places = _places(results)
    left, right = min(places.values()) / 4, max(places.values()) * 2
    best, worst = max(result.flops for result in results), min(result.flops for result in results)
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
    axes.set_ylim(worst / 3.5 / 1e9, best * 1.7 / 1e9)
    for (name, _), place in places.items():
        axes.text(place, worst / 1.9 / 1e9, name, ha="center", fontsize=8, weight="bold")
    for size, intensity in {(result.row_bytes, result.intensity) for result in results}:
        axes.text(intensity, worst / 3 / 1e9, f"{size} B", ha="center", fontsize=7)
    axes.grid(alpha=0.25, which="both", linewidth=0.5)
    axes.set_xlabel("operations per byte of images read (at the bottom: the workload, and the bytes of an image)")
    axes.set_ylabel("GFLOP/s, dense-equivalent")
    title = "Roofline. Skipped zeros count as operations, so a point may lie above the roof"
    axes.set_title(title, loc="left", fontsize=9, weight="bold")
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _places(results: Sequence[Result]) -> dict[tuple[str, int], float]:
    """The horizontal position of each (workload, bytes of an example): its intensity, shifted if two are equal."""
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
    axes.set_ylabel("ns per multiply-add" if per_item else "seconds per epoch")
    axes.legend(fontsize=8, frameon=False)
