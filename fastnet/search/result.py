"""SearchResult: the settings of a search with their scores, the best one, and models of the best ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np

from fastnet import checks
from fastnet.ensemble import Ensemble
from fastnet.errors import DataError
from fastnet.network import Network
from fastnet.notebook import card
from fastnet.search.problem import described
from fastnet.search.records import Record, Request, Standing, standings
from fastnet.search.space import text_of
from fastnet.search.standing_texts import standing_rows
from fastnet.search.training import new_trainer
from fastnet.text import duration, json_text
from fastnet.training.trainer import Trainer

SHOWN = 10  # settings in a notebook


@dataclass(frozen=True)
class Best(Standing):
    """The best setting of a search.

    Attributes
    ----------
    network : Network
        The network of its training with the best metric. It was not trained on the rows that were held out.
    """

    network: Network


class SearchResult:
    """What a search found: its settings, ranked, and the networks of the best ones. `search` returns it.

    Attributes
    ----------
    records : sequence of Record
        The result of each training, with its history, in the order of the settings.
    networks : mapping of (int, int) to Network
        The networks that the search kept, by the number of the setting and of the training.
    request : Request
        The arguments of the search.

    Examples
    --------
    >>> from fastnet.search import search
    >>> x = np.random.default_rng(0).normal(size=(90, 2))
    >>> found = search({"hidden": [(2,), (8,)]}, x, x[:, 0] > 0, method="grid", seeds=2, budget=5, n_jobs=1)
    >>> found
    <SearchResult of 2 settings with 2 trainings each, metric accuracy>
    >>> len(found.table), len(found.trainings)
    (2, 4)
    """

    def __init__(
        self, records: Sequence[Record], networks: Mapping[tuple[int, int], Network], request: Request
    ) -> None:
        self.records, self.networks, self.request = records, networks, request

    def __repr__(self) -> str:
        n, seeds = len(self.standings), self.request.seeds
        what = f"{n:,} setting{'s' * (n != 1)} with {seeds:,} training{'s' * (seeds != 1)} each"
        return f"<SearchResult of {what}, metric {self.request.metric}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the best settings with their scores."""
        rows = standing_rows(self.standings, self.request.metric, SHOWN)
        n, seconds = len(self.standings), sum(one.seconds for one in self.standings)
        facts = {"settings": f"{n:,}, the best {len(rows) - 1} of them below" if n > SHOWN else f"{n:,}"}
        facts |= {"trainings": f"{len(self.records):,}, {duration(seconds)} of training"}
        return card(f"Search, method {self.request.method}", facts, rows)

    # -- tables ----------------------------------------------------------------------------------------------

    @cached_property
    def standings(self) -> list[Standing]:
        """The settings, the best first."""
        return standings(self.records, self.request.lower_is_better)

    @property
    def has_best(self) -> bool:
        """Whether a setting has a score. If not, all of them diverged."""
        return not math.isnan(self.standings[0].score)

    @property
    def table(self) -> Any:
        """A row for each setting, the best first: a pandas frame if pandas is installed, else a list of dicts.

        The columns are `rank`, `number` (of the setting), the parameters, `mean` and `standard_error` of the metric
        over the trainings, `score` (by which settings are ranked), `epochs`, `rung`, `seconds` and `message`. A
        parameter that a setting lacks is None.
        """
        return _framed(self._rows())

    @property
    def trainings(self) -> Any:
        """A row for each training in the order of the settings: a pandas frame or a list of dicts, as for `table`.

        The columns are `number` (of the setting), `replicate`, `seed`, the parameters, `value` (of the metric),
        `epochs`, `rung`, `seconds` and `message`. `records` has the histories, too.
        """
        return _framed(self._training_rows())

    def to_json(self) -> str:
        """Return both tables and the arguments that are numbers or names as JSON text. nan becomes null.

        A parameter that JSON cannot hold, such as an optimiser, is written as text.
        """
        names = ("method", "trials", "seeds", "budget", "metric", "lower_is_better", "seed")
        asked = {name: getattr(self.request, name) for name in names}
        tables = {"settings": self._rows(), "trainings": self._training_rows()}
        for rows in tables.values():
            for row in rows:
                row.update({name: _jsonable(row[name]) for name in self._parameters})
        return json_text(asked | tables)

    @property
    def _parameters(self) -> list[str]:
        """The names of the parameters of all settings, without `epochs`, which is a column of the results."""
        names = dict.fromkeys(name for record in self.records for name in record.trial.setting)
        return [name for name in names if name != "epochs"]

    def _rows(self) -> list[dict[str, Any]]:
        rows = []
        for one in self.standings:
            values = {name: value for name, value in vars(one).items() if name not in ("rank", "number", "setting")}
            rows.append({"rank": one.rank, "number": one.number, **self._values(one.setting), **values})
        return rows

    def _training_rows(self) -> list[dict[str, Any]]:
        return [
            {
                "number": record.trial.number,
                "replicate": record.trial.replicate,
                "seed": record.trial.seed,
                **self._values(record.trial.setting),
                **{name: getattr(record, name) for name in ("value", "epochs", "rung", "seconds", "message")},
            }
            for record in self.records
        ]

    def _values(self, setting: Mapping[str, Any]) -> dict[str, Any]:
        return {name: setting.get(name) for name in self._parameters}

    # -- models ----------------------------------------------------------------------------------------------

    @property
    def best(self) -> Best:
        """The best setting: its `setting`, `mean`, `standard_error`, `score` and `network`.

        Raises ValueError if all settings diverged, and DataError if the user removed its network from the folder of
        the search.
        """
        found = self._best()
        network = self.networks.get((found.number, self._ordered(found)[0]))
        if network is None:
            raise DataError(
                f"the network of setting {found.number} is not in the folder of the search any more: use refit(), or "
                "remove the lines of this setting from journal.jsonl and search again"
            )
        return Best(**vars(found), network=network)

    def refit(self, *, epochs: int | None = None, seed: int | None = None) -> Trainer:
        """Train a new network with the best setting on all rows, those that were held out included.

        Validation rows that were given as (x, y) are included, too.

        Parameters
        ----------
        epochs : int, optional
            The number of epochs. None: as many as the best setting's longest training had.
        seed : int, optional
            The seed of the network and of its trainer. None: that of the setting's first training.

        Returns
        -------
        Trainer
            The trainer after its fit; `network` is the network.

        Raises
        ------
        ValueError
            All settings diverged.
        DivergedError
            The new training diverged.
        """
        best, request = self._best(), self.request
        first = min(record.trial.seed for record in self._records_of(best) if record.trial.replicate == 0)
        seed = first if seed is None else checks.whole_number("seed", seed, 0)
        trainer = new_trainer(described(request.x, request.y), dict(best.setting), seed)
        x, y, weights = _all_rows(request, trainer.network.byte_scale)
        more = {} if request.class_weight is None else {"class_weight": request.class_weight}
        trainer.fit(x, y, epochs=best.epochs if epochs is None else epochs, sample_weight=weights, **more)
        return trainer

    def ensemble(self, n: int = 5) -> Ensemble:
        """Return n networks as one model: one network of each of the n best settings.

        The network of a setting is that of its training with the best metric. If there are fewer settings, the second
        best network of each setting follows, and so on. Of a search by halving, the networks of the last rung come
        first, and those of earlier rungs, which were trained for fewer epochs, follow only if they are needed.
        Diverged trainings are left out.

        Parameters
        ----------
        n : int
            The number of networks.

        Returns
        -------
        Ensemble
            The best setting's network first.

        Raises
        ------
        ValueError
            The search kept fewer networks, or the networks have different outputs.
        """
        n = checks.whole_number("n", n, 1)
        kept = {number for number, _ in self.networks}
        keys: list[tuple[int, int]] = []
        for rung in sorted({one.rung for one in self.standings}, reverse=True):
            chosen = [one for one in self.standings if one.rung == rung and one.number in kept]
            orders = [[(one.number, k) for k in self._ordered(one)] for one in chosen if not math.isnan(one.score)]
            keys += [order[k] for k in range(self.request.seeds) for order in orders[: n - len(keys)] if k < len(order)]
        if len(keys) < n:
            scored = {one.number for one in self.standings if not math.isnan(one.score)}
            more = "more trials or seeds" if scored <= kept else "more trials, more seeds or a larger keep"
            raise ValueError(
                f"an ensemble of {n} networks needs more than the search has: it kept {len(keys)} networks of settings "
                f"that did not diverge; take {len(keys)} or fewer, or search with {more}"
            )
        return Ensemble(self.networks[key] for key in keys[:n])

    def _best(self) -> Standing:
        best = self.standings[0]
        if not self.has_best:
            raise ValueError(
                f"each of the {len(self.standings):,} settings had a training that diverged or has no finite metric, "
                f"so none is the best: {best.message}"
            )
        return best

    def _records_of(self, one: Standing) -> list[Record]:
        return [record for record in self.records if record.trial.number == one.number]

    def _ordered(self, one: Standing) -> list[int]:
        """Return the replicates of a setting, the one with the best metric first."""
        sign = 1 if self.request.lower_is_better else -1
        return [record.trial.replicate for record in sorted(self._records_of(one), key=lambda r: sign * r.value)]


def _all_rows(request: Request, byte_scale: float) -> tuple[Any, Any, Any]:
    """Return all rows of a search with their labels and weights, and validation rows that were given beside them."""
    x, y, weights = request.x, request.y, request.sample_weight
    if not isinstance(request.validation, (tuple, list)):
        return x, y, weights
    more_x, more_y, *rest = request.validation
    n, n_more = len(np.asarray(y)), len(np.asarray(more_y))
    if weights is not None or rest:
        parts = (weights, n), (rest[0] if rest else None, n_more)
        weights = np.concatenate([np.ones(size) if part is None else part for part, size in parts])
    targets = [np.asarray(y), np.asarray(more_y)]
    if targets[0].ndim != targets[1].ndim:  # values (n,) and (n, 1)
        targets = [part.reshape(len(part), -1) for part in targets]
    y = np.concatenate(targets)
    if checks.is_scipy_sparse(x) or checks.is_scipy_sparse(more_x):
        from scipy import sparse

        return sparse.vstack([sparse.csr_array(x), sparse.csr_array(more_x)]), y, weights
    both = [np.asarray(part).reshape(size, -1) for part, size in ((x, n), (more_x, n_more))]
    if len({part.dtype == np.uint8 for part in both}) > 1:  # bytes stand for other numbers than floats
        both = [part * byte_scale if part.dtype == np.uint8 else part for part in both]
    return np.concatenate(both), y, weights


def _framed(rows: list[dict[str, Any]]) -> Any:
    """Return rows as a pandas frame if pandas is installed."""
    if find_spec("pandas") is None:
        return rows
    import pandas

    return pandas.DataFrame(rows)


def _jsonable(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)):
        return [_jsonable(one) for one in value]
    return value.item() if isinstance(value, np.generic) else text_of(value)
