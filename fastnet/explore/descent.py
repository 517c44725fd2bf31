"""The experiment descent: the effect of single steps, of learning rates and of batch sizes, and a stop at a minimum."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from fastnet import plots
from fastnet.evaluation import Evaluation
from fastnet.explore.experiments import Setting
from fastnet.explore.finding import Finding
from fastnet.insight.batches import BatchRun, compare_batches
from fastnet.insight.descent import DescentLog, StopAtMinimum, descent_log
from fastnet.insight.rates import RangeTest, learning_rate_finder
from fastnet.network import Network
from fastnet.text import facts, table
from fastnet.training.order import examples_in_batch
from fastnet.training.trainer import Trainer

MAX_EXAMPLES = 5_000  # a full-batch step takes the first examples of the data set, at most this many
SLOW, SLOW_STEPS = 0.02, 300  # learning rate and steps from the new network
RATES, STEPS = (0.1, 1.0, 3.0, 10.0, 30.0), 40  # learning rates and steps from the trained network
BATCHES, EPOCHS = (None, 10, 1), 10  # batch sizes (None: all examples), and the epochs of each training
FAST = 0.5  # learning rate of the descent that stops at a short gradient
SHORT = 0.01  # a gradient shorter than this share of the first gradient ends the descent
# The number of cost measurements in each epoch. A data set of more than MAX_EXAMPLES examples gets the second number.
MEASUREMENTS, FEW_MEASUREMENTS = 10, 2


def explore(setting: Setting) -> Finding:
    """Log single steps, try learning rates, compare batch sizes, and stop at a short gradient."""
    data = setting.data
    x, y = data.x_train[:MAX_EXAMPLES], data.y_train[:MAX_EXAMPLES]
    new = setting.start()
    slow = descent_log(_plain(setting, new.network, SLOW, len(x)), x, y, SLOW_STEPS + 1)
    trained = setting.trained.network
    by_rate = {rate: descent_log(_plain(setting, trained, rate, len(x)), x, y, STEPS) for rate in RATES}
    batched = descent_log(setting.start(), x, y, -(-len(x) // examples_in_batch(new.batch_size, len(x))))

    options = {**setting.recipe.on(setting.backend).trainer}
    own_rate = options.pop("learning_rate", None)
    options.pop("schedule", None)
    test = learning_rate_finder(new.network, data.x_train, data.y_train, seed=setting.seed, **options)
    scores = setting.trained.evaluate(data.x_test, data.y_test), _suggested(setting, test.suggestion)

    options.pop("batch_size", None)
    measurements = MEASUREMENTS if len(data.x_train) <= MAX_EXAMPLES else FEW_MEASUREMENTS
    runs = compare_batches(
        *(new.network, data.x_train, data.y_train, BATCHES),
        epochs=EPOCHS,
        learning_rates=own_rate,
        measurements=measurements,
        seed=setting.seed,
        **options,
    )
    stop, stopped = _stopped(setting, new.network, slow.gradient_norm[0] * SHORT)

    text = "\n\n".join(
        [
            _steps_text(slow, batched),
            _rates_text(by_rate, trained.cost(x, y), len(x)),
            _range_text(test, new, scores),
            _batches_text(runs),
            _stop_text(stop, stopped, len(x), runs),
        ]
    )
    numbers = {
        "slow": slow,
        "by_rate": by_rate,
        "batched": batched,
        "range_test": test,
        "accuracy": {"own rate": scores[0].accuracy, "suggested rate": scores[1].accuracy},
        "batches": runs,
        "stop": {"steps": stop.steps, "norms": stop.norms, "reached": stop.reached, "cost": stopped.cost},
    }
    overshooting = max(by_rate.values(), key=lambda log: int(log.overshoot.sum()))
    pictures = {
        "descent": partial(plots.descent_log, slow),
        "overshoot": partial(plots.descent_log, overshooting),
        "range-test": partial(plots.range_test, test),
        "batches": partial(plots.batches, runs),
    }
    return Finding(text, numbers, pictures)


def _plain(setting: Setting, network: Network, rate: float, batch_size: int) -> Trainer:
    """Return a trainer that trains a copy of the network by plain gradient descent."""
    return Trainer(
        network.copy(),
        optimizer="sgd",
        learning_rate=rate,
        batch_size=batch_size,
        backend=setting.backend,
        seed=setting.seed,
    )


def _suggested(setting: Setting, rate: float) -> Evaluation:
    """Return the test scores after the recipe's training at another learning rate; NaN if the rate is NaN."""
    if np.isnan(rate):
        return Evaluation(np.nan)
    data, trainer = setting.data, setting.start()
    trainer.learning_rate = rate
    trainer.fit(data.x_train, data.y_train, epochs=setting.recipe.epochs)
    return trainer.evaluate(data.x_test, data.y_test)


def _stopped(setting: Setting, network: Network, norm: float) -> tuple[StopAtMinimum, Evaluation]:
    """Make full-batch steps until the norm of the gradient is at most `norm`."""
    x, y = setting.data.x_train[:MAX_EXAMPLES], setting.data.y_train[:MAX_EXAMPLES]
    trainer = _plain(setting, network, FAST, len(x))
    stop = StopAtMinimum(x, y, norm)
    trainer.fit(x, y, epochs=SLOW_STEPS, callbacks=[stop])
    return stop, trainer.evaluate(x, y)


def _steps_text(slow: DescentLog, batched: DescentLog) -> str:
    norms = ", ".join(f"{slow.gradient_norm[k]:.2f} at step {k}" for k in (0, 50, SLOW_STEPS) if k < len(slow))
    return facts(
        {
            "slow": f"{SLOW_STEPS} steps on all {slow.batch_size:,} examples at rate {SLOW:g}: gradient norm {norms}",
            "": f"each step lowered the cost by {_range(slow.ratio)} of the fall that the gradient predicted",
            "batches": f"{len(batched)} steps on {batched.batch_size} examples each at rate "
            f"{batched.learning_rate[0]:g}: the median fall is {np.nanmedian(batched.ratio):.1%} of the predicted "
            f"fall, {batched.overshoot.sum()} steps overshot",
        }
    )


def _range(values: Any) -> str:
    return f"{np.nanmin(values):.1%} to {np.nanmax(values):.1%}"


def _rates_text(by_rate: dict[float, DescentLog], cost: float, examples: int) -> str:
    rows = [["rate", "first step: actual/predicted fall", "steps that overshot", "last cost"]]
    for rate, log in by_rate.items():
        last = "diverged" if log.diverged else f"{log.cost[-1] + log.actual_change[-1]:.4f}"
        kept = f"{log.ratio[0]:.1%}" if len(log) else "-"
        rows.append([f"{rate:g}", kept, f"{log.overshoot.sum()} of {len(log)}", last])
    return f"Steps on all {examples:,} examples from the trained network, whose cost is {cost:.4f}:\n{table(rows)}"


def _range_text(test: RangeTest, trainer: Trainer, scores: tuple[Evaluation, Evaluation]) -> str:
    own, suggested = (f"{score.accuracy:.2%}" for score in scores)
    if np.isnan(test.suggestion):
        return facts({"range test": "the smoothed cost never fell, so the test suggests no learning rate"})
    best = test.learning_rate[test.best]
    return facts(
        {
            "range test": f"the smoothed cost is smallest at rate {best:.3g}; the suggested rate is "
            f"{test.suggestion:.2g}",
            "": f"test accuracy {suggested} at the suggested rate, {own} at the recipe's rate "
            f"{trainer.learning_rate:g}",
        }
    )


def _batches_text(runs: list[BatchRun]) -> str:
    rows = [["examples in a batch", "updates", "examples seen", "seconds", "cost"]]
    for run in runs:
        cost = "diverged" if run.diverged else f"{run.cost[-1]:.4f}"
        seconds = f"{run.seconds[-1]:.3f}"
        rows.append([f"{run.batch_size:,}", f"{run.steps[-1]:,}", f"{run.examples[-1]:,}", seconds, cost])
    return f"The same new network trained with each batch size at rate {runs[0].learning_rate:g}:\n{table(rows)}"


def _stop_text(stop: StopAtMinimum, score: Evaluation, examples: int, runs: list[BatchRun]) -> str:
    end = f"gradient norm {stop.norms[-1]:.4f}, cost {score.cost:.3f}, accuracy {score.accuracy:.1%}"
    about = "the gradient is short enough for a minimum" if stop.reached else "the gradient is not short yet"
    best = min(runs, key=lambda run: math.inf if run.diverged else float(run.cost[-1]))
    if stop.reached and best.cost[-1] < score.cost:
        about += f", but batches of {best.batch_size:,} reached the lower cost {best.cost[-1]:.3f} (table above)"
    return facts(
        {
            "stop": f"descent at rate {FAST:g} on all {examples:,} examples, after {stop.steps[-1]} steps: {end}",
            "": about,
        }
    )
