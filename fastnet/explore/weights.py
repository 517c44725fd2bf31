"""The experiment weights: the hidden neurons' weights as images, and whether the images show edges."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from fastnet import plots
from fastnet.explore.experiments import Setting
from fastnet.explore.finding import Finding
from fastnet.insight import (
    ExcitingImages,
    IdealInputs,
    UnlitWeights,
    WeightStructure,
    exciting_images,
    ideal_inputs,
    unlit_weights,
    weight_structure,
)
from fastnet.text import table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DECAY = 1e-4  # weight decay also shrinks weights that have no gradient
MAX_EXCITING = 9  # the most exciting images to find for each neuron
NO_IMAGES = "The examples are not images, so there are no edges to find and no pictures of pixels."


def explore(setting: Setting) -> Finding:
    """Compare the recipe's network before and after its training, and find what excites its deeper neurons."""
    data, network, before = setting.data, setting.trained.network, setting.start().network
    unlit, decayed = unlit_weights(network, before, data.x_train), _decayed(setting)
    texts = [_unlit_text(unlit, decayed)]
    numbers: dict[str, Any] = {"unlit_weights": unlit, f"unlit_weights_decay_{DECAY:g}": decayed}
    deeper = range(1, len(network.weights))
    pictures: dict[str, Callable[[], Figure]] = {
        f"weights-layer-{layer + 1}": partial(plots.weights, network, before=before, layer=layer) for layer in deeper
    }
    if data.image_shape is None:
        return Finding("\n\n".join([*texts, NO_IMAGES]), numbers, pictures)

    shape = data.image_shape
    found = weight_structure(network, before, shape, seed=setting.seed)
    numbers["structure"] = {
        kind: {"neighbour_correlation": part.correlation, "edge_share": part.edge_shares.mean()}
        for kind, part in found.kinds.items()
    }
    pictures["weights"] = partial(plots.weights, network, before=before, image_shape=shape)
    pictures["weights-edges"] = partial(plots.structure, found, image_shape=shape)

    excited = {}
    for layer in deeper:
        count = min(MAX_EXCITING, len(data.x_train))
        exciting = exciting_images(network, data.x_train, layer, count, backend=setting.backend)
        start = data.x_train[exciting.indices[:, 0]]
        ideal = ideal_inputs(network, layer, start=start, backend=setting.backend)
        excited[layer] = exciting, ideal
        pictures[f"exciting-layer-{layer + 1}"] = partial(
            plots.excitation, exciting, ideal, data.x_train, image_shape=shape
        )
    numbers["excitation"] = {
        f"layer {layer + 1}": {"real": exciting.sums[:, 0], "ideal": ideal.sums}
        for layer, (exciting, ideal) in excited.items()
    }
    return Finding("\n\n".join([_structure_text(found), *texts, _excitation_text(excited)]), numbers, pictures)


def _decayed(setting: Setting) -> UnlitWeights:
    """Repeat the training with weight decay, and measure the weights of the inputs that are always zero."""
    recipe = setting.recipe.but(trainer={"weight_decay": DECAY})
    data, trainer = setting.data, setting.start(recipe)
    before = trainer.network.copy()
    trainer.fit(data.x_train, data.y_train, epochs=recipe.epochs)
    return unlit_weights(trainer.network, before, data.x_train)


def _structure_text(found: WeightStructure) -> str:
    share = {kind: part.edge_shares.mean() for kind, part in found.kinds.items()}
    nearer = min(("blobs", "edges"), key=lambda kind: abs(share["trained"] - share[kind]))
    rows = [["first layer", "correlation of neighbours", "mean edge share", "largest edge share"]]
    for kind, part in found.kinds.items():
        shares = part.edge_shares
        rows.append([kind, f"{part.correlation:.2f}", f"{shares.mean():.2f}", f"{shares.max():.2f}"])
    return (
        f"{table(rows)}\nThe edge share is the share of a neuron's squared weights that one oriented edge explains.\n"
        "Blobs are smooth noise with the correlation of the trained weights, and with their size at each pixel.\n"
        f"In their edge share the trained weights are closer to {nearer}."
    )


def _unlit_text(unlit: UnlitWeights, decayed: UnlitWeights) -> str:
    count, n_in = int(unlit.pixels.sum()), len(unlit.pixels)
    if not count:
        return "No input is zero in all training examples."
    return (
        f"{count} of {n_in} inputs are zero in all training examples. Training changed the weights of these inputs "
        f"by at most {unlit.largest_change:g}.\nTraining with weight decay {DECAY:g} shrank these weights to "
        f"{decayed.kept:.0%} of their initial size."
    )


def _excitation_text(excited: dict[int, tuple[ExcitingImages, IdealInputs]]) -> str:
    rows = [["mean weighted sum", "best training image", "image by gradient ascent", "larger by ascent"]]
    for layer, (exciting, ideal) in excited.items():
        real = exciting.sums[:, 0]
        higher = f"{int((ideal.sums > real).sum())} of {len(real)} neurons"
        rows.append([f"layer {layer + 1}", f"{real.mean():.2f}", f"{ideal.sums.mean():.2f}", higher])
    return table(rows)
