"""The content of the page of a search: the best setting, the pictures, and the table of the settings."""

from __future__ import annotations

import math

from fastnet import plots
from fastnet.report.parts import FOOTER, Card, Facts, Page, Table, counted, picture
from fastnet.search import SearchResult
from fastnet.search.records import Standing
from fastnet.search.standing_texts import (
    metric_text,
    metric_title,
    result_text,
    setting_line,
    standing_rows,
    value_text,
    varied,
)
from fastnet.text import duration

MAX_ROWS = 200  # of the table; the file table.csv of `fastnet search --out` has all settings
_WAYS = {
    "random": "drawn at random",
    "grid": "all settings of a grid",
    "halving": "drawn at random, the worse ones ended early",
}


def page(found: SearchResult, data: str) -> Page:
    """The whole content of the page. `data` is the name of the data."""
    standings, request = found.standings, found.request
    settings = counted(len(standings), "setting")
    best = standings[0]
    diverged = sum(math.isnan(one.score) for one in standings)
    warning = ""
    if diverged:
        last = "They come last in the table." if found.has_best else f"So none is the best: {best.message}."
        warning = f"{counted(diverged, 'setting')} diverged in at least one training. {last}"
    return Page(
        kind="Search",
        what=settings,
        data=data,
        sentence=f"{settings}, {_WAYS[request.method]}, each trained with {counted(request.seeds, 'seed')}. The best "
        f"setting has the best {metric_title(request.metric)} after one standard error is counted against it.",
        warning=warning,
        figures=_figures(found, best),
        cards=[_best(found, best), _curves(found, best), _parallel(found, best), _effects(found, best), _table(found)],
        footer=FOOTER,
    )


def _figures(found: SearchResult, best: Standing) -> Facts:
    """The key figures."""
    standings, metric = found.standings, found.request.metric
    return [
        (f"best {metric_title(metric)}", metric_text(metric, best.mean)),
        ("standard error", metric_text(metric, best.standard_error)),
        ("settings", f"{len(standings):,}"),
        ("trainings", f"{len(standings) * found.request.seeds:,}"),
        ("training time", duration(sum(one.seconds for one in standings))),
    ]


def _best(found: SearchResult, best: Standing) -> Card:
    """The card of the best setting."""
    metric = found.request.metric
    if not found.has_best:
        return Card("best", "The best setting", "All settings diverged.")
    facts = [(name.replace("_", " "), value_text(name, value)) for name, value in best.setting.items()]
    return Card(
        "best",
        "The best setting",
        f"Setting {best.number}: {metric_title(metric)} {result_text(best, metric)} on the rows held out, over "
        f"{counted(found.request.seeds, 'training')} of {counted(best.epochs, 'epoch')}.",
        facts=facts,
    )


def _curves(found: SearchResult, best: Standing) -> Card:
    """The card of the learning curves."""
    metric, text, more = found.request.metric, "Each line is a training.", ""
    if found.has_best:
        text += " The lines of the best setting stand out."
        result = f"{result_text(best, metric)} after {counted(best.epochs, 'epoch')}"
        more = f" Those of setting {best.number} stand out: {result}."
    alt = f"Curves of the {metric_title(metric)} of all trainings against epochs.{more}"
    return Card("curves", "How they learned", text, [picture(plots.search_curves(found), alt)])


def _parallel(found: SearchResult, best: Standing) -> Card:
    """The card of the settings as lines across their parameters."""
    names = varied(found.standings)
    if not names:
        return Card("parallel", "All settings at once", "No parameter varies, so there is nothing to compare.")
    lines = f" The best line: {setting_line(best.setting, names)}." if found.has_best else ""
    return Card(
        "parallel",
        "All settings at once",
        "Each line is a setting. It crosses each axis at its value, and ends at its score.",
        [
            picture(
                plots.search_parallel(found),
                f"Parallel axes of {', '.join(name.replace('_', ' ') for name in names)} and the score.{lines}",
            )
        ],
        wide=True,
    )


def _effects(found: SearchResult, best: Standing) -> Card:
    """The card of the effect of each parameter."""
    names, metric = varied(found.standings), metric_title(found.request.metric)
    if not names:
        return Card("effects", "What each parameter does", "No parameter varies.")
    if not found.has_best:
        return Card("effects", "What each parameter does", "All settings diverged, so there is nothing to compare.")
    when = ", after the epochs that all settings have" if found.request.method == "halving" else ""
    return Card(
        "effects",
        "What each parameter does",
        f"The {metric} of the settings against each parameter{when}, with the mean and the spread over the settings. "
        "If the spread is larger than the differences of the means, other parameters matter more.",
        [
            picture(
                plots.search_effects(found),
                f"The {metric} against {', '.join(name.replace('_', ' ') for name in names)}. The best setting has "
                f"{setting_line(best.setting, names)}.",
            )
        ],
        wide=True,
    )


def _table(found: SearchResult) -> Card:
    """The card of the table of the settings."""
    standings = found.standings
    head, *rows = standing_rows(standings, found.request.metric, MAX_ROWS)
    left_out = len(standings) - len(rows)
    note = f"{counted(left_out, 'worse setting')} left out here." if left_out else ""
    sign = "plus" if found.request.lower_is_better else "minus"
    return Card(
        "settings",
        "The settings",
        f"The best come first. The score is the mean over the trainings {sign} one standard error.",
        table=Table("One row for each setting", head, rows),
        note=note,
        wide=True,
    )
