"""What a report says: its key figures and its cards, each a question, an answer in plain words, and what shows it.

Not here: how anything is computed (fastnet.insight), drawn (fastnet.plots) or laid out (page.html).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from fastnet import insight, plots
from fastnet.data import Dataset
from fastnet.insight.classified import Classified
from fastnet.network import Evaluation
from fastnet.plots import style
from fastnet.report.parts import NONE, Card, Facts, Page, Table, counted, duration, picture, share
from fastnet.training.runs import Run, class_names
from fastnet.version import __version__

WORST = 20  # mistakes that are shown
NOISE_IMAGES = 2_000  # of each kind: shares to within about two in a hundred


@dataclass(frozen=True)
class _Subject:
    """What the cards are about, with what several of them need."""

    run: Run
    data: Dataset
    backend: str | None = None

    @cached_property
    def names(self) -> list[str]:
        return class_names(self.run.network, self.data)

    @cached_property
    def scores(self) -> Evaluation:
        return self.run.network.evaluate(self.data.x_test, self.data.y_test, backend=self.backend)

    @cached_property
    def classified(self) -> Classified:
        return insight.classified(self.run.network, self.data.x_test, self.data.y_test, backend=self.backend)


class _Mistake(NamedTuple):
    truth: str
    answer: str
    number: int


def page(run: Run, data: Dataset, backend: str | None = None) -> Page:
    """All that the report of a run on a data set says."""
    of = _Subject(run, data, backend)
    network = run.network
    cards = [_network(of), _learning(of)]
    if network.is_classifier:
        cards += [_confusion(of), _mistakes(of)]
    if data.image_shape is not None:
        cards += [_weights(of)]
    if network.is_classifier:
        cards += [_noise(of)] if data.image_shape is not None else []
        cards += [_calibration(of)]
    cards += [*_left_out(of), _settings(of), _machine(of)]
    learned = f" learned from {len(data.x_train):,} examples and was" if _trained_on(of) else ","
    tested = f" tested on {len(data.x_test):,} {'others' if _trained_on(of) else 'examples'} of {data.name}"
    return Page(
        network="-".join(map(str, network.sizes)),
        data=data.name,
        sentence=f"A network of {network.n_parameters:,} weights and biases{learned}{tested}.",
        warning=_warning(of),
        figures=_figures(of),
        cards=cards,
        footer=f"Made by fastnet {__version__}. This file holds all it shows and loads nothing.",
    )


def _same_data(of: _Subject) -> bool:
    return bool(of.run.record.get("data", of.data.name) == of.data.name)


def _trained_on(of: _Subject) -> bool:
    """Whether the history shows that the network saw all training examples of this data set in an epoch."""
    examples = of.run.history.get("examples", [])
    return _same_data(of) and max(examples, default=0) == len(of.data.x_train)


def _warning(of: _Subject) -> str:
    """That the data are not what they were when the training ended, as the test's cost shows."""
    then = (of.run.record.get("test") or {}).get("cost")
    if then is None or not _same_data(of) or math.isclose(then, of.scores.cost, rel_tol=1e-3):
        return ""
    return (
        f"The test examples have changed since the training: the test cost was {then:.4g} then and is "
        f"{of.scores.cost:.4g} now. What follows is about the examples as they are now."
    )


def _figures(of: _Subject) -> Facts:
    """The key figures, at the head of the page."""
    record, scores = of.run.record, of.scores
    found = [("test cost", f"{scores.cost:.4g}")]
    if of.run.network.is_classifier:
        found.insert(0, ("test accuracy", f"{scores.accuracy:.1%}"))
    found.append(("parameters", f"{of.run.network.n_parameters:,}"))
    if record.get("seconds"):
        found.append(("training time", duration(record["seconds"])))
    if record.get("backend"):
        found.append(("backend", record["backend"]))
    return found


# -- the network and its training -----------------------------------------------------------------------------


def _network(of: _Subject) -> Card:
    network = of.run.network
    *hidden, output = network.activations_by_layer
    names = of.data.class_names if network.is_classifier else ()
    figure = plots.architecture(network, image_shape=of.data.image_shape, class_names=names)
    comes_out = (
        "one number for each class, of which the largest is the answer"
        if network.sizes[-1] > 1 and network.is_classifier
        else "one number for the two classes: the second is the answer where it is at least a half"
        if network.is_classifier
        else "the numbers it is to foretell"
    )
    sizes = "-".join(map(str, network.sizes))
    strongest = max(float(np.abs(w).max()) for w in network.weights)
    return Card(
        "network",
        "The network",
        f"{network.sizes[0]:,} numbers go in on the left, pass {network.n_parameters:,} adjustable weights and biases, "
        f"and come out as {comes_out}.",
        [
            picture(
                figure,
                f"The network {sizes} as circles and lines: blue lines are weights above 0, red ones below, wide ones "
                f"strong. The strongest weight is {strongest:.3g} in size.",
            )
        ],
        [
            ("weights and biases", f"{network.n_parameters:,}"),
            ("hidden layers", ", ".join(dict.fromkeys(hidden)) or "none"),
            ("output", output),
            ("cost", network.cost_name.replace("_", " ")),
            ("arithmetic", network.dtype.name),
        ],
    )


def _learning(of: _Subject) -> Card:
    history = of.run.history
    title = "How it learned"
    if not history or not history["epoch"]:
        return Card("learning", title, "The history of the training is not known, so there are no curves.")
    first, last = history["cost"][0], history["cost"][-1]
    text = f"cost from {first:.4g} to {last:.4g}"
    facts = [("cost in the first epoch", f"{first:.4g}"), ("in the last", f"{last:.4g}")]
    for name, label in (("accuracy", "training accuracy"), ("validation_accuracy", "validation accuracy")):
        begun, ended = history[name][0], history[name][-1]
        if ended is not None:
            text += f", {label} " + (f"{ended:.1%} in the end" if begun is None else f"from {begun:.1%} to {ended:.1%}")
            facts.append((f"{label} in the end", f"{ended:.1%}"))
    epochs = len(history["epoch"])
    return Card(
        "learning",
        title,
        f"In {epochs} pass{'es' if epochs > 1 else ''} over the training examples (epochs) the cost, which says how "
        f"far its answers are from the truth, went from {first:.4g} to {last:.4g}.",
        [picture(plots.history(history), f"Curves against {epochs} epochs: {text}.")],
        facts,
    )


# -- its answers ------------------------------------------------------------------------------------------------


def _confusion(of: _Subject) -> Card:
    found, names = of.classified, of.names
    matrix, n = found.matrix, len(found.truth)
    off = matrix - np.diag(np.diag(matrix))
    right = int(np.trace(matrix))
    worst = ""
    if off.any():
        i, j = np.unravel_index(off.argmax(), off.shape)
        worst = f" Most often “{names[i]}” is taken for “{names[j]}”, {counted(int(off[i, j]))}."
    rows = []
    for k, row in enumerate(matrix):
        said = int(matrix[:, k].sum())
        taken = f"{names[off[k].argmax()]} ({off[k].max():,})" if off[k].any() else NONE
        rows.append([names[k], f"{row.sum():,}", share(row[k], row.sum()), share(row[k], said), taken])
    return Card(
        "confusion",
        "What it confuses",
        f"It read {right:,} of {n:,} test examples right, {found.accuracy:.1%}; whatever lies off the diagonal is a "
        f"mistake.{worst}",
        [
            picture(
                plots.confusion(matrix, names),
                f"Confusion matrix of {len(matrix)} classes: {right:,} of {n:,} examples on the diagonal, "
                f"{n - right:,} off it.{worst}",
            )
        ],
        table=Table(
            "Class by class: recall is the share of its examples that were recognised, precision the share of such "
            "answers that were right.",
            ["class", "examples", "recall", "precision", "most taken for"],
            rows,
        ),
    )


def _mistakes(of: _Subject) -> Card:
    found, shape = of.classified, of.data.image_shape
    title, wrong = "Its worst mistakes", found.mistakes
    if not len(wrong):
        return Card("mistakes", title, f"It made none on {len(found.truth):,} test examples.")
    worst = [_Mistake(of.names[found.truth[k]], of.names[found.predicted[k]], k) for k in wrong[:WORST]]
    sure = found.confidence[wrong[:WORST]]
    said = (
        f"{counted(len(wrong), 'mistake')} on {len(found.truth):,} test examples; in the surest it took "
        f"“{worst[0].truth}” for “{worst[0].answer}” and was {sure[0]:.0%} sure of it."
    )
    if shape is None:
        rows = [[str(m.number), m.truth, m.answer, f"{s:.1%}"] for m, s in zip(worst, sure, strict=True)]
        table = Table("The surest of them, by number in the test set.", ["example", "is", "says", "sure"], rows)
        return Card("mistakes", title, said, table=table)
    images = of.data.x_test[wrong[:WORST]].reshape(-1, *shape)
    figure = plots.mistakes(images, [m.truth for m in worst], [m.answer for m in worst], sure)
    each = ", ".join(f"{m.truth} taken for {m.answer} ({s:.0%} sure)" for m, s in zip(worst, sure, strict=True))
    return Card("mistakes", title, said, [picture(figure, f"{counted(len(worst), 'image')}: {each}.", "png")])


# -- what it learned ----------------------------------------------------------------------------------------------


def _weights(of: _Subject) -> Card:
    network, shape = of.run.network, of.data.image_shape
    assert shape is not None
    count, before = network.sizes[1], of.run.initial
    figure = plots.weights(network, image_shape=shape, before=before, narrow=True)
    networks = {"after training": network} if before is None else {"before training": before, "after training": network}
    alike = {when: insight.neighbour_correlation(net.weights[0], shape) for when, net in networks.items()}
    return Card(
        "weights",
        "What the neurons look at",
        "Each square is one neuron's weights laid out as an image: it fires where blue pixels are inked and holds back "
        "where red ones are.",
        [
            picture(
                figure,
                f"The incoming weights of neurons of the first layer ({count:,} in all) as images of {shape[0]} by "
                f"{shape[1]} pixels" + (", before and after training." if before else "."),
                "png",
            )
        ],
        [(f"correlation {when}", f"{round(r, 2) + 0.0:.2f}") for when, r in alike.items() if math.isfinite(r)],
        note="The correlation of the weights of neighbouring pixels: 0 for random weights, near 1 for smooth shapes.",
        wide=not network.is_classifier,  # else it stands beside the noise
    )


def _noise(of: _Subject) -> Card:
    title, shape = "Sure about nothing?", of.data.image_shape
    assert shape is not None
    found = insight.confidence_on_noise(of.run.network, of.data.x_test, n=NOISE_IMAGES, backend=of.backend)
    rows = [
        [kind, of.names[seen.favourite], f"{seen.shares.max():.0%}", f"{seen.median:.2f}"]
        for kind, seen in found.kinds.items()
    ]
    images = np.stack([seen.samples[0].reshape(shape) for seen in found.kinds.values()])
    names = [style.shortened(name, style.CAPTION) for name in of.names]
    captions = [f"{kind}\nsays {names[seen.labels[0]]}\n{seen.top[0]:.2f}" for kind, seen in found.kinds.items()]
    each = [f"{kind}, says {of.names[seen.labels[0]]} ({seen.top[0]:.2f})" for kind, seen in found.kinds.items()]
    uniform = found["uniform"]
    said = (
        f"Of {NOISE_IMAGES:,} images of uniform noise it calls {uniform.shares.max():.0%} "
        f"“{of.names[uniform.favourite]}”; its median top output is {uniform.median:.2f}, and "
        f"{found['real'].median:.2f} on real images."
    )
    return Card(
        "noise",
        title,
        said,
        [
            picture(plots.captioned(images, captions), f"An image of each kind: {'; '.join(each)}.", "png"),
            picture(
                plots.noise(found, samples=False, class_names=of.names, width=style.COLUMN),
                f"How often each class is the answer to noise and to real images, and the top outputs. {said}",
            ),
        ],
        table=Table(
            "Its favourite answer to each kind of image, how often it gives it, and its median top output.",
            ["images", "answer", "share", "top output"],
            rows,
        ),
    )


def _calibration(of: _Subject) -> Card:
    title, data, network = "Can its confidence be trusted?", of.data, of.run.network
    if len(data.x_test) < 2:
        return Card("calibration", title, "There are too few test examples to tell.")
    # The temperature is fitted to one half of the test examples, and judged by the other.
    fit, judge = slice(0, None, 2), slice(1, None, 2)
    x, y = data.x_test[judge], data.y_test[judge]
    plain = insight.calibration(network, x, y, temperature=None, backend=of.backend)
    temperature = insight.fit_temperature(network, data.x_test[fit], data.y_test[fit], backend=of.backend)
    mended = insight.calibration(network, x, y, temperature=temperature, backend=of.backend)
    said = (
        f"On average it is {plain.mean_confidence:.0%} sure and {plain.mean_accuracy:.0%} right; where bars stay below "
        "the dashed line it is surer than it should be."
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
                f"Reliability diagram of the outputs as they are: share right against confidence. Expected calibration "
                f"error {plain.error:.3f}.",
            ),
            picture(
                plots.reliability(mended, width=style.COLUMN),
                f"The same at the temperature {temperature:.2f}. Expected calibration error {mended.error:.3f}.",
            ),
        ],
        facts,
        note="A temperature divides the last layer's sums before their softmax. It was fitted to every other test "
        "example; all figures here are from the rest.",
        wide=True,
    )


def _left_out(of: _Subject) -> list[Card]:
    """What these data or this network have none of, said in one card."""
    reasons = []
    if not of.run.network.is_classifier:
        reasons.append(
            "The network foretells numbers, not classes: it has no accuracy, no classes to confuse and no confidence."
        )
    if of.data.image_shape is None:
        reasons.append("The examples are not pictures: neither mistakes nor weights can be shown as such, nor noise.")
    return [Card("left-out", "What is left out", " ".join(reasons), wide=True)] if reasons else []


# -- how it was made ------------------------------------------------------------------------------------------------


def _settings(of: _Subject) -> Card:
    record, data = of.run.record, of.data
    dropout = record.get("dropout") or ()
    facts = [
        ("trained on", record.get("data")),
        ("tested here on", None if _same_data(of) else data.name),
        ("optimiser", _with_settings(record, "optimizer")),
        ("learning rate", _general(record.get("learning_rate"))),
        ("schedule", _with_settings(record, "schedule")),
        ("batch size", record.get("batch_size")),
        ("weight decay", _general(record.get("weight_decay") or None)),
        ("dropout", ", ".join(f"{rate:g}" for rate in dropout) if any(dropout) else None),
        ("gradient clipped to", _general(record.get("clip_norm"))),
        ("epochs", record.get("epochs")),
        ("initial weights", record.get("init")),
        ("seed", record.get("seed")),
    ]
    known = [(name, str(value)) for name, value in facts if value is not None]
    sentence = "The settings of the training: with the same ones the same network comes out."
    return Card("settings", "How it was made", sentence if known else "The settings are not known.", facts=known)


def _machine(of: _Subject) -> Card:
    record, history = of.run.record, of.run.history
    examples = sum(history["examples"]) if history else 0
    seconds = record.get("seconds") or 0
    facts = [
        ("training time", duration(seconds) if seconds else None),
        ("an epoch", duration(seconds / len(history["epoch"])) if examples and seconds else None),
        ("examples a second", f"{examples / seconds:,.0f}" if examples and seconds else None),
        ("backend", " ".join(filter(None, (record.get("backend"), record.get("backend_version"))))),
        ("chosen because", record.get("backend_reason")),
        ("instruction set", record.get("instruction_set")),
        ("threads", record.get("threads")),
        ("inputs", record.get("inputs")),
        ("processor", record.get("processor")),
        ("cores", record.get("cores")),
        ("fastnet, NumPy, Python", ", ".join(str(record[n]) for n in ("fastnet", "numpy", "python") if n in record)),
        ("date", str(record.get("date", ""))[:16].replace("T", " ")),
    ]
    known = [(name, str(value)) for name, value in facts if value]
    sentence = "How long the training took, and what did the arithmetic."
    return Card("machine", "Time and machine", sentence if known else "Neither is known.", facts=known)


def _with_settings(record: Mapping[str, Any], name: str) -> str | None:
    """An optimiser or a schedule, with those of its settings that are not off."""
    settings = {key: value for key, value in record.get(f"{name}_settings", {}).items() if value}
    told = ", ".join(key if value is True else f"{key} {value:g}" for key, value in settings.items())
    return f"{record[name]} ({told})" if told else record.get(name)


def _general(value: Any) -> str | None:
    return None if value is None else f"{value:g}"
