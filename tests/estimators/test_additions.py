"""What the estimators have beyond scikit-learn's, and the words of their warnings and errors."""

from __future__ import annotations

import pickle
import signal
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import kernel_cases as kc
import numpy as np
import pytest
import scipy.sparse
from conftest import load_backend
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.class_weight import compute_sample_weight

import fastnet
from fastnet.sklearn import MLPClassifier, MLPRegressor

X, Y = load_iris(return_X_y=True)
# The fits are short on purpose, so they end before they converge.
quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def parameters_of(model: Any) -> Any:
    return model.network_.parameters


# -- the network ----------------------------------------------------------------------------------------------


@quiet
def test_predictions_follow_changed_weights() -> None:
    model = MLPClassifier(random_state=0, max_iter=5).fit(X, Y)
    before = model.predict_proba(X)
    model.intercepts_[-1][...] += [100, 0, 0]
    np.testing.assert_array_equal(model.predict(X), 0)
    model.intercepts_[-1] = model.intercepts_[-1] - [100, 0, 0]  # another array in place of the view
    np.testing.assert_allclose(model.predict_proba(X), before, atol=1e-12)
    model.coefs_ = [np.zeros_like(w) for w in model.coefs_]
    model.intercepts_[-1] = np.array([0.0, 0.0, 1.0])
    assert set(model.partial_fit(X, Y).predict(X)) == {2}
    assert abs(model.coefs_[0]).max() < 0.01  # training went on from the zeros
    model.coefs_ = model.coefs_[:1]
    with pytest.raises(ValueError, match="coefs_ and intercepts_ must have 2 arrays"):
        model.predict(X)


@quiet
def test_the_network_can_be_saved(tmp_path: Any) -> None:
    model = MLPClassifier(random_state=0, max_iter=30).fit(X, Y)
    model.network_.save(tmp_path / "iris.npz")
    np.testing.assert_array_equal(fastnet.Network.load(tmp_path / "iris.npz").predict(X), model.predict(X))


@quiet
@pytest.mark.parametrize("backend", kc.BACKENDS)
def test_numbers_of_all_kinds_are_taken_as_they_are(backend: str) -> None:
    load_backend(backend)
    x, y = load_digits(return_X_y=True)
    x, y = x[:300], y[:300]
    fitted = [
        MLPClassifier(random_state=0, max_iter=3, backend=backend).fit(kind, y)
        for kind in (
            x,
            x.astype(np.uint8),
            x.astype(np.int16),
            scipy.sparse.csr_matrix(x.astype(np.uint8)),
            np.asfortranarray(x),
        )
    ]
    for other in fitted[1:]:
        np.testing.assert_allclose(parameters_of(other), parameters_of(fitted[0]), rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(fitted[0].predict(x.astype(np.uint8)), other.predict(x.tolist()))


@quiet
def test_dtype() -> None:
    model = MLPClassifier(random_state=0, max_iter=3, dtype="float32").fit(X, Y)
    assert model.coefs_[0].dtype == model.predict_proba(X).dtype == np.float32
    assert MLPRegressor(solver="lbfgs", max_iter=3).fit(X.astype(np.float32), Y).coefs_[0].dtype == np.float64


@quiet
def test_threads_make_no_difference_beyond_rounding() -> None:
    one, two = (MLPClassifier(random_state=0, max_iter=3, threads=n).fit(X, Y) for n in (1, 2))
    np.testing.assert_allclose(parameters_of(one), parameters_of(two), rtol=1e-6, atol=1e-9)
    with pytest.raises(ValueError, match="one thread"):
        MLPClassifier(threads=2, backend="numpy").fit(X, Y)


# -- weights, dropout and losses ------------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 2: 0.5}], ids=str)
def test_class_weights_multiply_the_weights_of_examples(class_weight: Any) -> None:
    x, y, weights = X[:120], Y[:120], np.linspace(0.5, 2, 120)
    weighted = MLPClassifier(random_state=0, max_iter=9, class_weight=class_weight).fit(x, y, weights)
    by_hand = MLPClassifier(random_state=0, max_iter=9).fit(x, y, weights * compute_sample_weight(class_weight, y))
    np.testing.assert_array_equal(parameters_of(weighted), parameters_of(by_hand))


def test_balanced_weights_need_all_examples() -> None:
    with pytest.raises(ValueError, match="needs all examples"):
        MLPClassifier(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])


@quiet
def test_dropout_is_drawn_from_the_random_state() -> None:
    fits = [MLPClassifier(random_state=s, max_iter=9, dropout=0.4).fit(X, Y) for s in (0, 0, 1)]
    np.testing.assert_array_equal(parameters_of(fits[0]), parameters_of(fits[1]))
    assert not np.array_equal(parameters_of(fits[0]), parameters_of(fits[2]))
    plain = MLPClassifier(random_state=0, max_iter=9).fit(X, Y)
    assert fits[0].loss_ > plain.loss_


@quiet
@pytest.mark.parametrize(
    ("parameters", "statistic"),
    [
        ({"loss": "absolute_error"}, np.median),
        ({"loss": "quantile", "quantile": 0.9}, lambda y: np.quantile(y, 0.9)),
        ({"loss": "huber", "delta": 100.0}, np.mean),
        ({"loss": "huber", "delta": 1e-3}, np.median),
    ],
    ids=["absolute_error", "quantile", "wide-huber", "narrow-huber"],
)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_losses_have_their_statistic_as_the_minimum(parameters: dict[str, Any], statistic: Any, solver: str) -> None:
    y = np.random.default_rng(0).exponential(size=199)
    model = MLPRegressor(hidden_layer_sizes=(), solver=solver, alpha=0, learning_rate_init=0.01, **parameters)
    model.set_params(random_state=0, max_iter=1500, n_iter_no_change=99, tol=1e-9)
    found = model.fit(np.zeros((199, 1)), y).predict([[0.0]])
    np.testing.assert_allclose(found, statistic(y), atol=0.05)


# -- early stopping and callbacks -----------------------------------------------------------------------------


@quiet
def test_validation_data_of_ones_own() -> None:
    x, y = X[::2], Y[::2]
    model = MLPClassifier(random_state=0, max_iter=20, early_stopping=True)
    model.fit(x, y, X_val=X[1::2], y_val=Y[1::2])
    assert model.best_validation_score_ == model.score(X[1::2], Y[1::2])
    model.set_params(warm_start=True).fit(x, y, X_val=X[50:], y_val=Y[50:])  # one class is not among these examples
    model.set_params(warm_start=False)
    weights = np.where(Y[1::2] == 0, 1.0, 1e-9)
    model.fit(x, y, X_val=X[1::2], y_val=Y[1::2], sample_weight_val=weights)
    assert model.best_validation_score_ == pytest.approx(model.score(X[1::2], Y[1::2], weights))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"X_val": X, "y_val": Y}, "set early_stopping=True"),
        ({"X_val": X}, "y_val is missing"),
        ({"y_val": Y}, "X_val is missing"),
        ({"sample_weight_val": Y}, "X_val is missing"),
    ],
)
def test_validation_data_that_make_no_sense_are_refused(arguments: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MLPClassifier().fit(X, Y, **arguments)


@pytest.mark.parametrize(("fraction", "words"), [(0.02, "for early stopping"), (0.98, "to train on")])
def test_a_part_without_weight_is_refused(fraction: float, words: str) -> None:
    model = MLPRegressor(early_stopping=True, validation_fraction=fraction, random_state=0)
    weights = np.zeros(150)
    weights[70] = 1
    with pytest.raises(ValueError, match=f"{words} have weight 0"):
        model.fit(X, Y, weights)


def test_lbfgs_refuses_validation_data() -> None:
    with pytest.raises(ValueError, match="lbfgs has none"):
        MLPClassifier(solver="lbfgs", early_stopping=True).fit(X, Y, X_val=X, y_val=Y)


@quiet
def test_callbacks_see_the_epochs_and_steer_the_fit() -> None:
    seen = []

    def halve(running: Any, epoch: fastnet.Epoch) -> None:
        seen.append((epoch.epoch, epoch.learning_rate, epoch.accuracy, running.steps))
        running.learning_rate /= 2
        if epoch.epoch == 3:
            running.stop()

    model = MLPClassifier(solver="sgd", random_state=0, learning_rate_init=0.1, callbacks=[halve]).fit(X, Y)
    assert [row[:2] for row in seen] == [(1, 0.1), (2, 0.05), (3, 0.025)]
    assert [row[3] for row in seen] == [1, 2, 3]
    assert 0 < seen[0][2] < 1
    assert model.n_iter_ == 3


@quiet
def test_fastnets_callbacks() -> None:
    stopping = fastnet.EarlyStopping("validation_cost", patience=1)
    model = MLPClassifier(random_state=0, max_iter=5, early_stopping=True, callbacks=[stopping]).fit(X, Y)
    assert model.n_iter_ <= 5
    with pytest.raises(ValueError, match="validation"):
        MLPClassifier(callbacks=[stopping]).fit(X, Y)
    with pytest.raises(ValueError, match="'sgd' and 'adam'"):
        MLPClassifier(solver="lbfgs", callbacks=[stopping]).fit(X, Y)


@quiet
def test_a_logger_has_the_epochs_of_one_fit_and_can_be_copied(tmp_path: Path) -> None:
    logger = fastnet.CSVLogger(tmp_path / "a.csv")
    model = MLPClassifier(random_state=0, max_iter=3, callbacks=[logger]).fit(X, Y)
    for copy in (model, clone(model), pickle.loads(pickle.dumps(model))):
        copy.fit(X, Y)
        lines = (tmp_path / "a.csv").read_text().splitlines()
        assert [line.split(",")[0] for line in lines] == ["epoch", "1", "2", "3"]


def test_an_estimator_has_no_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="pickle the estimator"):
        MLPClassifier(callbacks=[fastnet.Checkpoint(tmp_path)]).fit(X, Y)


# -- warnings and errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "factor", "words"),
    [
        ({}, 1, "The loss still falls, from .* raise max_iter"),
        (
            {"learning_rate_init": 1e-7, "n_iter_no_change": 99},
            1,
            "hardly moved, .* raise learning_rate_init, now 1e-07",
        ),
        ({}, 1000, "[Cc]olumn 2 .*StandardScaler"),
        ({"solver": "sgd", "learning_rate_init": 0.9, "n_iter_no_change": 99}, 1, "lower learning_rate_init, now 0.9"),
    ],
)
def test_the_convergence_warning_says_what_would_help(parameters: Any, factor: float, words: str) -> None:
    x = X * np.where(np.arange(4) == 2, factor, 1)
    with pytest.warns(ConvergenceWarning, match=words) as caught:
        MLPClassifier(random_state=0, max_iter=20, **parameters).fit(x, Y)
    assert [warning.filename for warning in caught] == [__file__]


def test_lbfgs_says_what_would_help() -> None:
    with pytest.warns(
        ConvergenceWarning, match=r"lbfgs failed to converge after 3 iteration.*Raise max_iter"
    ) as caught:
        MLPRegressor(solver="lbfgs", max_iter=3).fit(X, Y)
    assert [warning.filename for warning in caught] == [__file__]


def test_a_diverging_fit_says_so() -> None:
    model = MLPRegressor(activation="identity", solver="sgd", learning_rate_init=10.0, random_state=0)
    with pytest.raises(
        ValueError, match=r"non-finite parameter weights.*not finite in iteration .*lower learning_rate_init"
    ):
        model.fit(X * 100, Y * 100)
    with pytest.warns(ConvergenceWarning, match="weights of the best validation score are kept"):
        model.set_params(early_stopping=True).fit(X * 100, Y * 100)
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"activation": "rleu"}, "did you mean 'relu'"),
        ({"solver": "Adam"}, "did you mean 'adam'"),
        ({"hidden_layer_sizes": (8, 0)}, r"hidden_layer_sizes must be > 0, got \[8, 0\]"),
        ({"alpha": -1}, "alpha must be at least 0"),
        ({"momentum": 1.5}, "momentum must be from 0 to 1"),
        ({"batch_size": "big"}, "batch_size must be a whole number or 'auto'"),
        ({"n_iter_no_change": 0}, "n_iter_no_change must be at least 1"),
        ({"dropout": 1.0}, "dropout"),
        ({"dtype": "float16"}, "dtype must be float32 or float64"),
        ({"backend": "cuda"}, "no backend is called 'cuda'"),
        ({"loss": "squared"}, "unknown loss 'squared'"),
        ({"loss": "quantile", "quantile": 1.0}, "q must be below 1"),
    ],
)
def test_wrong_parameters_are_refused_in_words(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError, fastnet.BackendError), match=words):
        MLPRegressor(**parameters).fit(X, Y)


@pytest.mark.parametrize(
    "parameters", [{"alpha": "1"}, {"loss": "x"}, {"dropout": "x"}, {"hidden_layer_sizes": 0}], ids=str
)
def test_a_wrong_parameter_raises_scikit_learns_error(parameters: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameterError, match=next(iter(parameters))):
        MLPRegressor(**parameters).fit(X, Y)


def test_warm_start_with_another_shape_is_refused() -> None:
    model = MLPRegressor(warm_start=True, solver="lbfgs", max_iter=1, tol=1e3).fit(X, Y)
    with pytest.raises(ValueError, match=r"layers of \[4, 100, 1\], and this fit needs \[4, 7, 1\]"):
        model.set_params(hidden_layer_sizes=(7,)).fit(X, Y)


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"y\[0, 0\] is -1"):
        MLPRegressor(loss="poisson").fit(X, np.full(len(X), -1.0))


def test_ctrl_c_ends_the_fit_with_a_warning(usual_sigint_handler: None) -> None:
    def interrupt(running: Any, epoch: fastnet.Epoch) -> None:
        if epoch.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    model = MLPClassifier(random_state=0, callbacks=[interrupt])
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X, Y)
    assert model.n_iter_ == 2
    assert len(model.predict(X)) == len(X)


# -- cost -----------------------------------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_fit_needs_no_more_memory_than_x_once(order: Any, early_stopping: bool) -> None:
    x = np.asarray(np.random.default_rng(0).normal(size=(20_000, 50)), order=order)
    y = x[:, 0] > 0
    model = MLPClassifier((4,), max_iter=1, early_stopping=early_stopping)
    model.fit(x[:100], y[:100])  # loads everything
    tracemalloc.start()
    model.fit(x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * x.nbytes


def test_importing_fastnet_does_not_import_scikit_learn() -> None:
    from conftest import python

    assert python("import sys, fastnet; print('sklearn' in sys.modules)").split() == ["False"]
    assert python("import fastnet; print(fastnet.sklearn.MLPClassifier.__name__)").split() == ["MLPClassifier"]


def test_a_converged_fit_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MLPClassifier(random_state=0, max_iter=2000, tol=1e-2).fit(X, Y)


def test_a_bad_column_of_a_frame_is_named() -> None:
    pandas = pytest.importorskip("pandas", reason="the frames come from pandas (extra: dev)")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    with pytest.raises(ValueError, match="column 'city' of X"):
        MLPClassifier().fit(frame.assign(city="Rome"), Y)
    with pytest.raises(ValueError, match="column 'b' of X has 150 missing values"):
        MLPClassifier().fit(frame.assign(b=np.nan), Y)
    model = MLPClassifier(random_state=0, max_iter=2000, tol=1e-2).fit(frame, Y)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename(columns={"a": "z"}))
