"""The experiment noise: the network's confidence on noise, and the calibration of its confidence on test data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fastnet import plots
from fastnet.data import Dataset
from fastnet.data.split import hold_out
from fastnet.explore.experiments import Setting
from fastnet.explore.finding import Finding
from fastnet.insight import Calibration, NoiseConfidence, calibration, confidence_on_noise, fit_temperature
from fastnet.text import shown, table
from fastnet.training.recipe import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HELD_OUT = 0.2  # the share of the training data that is held out to fit the temperature
# The usual choices for a classifier. They often make a network too confident (Guo et al. 2017).
USUAL = {"activation": "relu", "output": "softmax", "cost": "cross_entropy"}


@dataclass(frozen=True)
class _Case:
    """The results of one network. `before` is its softmax at temperature 1, `after` at the fitted temperature."""

    accuracy: float
    noise: NoiseConfidence
    outputs: Calibration
    before: Calibration
    after: Calibration


def explore(setting: Setting) -> Finding:
    """Test the recipe's network, and a network with ReLU and cross-entropy, on noise and on the test data."""
    recipe = setting.recipe
    recipes = {
        "recipe": recipe,
        "ReLU, cross-entropy": recipe.but(network=USUAL, trainer={"learning_rate": 0.1}),
    }
    cases = {name: _case(setting, recipe) for name, recipe in recipes.items()}
    return Finding(
        _text(cases, setting),
        {name: _numbers(case) for name, case in cases.items()},
        _pictures(cases, setting.data),
    )


def _case(setting: Setting, recipe: Recipe) -> _Case:
    data, backend = setting.data, setting.backend
    x, y, held_x, held_y = hold_out(data.x_train, data.y_train, HELD_OUT)
    trainer = setting.start(recipe)
    trainer.fit(x, y, epochs=recipe.epochs)
    network = trainer.network
    fitted = fit_temperature(network, held_x, held_y, backend=backend)

    def calibrated(temperature: float | None) -> Calibration:
        return calibration(network, data.x_test, data.y_test, temperature=temperature, backend=backend)

    return _Case(
        network.accuracy(data.x_test, data.y_test, backend=backend),
        confidence_on_noise(network, data.x_test, seed=setting.seed, backend=backend),
        calibrated(None),
        calibrated(1.0),
        calibrated(fitted),
    )


def _text(cases: dict[str, _Case], setting: Setting) -> str:
    data, examples = setting.data, setting.examples
    noise = [["network", examples, "most frequent answer", "share", "median top output", "5% to 95% quantile"]]
    trust = [["network", "test accuracy", "outputs", "softmax at T = 1", "fitted T", "softmax at fitted T"]]
    for name, case in cases.items():
        for kind, answers in case.noise.kinds.items():
            low, high = answers.quantiles((0.05, 0.95))
            label = shown(data.class_names[answers.favourite])
            row = [label, f"{answers.shares.max():.0%}", f"{answers.median:.2f}", f"{low:.2f} to {high:.2f}"]
            noise.append([name, kind, *row])
        errors = [f"{found.error:.3f}" for found in (case.outputs, case.before, case.after)]
        trust.append([name, f"{case.accuracy:.1%}", *errors[:2], f"{case.after.temperature:.2f}", errors[2]])
    first = next(iter(cases.values())).noise
    return (
        f"{table(noise, left=(0, 1))}\n"
        f"All noise is in the range {first.low:g} to {first.high:g}.\nBefore clipping, Gaussian noise has the "
        f"mean {first.mean:.3f} and the standard deviation {first.deviation:.3f} of the test {examples}.\n\n"
        f"Expected calibration error on {len(data.x_test):,} test {examples}, for the outputs and for a softmax at "
        f"temperature T:\n{table(trust)}\n"
        f"Each network is trained on {1 - HELD_OUT:.0%} of the training {examples}. The other {HELD_OUT:.0%} fit the "
        "temperature."
    )


def _numbers(case: _Case) -> dict[str, Any]:
    answers = {
        kind: {
            "shares": found.shares,
            "most_frequent": found.favourite,
            "median_top_output": found.median,
            "top_output_quantiles": {f"{at:g}": found.quantiles(at) for at in (0.05, 0.25, 0.75, 0.95)},
        }
        for kind, found in case.noise.kinds.items()
    }
    diagrams = {"outputs": case.outputs, "softmax": case.before, "temperature": case.after}
    return {
        "test_accuracy": case.accuracy,
        "answers": answers,
        "calibration_error": {name: found.error for name, found in diagrams.items()},
        "temperature": case.after.temperature,
        "reliability": diagrams,
    }


def _pictures(cases: dict[str, _Case], data: Dataset) -> dict[str, Callable[[], Figure]]:
    pictures: dict[str, Callable[[], Figure]] = {}
    for name, case in zip(("", "-relu"), cases.values(), strict=True):
        pictures[f"noise{name}"] = partial(
            plots.noise,
            case.noise,
            image_shape=data.image_shape,
            samples=data.image_shape is not None,
            class_names=data.class_names,
        )
        pictures[f"calibration{name}"] = partial(plots.reliability, case.before, case.after)
    return pictures
