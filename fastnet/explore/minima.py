"""The experiment minima: the final costs of many seeds, the line between two networks, and the surface around one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

from fastnet import plots
from fastnet.explore.experiments import Setting
from fastnet.explore.finding import Finding
from fastnet.insight.landscape import Landscape, descent_landscape, descent_path, landscape
from fastnet.insight.minima import MINIMIZER, Minima, Path, interpolate, match_neurons, minima
from fastnet.network import Network
from fastnet.text import facts, layers, table
from fastnet.training.pool import in_parallel
from fastnet.training.recipe import Recipe

N_SEEDS = 20  # for each width: to estimate a spread takes more seeds than to estimate a mean
MAX_TRAINED, MAX_MAPPED = 4000, 1000  # examples to train on, and examples whose cost is mapped
WIDE = MINIMIZER.but(hidden=(128,))


def explore(setting: Setting) -> Finding:
    """Train many seeds for each width, measure the line between two networks, and map the cost on two planes."""
    data, backend = setting.data, setting.backend
    x, y = setting.training_sample(MAX_TRAINED)
    ends = minima(
        x,
        y,
        seeds=range(setting.seed, setting.seed + N_SEEDS),
        test=(data.x_test, data.y_test),
        backend=backend,
    )

    def trained(recipe: Recipe, seed: int) -> Network:
        trainer = setting.start(recipe, seed)
        trainer.fit(x, y, epochs=recipe.epochs)
        return trainer.network

    lines: dict[str, dict[str, Path]] = {}
    for recipe in (setting.recipe, WIDE):
        a, b = in_parallel([partial(trained, recipe, setting.seed + k) for k in (0, 1)], backend)
        between = partial(interpolate, x=x, y=y, backend=backend)
        matched = match_neurons(a, b)
        lines[layers(a.sizes)] = {"as trained": between(a, b), "neurons matched": between(a, matched)}

    trainer = setting.start()
    path = descent_path(trainer, x, y, epochs=setting.recipe.epochs)
    mapped = x[:MAX_MAPPED], y[:MAX_MAPPED]
    random = landscape(trainer.network, *mapped, seed=setting.seed, backend=backend)
    own = descent_landscape(trainer.network, path, *mapped, backend=backend)
    text = [
        f"Final costs of {N_SEEDS} seeds for each width of one hidden layer, trained on {len(x):,} examples:",
        _ends(ends),
        "\nOn the straight line between two networks:",
        _lines(lines),
        f"\nThe cost on {len(mapped[1]):,} training examples, on two planes through {layers(trainer.network.sizes)}:",
        _planes(random, own),
    ]
    return Finding(
        "\n".join(text),
        {
            "minima": ends,
            "variation": ends.variation,
            "training_variation": ends.training_variation,
            "lines": lines,
            "barriers": {name: {how: line.barrier for how, line in found.items()} for name, found in lines.items()},
            "random_plane": _numbers(random),
            "descent_plane": _numbers(own),
        },
        {
            "minima": partial(plots.minima, ends),
            **{f"minima-between-{name}": partial(plots.interpolation, found) for name, found in lines.items()},
            "minima-landscape": partial(plots.landscape, random),
            "minima-descent": partial(plots.landscape, own),
        },
    )


def _ends(found: Minima) -> str:
    rows = [["width", "test cost", "lowest", "highest", "variation", "training cost", "variation", "test accuracy"]]
    for i, width in enumerate(found.widths):
        test = found.test_cost[i]
        rows.append(
            [
                f"{width}",
                *(f"{cost:.3f}" for cost in (test.mean(), test.min(), test.max(), found.variation[i])),
                *(f"{cost:.3f}" for cost in (found.cost[i].mean(), found.training_variation[i])),
                f"{found.test_accuracy[i].mean():.1%}",
            ]
        )
    return f"{table(rows, left=())}\nVariation is the standard deviation over the seeds, divided by the mean."


def _lines(lines: Mapping[str, Mapping[str, Path]]) -> str:
    rows = [["", "cost at the ends", "highest cost", "barrier", "lowest accuracy"]]
    for name, found in lines.items():
        for how, line in found.items():
            ends = f"{line.cost[0]:.3f}, {line.cost[-1]:.3f}"
            numbers = f"{line.cost.max():.3f}", f"{line.barrier:.3f}", f"{line.accuracy.min():.1%}"
            rows.append([f"{name} {how}", ends, *numbers])
    return table(rows)


def _planes(random: Landscape, own: Landscape) -> str:
    assert own.variance is not None
    middle = len(random.up) // 2
    here, worst = random.cost[middle, middle], random.cost.max()
    first, second = own.variance
    return facts(
        {
            "random": f"{here:.3g} at the network, at most {worst:.3g}; each direction changes a neuron's weights by "
            "at most their own length",
            "descent": f"{own.cost.min():.3g} to {own.cost.max():.3g}; the two directions hold {first:.0%} and "
            f"{second:.0%} of the path's variance",
        }
    )


def _numbers(found: Landscape) -> dict[str, Any]:
    """Return all fields but the directions, which are as long as the network's parameters."""
    fields = {entry.name: getattr(found, entry.name) for entry in dataclasses.fields(found)}
    return {name: value for name, value in fields.items() if name != "directions"}
