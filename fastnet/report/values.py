"""The cards about the answers of a regression: how far off it is, and its largest errors."""

from __future__ import annotations

import numpy as np

from fastnet import plots
from fastnet.kernels import formulas
from fastnet.report.parts import Card, Table, picture
from fastnet.report.subject import Subject
from fastnet.report.table import CAPTION_OF_ROWS, cells, titles
from fastnet.text import amount

MAX_ERRORS = 20  # the report shows at most this many rows with large errors


def values(subject: Subject) -> Card:
    """The card of the errors of each output, beside those of the mean."""
    found, data, n = subject.value_scores, subject.data, len(subject.data.y_test)
    head = ["output", "R2", "RMSE", "MAE", "RMSE of the mean", "MAE of the mean"]
    columns = (found.r2, found.rmse, found.mae, found.baseline_rmse, found.baseline_mae)
    rows = [[name, *map(amount, scores)] for name, *scores in zip(subject.names, *columns, strict=True)]
    if len(rows) == 1:
        said = (
            f"On {n:,} test examples the answer is off by {amount(found.mae[0])} on average (MAE). Always answering "
            f"the mean target, {amount(found.mean[0])}, is off by {amount(found.baseline_mae[0])}."
        )
    else:
        said = (
            f"R2 is {amount(subject.scores.r2)} over all {len(rows)} outputs of {n:,} test examples. It is 1 if all "
            "answers are right, and 0 if the network is as good as always answering the mean targets."
        )
    return Card(
        "values",
        "How far off it is",
        said,
        [
            picture(
                plots.predictions(subject.run.network, data.x_test, data.y_test, backend=subject.backend),
                f"The answers against the truth, and the errors against the answers. {said}",
            )
        ],
        table=Table(
            "R2 is the share of the variance that the network explains. RMSE is the root of the mean squared error, "
            "MAE the mean absolute error. The mean is a baseline that always answers the mean target of the test "
            "examples; its R2 is 0.",
            head,
            rows,
        ),
    )


def errors(subject: Subject) -> Card:
    """The card of the examples with the largest errors, as rows of the table."""
    network, data, found = subject.run.network, subject.data, subject.value_scores
    answers = network.forward(data.x_test, backend=subject.backend).astype(np.float64)
    truth = formulas.targets(data.y_test, np.empty(answers.shape[::-1])).T
    off = truth - answers
    # Errors of several outputs are compared in units of the spread of their targets.
    size = np.abs(off) / np.where(found.baseline_rmse > 0, found.baseline_rmse, 1)
    order = np.argsort(-size, axis=None, kind="stable")[:MAX_ERRORS]
    several = len(subject.names) > 1
    rows = []
    for i, k in zip(*(part.tolist() for part in np.unravel_index(order, off.shape)), strict=True):
        output = [subject.names[k]] if several else []
        entries = [amount(truth[i, k]), amount(answers[i, k]), amount(off[i, k], sign="+")]
        rows.append([f"{i + 1:,}", *output, *entries, *cells(subject, i)])
    at, place = (2, f" in “{rows[0][1]}”") if several else (1, "")
    said = f"The largest error is in row {rows[0][0]}{place}: the truth is {rows[0][at]}, the answer {rows[0][at + 1]}."
    compared = " They are compared in units of the standard deviation of the targets." if several else ""
    return Card(
        "errors",
        "Its worst errors",
        said,
        table=Table(
            f"The examples with the largest errors.{compared} {CAPTION_OF_ROWS}",
            ["row", *(["output"] if several else []), "truth", "answer", "truth - answer", *titles(subject)],
            rows,
        ),
        wide=True,
    )
