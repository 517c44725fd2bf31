"""The experiment gradient: the components of the gradient by size, and the effect of nudging the largest components."""

from __future__ import annotations

from functools import partial

import numpy as np

from fastnet import plots
from fastnet.explore.experiments import Setting
from fastnet.explore.finding import Finding
from fastnet.insight.gradients import BIAS, Ranking, Verification, ranking, verify_ranking
from fastnet.network import Network
from fastnet.text import table
from fastnet.training.history import Epoch
from fastnet.training.trainer import Trainer

EARLY = (1, 5)  # the gradient is ranked at the start, after these epochs and at the end
MAX_LISTED = 5


def explore(setting: Setting) -> Finding:
    """Rank the gradient's components before, during and after training, and verify each ranking by nudges."""
    data = setting.data
    x, y = data.x_train, data.y_train
    stages = _stages(setting)
    rankings = {epoch: ranking(network, x, y, backend=setting.backend) for epoch, network in stages.items()}
    verified = {
        epoch: verify_ranking(network, x, y, seed=setting.seed, backend=setting.backend)
        for epoch, network in stages.items()
    }
    last, final = list(stages.items())[-1]
    text = "\n\n".join(
        [_stages_text(rankings, verified), _layers_text(rankings), _top_text(rankings[last], data.image_shape)]
    )
    numbers = {
        str(epoch): {
            "norm": found.norm,
            "top 1%": found.share(0.01),
            "top 10%": found.share(0.1),
            "zero": found.zero_share,
            "by_layer": found.by_layer,
            "by_neuron": found.by_neuron,
            "nudges": verified[epoch],
        }
        for epoch, found in rankings.items()
    }
    pictures = {"gradient-ranking": partial(plots.ranking, rankings[last])}
    if data.image_shape is not None:
        gradient = final.gradient(x, y, backend=setting.backend)
        pictures["neuron-gradients"] = partial(plots.neuron_gradients, final, gradient, data.image_shape)
    else:
        text += "\n\nThe examples are not images, so there is no picture of the neurons' gradients."
    return Finding(text, numbers, pictures)


def _stages(setting: Setting) -> dict[int, Network]:
    """Return networks by the number of epochs trained. The last network is the setting's trained network."""
    trainer = setting.start()
    epochs = setting.recipe.epochs
    found = {0: trainer.network.copy()}

    def keep(trainer: Trainer, epoch: Epoch) -> None:
        if epoch.epoch in EARLY and epoch.epoch < epochs:
            found[epoch.epoch] = trainer.network.copy()
        if epoch.epoch >= max(EARLY):
            trainer.stop()

    trainer.fit(setting.data.x_train, setting.data.y_train, epochs=epochs, callbacks=[keep])
    return found | {epochs: setting.trained.network}


def _stages_text(rankings: dict[int, Ranking], verified: dict[int, Verification]) -> str:
    rows = [["after epoch", "norm", "top 1% hold", "top 10% hold", "exactly zero", "top 1% nudged", "random 1% nudged"]]
    for epoch, found in rankings.items():
        nudges = verified[epoch]
        random = np.mean([one.actual_change for one in nudges.random])
        changes = [f"{change:+.2g}" for change in (nudges.top.actual_change, random)]
        shares = [f"{share:.0%}" for share in (found.share(0.01), found.share(0.1), found.zero_share)]
        rows.append([str(epoch), f"{found.norm:.3f}", *shares, *changes])
    ratios = ", ".join(f"{verification.advantage:.1f}" for verification in verified.values())
    first = next(iter(verified.values()))
    return (
        "The share of the gradient's squared norm in the largest components, and the change of the cost by a nudge:\n"
        f"{table(rows, left=())}\n"
        f"All nudges have the length {first.top.length:g}. The change by a random 1% is the mean of "
        f"{len(first.random)} draws.\nThe change by the top 1%, divided by the change by a random 1%: {ratios}."
    )


def _layers_text(rankings: dict[int, Ranking]) -> str:
    layers = range(len(next(iter(rankings.values())).by_layer))
    rows = [["after epoch", *(f"layer {layer + 1} {part}" for layer in layers for part in ("weights", "biases"))]]
    for epoch, found in rankings.items():
        rows.append([str(epoch), *(f"{share:.1%}" for share in found.by_layer.ravel())])
    return f"The share of the squared norm in each layer:\n{table(rows, left=())}"


def _top_text(found: Ranking, shape: tuple[int, int] | None) -> str:
    rows = [["", "layer", "neuron", "from", "gradient"]]
    for k in range(min(MAX_LISTED, len(found.component))):
        below = int(found.input[k])
        source = f"neuron {below}" if found.layer[k] else f"input {below}"
        if below == BIAS:
            source = "bias"
        elif found.layer[k] == 0 and shape is not None:
            source = "pixel {}, {}".format(*divmod(below, shape[1]))
        rows.append([str(k + 1), str(found.layer[k] + 1), str(found.neuron[k]), source, f"{found.component[k]:+.2g}"])
    return f"The largest components after training:\n{table(rows, left=(0, 3))}"
