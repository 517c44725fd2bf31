"""The cards about the columns of a table: how important they are, and what the network makes of them."""

from __future__ import annotations

import dataclasses
from numbers import Integral, Real

import numpy as np

from fastnet import checks, insight, plots
from fastnet.insight.importance import Importance
from fastnet.insight.partial_dependence import PartialDependence
from fastnet.report.parts import NONE, Card, counted, picture
from fastnet.report.subject import REPEATS, Subject, rows_of
from fastnet.text import amount, clipped

CAPTION_OF_ROWS = "Rows are counted from 1 in the test examples."
MAX_LETTERS = 24  # of the text in a cell and of a column's name
DEPENDENCES = 3  # the partial dependence of this many columns is shown
MAX_STRONGEST = 5  # inputs whose length is shown as a number
MEASURES = {"accuracy": "the accuracy", "label_accuracy": "the share of right labels", "r2": "R2"}


def titles(subject: Subject) -> list[str]:
    """The names of the columns that rows of the table show."""
    return [clipped(subject.columns.names[k], MAX_LETTERS) for k in subject.shown_columns]


def cells(subject: Subject, row: int) -> list[str]:
    """The entries of a row in these columns, as text."""
    cell = subject.columns.cell
    return [] if cell is None else [_text(cell(row, k)) for k in subject.shown_columns]


def importance(subject: Subject, found: Importance) -> Card:
    """The card of the importance of each column."""
    first = found.order[0]
    name, fall, spread = found.feature_names[first], found.mean[first], found.deviation[first]
    measure = MEASURES[found.measure]
    before, after = (amount(at) if found.measure == "r2" else f"{at:.1%}" for at in (found.score, found.score - fall))
    if found.measure == "r2" and found.score <= 0:
        said = f"The network is no better than always answering the mean (R2 {before}), so this says little."
    elif fall > 2 * spread:
        said = (
            f"The column “{name}” matters most: if its values are shuffled among the rows, {measure} falls from "
            f"{before} to {after}."
        )
    elif fall > 0:
        said = (
            f"No column matters for sure. Shuffling “{name}” lowers {measure} most, from {before} to {after}, which "
            "may be chance."
        )
    else:
        said = f"No column matters for sure: {measure} is {before}, and shuffling a column does not lower it."
    n, sample = len(subject.data.y_test), len(subject.sample)
    of_rows = f"all {n:,} test examples" if sample == n else f"{sample:,} of the {n:,} test examples, evenly spread"
    return Card(
        "importance",
        "Which columns matter",
        said,
        [
            picture(
                plots.importance(found),
                f"Bars: the fall of {measure} if one column is shuffled, the most important column first. {said}",
            )
        ],
        note=f"Each column was shuffled {counted(REPEATS)} on {of_rows}. A line across a bar's end shows the standard "
        "deviation over the repeats. Columns with the same information share their importance.",
    )


def dependence(subject: Subject, found: Importance) -> Card:
    """The card of the mean answer against each of the most important columns."""
    columns, backend = subject.columns, subject.backend if subject.columns.model is subject.run.network else None
    x, curves = rows_of(columns.x, subject.sample), []
    for k in found.order[:DEPENDENCES].tolist():
        curve = insight.partial_dependence(columns.model, x, k, feature_names=columns.names, backend=backend)
        curves.append(dataclasses.replace(curve, output_names=_outputs(subject, curve.average.shape[1])))
    listed = ", ".join(f"“{curve.name}”" for curve in curves)
    answer = "value" if subject.run.network.task == "regression" else "probability"
    return Card(
        "dependence",
        "What it makes of the columns",
        f"The mean {answer} that the network answers if all rows have the same value in one column, and keep their own "
        f"values in the others. Shown: {listed}.",
        [
            picture(
                plots.partial_dependence(curves),
                f"Curves of the mean {answer} against {listed}. {_widest(curves)}",
            )
        ],
        note="A curve may cross combinations of values that no row of the table has.",
    )


def _widest(curves: list[PartialDependence]) -> str:
    """The widest range of a curve in words."""
    ranges = [np.ptp(curve.average, axis=0) for curve in curves]
    widest = max(range(len(curves)), key=lambda k: float(ranges[k].max()))
    output = int(ranges[widest].argmax())
    curve = curves[widest].average[:, output]
    name = f" of “{curves[widest].output_names[output]}”" if len(ranges[widest]) > 1 else ""
    return (
        f"The widest range{name}: from {amount(float(curve.min()))} to {amount(float(curve.max()))}, against "
        f"“{curves[widest].name}”."
    )


def inputs(subject: Subject) -> Card:
    """The card of the first layer's weights, as a heat map with the names of the inputs."""
    network, names, x = subject.run.network, subject.columns.inputs, subject.data.x_test
    n_out, n_in = network.weights[0].shape
    deviations, unit = None, "weight"
    said = "Each cell is the weight of an input in a neuron of the first layer."
    if isinstance(x, np.ndarray):
        deviations, unit = x.std(axis=0) * (network.byte_scale if x.dtype == np.uint8 else 1), "weight x deviation"
        said = (
            "Each cell is the weight of an input in a neuron of the first layer, multiplied by the standard deviation "
            "of the input in the test examples. So inputs of different units can be compared."
        )
    lengths = np.linalg.norm(network.weights[0].astype(np.float64) * (1 if deviations is None else deviations), axis=0)
    strongest = np.argsort(-lengths, kind="stable")[:MAX_STRONGEST]
    return Card(
        "inputs",
        "What the first layer looks at",
        said,
        [
            picture(
                plots.weights(network, feature_names=names, deviations=deviations, narrow=True),
                f"Heat map of {unit} from {counted(n_in, 'input')} to {counted(n_out, 'neuron')} of the first layer. "
                f"“{names[strongest[0]]}” has the longest vector: {lengths[strongest[0]]:.3g}.",
                "png",
            )
        ],
        [(names[k], f"{lengths[k]:.3g}") for k in strongest],
        note="The numbers say how strong an input's row is: the root of its sum of squares over all neurons. The "
        "strongest inputs stand first.",
    )


def _outputs(subject: Subject, count: int) -> tuple[str, ...]:
    """The names of the curves: one for each class, label or value; a single curve of two classes is the second's."""
    names = subject.names
    return tuple(names) if len(names) == count else tuple(names[-count:])


def _text(value: object) -> str:
    """The entry of a cell as text; a dash for a missing value."""
    if isinstance(value, (bool, np.bool_, Integral)):
        return str(value)
    if isinstance(value, Real):
        return amount(float(value))
    return NONE if checks.is_missing(value) else clipped(str(value), MAX_LETTERS)
