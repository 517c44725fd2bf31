"""The settings of a search as texts, for the terminal and for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastnet.search.records import Standing
from fastnet.search.space import text_of
from fastnet.text import duration, layers, score
from fastnet.training.comparison_tables import setting_text


def varied(found: Sequence[Standing]) -> list[str]:
    """Return the names of the parameters that are not the same in all settings."""
    names = dict.fromkeys(name for one in found for name in one.setting)
    return [name for name in names if len({repr(one.setting.get(name)) for one in found}) > 1]


def value_text(name: str, value: Any) -> str:
    """Return a parameter's value as text: 32-16 for hidden layers, four digits for a number, a dash for none."""
    if name == "hidden" and isinstance(value, (list, tuple)):
        return layers(value) or "none"
    if callable(value):
        return text_of(value)
    return f"{value:.4g}" if isinstance(value, float) else setting_text(value)


def setting_line(setting: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return the parameters of these names in one line, such as "hidden 32-16, learning rate 0.01"."""
    parts = [f"{name.replace('_', ' ')} {value_text(name, setting[name])}" for name in names if name in setting]
    return ", ".join(parts) or "the only setting"


def metric_title(metric: str) -> str:
    """Return what a metric is called in a sentence."""
    return "R2" if metric == "r2" else metric.replace("_", " ")


def metric_text(metric: str, value: float) -> str:
    """Return a value of the metric, such as "93.10%". A dash stands for a setting that diverged."""
    return "-" if math.isnan(value) else score(metric, value)


def result_text(one: Standing, metric: str) -> str:
    """Return the metric of a setting with its standard error, such as "93.10% ± 0.22%"."""
    return f"{metric_text(metric, one.mean)} ± {metric_text(metric, one.standard_error)}"


def standing_rows(found: Sequence[Standing], metric: str, most: int) -> list[list[str]]:
    """Return the head and the best settings as rows of cells, one row for each setting.

    Parameters that are the same in all settings are left out, and so is the number of epochs.
    """
    shown = found[:most]
    differ = len({one.epochs for one in found}) > 1
    columns: list[tuple[str, list[str]]] = [
        ("rank", [str(one.rank) for one in shown]),
        ("setting", [str(one.number) for one in shown]),
        (metric_title(metric), [metric_text(metric, one.mean) for one in shown]),
        ("std error", [metric_text(metric, one.standard_error) for one in shown]),
        ("score", [metric_text(metric, one.score) for one in shown]),
        *(
            (name.replace("_", " "), [value_text(name, one.setting.get(name)) for one in shown])
            for name in varied(found)
        ),
        *([("epochs", [f"{one.epochs:,}" for one in shown])] if differ else []),
        ("time", [duration(one.seconds) for one in shown]),
    ]
    return [[name for name, _ in columns], *map(list, zip(*(texts for _, texts in columns), strict=True))]
