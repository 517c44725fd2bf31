"""The cards about the answers to the test examples: which classes or labels the network confuses, and its mistakes.

Not here: the errors of a regression (values.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastnet import plots
from fastnet.report.parts import NONE, Card, Table, counted, picture, share
from fastnet.report.subject import Subject
from fastnet.report.table import CAPTION_OF_ROWS, cells, titles

MAX_MISTAKES = 20  # the report shows at most this many mistakes


class _Mistake(NamedTuple):
    """row: the position of the example. what: the label in question, or "" for a classifier. sure: from 0 to 1."""

    row: int
    what: str
    truth: str
    answer: str
    sure: float

    @property
    def sentence(self) -> str:
        if self.what:
            return f"took an example {self.truth} “{self.what}” for one {self.answer} it"
        return f"took “{self.truth}” for “{self.answer}”"


def confusion(subject: Subject) -> Card:
    """The card of the confusion matrix."""
    found, names = subject.classified, subject.names
    matrix, n = found.matrix, len(found.truth)
    off = matrix - np.diag(np.diag(matrix))
    right = int(np.trace(matrix))
    worst = ""
    if off.any():
        i, j = np.unravel_index(off.argmax(), off.shape)
        has_equals = (off == off[i, j]).sum() > 1
        which = "One of the most frequent mistakes" if has_equals else "The most frequent mistake"
        which = "The only mistake" if off.sum() == 1 else which
        worst = f" {which}: “{names[i]}” is taken for “{names[j]}”, {counted(int(off[i, j]))}."
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


def labels(subject: Subject) -> Card:
    """The card of a multilabel network: a line for each label."""
    found, scores, n = subject.label_scores, subject.scores, len(subject.data.y_test)
    rows = [
        [name, *map(_percent, measures), f"{support:,}"]
        for name, *measures, support in zip(
            subject.names, found.precision, found.recall, found.f1, found.support, strict=True
        )
    ]
    return Card(
        "labels",
        "How well it knows each label",
        f"The network got {scores.label_accuracy:.1%} of all labels of {n:,} test examples right. For "
        f"{scores.accuracy:.1%} of the examples all labels are right.",
        table=Table(
            "Precision is the share of the examples predicted to have the label that have it. Recall is the share of "
            "the examples with the label that were recognised. F1 is the harmonic mean of both. Support is the number "
            "of examples with the label.",
            ["label", "precision", "recall", "F1", "support"],
            rows,
        ),
        note=f"{NONE} means that the label does not occur, or is never predicted."
        if any(NONE in row for row in rows)
        else "",
    )


def mistakes(subject: Subject) -> Card:
    """The card of the wrong answers with the highest confidence."""
    shape, title, n = subject.data.image_shape, "Its worst mistakes", len(subject.data.y_test)
    count, worst = _wrong_labels(subject) if subject.run.network.task == "multilabel" else _wrong_classes(subject)
    if not worst:
        return Card("mistakes", title, f"The network made no mistakes on {n:,} test examples.")
    said = f"The network made {counted(count, 'mistake')} on {n:,} test examples."
    if worst[0].what:
        said = f"The network got {count:,} of {n * len(subject.names):,} labels of the {n:,} test examples wrong."
    said += f" In its surest mistake it {worst[0].sentence} and was {worst[0].sure:.0%} sure."
    if shape is None:
        labelled = ["label"] if worst[0].what else []
        rows = []
        for m in worst:
            about = [f"{m.row + 1:,}", *([m.what] if labelled else [])]
            rows.append([*about, m.truth, m.answer, f"{m.sure:.1%}", *cells(subject, m.row)])
        table = Table(
            f"The mistakes with the highest confidence. {CAPTION_OF_ROWS}",
            ["row", *labelled, "is", "says", "sure", *titles(subject)],
            rows,
        )
        return Card("mistakes", title, said, table=table, wide=bool(subject.shown_columns))
    images = subject.data.x_test[[m.row for m in worst]].reshape(-1, *shape)
    truth = [f"{m.truth} {m.what}" if m.what else m.truth for m in worst]
    answers = [f"{m.answer} {m.what}" if m.what else m.answer for m in worst]
    figure = plots.mistakes(images, truth, answers, np.array([m.sure for m in worst]))
    each = ", ".join(f"{t} taken for {a} ({m.sure:.0%} sure)" for m, t, a in zip(worst, truth, answers, strict=True))
    return Card("mistakes", title, said, [picture(figure, f"{counted(len(worst), 'image')}: {each}.", "png")])


def _wrong_classes(subject: Subject) -> tuple[int, list[_Mistake]]:
    """The number of wrong answers of a classifier, and those with the highest confidence."""
    found, names = subject.classified, subject.names
    return len(found.mistakes), [
        _Mistake(int(k), "", names[found.truth[k]], names[found.predicted[k]], float(found.confidence[k]))
        for k in found.mistakes[:MAX_MISTAKES]
    ]


def _wrong_labels(subject: Subject) -> tuple[int, list[_Mistake]]:
    """The number of wrong labels of a multilabel network, and those with the highest confidence."""
    network, data = subject.run.network, subject.data
    outputs = network.forward(data.x_test, backend=subject.backend)
    answers, truth = network.predict(data.x_test, backend=subject.backend) > 0, data.y_test > 0.5
    wrong = np.argwhere(answers != truth)
    sure = np.where(answers, outputs, 1 - outputs)[tuple(wrong.T)]
    order = np.argsort(-sure, kind="stable")[:MAX_MISTAKES]
    words = ("without", "with")
    return len(wrong), [
        _Mistake(i, subject.names[k], words[int(truth[i, k])], words[int(answers[i, k])], confidence)
        for (i, k), confidence in zip(wrong[order].tolist(), sure[order].tolist(), strict=True)
    ]


def _percent(part: float) -> str:
    return f"{part:.1%}" if np.isfinite(part) else NONE
