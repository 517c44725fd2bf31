"""The cards about the answers to the test examples: which classes the network confuses, and its worst mistakes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastnet import plots
from fastnet.report.parts import NONE, Card, Table, counted, picture, share
from fastnet.report.subject import Subject

MAX_MISTAKES = 20  # the report shows at most this many mistakes


class _Mistake(NamedTuple):
    truth: str
    answer: str
    number: int


def confusion(subject: Subject) -> Card:
    """The card of the confusion matrix."""
    found, names = subject.classified, subject.names
    matrix, n = found.matrix, len(found.truth)
    off = matrix - np.diag(np.diag(matrix))
    right = int(np.trace(matrix))
    worst = ""
    if off.any():
        i, j = np.unravel_index(off.argmax(), off.shape)
        worst = f" The most frequent mistake: “{names[i]}” is taken for “{names[j]}”, {counted(int(off[i, j]))}."
    rows = []
    for k, row in enumerate(matrix):
        said = int(matrix[:, k].sum())
        taken = f"{names[off[k].argmax()]} ({off[k].max():,})" if off[k].any() else NONE
        rows.append([names[k], f"{row.sum():,}", share(row[k], row.sum()), share(row[k], said), taken])
    return Card(
        "confusion",
        "What it confuses",
        f"The network got {right:,} of {n:,} test examples right ({found.accuracy:.1%}). Every number off the diagonal "
        f"counts mistakes.{worst}",
        [
            picture(
                plots.confusion(matrix, names),
                f"Confusion matrix of {len(matrix)} classes: {right:,} of {n:,} examples on the diagonal, "
                f"{n - right:,} off it.{worst}",
            )
        ],
        table=Table(
            "Recall is the share of a class's examples that were recognised. Precision is the share of the answers "
            "with this class that were right.",
            ["class", "examples", "recall", "precision", "most taken for"],
            rows,
        ),
    )


def mistakes(subject: Subject) -> Card:
    """The card of the wrong answers with the highest confidence."""
    found, shape = subject.classified, subject.data.image_shape
    title, wrong = "Its worst mistakes", found.mistakes
    if not len(wrong):
        return Card("mistakes", title, f"The network made no mistakes on {len(found.truth):,} test examples.")
    worst = [
        _Mistake(subject.names[found.truth[k]], subject.names[found.predicted[k]], k) for k in wrong[:MAX_MISTAKES]
    ]
    sure = found.confidence[wrong[:MAX_MISTAKES]]
    said = (
        f"The network made {counted(len(wrong), 'mistake')} on {len(found.truth):,} test examples. In its surest "
        f"mistake it took “{worst[0].truth}” for “{worst[0].answer}” and was {sure[0]:.0%} sure."
    )
    if shape is None:
        rows = [[str(m.number), m.truth, m.answer, f"{s:.1%}"] for m, s in zip(worst, sure, strict=True)]
        table = Table(
            "The mistakes with the highest confidence. The first column is the position in the test set.",
            ["example", "is", "says", "sure"],
            rows,
        )
        return Card("mistakes", title, said, table=table)
    images = subject.data.x_test[wrong[:MAX_MISTAKES]].reshape(-1, *shape)
    figure = plots.mistakes(images, [m.truth for m in worst], [m.answer for m in worst], sure)
    each = ", ".join(f"{m.truth} taken for {m.answer} ({s:.0%} sure)" for m, s in zip(worst, sure, strict=True))
    return Card("mistakes", title, said, [picture(figure, f"{counted(len(worst), 'image')}: {each}.", "png")])
