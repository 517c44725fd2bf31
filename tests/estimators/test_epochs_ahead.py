"""Several epochs in one kernel call: a fit of an estimator leaves what single epochs leave, bit for bit."""

from __future__ import annotations

import signal
import warnings
from typing import Any

import kernel_cases as kc
import numpy as np
import pytest
from conftest import name_of
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

import fastnet
from fastnet.kernels import contract as c
from fastnet.kernels import numpy_backend
from fastnet.sklearn import MLPClassifier, MLPRegressor, epochs

X, Y = load_iris(return_X_y=True)
WEIGHTS = np.random.default_rng(3).uniform(0.1, 2, 150) * (np.arange(150) % 6 > 0)
SOLVERS: dict[str, dict[str, Any]] = {
    "adam": {"solver": "adam"},
    "momentum": {"solver": "sgd", "learning_rate_init": 0.01},
    "adaptive": {"solver": "sgd", "learning_rate_init": 0.05, "learning_rate": "adaptive"},  # the rate changes
    "invscaling": {"solver": "sgd", "learning_rate_init": 0.05, "learning_rate": "invscaling"},
    "descent": {"solver": "sgd", "learning_rate_init": 0.01, "momentum": 0.0, "alpha": 0.0},
}
STOPS: dict[str, dict[str, Any]] = {
    "max_iter": {"max_iter": 17, "n_iter_no_change": 6},
    "soon": {"max_iter": 40, "tol": 0.5, "n_iter_no_change": 4},
    "later": {"max_iter": 60, "tol": 0.02, "n_iter_no_change": 3},
    "never": {"max_iter": 30, "n_iter_no_change": np.inf},
}


def everything(model: Any, rng: np.random.RandomState) -> dict[str, Any]:
    """Return what fits leave behind."""
    state = rng.get_state(legacy=False)
    return {
        "parameters": model.network_.kernel_parameters().tobytes(),
        "moments": model._descent.state.moments.tobytes(),
        "rate": (model._descent.state.step, model._descent.rate),
        "losses": repr(model.loss_curve_),
        "counts": (model.n_iter_, model.t_, model.best_loss_),
        "record": repr(model._record),
        "generator": (state["state"]["key"].tobytes(), state["state"]["pos"]),
    }


@kc.pairs(
    "backend",
    "dtype",
    solver=list(SOLVERS),
    stop=list(STOPS),
    batch_size=["auto", 32, 75],
    shuffle=[True, False],
    weights=["none", "drawn"],
    task=["classes", "values"],
    fits=[1, 2],
)
def test_epochs_in_one_call_equal_single_epochs(
    backend: Any,
    dtype: str,
    solver: str,
    stop: str,
    batch_size: Any,
    shuffle: bool,
    weights: str,
    task: str,
    fits: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []
    for most in (epochs.MOST_AHEAD, 1):
        monkeypatch.setattr(epochs, "MOST_AHEAD", most)
        rng = np.random.RandomState(7)
        model = (MLPClassifier if task == "classes" else MLPRegressor)(
            hidden_layer_sizes=(9,),
            batch_size=batch_size,
            shuffle=shuffle,
            random_state=rng,
            warm_start=True,
            backend=name_of(backend),
        ).set_params(**SOLVERS[solver], **STOPS[stop])
        for _ in range(fits):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(X.astype(dtype), Y, None if weights == "none" else WEIGHTS)
            found.append(everything(model, rng))
    assert found[:fits] == found[fits:]


def fitted(**parameters: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fits are short on purpose
        return MLPClassifier((5,), batch_size=50, random_state=0, backend="numpy", **{"max_iter": 30} | parameters).fit(
            X, Y
        )


def test_no_call_goes_past_the_place_where_training_may_stop(update_counts: list[int]) -> None:
    model = fitted(tol=np.float64(10), n_iter_no_change=4, learning_rate_init=1e-4)  # only the first loss is better
    assert model.n_iter_ == 6
    assert update_counts == [15, 3]  # three updates are an epoch
    update_counts.clear()
    fitted(n_iter_no_change=8, max_iter=21)
    assert update_counts == [27, 27, 9]


@pytest.mark.parametrize(
    "parameters",
    [
        {"callbacks": [lambda running, epoch: None]},
        {"early_stopping": True},
        {"verbose": True},
        {"solver": "sgd", "learning_rate": "invscaling"},
        {},
    ],
    ids=["callbacks", "early_stopping", "verbose", "invscaling", "nobody"],
)
def test_only_epochs_that_nobody_looks_at_share_a_call(parameters: dict[str, Any], update_counts: list[int]) -> None:
    fitted(**parameters)
    assert (max(update_counts) > 3) == (not parameters)


# The rates make the losses infinite after some epochs.
@kc.pairs("backend", batch_size=[150, 32], rate=[1e30, 40.0, 1.0], shuffle=[True, False])
def test_a_divergence_leaves_what_it_leaves_after_single_epochs(
    backend: Any, batch_size: int, rate: float, shuffle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for most in (epochs.MOST_AHEAD, 1):
        monkeypatch.setattr(epochs, "MOST_AHEAD", most)
        rng = np.random.RandomState(7)
        model = MLPRegressor(
            hidden_layer_sizes=(),
            activation="identity",
            solver="sgd",
            learning_rate_init=rate,
            batch_size=batch_size,
            shuffle=shuffle,
            random_state=rng,
            backend=name_of(backend),
            max_iter=999,
            n_iter_no_change=999,
        )
        with pytest.raises(ValueError, match="not finite in iteration") as caught:
            model.fit(X, Y)
        found.append(everything(model, rng) | {"message": str(caught.value)})
    assert found[0] == found[1]


# Five updates are an epoch. In the last case the next epoch is not begun.
@pytest.mark.parametrize("updates", [13, 3, 34, 20])
def test_ctrl_c_leaves_what_it_leaves_after_single_epochs(
    updates: int, monkeypatch: pytest.MonkeyPatch, usual_sigint_handler: None
) -> None:
    train, found = numpy_backend.train, []

    def interrupted(call: c.TrainCall) -> float:
        """Make the updates up to the last one. Then Ctrl-C arrives."""
        left = updates - call.step
        if left > len(call.rates):
            return train(call)
        batch = c.batches(len(call.order), call.batch_size, call.epoch_rows)[left - 1]
        cost = train(call._replace(order=call.order[: batch.stop], rates=call.rates[:left], report=call.report[:left]))
        signal.raise_signal(signal.SIGINT)
        return cost

    monkeypatch.setattr(numpy_backend, "train", interrupted)
    for most in (epochs.MOST_AHEAD, 1):
        monkeypatch.setattr(epochs, "MOST_AHEAD", most)
        rng = np.random.RandomState(7)
        model = MLPClassifier((5,), batch_size=32, random_state=rng, backend="numpy", n_iter_no_change=30)
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            model.fit(X, Y)
        assert model.n_iter_ == updates // 5  # whole epochs have a loss
        found.append(everything(model, rng))
    assert model._descent.state.step == updates
    assert found[0] == found[1]


def test_a_long_epoch_has_a_call_of_its_own(update_counts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastnet.training.chunks, "FIRST_CHUNK", 1)
    monkeypatch.setattr(fastnet.training.chunks, "CHUNK_SECONDS", 0.0)
    fitted()
    assert max(update_counts) == 3
