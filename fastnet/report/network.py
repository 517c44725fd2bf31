"""The cards about the network: its layers, its training curves and the weights of its first layer."""

from __future__ import annotations

import math

import numpy as np

from fastnet import insight, plots
from fastnet.report.parts import Card, counted, picture
from fastnet.report.subject import Subject
from fastnet.text import layers


def network(subject: Subject) -> Card:
    """The card of the network's layers, with a drawing of its weights."""
    network = subject.run.network
    *hidden, output = network.activations_by_layer
    names = subject.data.class_names
    figure = plots.architecture(network, image_shape=subject.data.image_shape, class_names=names)
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
            ("cost", network.cost_description().replace("_", " ")),
            ("arithmetic", network.dtype.name),
        ],
    )


def learning(subject: Subject) -> Card:
    """The card of the cost and the accuracy after each epoch."""
    history = subject.run.history
    title = "How it learned"
    if not history or not history["epoch"]:
        return Card("learning", title, "The history of the training is not known, so there are no curves.")
    first, last = history["cost"][0], history["cost"][-1]
    text = f"cost from {first:.4g} to {last:.4g}"
    facts = [("cost in the first epoch", f"{first:.4g}"), ("cost in the last epoch", f"{last:.4g}")]
    for name, label in (("accuracy", "training accuracy"), ("validation_accuracy", "validation accuracy")):
        begun, ended = history[name][0], history[name][-1]
        if ended is not None:
            text += f", {label} " + (f"{ended:.1%} in the end" if begun is None else f"from {begun:.1%} to {ended:.1%}")
            facts.append((f"{label} in the end", f"{ended:.1%}"))
    epochs = len(history["epoch"])
    return Card(
        "learning",
        title,
        f"In {counted(epochs, 'pass', 'passes')} over the training examples (epochs) the cost went from {first:.4g} to "
        f"{last:.4g}. The cost says how far the answers are from the truth.",
        [picture(plots.history(history), f"Curves against {epochs} epochs: {text}.")],
        facts,
    )


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
