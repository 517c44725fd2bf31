"""Searches on Dask and Ray: the results of one process bit for bit, even if a worker is killed in the middle."""

from __future__ import annotations

import logging
import os
import pickle
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnet
from fastnet.search import SearchResult, loguniform, search
from fastnet.training.pool import run_in_pool

joblib = pytest.importorskip("joblib", reason="the extra search is not installed")

README = Path(__file__).parents[2] / "README.md"
X = np.random.default_rng(0).normal(size=(200, 6))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
SPACE = {"hidden": [(4,), (8, 4)], "learning_rate": loguniform(1e-3, 1e-1), "batch_size": 16}


def searched(method: Any, killed: Path, n_jobs: int = -1) -> SearchResult:
    """Search. One training kills its process after five epochs, unless the file `killed` is there."""

    def callbacks(trial: Any) -> list[Any]:
        def kill(trainer: fastnet.Trainer, epoch: fastnet.Epoch) -> None:
            if epoch.epoch == 5:
                try:
                    killed.touch(exist_ok=False)
                except FileExistsError:
                    return
                os.kill(os.getpid(), signal.SIGKILL)

        return [kill] if method == "halving" or trial.number == 4 else []

    return search(SPACE, X, Y, method=method, trials=9, seeds=2, budget=9, n_jobs=n_jobs, callbacks=callbacks)


def bits(found: SearchResult) -> list[Any]:
    """Return all that a search found, except times."""
    records = [
        (record.trial, record.rung, record.epochs, record.value, record.message, record.history["validation_cost"])
        for record in found.records
    ]
    return [records, {key: network.parameters.tobytes() for key, network in sorted(found.networks.items())}]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    killed = tmp_path_factory.mktemp("undisturbed") / "killed"
    killed.touch()
    return {method: bits(searched(method, killed, n_jobs=1)) for method in ("random", "halving")}


@pytest.fixture(scope="module")
def dask() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    from dask import config

    settings = {
        "distributed.scheduler.allowed-failures": 0,  # Dask gives a task up with its worker: the pool runs it again
        "distributed.comm.timeouts.connect": "180s",  # after 30 s, Dask would give up a worker that starts slowly
    }
    options = {"n_workers": 3, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": logging.CRITICAL}
    with (
        config.set(settings),
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    module = pytest.importorskip("ray", reason="the extra ray is not installed")
    from ray.util.joblib import register_ray

    module.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL)
    register_ray()
    yield module
    module.shutdown()


@pytest.fixture(params=["loky", "dask", "ray"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param != "loky":
        cluster = request.getfixturevalue(request.param)
    if request.param == "dask":
        cluster.wait_for_workers(3)  # one may have been killed; a worker that joins now gets the data in its own way
    with joblib.parallel_config(request.param, n_jobs=2):
        yield request.param


def test_a_search_in_processes_of_which_one_is_killed_has_the_results_of_one_process(
    tmp_path: Path, undisturbed: dict[str, list[Any]]
) -> None:
    with joblib.parallel_config("loky"):
        found = searched("random", tmp_path / "killed", n_jobs=2)
    assert (tmp_path / "killed").exists()
    assert bits(found) == undisturbed["random"]


@pytest.mark.skipif(not README.is_file(), reason="README.md is not beside tests/")
@pytest.mark.parametrize("cluster", ["dask", "ray"])
def test_the_readme_s_search_on_a_cluster_with_a_killed_worker_has_the_results_of_one_process(
    cluster: str,
    tmp_path: Path,
    undisturbed: dict[str, list[Any]],
    request: pytest.FixtureRequest,
) -> None:
    running = request.getfixturevalue(cluster)
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    (block,) = (block for block in blocks if "joblib.parallel_config" in block)
    (lines,) = (part for part in block.split("\n\n") if f'parallel_config("{cluster}")' in part)
    assert '("HOST:' in lines  # of a cluster that is there; this one has another address
    here = repr(running.scheduler.address) if cluster == "dask" else "ignore_reinit_error=True"
    killed = tmp_path / "killed"
    names: dict[str, Any] = {"space": SPACE, "x": X, "y": Y, "search": lambda space, x, y: searched("halving", killed)}
    exec(re.sub(r'"HOST:\d+"', here, lines), names)
    assert killed.exists()
    assert bits(names["found"]) == undisturbed["halving"]


def test_the_data_go_to_each_worker_once(engine: str, tmp_path: Path) -> None:
    log = tmp_path / "log"

    class Data:
        """Data that write down when they arrive in a process."""

        def __init__(self) -> None:
            self.x = np.ones((400, 400))

        def __getstate__(self) -> dict[str, Any]:
            return {"x": self.x, "log": log}

        def __setstate__(self, state: dict[str, Any]) -> None:
            self.x = state["x"]
            with state["log"].open("a") as file:
                file.write(f"{os.getpid()}\n")

    def described(data: Data, task: int) -> tuple[int, str, bool, float]:
        return os.getpid(), type(data.x).__name__, data.x.flags.writeable, float(data.x.sum())

    found = dict(run_in_pool(described, range(12), Data()))
    arrivals = log.read_text().split()
    assert sorted(found) == list(range(12))
    assert {total for *_, total in found.values()} == {400.0**2}
    assert str(os.getpid()) not in {str(pid) for pid, *_ in found.values()}
    if engine == "dask":
        assert len(arrivals) == len(set(arrivals))
    else:  # each task gets a view of the memory that all processes of the machine share
        assert {writeable for _, _, writeable, _ in found.values()} == {False}
    if engine == "loky":
        assert {kind for _, kind, *_ in found.values()} == {"memmap"}


@pytest.mark.parametrize("engine", ["loky"], indirect=True)  # workers of clusters start again in seconds
def test_a_worker_that_always_dies_is_an_error_in_words(engine: str, tmp_path: Path) -> None:
    def die(data: None, task: int) -> int:
        if task == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return task

    done = {}
    results = run_in_pool(die, range(4), None)
    with pytest.raises(RuntimeError, match=r"3 workers were lost one after the other, and \d of 4 tasks are not done"):
        done.update(results)
    assert 2 not in done


def test_an_error_of_a_task_is_raised_here(engine: str) -> None:
    def fail(data: None, task: int) -> int:
        if task == 2:
            raise fastnet.DataError("no such column")
        return task

    with pytest.raises(fastnet.DataError, match=r"^no such column$"):
        dict(run_in_pool(fail, range(40), None))


def test_what_cannot_be_pickled_is_an_error(engine: str) -> None:
    lock = threading.Lock()
    with pytest.raises(TypeError, match="cannot pickle"):
        dict(run_in_pool(lambda data, task: lock.locked(), range(3), None))
    with pytest.raises((TypeError, pickle.PicklingError), match=r"pickle|serialize"):
        dict(run_in_pool(lambda data, task: task, range(3), lock))


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer:UserWarning")  # five epochs are few
def test_grid_search_finds_the_same_on_a_cluster_and_in_threads(dask: Any) -> None:
    dask.wait_for_workers(1)
    first = list(dask.scheduler_info()["workers"])[:1]
    pytest.importorskip("sklearn", reason="the extra sklearn is not installed")
    from sklearn.model_selection import GridSearchCV

    from fastnet.sklearn import MLPClassifier

    def scores() -> list[float]:
        model = MLPClassifier((4,), max_iter=5, random_state=0)
        grid = GridSearchCV(model, {"learning_rate_init": [0.001, 0.1]}, cv=2).fit(X, Y)
        return list(grid.cv_results_["mean_test_score"])

    with joblib.parallel_config("threading", n_jobs=1):
        expected = scores()
    with joblib.parallel_config("dask", workers=first):  # scikit-learn is imported by one worker only
        assert scores() == expected
    with joblib.parallel_config("threading", n_jobs=2):
        assert scores() == expected
