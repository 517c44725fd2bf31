"""search: train a network with each of many settings and seeds, and rank the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from fastnet import checks
from fastnet.backends.engine import choose
from fastnet.data.files import PathLike
from fastnet.evaluation import Evaluation
from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.network import Network
from fastnet.search.halving import rungs
from fastnet.search.journal import About, opened
from fastnet.search.problem import Callbacks, Metric, checked, described, folds
from fastnet.search.records import Record, Request, Trial
from fastnet.search.result import SearchResult
from fastnet.search.running import KeptNetworks, Run
from fastnet.search.space import Setting, Space, checked_spaces, drawn, grid, text_of
from fastnet.search.training import check_setting
from fastnet.training.fingerprint import of_examples
from fastnet.training.fit import SCORES
from fastnet.training.resuming import software_of

SEEDS = 1  # the stream of random numbers of the trainings' seeds; 0 is that of the settings
METHODS = ("random", "grid", "halving")


def search(
    space: Space | Sequence[Space],
    x: Any,
    y: Any = None,
    *,
    validation: Any = 0.2,
    method: Literal["random", "grid", "halving"] = "random",
    trials: int = 64,
    seeds: int = 3,
    budget: int = 30,
    metric: str | Metric | None = None,
    n_jobs: int | None = -1,
    seed: int = 0,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | Literal["balanced"] | None = None,
    callbacks: Callbacks | None = None,
    folder: PathLike | None = None,
    keep: int = 16,
    on_finished: Callable[[Record], object] | None = None,
) -> SearchResult:
    """Train networks with many settings, several seeds for each, and rank the settings.

    The results depend on the arguments and on the data only: not on the number of workers, on the engine that runs
    them, or on the order in which they finish.

    Parameters
    ----------
    space : mapping, or list of mappings
        What to choose, by name: `hidden` (the widths of the hidden layers, (16, 16) if it is left out), `epochs`, and
        the keyword arguments of `Network` and `Trainer`. A list holds candidates. `loguniform`, `uniform`, `integers`
        and the distributions of scipy.stats draw numbers. A function is a condition: function(setting_so_far) returns
        one of these, a value, or OMIT. Anything else, such as a text, a number or a tuple, is the value for all. Of a
        list of mappings, a search at random draws one for each setting; a grid goes through all.
    x : array, data frame or scipy.sparse matrix (n, n_in)
        Examples, one per row, as for `Trainer.fit`. All trainings share one copy.
    y : array
        Class labels (n,), values (n,) of floats for a regression, or targets (n, n_out).
    validation : float, int, (x, y) or (x, y, sample_weight)
        The rows on which the settings are compared. A share is held out at random, with the same share of each class,
        and the same rows for all trainings. A whole number k of 2 or more makes k folds: training j of a setting holds
        out fold j, so that `seeds=k` is a cross-validation.
    method : str
        "random" draws `trials` settings. "grid" takes all combinations of the candidates. "halving" draws `trials`
        settings, trains them for a few epochs, and goes on with the best third again and again; the last ones train
        `budget` epochs. A training that goes on equals one that was never interrupted, bit for bit.
    trials : int
        The number of settings. A grid does not need it.
    seeds : int
        The number of trainings with each setting. Training j of all settings has the same seed.
    budget : int
        The number of epochs of a whole training, unless the setting has `epochs`.
    metric : str or function, optional
        "accuracy", "label_accuracy" or "r2", of which more is better, or "cost", of which less is better, on the
        validation rows. Or a function(network, x, y) that returns a number, of which more is better. None: the
        accuracy of a classification and the cost of a regression, or R2 if the settings have several costs.
    n_jobs : int, optional
        The number of trainings at the same time; -1 is one for each core. None: what `joblib.parallel_config` says, or
        1. More than one needs the extra `search`. On one machine, trainings with compiled kernels run in threads.
    seed : int
        The seed of the search. Setting k depends on the seed and on k only.
    sample_weight, class_weight
        As for `Trainer.fit`. Held-out rows keep their sample weights.
    callbacks : function, optional
        function(trial) returns a list of new callbacks for a training, such as
        ``lambda trial: [EarlyStopping(patience=3)]``.
    folder : path, optional
        Where each finished training is written down. If the search is killed, the same call goes on: it does not run
        finished trainings again. The folder is made if it is missing.
    keep : int
        The networks of this number of settings, the best ones, are kept.
    on_finished : function, optional
        Called with the `Record` of each training as it finishes, and of each one that the folder has.

    Returns
    -------
    SearchResult
        The table of settings, the best one, and the networks.

    Raises
    ------
    ValueError, TypeError, BackendError
        An argument is invalid, or a setting that no network or trainer takes. No training has begun then.
    DataError
        The folder holds another search, is damaged, or is in use.
    MissingLibraryError
        Several trainings at a time need joblib.
    KeyboardInterrupt
        Ctrl-C was pressed. The running trainings end at their next batch; workers of Dask finish theirs. The folder has
        the finished ones.

    Notes
    -----
    The score of a setting is the mean of the metric over its trainings less one standard error, or plus one where less
    is better: the best setting is one that is good with all seeds, not one that was lucky once. A training that
    diverges has the value nan, and its setting comes after those that did not diverge.

    Examples
    --------
    >>> import fastnet
    >>> from fastnet.search import loguniform, search
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 2))
    >>> y = (x[:, 0] * x[:, 1] > 0).astype(int)
    >>> space = {"hidden": [(4,), (32,)], "learning_rate": loguniform(1e-3, 1e-1), "batch_size": 16}
    >>> found = search(space, x, y, trials=4, seeds=2, budget=20, n_jobs=1)
    >>> found.best.setting["hidden"]
    (32,)
    """
    checks.name_of("method", method, METHODS)
    seed = checks.whole_number("seed", seed, 0)
    budget = checks.whole_number("budget", budget, 1)
    n_seeds = checks.whole_number("seeds", seeds, 1)
    keep = checks.whole_number("keep", keep, 1)
    for name, value in (("callbacks", callbacks), ("on_finished", on_finished)):
        if value is not None and not callable(value):
            raise TypeError(f"{name} must be a function, not {checks.given(value)}")
    spaces = checked_spaces(space, method)
    n_trials = checks.whole_number("trials", trials, 1)
    settings = grid(spaces) if method == "grid" else [drawn(spaces, seed, number) for number in range(n_trials)]
    problem = described(x, y)
    is_halving = method == "halving"
    networks = [check_setting(problem, one, number, is_halving=is_halving) for number, one in enumerate(settings)]
    found_metric, lower_is_better = _metric(metric, settings, networks)
    examples, held = checked(problem, settings, x, y, sample_weight, validation)
    if class_weight is not None:
        checks.has_classes(all(network.task == "classification" for network in networks))
        checks.class_weight(class_weight, formulas.n_classes(problem.n_classes or problem.n_out or 1))
    problem = replace(
        problem,
        folds=folds(x, y, examples, validation, held, seed, bool(problem.n_classes)),
        metric=found_metric,
        fit={} if class_weight is None else {"class_weight": class_weight},
        callbacks=callbacks,
    )
    request = Request(
        space=spaces,
        method=method,
        trials=len(settings),
        seeds=n_seeds,
        budget=budget,
        metric=found_metric if isinstance(found_metric, str) else _name_of(found_metric),
        lower_is_better=lower_is_better,
        seed=seed,
        x=x,
        y=y,
        validation=validation,
        sample_weight=sample_weight,
        class_weight=class_weight,
    )
    replicates = [int(np.random.default_rng([seed, SEEDS, k]).integers(2**63)) for k in range(n_seeds)]
    all_trials = [Trial(k, j, one, replicates[j]) for k, one in enumerate(settings) for j in range(n_seeds)]
    backends = {one.get("backend") for one in settings}
    backend = backends.pop() if len(backends) == 1 else None
    with ExitStack() as stack:
        journal = None
        if folder is not None:
            data = of_examples(examples, "") | (of_examples(held, "validation ") if held is not None else {})
            about = About(_texts(request, found_metric, callbacks), data, software_of(choose(backend).name))
            journal = stack.enter_context(opened(folder, about, all_trials))
        kept = KeptNetworks(keep, request, journal)
        run = Run(problem, request, all_trials, n_jobs, backend, kept, journal, on_finished or _ignore)
        records = run.halving(rungs(len(settings), budget)) if is_halving else run.whole()
        return SearchResult(records, kept.networks(), request)


def _metric(metric: object, settings: Sequence[Setting], networks: Sequence[Network]) -> tuple[str | Metric, bool]:
    """Return the metric, and whether less of it is better.

    Raises ValueError for a measure that is unknown, that has no meaning for a setting, or that cannot be compared.
    """
    if callable(metric):
        return metric, False
    costs = {
        text_of(one["cost"]) if "cost" in one else network.cost_name
        for one, network in zip(settings, networks, strict=True)
    }
    if metric is None:
        is_regression = networks[0].task == "regression"
        metric = "accuracy" if not is_regression else "cost" if len(costs) == 1 else "r2"
    name = checks.name_of("metric", metric, Evaluation._fields)
    for number, network in enumerate(networks):
        known = ("cost", *SCORES[int(network.layers[-1, c.TASK])])
        if name not in known:
            raise ValueError(
                f"metric={name!r} has no meaning for setting {number}, whose task is {network.task}: use "
                f"{' or '.join(map(repr, known))}"
            )
    if name == "cost" and len(costs) > 1:
        others = SCORES[int(networks[0].layers[-1, c.TASK])]
        raise ValueError(
            f"metric='cost' cannot compare settings with different costs ({', '.join(sorted(costs))}): use "
            f"metric={others[0]!r}"
        )
    return name, name == "cost"


def _name_of(metric: Metric) -> str:
    """Return the name of a function, or "metric" if it has none or that of a measure, which has other values."""
    name = str(getattr(metric, "__name__", ""))
    return name if name.isidentifier() and name not in Evaluation._fields else "metric"


def _texts(request: Request, metric: object, callbacks: object) -> dict[str, str]:
    """Return the arguments of a search as text."""
    names = ("space", "method", "trials", "seeds", "budget", "seed", "class_weight")
    validation = request.validation
    return {name: text_of(getattr(request, name)) for name in names} | {
        "metric": text_of(metric),
        "validation": "examples" if isinstance(validation, (tuple, list)) else text_of(validation),
        "callbacks": text_of(callbacks),
    }


def _ignore(_: Record) -> None:
    pass
