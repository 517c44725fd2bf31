"""The experiment memorize: how fast the network fits true labels, shuffled labels and images of noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import plots
from fastnet.explore.experiments import Setting
from fastnet.explore.finding import Finding
from fastnet.insight.memorization import MEMORIZER, Memorization, memorization
from fastnet.text import layers, table
from fastnet.training.recipe import Recipe

MAX_IMAGES = MAX_TESTED = 1000  # enough to show the effects; one training takes less than a second
MAX_SEEDS = 3  # for each width, weight decay, dropout and number of images
CONDITIONS: dict[str, dict[str, Any]] = {
    "true labels": {},
    "shuffled labels": {"corrupted": 1.0},
    "shuffled pixels": {"images": "shuffled"},
    "noise as images": {"images": "noise"},
}
CORRUPTED = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
# For each setting: its values, and a function from a value to the recipe.
EFFECTS: dict[str, tuple[tuple[float, ...], Callable[[Any], Recipe]]] = {
    "width": ((16, 32, 64, 128, 256, 512), lambda value: MEMORIZER.but(hidden=(value,))),
    "weight decay": ((0.0, 1e-4, 1e-3, 1e-2), lambda value: MEMORIZER.but(trainer={"weight_decay": value})),
    "dropout": ((0.0, 0.2, 0.5), lambda value: MEMORIZER.but(trainer={"dropout": value})),
}
CAPACITIES = (250, 500, 1000, 2000, 4000, 16000)  # numbers of images with shuffled labels
NETWORKS = ((16, 16), (128,))  # hidden layers of the two networks of the capacity table
PATIENCE = 200  # the largest number of epochs of a training for the capacity table
CURVES = 60  # epochs of each condition


def explore(setting: Setting) -> Finding:
    """Compare conditions, shares of shuffled labels, widths, weight decays, dropouts and capacities."""
    data = setting.data
    test = setting.test_sample(MAX_TESTED)
    follow = partial(memorization, test=test, backend=setting.backend)
    few_seeds = setting.seeds[:MAX_SEEDS]
    on_some = partial(follow, *setting.training_sample(MAX_IMAGES), seeds=setting.seeds)
    conditions = {name: on_some(recipe=MEMORIZER.but(epochs=CURVES), **change) for name, change in CONDITIONS.items()}
    corrupted = [on_some(corrupted=share, stop=True) for share in CORRUPTED]
    until = partial(on_some, seeds=few_seeds, stop=True)
    effects = {
        what: {
            labels: [until(recipe=recipe(value), **CONDITIONS[labels]) for value in values]
            for labels in ("true labels", "shuffled labels")
        }
        for what, (values, recipe) in EFFECTS.items()
    }
    sizes = sorted({min(n, len(data.x_train)) for n in CAPACITIES})
    filled = {
        hidden: [
            follow(
                *setting.training_sample(n),
                recipe=MEMORIZER.but(hidden=hidden, epochs=PATIENCE),
                corrupted=1.0,
                seeds=few_seeds,
                stop=True,
            )
            for n in sizes
        ]
        for hidden in NETWORKS
    }
    by_network = {layers(found[0].sizes): found for found in filled.values()}
    first = conditions["true labels"]
    text = [
        f"{layers(first.sizes)} with {MEMORIZER.network['activation']} on {first.n:,} {setting.examples}, "
        f"{setting.n_seeds} seeds, {CURVES} epochs, tested on {len(test[0]):,}:\n",
        _table("", conditions),
        "\nShare of labels shuffled, trained until the labels fit:",
        _table("", {f"{share:.0%}": found for share, found in zip(CORRUPTED, corrupted, strict=True)}),
        *(_effect(what, EFFECTS[what][0], by_labels) for what, by_labels in effects.items()),
        f"\nShare of shuffled labels fitted within {PATIENCE} epochs, {len(few_seeds)} seeds (in brackets: the number "
        "of parameters):",
        _capacity(setting.examples, sizes, by_network),
    ]
    return Finding(
        "\n".join(text),
        {
            "conditions": {name: _numbers(found) for name, found in conditions.items()},
            "corrupted": [_numbers(found) for found in corrupted],
            **{
                what: {
                    "values": EFFECTS[what][0],
                    **{labels: [_numbers(found) for found in results] for labels, results in by_labels.items()},
                }
                for what, by_labels in effects.items()
            },
            "capacity": {name: [_numbers(found) for found in results] for name, results in by_network.items()},
        },
        _pictures(conditions, corrupted, effects, by_network),
    )


def _pictures(
    conditions: Mapping[str, Memorization],
    corrupted: Sequence[Memorization],
    effects: Mapping[str, Mapping[str, Sequence[Memorization]]],
    by_network: Mapping[str, Sequence[Memorization]],
) -> dict[str, Callable[[], Any]]:
    return {
        "memorize": partial(plots.memorization, conditions),
        "memorize-corruption": partial(plots.corruption, corrupted),
        **{
            f"memorize-{what.replace(' ', '-')}": partial(
                plots.memorization_effect, what, EFFECTS[what][0], *by_labels.values()
            )
            for what, by_labels in effects.items()
        },
        "memorize-capacity": partial(plots.capacity, by_network),
    }


def _numbers(found: Memorization) -> dict[str, Any]:
    return {
        "epochs_to_fit": found.epochs_to_fit,
        "steps_to_fit": found.steps_to_fit,
        "final_training": found.final_training,
        "final_test": found.final_test,
        "run": found,
    }


def _table(what: str, results: Mapping[str, Memorization]) -> str:
    first = next(iter(results.values()))
    rows = [[what, f"epochs to fit {first.goal:.0%}", "range", "updates", "training", "test"]]
    for name, found in results.items():
        epochs, spread = _epochs(found)
        steps = f"{found.steps_to_fit.mean():,.0f}" if epochs[0] != ">" else ""
        rows.append([name, epochs, spread, steps, _percent(found.final_training), _percent(found.final_test)])
    return table(rows)


def _effect(what: str, values: Sequence[float], by_labels: Mapping[str, Sequence[Memorization]]) -> str:
    results = {
        f"{value:g}, {labels}": found[i] for i, value in enumerate(values) for labels, found in by_labels.items()
    }
    seeds = len(by_labels["true labels"][0].training)
    return f"\n{what.capitalize()}, trained until the labels fit, {seeds} seeds:\n{_table('', results)}"


def _capacity(what: str, sizes: Sequence[int], by_network: Mapping[str, Sequence[Memorization]]) -> str:
    rows = [[what, *(f"{name} ({found[0].n_parameters:,})" for name, found in by_network.items())]]
    for i, n in enumerate(sizes):
        rows.append([f"{n:,}", *(_percent(found[i].final_training) for found in by_network.values())])
    return table(rows)


def _epochs(found: Memorization) -> tuple[str, str]:
    """Return the mean and range of the epochs to fit; if a seed did not fit, a bound and how many seeds fitted."""
    epochs = found.epochs_to_fit
    if np.isnan(epochs).any():
        return f">{found.training.shape[1]}", f"{np.isfinite(epochs).sum()} of {len(epochs)} seeds"
    return f"{epochs.mean():.1f}", f"{epochs.min():.0f}-{epochs.max():.0f}"


def _percent(shares: NDArray[np.float64]) -> str:
    return f"{shares.mean():.1%}"
