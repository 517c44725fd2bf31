"""What gradient descent does: its steps and what they promise, rates, batches, and where it seems to end."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from fastnet import plots
from fastnet.explore import Finding, Setting
from fastnet.insight.batches import BatchRun, compare_batches
from fastnet.insight.descent import DescentLog, StopAtMinimum, descent_log
from fastnet.insight.rates import RangeTest, learning_rate_finder
from fastnet.network import Evaluation, Network
from fastnet.text import facts, table
from fastnet.training.trainer import Trainer

EXAMPLES = 5_000  # of the steps that take all examples: the first so many
SLOW, SLOW_STEPS = 0.02, 300
RATES, STEPS = (0.1, 1.0, 3.0, 10.0, 30.0), 40  # of plain descent from the trained network
BATCHES, EPOCHS = (None, 10, 1), 10
FAST = 0.5  # of the descent that is stopped
FLAT = 0.01  # of the first gradient's norm: what the stop criterion takes for a minimum
LOOKS = {True: 2, False: 10}  # at the cost an epoch, whether there are more than EXAMPLES or not


def explore(setting: Setting) -> Finding:
    """Logs steps on all examples and on batches, tries rates, compares batch sizes, and stops where it is flat."""
    data = setting.data
    x, y = data.x_train[:EXAMPLES], data.y_train[:EXAMPLES]
    new = setting.start()
    slow = descent_log(_plain(setting, new.network, SLOW, len(x)), x, y, SLOW_STEPS + 1)
    trained = setting.trained.network
    by_rate = {rate: descent_log(_plain(setting, trained, rate, len(x)), x, y, STEPS) for rate in RATES}
    batched = descent_log(setting.start(), x, y, -(-len(x) // new.batch_size))

    options = {**setting.recipe.on(setting.backend).trainer}
    own_rate = options.pop("learning_rate", None)
    options.pop("schedule", None)
    test = learning_rate_finder(new.network, data.x_train, data.y_train, seed=setting.seed, **options)
    scores = setting.trained.evaluate(data.x_test, data.y_test), _suggested(setting, test.suggestion)

    options.pop("batch_size", None)
    looks = LOOKS[len(data.x_train) > EXAMPLES]
    settings: dict[str, Any] = {"epochs": EPOCHS, "learning_rates": own_rate, "looks": looks, "seed": setting.seed}
    runs = compare_batches(new.network, data.x_train, data.y_train, BATCHES, **settings, **options)
    stop, stopped = _stopped(setting, new.network, slow.gradient_norm[0] * FLAT)

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
    """Plain gradient descent of a copy."""
    return Trainer(
        network.copy(), learning_rate=rate, batch_size=batch_size, backend=setting.backend, seed=setting.seed
    )


def _suggested(setting: Setting, rate: float) -> Evaluation:
    """The test's result after the recipe's training at another rate."""
    if np.isnan(rate):
        return Evaluation(np.nan, np.nan)
    data, trainer = setting.data, setting.start()
    trainer.learning_rate = rate
    trainer.fit(data.x_train, data.y_train, epochs=setting.recipe.epochs)
    return trainer.evaluate(data.x_test, data.y_test)


def _stopped(setting: Setting, network: Network, norm: float) -> tuple[StopAtMinimum, Evaluation]:
    """Steps on all examples until their gradient is that short."""
    x, y = setting.data.x_train[:EXAMPLES], setting.data.y_train[:EXAMPLES]
    trainer = _plain(setting, network, FAST, len(x))
    stop = StopAtMinimum(x, y, norm)
    trainer.fit(x, y, epochs=SLOW_STEPS, callbacks=[stop])
    return stop, trainer.evaluate(x, y)


def _steps_text(slow: DescentLog, batched: DescentLog) -> str:
    norms = ", ".join(f"{slow.gradient_norm[k]:.2f} at step {k}" for k in (0, 50, SLOW_STEPS) if k < len(slow))
    return facts(
        {
            "slow": f"{SLOW_STEPS} steps on {slow.batch_size:,} examples, rate {SLOW:g}: gradient's norm {norms}",
            "": f"each step brought {_range(slow.ratio)} of the fall that its gradient predicted",
            "batches": f"{len(batched)} steps on {batched.batch_size} each, rate {batched.learning_rate[0]:g}: "
            f"{np.nanmedian(batched.ratio):.1%} of it in the median, {batched.overshoot.sum()} overshot",
        }
    )


def _range(values: Any) -> str:
    return f"{np.nanmin(values):.1%} to {np.nanmax(values):.1%}"


def _rates_text(by_rate: dict[float, DescentLog], cost: float, examples: int) -> str:
    rows = [["rate", "first step brought", "overshot", "last cost"]]
    for rate, log in by_rate.items():
        last = "diverged" if log.diverged else f"{log.cost[-1] + log.actual_change[-1]:.4f}"
        kept = f"{log.ratio[0]:.1%}" if len(log) else "-"
        rows.append([f"{rate:g}", kept, f"{log.overshoot.sum()} of {len(log)}", last])
    return f"from the trained network, cost {cost:.4f}, on {examples:,} examples at once:\n{table(rows)}"


def _range_text(test: RangeTest, trainer: Trainer, scores: tuple[Evaluation, Evaluation]) -> str:
    own, suggested = (f"{score.accuracy:.2%}" for score in scores)
    best = test.learning_rate[test.best]
    return facts(
        {
            "range test": f"the smoothed cost is least at rate {best:.3g}, which suggests {test.suggestion:.2g}",
            "": f"test accuracy {suggested} with it, {own} with the recipe's {trainer.learning_rate:g}",
        }
    )


def _batches_text(runs: list[BatchRun]) -> str:
    rows = [["examples an update", "updates", "examples seen", "seconds", "cost"]]
    for run in runs:
        cost = "diverged" if run.diverged else f"{run.cost[-1]:.4f}"
        seconds = f"{run.seconds[-1]:.3f}"
        rows.append([f"{run.batch_size:,}", f"{run.steps[-1]:,}", f"{run.examples[-1]:,}", seconds, cost])
    return f"from one start, all at rate {runs[0].learning_rate:g}:\n{table(rows)}"


def _stop_text(stop: StopAtMinimum, score: Evaluation, examples: int, runs: list[BatchRun]) -> str:
    end = f"gradient's norm {stop.norms[-1]:.4f}, cost {score.cost:.3f}, accuracy {score.accuracy:.1%}"
    about = "a minimum as far as this step can tell" if stop.reached else "not flat yet"
    best = min(runs, key=lambda run: math.inf if run.diverged else float(run.cost[-1]))
    if stop.reached and best.cost[-1] < score.cost:
        about += f"; {best.batch_size:,} an update, above, came lower: {best.cost[-1]:.3f}"
    return facts(
        {
            "stop": f"plain descent at rate {FAST:g} on {examples:,} examples after {stop.steps[-1]} steps: {end}",
            "": about,
        }
    )
