"""Whether the network learns or memorises: labels and images without sense, and what helps or hinders memory.

Not here: one condition's trainings (fastnet.insight.memorization).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.explore import Finding, Setting
from fastnet.insight.memorization import MEMORIZER, Memorization, memorization
from fastnet.insight.task import stratified_order
from fastnet.text import table
from fastnet.training.recipe import Recipe

IMAGES = TESTED = 1000  # at most: enough to tell, and seconds
SWEPT = 3  # seeds at most where a setting goes through many values
CONDITIONS: dict[str, dict[str, Any]] = {
    "true labels": {},
    "shuffled labels": {"corrupted": 1.0},
    "shuffled pixels": {"images": "shuffled"},
    "noise as images": {"images": "noise"},
}
CORRUPTED = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
# what is changed, its values, and the recipe with one
EFFECTS: dict[str, tuple[tuple[float, ...], Callable[[Any], Recipe]]] = {
    "width": ((16, 32, 64, 128, 256, 512), lambda value: MEMORIZER.but(hidden=(value,))),
    "weight decay": ((0.0, 1e-4, 1e-3, 1e-2), lambda value: MEMORIZER.but(trainer={"weight_decay": value})),
    "dropout": ((0.0, 0.2, 0.5), lambda value: MEMORIZER.but(trainer={"dropout": value})),
}
FILLED = (250, 500, 1000, 2000, 4000, 16000)  # images whose shuffled labels are to fit into a network
NETWORKS = ((16, 16), (128,))
PATIENCE = 200  # epochs for that
CURVES = 60  # epochs of the conditions


def explore(setting: Setting) -> Finding:
    """Compares conditions, shares of shuffled labels, widths, decays, dropouts and capacities."""
    data = setting.data
    order = stratified_order(data.y_train, np.random.default_rng(setting.seed))
    some = order[:IMAGES]
    tested = stratified_order(data.y_test, np.random.default_rng(setting.seed))[:TESTED]
    follow = partial(
        memorization,
        test=(data.x_test[tested], data.y_test[tested]),
        backend=setting.backend,
    )
    seeds = range(setting.seed, setting.seed + setting.seeds)
    on_some = partial(follow, data.x_train[some], data.y_train[some], seeds=seeds)
    conditions = {name: on_some(recipe=MEMORIZER.but(epochs=CURVES), **change) for name, change in CONDITIONS.items()}
    corrupted = [on_some(corrupted=share, stop=True) for share in CORRUPTED]
    until = partial(on_some, seeds=seeds[:SWEPT], stop=True)
    effects = {
        what: {
            labels: [until(recipe=recipe(value), **CONDITIONS[labels]) for value in values]
            for labels in ("true labels", "shuffled labels")
        }
        for what, (values, recipe) in EFFECTS.items()
    }
    sizes = sorted({min(n, len(order)) for n in FILLED})
    filled = {
        hidden: [
            follow(
                *(data.x_train[order[:n]], data.y_train[order[:n]]),
                recipe=MEMORIZER.but(hidden=hidden, epochs=PATIENCE),
                corrupted=1.0,
                seeds=seeds[:SWEPT],
                stop=True,
            )
            for n in sizes
        ]
        for hidden in NETWORKS
    }
    by_network = {"-".join(map(str, found[0].sizes)): found for found in filled.values()}
    first = conditions["true labels"]
    text = [
        f"{'-'.join(map(str, first.sizes))} {MEMORIZER.network['activation']}, {first.n:,} {setting.examples}, "
        f"{setting.seeds} seeds, {CURVES} epochs; tested on {len(tested):,}\n",
        _table("", conditions),
        "\nshare of labels shuffled, trained until they fit",
        _table("", {f"{share:.0%}": found for share, found in zip(CORRUPTED, corrupted, strict=True)}),
        *(_effect(what, EFFECTS[what][0], by_labels) for what, by_labels in effects.items()),
        f"\nshuffled labels fitted within {PATIENCE} epochs, {len(seeds[:SWEPT])} seeds",
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
    from fastnet import plots

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
    return f"\n{what}, trained until they fit, {seeds} seeds\n{_table('', results)}"


def _capacity(what: str, sizes: Sequence[int], by_network: Mapping[str, Sequence[Memorization]]) -> str:
    rows = [[what, *(f"{name} ({found[0].n_parameters:,})" for name, found in by_network.items())]]
    for i, n in enumerate(sizes):
        rows.append([f"{n:,}", *(_percent(found[i].final_training) for found in by_network.values())])
    return table(rows)


def _epochs(found: Memorization) -> tuple[str, str]:
    """The mean epochs to fit, and the lowest and highest; a bound where not every seed got there."""
    epochs = found.epochs_to_fit
    if np.isnan(epochs).any():
        return f">{found.training.shape[1]}", f"{np.isfinite(epochs).sum()} of {len(epochs)} seeds"
    return f"{epochs.mean():.1f}", f"{epochs.min():.0f}-{epochs.max():.0f}"


def _percent(shares: NDArray[np.float64]) -> str:
    return f"{shares.mean():.1%}"
