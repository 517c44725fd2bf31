"""Why it is so easy: where many seeds end, the ways between two of them, and the surface around one.

Not here: how these are found (fastnet.insight.minima, fastnet.insight.landscape).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from fastnet.explore import Finding, Setting
from fastnet.insight.landscape import Landscape, descent_landscape, descent_path, landscape
from fastnet.insight.minima import MINIMIZER, Minima, Path, interpolate, match_neurons, minima
from fastnet.insight.task import stratified_order
from fastnet.network import Network
from fastnet.text import facts, table
from fastnet.training.recipe import Recipe, in_parallel

SEEDS = 20  # of each width: a spread takes more than a mean
TRAINED, SURVEYED = 4000, 1000  # examples, at most, to train on, and to measure a plane with
WIDE = MINIMIZER.but(hidden=(128,))


def explore(setting: Setting) -> Finding:
    """Many seeds by width, lines between two networks before and after matching neurons, and two planes."""
    from fastnet import plots

    data = setting.data
    some = stratified_order(data.y_train, np.random.default_rng(setting.seed))[:TRAINED]
    x, y = data.x_train[some], data.y_train[some]
    n_in, n_out, backend = x.shape[1], len(data.class_names), setting.backend
    ends = minima(
        x,
        y,
        seeds=range(setting.seed, setting.seed + SEEDS),
        test=(data.x_test, data.y_test),
        backend=backend,
    )

    def trained(recipe: Recipe, seed: int) -> Network:
        trainer = recipe.on(setting.backend).start(n_in, n_out, seed)
        trainer.fit(x, y, epochs=recipe.epochs)
        return trainer.network

    lines: dict[str, dict[str, Path]] = {}
    for recipe in (setting.recipe, WIDE):
        a, b = in_parallel([partial(trained, recipe, setting.seed + k) for k in (0, 1)], backend)
        between = partial(interpolate, x=x, y=y, backend=backend)
        matched = match_neurons(a, b)
        lines["-".join(map(str, a.sizes))] = {"as trained": between(a, b), "neurons matched": between(a, matched)}

    trainer = setting.recipe.on(setting.backend).start(n_in, n_out, setting.seed)
    path = descent_path(trainer, x, y, epochs=setting.recipe.epochs)
    surveyed = x[:SURVEYED], y[:SURVEYED]
    random = landscape(trainer.network, *surveyed, seed=setting.seed, backend=backend)
    own = descent_landscape(trainer.network, path, *surveyed, backend=backend)
    text = [
        f"costs at the end: {SEEDS} seeds a width, one hidden layer, {len(some):,} training examples",
        _ends(ends),
        "\non the straight line between two networks",
        _lines(lines),
        f"\non planes through {'-'.join(map(str, trainer.network.sizes))}, of {len(surveyed[1]):,} training examples",
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
    return table(rows, left=())


def _lines(lines: Mapping[str, Mapping[str, Path]]) -> str:
    rows = [["", "cost at the ends", "highest", "barrier", "lowest accuracy"]]
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
            "random": f"cost {here:.3g} at the network, {worst:.3g} at most where weights have moved by up to their "
            "size along each",
            "descent's": f"{first:.0%} and {second:.0%} of the path's variance; cost {own.cost.min():.3g} to "
            f"{own.cost.max():.3g}",
        }
    )


def _numbers(found: Landscape) -> dict[str, Any]:
    """All but the directions, which are as long as the network has parameters."""
    fields = {entry.name: getattr(found, entry.name) for entry in dataclasses.fields(found)}
    return {name: value for name, value in fields.items() if name != "directions"}
