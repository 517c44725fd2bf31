"""How fast a search trains networks: `python -m fastnet.bench.searching`.

Three tables: a search beside a bare loop over trainers; a search by halving beside scikit-learn's and Optuna's; and 64
networks that train at the same time beside JAX's vmap. The contenders of a table take turns. Peers that are not
installed are left out. It takes about five minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from fastnet.backends.machine import facts
from fastnet.backends.warming import warmup
from fastnet.bench import report
from fastnet.bench.workloads import load_images
from fastnet.network import Network
from fastnet.search import loguniform, search
from fastnet.text import duration
from fastnet.training import Trainer
from fastnet.training.pool import run_in_pool

HIDDEN = (16, 16)
SIZES = (784, *HIDDEN, 10)
NETWORKS = 64  # that train at the same time
BATCH = 10  # of the networks that train at the same time
SEARCH_BATCH = 50
RATES = (1e-4, 1e-1)


class Rows(NamedTuple):
    """Images as floats from 0 to 1, and their labels."""

    x: Any
    y: Any
    x_held: Any
    y_held: Any


class Found(NamedTuple):
    """What a search by halving came to."""

    epochs: int  # the sum over all trainings
    accuracy: float  # the best, on the held-out images


def load(rows: int) -> tuple[Rows, str]:
    """Return the first rows of MNIST, a fifth of them held out, and what they are."""
    images = load_images()
    x, y = np.divide(images.x[:rows], 255, dtype=np.float32), images.y[:rows].astype(np.int64)
    n = len(x) * 4 // 5
    return Rows(x[:n], y[:n], x[n:], y[n:]), f"the first {len(x):,} of {images.about}"


def taking_turns(calls: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each call, by name. Each round makes all calls; a first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


# -- a search beside a loop -----------------------------------------------------------------------------------------


def searched(data: Rows, trials: int, epochs: int, n_jobs: int, **options: Any) -> Any:
    """Search for a learning rate at random."""
    space = {"hidden": HIDDEN, "learning_rate": loguniform(*RATES), "batch_size": SEARCH_BATCH}
    held = (data.x_held, data.y_held)
    return search(
        space, data.x, data.y, validation=held, trials=trials, seeds=1, budget=epochs, n_jobs=n_jobs, **options
    )


def loop(data: Rows, rates: Sequence[float], epochs: int) -> None:
    """Train the networks of that search, one after the other, and measure each after each epoch as the search does."""
    held = (data.x_held, data.y_held)
    for rate in rates:
        trainer = Trainer(Network(SIZES, seed=0), learning_rate=rate, batch_size=SEARCH_BATCH, seed=0)
        trainer.fit(data.x, data.y, epochs=epochs, validation_data=held)


def start(data: Rows) -> float:
    """Return the seconds from the call of a search in two threads to its first training."""
    began, begun = time.perf_counter(), list[float]()

    def note(trial: Any) -> list[Any]:
        begun.append(time.perf_counter() - began)
        return []

    searched(data, 2, 1, 2, callbacks=note)
    return min(begun)


def import_of_joblib() -> float:
    """Return the seconds that a new process takes for the import of joblib, after that of fastnet."""
    code = "import fastnet, time; began = time.perf_counter(); import joblib; print(time.perf_counter() - began)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def overhead(data: Rows, about: str, trials: int, epochs: int, rounds: int) -> report.Section:
    """Measure the first table."""
    settings = {record.trial.number: record.trial.setting for record in searched(data, trials, 1, 1).records}
    rates = [float(settings[number]["learning_rate"]) for number in sorted(settings)]
    ways = {
        "a loop over trainers": partial(loop, data, rates, epochs),
        "search, n_jobs=1": partial(searched, data, trials, epochs, 1),
        "search, n_jobs=2": partial(searched, data, trials, epochs, 2),
    }
    seconds = taking_turns(ways, rounds)
    base = np.array(seconds["a loop over trainers"])
    rows, records = [], []
    for name, times in seconds.items():
        speed = [trials / t for t in times]
        gain = base / np.array(times)  # the loop of the same round
        rows.append((name, report.number(float(np.median(speed))), report.spread(speed), f"{np.median(gain):.2f}"))
        records.append({"way": name, "trainings_per_second": speed, "speed_over_loop": gain.tolist()})
    starts, imports = [start(data) for _ in range(max(rounds, 3))], [import_of_joblib() for _ in range(max(rounds, 3))]
    note = (
        f"Trainings of {'-'.join(map(str, SIZES))} per second: {trials} learning rates, {epochs} epochs in batches of "
        f"{SEARCH_BATCH} on {about}, a fifth of them held out and evaluated after each epoch. Median and range of "
        f"{rounds} rounds; the last column is the median over the rounds of the speed over that of the loop. From the "
        f"call of a search in two threads to its first training: {duration(float(np.median(starts)))} (median of "
        f"{len(starts)}). The first import of joblib in a process: {duration(float(np.median(imports)))}."
    )
    columns = ("trained by", "trainings/s", "range", "speed over the loop")
    records.append({"start": starts, "import_of_joblib": imports})
    return report.Section("search_overhead", "A search beside a loop", columns, rows, note, records, 1)


# -- searches by halving --------------------------------------------------------------------------------------------


def halving_fastnet(data: Rows, trials: int, budget: int) -> Found:
    """Return what fastnet's halving finds."""
    found = searched(data, trials, budget, 2, method="halving")
    last = {(record.trial.number, record.trial.replicate): record.epochs for record in found.records}
    return Found(sum(last.values()), max(record.value for record in found.records))


def halving_scikit_learn(data: Rows, trials: int, budget: int) -> Found:
    """Return what HalvingRandomSearchCV finds over scikit-learn's MLPClassifier. A rung trains from the start."""
    import warnings

    from scipy.stats import loguniform as distribution
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401  # its import enables the next one
    from sklearn.model_selection import HalvingRandomSearchCV, PredefinedSplit
    from sklearn.neural_network import MLPClassifier

    x, y = np.concatenate([data.x, data.x_held]), np.concatenate([data.y, data.y_held])
    split = PredefinedSplit(np.repeat([-1, 0], [len(data.x), len(data.x_held)]))
    model = MLPClassifier(HIDDEN, batch_size=SEARCH_BATCH, alpha=0.0, tol=0.0, n_iter_no_change=budget)
    halving = HalvingRandomSearchCV(
        model, {"learning_rate_init": distribution(*RATES)}, n_candidates=trials, factor=3, resource="max_iter",
        min_resources=max(1, budget // 27), max_resources=budget, cv=split, refit=False, n_jobs=2, random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each rung ends before it has converged
        halving.fit(x, y)
    epochs = int(np.sum(halving.cv_results_["n_resources"]))
    return Found(epochs, float(halving.cv_results_["mean_test_score"].max()))


def halving_optuna(data: Rows, trials: int, budget: int) -> Found:
    """Return what Optuna finds over PyTorch: random rates, and its successive halving as the pruner."""
    import optuna
    import torch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    x, y, x_held, y_held = (torch.from_numpy(array) for array in data)
    epochs = []

    def objective(trial: Any) -> float:
        layers = [layer for a, b in pairwise(SIZES) for layer in (torch.nn.Linear(a, b), torch.nn.ReLU())][:-1]
        model = torch.nn.Sequential(*layers)
        optimizer = torch.optim.Adam(model.parameters(), trial.suggest_float("rate", *RATES, log=True))
        accuracy = 0.0
        for epoch in range(1, budget + 1):
            for rows in torch.randperm(len(x)).split(SEARCH_BATCH):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()
            epochs.append(1)
            with torch.no_grad():
                accuracy = float((model(x_held).argmax(1) == y_held).float().mean())
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return accuracy

    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=max(1, budget // 27), reduction_factor=3)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0), pruner=pruner)
    study.optimize(objective, n_trials=trials, n_jobs=2)
    return Found(len(epochs), float(study.best_value))


def halving(data: Rows, about: str, trials: int, budget: int, rounds: int) -> report.Section:
    """Measure the second table."""
    peers = {
        "fastnet, search(method='halving')": ((), halving_fastnet),
        "scikit-learn, HalvingRandomSearchCV": (("sklearn",), halving_scikit_learn),
        "Optuna over PyTorch": (("optuna", "torch"), halving_optuna),
    }
    found: dict[str, list[Found]] = {name: [] for name, (modules, _) in peers.items() if all(map(find_spec, modules))}
    calls = {name: partial(_kept, found[name], peers[name][1], data, trials, budget) for name in found}
    seconds = taking_turns(calls, rounds)
    updates = -(-len(data.x) // SEARCH_BATCH)
    rows, records = [], []
    for name, times in seconds.items():
        each = found[name][-rounds:]
        speed = [one.epochs * updates / t for one, t in zip(each, times, strict=True)]
        rows.append(
            (
                name,
                duration(float(np.median(times))),
                f"{duration(min(times))} to {duration(max(times))}",
                f"{np.median([one.epochs for one in each]):,.0f}",
                f"{np.median(speed):,.0f}",
                report.percent(float(np.median([one.accuracy for one in each])), 1),
            )
        )
        records.append({"search": name, "seconds": times, "found": [one._asdict() for one in each]})
    note = (
        f"{trials} learning rates for {'-'.join(map(str, SIZES))} with ReLU and Adam, at most {budget} epochs in "
        f"batches of {SEARCH_BATCH} on {about}, a fifth of them held out; two trainings at the same time. Median of "
        f"{rounds} rounds. scikit-learn trains each rung from the start. Optuna decides about each training by itself, "
        "so its number of epochs differs. All compute in float32."
    )
    columns = ("search", "time", "range", "epochs", "updates/s", "best accuracy")
    return report.Section("search_halving", "Searches by halving", columns, rows, note, records, 1)


def _kept(
    found: list[Found], function: Callable[[Rows, int, int], Found], data: Rows, trials: int, budget: int
) -> None:
    found.append(function(data, trials, budget))


# -- many networks at the same time ---------------------------------------------------------------------------------


def train_one(data: Rows, seed: int) -> None:
    """Train a network for an epoch."""
    trainer = Trainer(Network(SIZES, seed=seed), optimizer="sgd", learning_rate=0.1, batch_size=BATCH, seed=seed)
    trainer.fit(data.x, data.y, epochs=1)


def train_all(data: Rows, n_jobs: int) -> None:
    """Train the networks for an epoch each."""
    for _ in run_in_pool(train_one, range(NETWORKS), data, n_jobs=n_jobs):
        pass


def with_jax(data: Rows) -> Callable[[], None]:
    """Return a function that trains the networks for an epoch with vmap, compiled before the first call."""
    import jax
    import jax.numpy as jnp

    x, y = jnp.asarray(data.x), jax.nn.one_hot(jnp.asarray(data.y), 10, dtype=jnp.float32)
    networks = [Network(SIZES, seed=seed) for seed in range(NETWORKS)]
    first = [
        tuple(jnp.stack([jnp.asarray(getattr(one, part)[k]) for one in networks]) for part in ("weights", "biases"))
        for k in range(len(SIZES) - 1)
    ]

    def cost(parameters: Any, rows: Any) -> Any:
        z = x[rows]
        for k, (w, b) in enumerate(parameters):
            z = (jax.nn.relu(z) if k else z) @ w.T + b
        return -(y[rows] * jax.nn.log_softmax(z)).sum(1).mean()

    def step(parameters: Any, rows: Any) -> tuple[Any, None]:
        gradient = jax.grad(cost)(parameters, rows)
        return jax.tree.map(lambda p, g: p - 0.1 * g, parameters, gradient), None

    epoch = jax.jit(jax.vmap(lambda parameters, batches: jax.lax.scan(step, parameters, batches)[0]))
    rng, whole = np.random.default_rng(0), len(data.x) // BATCH * BATCH

    def train() -> None:
        orders = [rng.permutation(len(data.x))[:whole].reshape(-1, BATCH).astype(np.int32) for _ in range(NETWORKS)]
        jax.block_until_ready(epoch(first, jnp.asarray(np.stack(orders))))

    return train


def together(data: Rows, about: str, rounds: int) -> report.Section:
    """Measure the third table."""
    ways: dict[str, Callable[[], object]] = {
        f"fastnet, {NETWORKS} trainers, one thread": partial(train_all, data, 1),
        f"fastnet, {NETWORKS} trainers, two threads": partial(train_all, data, 2),
    }
    if find_spec("jax"):
        ways[f"JAX, vmap over {NETWORKS} networks"] = with_jax(data)
    updates = NETWORKS * (len(data.x) // BATCH)
    rows, records = [], []
    for name, times in taking_turns(ways, rounds).items():
        each = [t / updates * 1e6 for t in times]
        rows.append((name, f"{np.median(each):.2f}", report.spread(each), f"{1e6 / np.median(each):,.0f}"))
        records.append({"way": name, "microseconds": each})
    note = (
        f"Time of one update of one of {NETWORKS} networks {'-'.join(map(str, SIZES))} with ReLU, SGD and batches of "
        f"{BATCH}: an epoch of each on {about} (a fifth left out), each network in an order of its own. Median and "
        f"range of {rounds} rounds. JAX uses as many cores as it likes."
    )
    columns = ("trained by", "us per update", "range", "updates/s")
    return report.Section("networks_together", "Many networks at the same time", columns, rows, note, records, 1)


PARTS = ("overhead", "halving", "together")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m fastnet.bench.searching", description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="the tables (default: all)")
    parser.add_argument("--rows", type=int, default=5000, help="the number of images (default: 5000)")
    parser.add_argument("--trials", type=int, default=27, help="the trainings of a search (default: 27)")
    parser.add_argument("--budget", type=int, default=27, help="the epochs of a whole training (default: 27)")
    parser.add_argument("--rounds", type=int, default=7, help="how often each is measured (default: 7)")
    parser.add_argument("--markdown", action="store_true", help="print the tables for a page")
    options = parser.parse_args(arguments)
    warmup()
    data, about = load(options.rows)
    sections = {
        "overhead": partial(overhead, data, about, options.trials, options.budget, options.rounds),
        "halving": partial(halving, data, about, options.trials, options.budget, options.rounds),
        "together": partial(together, data, about, options.rounds),
    }
    for name in options.parts:
        report.show(sections[name](), options.markdown)
        print()
    print("\n".join(f"{name}: {fact}" for name, fact in facts().items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
