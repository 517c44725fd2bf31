"""The content of a report: its head, its key figures and its cards. Each card answers one question."""

from __future__ import annotations

import math

from fastnet.data import Dataset
from fastnet.names import BackendName
from fastnet.report import answers, confidence, network, settings
from fastnet.report.parts import Card, Facts, Page, duration
from fastnet.report.subject import Subject
from fastnet.text import layers
from fastnet.training.runs import Run
from fastnet.version import __version__


def page(run: Run, data: Dataset, backend: BackendName | None = None) -> Page:
    """The whole content of the report: the run, judged by the data set."""
    subject = Subject(run, data, backend)
    net = run.network
    cards = [network.network(subject), network.learning(subject)]
    if net.is_classifier:
        cards += [answers.confusion(subject), answers.mistakes(subject)]
    if data.image_shape is not None:
        cards += [network.weights(subject)]
    if net.is_classifier:
        cards += [confidence.noise(subject)] if data.image_shape is not None else []
        cards += [confidence.calibration(subject)]
    cards += [*_left_out(subject), settings.settings(subject), settings.machine(subject)]
    learned = f" learned from {len(data.x_train):,} examples and was" if subject.is_trained_on else ","
    tested = f" tested on {len(data.x_test):,} {'others' if subject.is_trained_on else 'examples'} of {data.name}"
    return Page(
        network=layers(net.sizes),
        data=data.name,
        sentence=f"A network of {net.n_parameters:,} weights and biases{learned}{tested}.",
        warning=_warning(subject),
        figures=_figures(subject),
        cards=cards,
        footer=f"Made by fastnet {__version__}. This file loads no other file.",
    )


def _warning(subject: Subject) -> str:
    """A warning that the test data have changed, if the test cost differs from the cost after the training."""
    then = (subject.run.record.get("test") or {}).get("cost")
    if then is None or not subject.is_of_same_data or math.isclose(then, subject.scores.cost, rel_tol=1e-3):
        return ""
    return (
        f"The test examples have changed since the training: the test cost was {then:.4g} then and is "
        f"{subject.scores.cost:.4g} now. The report shows the examples as they are now."
    )


def _figures(subject: Subject) -> Facts:
    """The key figures at the head of the page."""
    record, scores = subject.run.record, subject.scores
    found = [("test cost", f"{scores.cost:.4g}")]
    if subject.run.network.is_classifier:
        found.insert(0, ("test accuracy", f"{scores.accuracy:.1%}"))
    found.append(("parameters", f"{subject.run.network.n_parameters:,}"))
    if record.get("seconds"):
        found.append(("training time", duration(record["seconds"])))
    if record.get("backend"):
        found.append(("backend", record["backend"]))
    return found


def _left_out(subject: Subject) -> list[Card]:
    """A card that explains which cards are missing for this network or data set; no card if none is missing."""
    reasons = []
    if not subject.run.network.is_classifier:
        reasons.append(
            "The network predicts numbers, not classes. It has no accuracy, confuses no classes and has no confidence."
        )
    if subject.data.image_shape is None:
        reasons.append("The examples are not pictures. The report shows no pictures of mistakes, weights or noise.")
    return [Card("left-out", "What is left out", " ".join(reasons), wide=True)] if reasons else []
