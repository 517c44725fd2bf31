"""The cards about confidence: the network's answers to noise, and whether its confidence matches its accuracy."""

from __future__ import annotations

import numpy as np

from fastnet import insight, plots
from fastnet.insight.calibration import Calibration
from fastnet.plots import style
from fastnet.plots.axes import short_names
from fastnet.plots.confidence import FEW
from fastnet.report.parts import Card, Table, counted, picture
from fastnet.report.subject import Subject

N_NOISE = 2_000  # images of each kind. The standard error of a share is then at most 0.011.
MIN_EXAMPLES = 200  # for the calibration. Of fewer, one half fits a temperature, and the other half fills few bins.


def noise(subject: Subject) -> Card:
    """The card of the network's answers to images of noise."""
    title, shape = "Is it sure about noise?", subject.data.image_shape
    assert shape is not None
    found = insight.confidence_on_noise(subject.run.network, subject.data.x_test, n=N_NOISE, backend=subject.backend)
    rows = [
        [kind, subject.names[seen.favourite], f"{seen.shares.max():.0%}", f"{seen.median:.2f}"]
        for kind, seen in found.kinds.items()
    ]
    images = np.stack([seen.samples[0].reshape(shape) for seen in found.kinds.values()])
    names = short_names(subject.names, style.MAX_CAPTION)
    captions = [f"{kind}\nsays {names[seen.labels[0]]}\n{seen.top[0]:.2f}" for kind, seen in found.kinds.items()]
    each = [f"{kind}, says {subject.names[seen.labels[0]]} ({seen.top[0]:.2f})" for kind, seen in found.kinds.items()]
    uniform = found["uniform"]
    said = (
        f"The network takes {uniform.shares.max():.0%} of {N_NOISE:,} images of uniform noise for "
        f"“{subject.names[uniform.favourite]}”. The median top output is {uniform.median:.2f} on this noise and "
        f"{found['real'].median:.2f} on real images."
    )
    return Card(
        "noise",
        title,
        said,
        [
            picture(plots.captioned(images, captions), f"An image of each kind: {'; '.join(each)}.", "png"),
            picture(
                plots.noise(found, image_shape=shape, samples=False, class_names=subject.names, width=style.COLUMN),
                f"How often each class is the answer to noise and to real images, and the top outputs. {said}",
            ),
        ],
        table=Table(
            "The most frequent answer to each kind of image, its share, and the median top output.",
            ["images", "answer", "share", "top output"],
            rows,
        ),
    )


def calibration(subject: Subject) -> Card:
    """The card of the calibration: whether the network's confidence matches its accuracy."""
    title, data, network = "Can its confidence be trusted?", subject.data, subject.run.network
    if len(data.x_test) < MIN_EXAMPLES:
        return Card(
            "calibration",
            title,
            f"There are too few test examples to tell: {len(data.x_test)}. It takes at least {MIN_EXAMPLES} to compare "
            "the confidence with the accuracy.",
        )
    # One half of the test examples fits the temperature, the other half judges it.
    fit, judge = np.arange(0, len(data.x_test), 2), np.arange(1, len(data.x_test), 2)
    x, y = data.x_test[judge], data.y_test[judge]
    plain = insight.calibration(network, x, y, temperature=None, backend=subject.backend)
    temperature = insight.fit_temperature(network, data.x_test[fit], data.y_test[fit], backend=subject.backend)
    mended = insight.calibration(network, x, y, temperature=temperature, backend=subject.backend)
    said = (
        f"The mean confidence is {plain.mean_confidence:.0%}, and {plain.mean_accuracy:.0%} of the answers are right. "
        "Where a bar ends below the dashed line, the network is too sure. Pale bars stand for fewer than "
        f"{FEW} examples and tell little."
    )
    facts = [
        ("expected calibration error", f"{plain.error:.3f}"),
        ("temperature fitted", f"{temperature:.2f}"),
        ("error at that temperature", f"{mended.error:.3f}"),
    ]
    return Card(
        "calibration",
        title,
        said,
        [
            picture(
                plots.reliability(plain, width=style.COLUMN),
                f"Reliability diagram of the outputs as they are: {_seen(plain)}",
            ),
            picture(
                plots.reliability(mended, width=style.COLUMN),
                f"Reliability diagram at the temperature {temperature:.2f}: {_seen(mended)}",
            ),
        ],
        facts,
        note="A temperature divides the weighted sums of the last layer before the softmax. One half of the test "
        "examples fitted the temperature; the figures come from the other half.",
        wide=True,
    )


def _seen(diagram: Calibration) -> str:
    """The bars of a reliability diagram in words."""
    filled = np.flatnonzero(diagram.counts >= FEW)
    text = f"accuracy against confidence. Expected calibration error {diagram.error:.3f}."
    if not len(filled):
        return text
    k = filled[np.abs(diagram.accuracy - diagram.confidence)[filled].argmax()]
    bars = counted(len(filled), "bar stands", "bars stand")
    return (
        f"{text} {bars} for at least {FEW} examples each. The widest gap: {diagram.counts[k]:,} answers with a mean "
        f"confidence of {diagram.confidence[k]:.0%}, of which {diagram.accuracy[k]:.0%} are right."
    )
