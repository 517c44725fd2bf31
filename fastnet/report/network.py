"""The cards about the network: its layers, its training curves and the weights of its first layer."""

from __future__ import annotations

import math

import numpy as np

from fastnet import insight, plots
from fastnet.plots.training import SCORES
from fastnet.report.parts import Card, counted, picture
from fastnet.report.subject import Subject
from fastnet.text import layers
from fastnet.training.runs import TEST_ROWS

SAME_COST = 1e-5  # relative: two costs of the same network on the same rows, from two backends, differ by less


def network(subject: Subject) -> Card:
    """The card of the network's layers, with a drawing of its weights."""
    network = subject.run.network
    *hidden, output = network.activations_by_layer
    names = subject.data.class_names
    inputs = subject.columns.inputs if subject.columns.are_named else ()
    figure = plots.architecture(network, image_shape=subject.data.image_shape, class_names=names, feature_names=inputs)
    comes_out = (
        "one number for each class: the largest is the answer"
        if network.sizes[-1] > 1 and network.is_classifier
        else "one number for two classes: the second class is the answer if the number is at least a half"
        if network.is_classifier
        else "one number for each label: the example has the label if the number is at least a half"
        if network.task == "multilabel"
        else "the numbers to predict"
    )
    strongest = max(float(np.abs(w).max()) for w in network.weights)
    return Card(
        "network",
        "The network",
        f"{network.sizes[0]:,} numbers go in on the left. They pass {network.n_parameters:,} adjustable weights and "
        f"biases and come out as {comes_out}.",
        [
            picture(
                figure,
                f"The network {layers(network.sizes)} as circles and lines. Blue lines are weights above 0, red lines "
                f"are weights below 0. Wider lines are larger weights, compared within a layer. The largest weight has "
                f"the size {strongest:.3g}.",
            )
        ],
        [
            ("weights and biases", f"{network.n_parameters:,}"),
            ("hidden layers", ", ".join(dict.fromkeys(hidden)) or "none"),
            ("output", output),
            ("cost", network.cost_description().replace("_", " ").replace("(", " (").replace("=", " ")),
            ("arithmetic", network.dtype.name),
        ],
    )


def learning(subject: Subject) -> Card:
    """The card of the cost and the scores after each epoch."""
    history = subject.run.history
    title = "How it learned"
    if not history or not history["epoch"]:
        return Card("learning", title, "The history of the training is not known, so there are no curves.")
    first, last = history["cost"][0], history["cost"][-1]
    rows = _validation_rows(subject)
    second = "test" if rows == TEST_ROWS else "validation"
    text = f"cost from {first:.4g} to {last:.4g}"
    facts = [("cost in the first epoch", f"{first:.4g}"), ("cost in the last epoch", f"{last:.4g}")]
    for score, name in SCORES.items():
        for prefix, kind in (("", "training"), ("validation_", second)):
            begun, ended = (history.get(prefix + score, [None])[k] for k in (0, -1))
            if ended is not None:
                label, end = f"{kind} {name}", _score(score, ended)
                text += f", {label} " + (
                    f"{end} in the end" if begun is None else f"from {_score(score, begun)} to {end}"
                )
                facts.append((f"{label} in the end", end))
    record = subject.run.record
    if record.get("best_epoch"):
        facts.append(("network kept", f"that of epoch {record['best_epoch']:,}"))
    remarks = f" The {second} curve comes from {rows}." if rows else ""
    if (record.get("standardization") or {}).get("targets"):
        remarks += " The targets were standardized for the training, so these costs have no unit."
    if subject.run.network.task == "multilabel" and any("accuracy" in name for name, _ in facts):
        remarks += " The accuracy is the share of examples with all labels right."
    epochs = len(history["epoch"])
    return Card(
        "learning",
        title,
        f"In {counted(epochs, 'pass', 'passes')} over the training examples (epochs) the cost went from {first:.4g} to "
        f"{last:.4g}. The cost says how far the answers are from the truth.{remarks}",
        [picture(plots.history(history, validation_name=second), f"Curves against {epochs} epochs: {text}.")],
        facts,
    )


def _validation_rows(subject: Subject) -> str:
    """Which rows the validation columns of the history come from, in words; empty if there are no such columns.

    A run without the record's words may still have been validated with the test examples. Then an epoch's validation
    cost is the cost on the test examples.
    """
    history, scores = subject.run.history, subject.scores
    columns = [name for name in history if name.startswith("validation_")]
    if not any(value is not None for name in columns for value in history[name]):
        return ""
    known = subject.run.record.get("validation")
    if isinstance(known, str) and known:
        return known
    costs = [cost for cost in history["validation_cost"] if cost is not None]
    is_test = any(math.isclose(cost, scores.cost, rel_tol=SAME_COST) for cost in costs)
    return TEST_ROWS if is_test else "validation data given to fit"


def _score(name: str, value: float) -> str:
    return f"{value:.3f}" if name == "r2" else f"{value:.1%}"


def weights(subject: Subject) -> Card:
    """The card of the first layer's weights as images."""
    network, shape = subject.run.network, subject.data.image_shape
    assert shape is not None
    count, before = network.sizes[1], subject.run.initial
    figure = plots.weights(network, image_shape=shape, before=before, narrow=True)
    networks = {"after training": network} if before is None else {"before training": before, "after training": network}
    alike = {when: insight.neighbour_correlation(net.weights[0], shape) for when, net in networks.items()}
    return Card(
        "weights",
        "What the neurons look at",
        "Each square shows the weights of one neuron as an image. Ink on a blue pixel raises the neuron's weighted "
        "sum, ink on a red pixel lowers it.",
        [
            picture(
                figure,
                f"The incoming weights of neurons of the first layer ({count:,} in all) as images of {shape[0]} by "
                f"{shape[1]} pixels" + (", before and after training." if before else "."),
                "png",
            )
        ],
        [(f"correlation {when}", f"{round(r, 2) + 0.0:.2f}") for when, r in alike.items() if math.isfinite(r)],
        note="The correlation between the weights of neighbouring pixels is near 0 for random weights and near 1 for "
        "smooth shapes.",
        wide=not network.is_classifier,  # the card of a classifier stands beside the card about noise
    )
