"""The content of the page that compares runs: the curves over one another, the settings that differ, the figures."""

from __future__ import annotations

from fastnet import plots
from fastnet.report.parts import FOOTER, Card, Facts, Page, Table, counted, picture
from fastnet.text import elided, score
from fastnet.training.comparison import Comparison
from fastnet.training.comparison_tables import setting_text, tables

MAX_LETTERS = 12  # of a run's name in the large type of the key figures, which does not break
TITLES = {
    "settings": "What differs",
    "results": "How good, how long",
    "training": "On the training rows",
    "validation": "On the validation rows",
}


def page(comparison: Comparison) -> Page:
    """The whole content of the page."""
    runs = counted(len(comparison.runs), "run")
    data = list(dict.fromkeys(str(run.settings.get("data") or "unknown data") for run in comparison.runs))
    on = data[0] if len(data) == 1 else counted(len(data), "data set")
    return Page(
        kind="Comparison of runs",
        what=runs,
        data=on,
        sentence="Each line of a table is a run. The curves of a run have one colour.",
        warning=" ".join(comparison.remarks),
        figures=_figures(comparison),
        cards=[_curves(comparison), _equal(comparison), *_tables(comparison)],
        footer=FOOTER,
    )


def _figures(comparison: Comparison) -> Facts:
    """The key figures: the best run by the figure that most runs have, the fastest one, and the number of runs."""
    found: list[tuple[str, str]] = []
    scored = [(*run.score, run.name) for run in comparison.runs]
    names = {name for name, _, _ in scored if name}
    if len(names) == 1 and not {"data", "task"} & comparison.different.keys():
        name = names.pop()
        known = [(value, run) for _, value, run in scored if value is not None]
        value, run = (min if name.endswith("cost") else max)(known, key=lambda pair: pair[0])
        found += [(f"best {name.replace('_', ' ')}", score(name, value)), ("of the run", elided(run, MAX_LETTERS))]
    return [*found, ("runs", str(len(comparison.runs))), ("settings that differ", str(len(comparison.different)))]


def _curves(comparison: Comparison) -> Card:
    """The card of the curves."""
    drawn = {run.name: run.history for run in comparison.runs if run.history.get("epoch")}
    title = "The curves"
    if not drawn:
        return Card("curves", title, "No run has a history of epochs, so there are no curves.")
    ends = "; ".join(f"{name}: {_end(history['cost'][-1], len(history['epoch']))}" for name, history in drawn.items())
    left_out = [run.name for run in comparison.runs if run.name not in drawn]
    note = f"Without a history of epochs: {', '.join(left_out)}." if left_out else ""
    shown = picture(plots.history(drawn), f"Curves of {counted(len(drawn), 'run')} against epochs. {ends}.")
    return Card("curves", title, _SENTENCE, [shown], note=note)


_SENTENCE = (
    "The cost and the scores after each epoch. Lines of training rows are solid, those of validation rows dashed."
)


def _end(cost: float, epochs: int) -> str:
    return f"cost {cost:.4g} after {counted(epochs, 'epoch')}"


def _tables(comparison: Comparison) -> list[Card]:
    """A card for each table of the comparison."""
    return [
        Card(
            table.key,
            TITLES[table.key],
            f"{table.title[0].upper()}{table.title[1:]}.",
            table=Table(f"{TITLES[table.key]}: one row for each run", table.rows[0], table.rows[1:])
            if table.rows
            else None,
            wide=True,
        )
        for table in tables(comparison)
    ]


def _equal(comparison: Comparison) -> Card:
    """The card of the settings that are equal."""
    facts = [(name.replace("_", " "), setting_text(value)) for name, value in comparison.equal.items()]
    if len(comparison.runs) == 1:
        return Card("equal", "The settings", "The run has these settings.", facts=facts)
    sentence = "All runs have these settings." if facts else "The runs have no setting in common."
    return Card("equal", "What is equal", sentence, facts=facts)
