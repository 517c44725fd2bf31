"""The content of a report: its head, its key figures and its cards. Each card answers one question."""

from __future__ import annotations

import dataclasses
import math

from fastnet.report import answers, confidence, network, settings, table, values
from fastnet.report.parts import FOOTER, Card, Facts, Page
from fastnet.report.subject import Subject
from fastnet.text import amount, duration, layers


def page(subject: Subject) -> Page:
    """The whole content of the report."""
    net, data = subject.run.network, subject.data
    trained = max(subject.run.history.get("examples", []), default=0)
    learned = f" learned from {trained:,} examples and was" if trained and subject.is_of_same_data else ","
    others = "others" if subject.is_trained_on else "examples"
    return Page(
        kind="Training report",
        what=layers(net.sizes),
        data=data.name,
        sentence=f"A network of {net.n_parameters:,} weights and biases{learned} tested on {len(data.y_test):,} "
        f"{others} of {data.name}.",
        warning=_warning(subject),
        figures=_figures(subject),
        cards=[*paired(_cards(subject)), *_left_out(subject), *paired(_training(subject))],
        footer=FOOTER,
    )


def _cards(subject: Subject) -> list[Card]:
    """The cards about the network and its answers."""
    task, is_table = subject.run.network.task, subject.is_table
    cards = [network.network(subject)]
    if _has_history(subject):
        cards.append(network.learning(subject))
    cards.append(_ABOUT_ANSWERS[task](subject))
    found = subject.importance
    if found is not None:
        cards.append(table.importance(subject, found))
    cards.append(values.errors(subject) if task == "regression" else answers.mistakes(subject))
    if found is not None:
        cards.append(table.dependence(subject, found))
    cards.append(table.inputs(subject) if is_table else network.weights(subject))
    if task == "classification":
        cards += [] if is_table else [confidence.noise(subject)]
        cards.append(confidence.calibration(subject))
    return cards


_ABOUT_ANSWERS = {"classification": answers.confusion, "multilabel": answers.labels, "regression": values.values}


def _training(subject: Subject) -> list[Card]:
    """The cards about the training of which something is known."""
    return [card for card in (settings.settings(subject), settings.machine(subject)) if card.facts]


def _has_history(subject: Subject) -> bool:
    return bool(subject.run.history.get("epoch"))


def paired(cards: list[Card]) -> list[Card]:
    """The cards for a page of two columns: a narrow card without a neighbour becomes wide, so that no gap is left."""
    paired: list[Card] = []
    has_place = False  # whether there is a place beside the last card
    for card in [*cards, None]:
        if has_place and (card is None or card.wide):
            paired[-1] = dataclasses.replace(paired[-1], wide=True)
        if card is not None:
            has_place = not card.wide and not has_place
            paired.append(card)
    return paired


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
    record, scores, task = subject.run.record, subject.scores, subject.run.network.task
    if task == "classification":
        found = [("test accuracy", f"{scores.accuracy:.1%}")]
    elif task == "multilabel":
        found = [("labels right", f"{scores.label_accuracy:.1%}"), ("examples all right", f"{scores.accuracy:.1%}")]
    else:
        found = [("test R2", amount(scores.r2))] if math.isfinite(scores.r2) else []
        if len(subject.names) == 1:  # errors of several outputs have no common unit
            errors = subject.value_scores
            found += [("RMSE", amount(errors.rmse[0])), ("MAE", amount(errors.mae[0]))]
    if task != "regression" or len(subject.names) > 1:  # RMSE and MAE say the same in the unit of the targets
        found.append(("test cost", f"{scores.cost:.4g}"))
    found.append(("parameters", f"{subject.run.network.n_parameters:,}"))
    if record.get("seconds"):
        found.append(("training time", duration(record["seconds"])))
    if record.get("backend"):
        found.append(("backend", record["backend"]))
    return found


def _left_out(subject: Subject) -> list[Card]:
    """A card that says which cards are missing for this network or data set; no card if none is missing."""
    reasons = []
    if not _has_history(subject):
        reasons.append("There is no history of epochs, so there are no curves of the training.")
    if not _training(subject):
        reasons.append("The settings and the time of the training are not known.")
    if subject.is_table and subject.why_no_importance:
        reasons.append(subject.why_no_importance)
    return [Card("left-out", "What is left out", " ".join(reasons), wide=True)] if reasons else []
