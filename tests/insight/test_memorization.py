"""Learning and memorising: the shuffles, the measurements, and findings of the literature on real digits."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from conftest import name_of
from insight_cases import blobs, images, unseen

from fastnet.insight import MEMORIZER, Memorization, Recipe, memorization
from fastnet.insight.memorization import _corrupted, _images
from fastnet.insight.task import stratified_order, task
from fastnet.training.trainer import Trainer

SMALL = Recipe(
    (8,),
    6,
    {"activation": "relu", "cost": "cross_entropy"},
    {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 10},
)
SHUFFLED: dict[str, Any] = {"corrupted": 1.0}


@cache
def digits(backend: str, n: int, seeds: int = 2, hidden: tuple[int, ...] = (128,), **options: Any) -> Memorization:
    """Train on n images of mnist-5k until the network fits them, for at most 60 epochs."""
    return memorization(
        *images(n),
        test=unseen(),
        recipe=MEMORIZER.but(hidden=hidden, epochs=60),
        seeds=range(seeds),
        stop=True,
        backend=backend,
        **options,
    )


# -- findings of the literature ----------------------------------------------------------------------------------


# Epochs to fit 99% of the labels, five seeds on each backend [in the literature]. 128 hidden neurons: true labels
# 8 to 9 [10], shuffled labels 30 to 34 [29]. 512 hidden neurons: true labels 6 to 7 [8], shuffled labels 23 to 26 [21].
@pytest.mark.parametrize(("hidden", "true", "shuffled"), [(128, (5, 14), (22, 42)), (512, (4, 11), (15, 32))])
def test_true_labels_are_fitted_several_times_faster(
    backend: Any, hidden: int, true: tuple[int, int], shuffled: tuple[int, int]
) -> None:
    learned = digits(name_of(backend), 1000, hidden=(hidden,)).epochs_to_fit
    memorised = digits(name_of(backend), 1000, hidden=(hidden,), **SHUFFLED).epochs_to_fit
    assert true[0] <= learned.min() <= learned.max() <= true[1]
    assert shuffled[0] <= memorised.min() <= memorised.max() <= shuffled[1]
    assert memorised.min() > 2 * learned.max()  # measured: 30 and 9 epochs; with 512 neurons 23 and 7


# Epochs to fit 4,000 images [in the literature]: true labels 8 to 9 [8], shuffled labels 51 to 56 [53].
def test_more_images_take_longer_to_memorise_but_not_to_learn(backend: Any) -> None:
    few, many = (digits(name_of(backend), n) for n in (1000, 4000))
    assert many.epochs_to_fit.max() < 2 * few.epochs_to_fit.max()
    few, many = (digits(name_of(backend), n, **SHUFFLED) for n in (1000, 4000))
    assert many.epochs_to_fit.min() > 1.3 * few.epochs_to_fit.max()  # measured: 51 and 34
    assert many.epochs_to_fit.min() > 4 * digits(name_of(backend), 4000).epochs_to_fit.max()


# Epochs with 512 hidden neurons [in the literature]: true labels 7 to 8 [7], shuffled labels 33 to 36 [37]. Measured
# with five seeds on each compiled backend and two on NumPy. The test uses one seed, because these trainings are slow.
def test_a_wider_network_memorises_4000_images_sooner(backend: Any) -> None:
    learned, memorised = (
        digits(name_of(backend), 4000, seeds=1, hidden=(512,), **labels).epochs_to_fit for labels in ({}, SHUFFLED)
    )
    assert 5 <= learned[0] <= 11
    assert 26 <= memorised[0] <= 46
    assert memorised[0] > 3 * learned[0]
    assert memorised[0] < digits(name_of(backend), 4000, **SHUFFLED).epochs_to_fit.min()  # measured: 36 and 51


# Test accuracies of five seeds on each backend: 0.885 to 0.900 with true labels, 0.090 to 0.129 with shuffled labels.
def test_memorising_leaves_test_accuracy_at_chance(backend: Any) -> None:
    learned, memorised = digits(name_of(backend), 1000), digits(name_of(backend), 1000, **SHUFFLED)
    assert learned.final_test.min() > 0.85
    assert memorised.chance == pytest.approx(0.1, abs=0.001)
    assert np.abs(memorised.final_test - memorised.chance).max() < 0.06


# With 40% of the labels shuffled, fitting takes 26 to 29 epochs, and the test accuracy is 0.631 to 0.666.
def test_partly_shuffled_labels_lie_between(backend: Any) -> None:
    true, partly, shuffled = (digits(name_of(backend), 1000, corrupted=share) for share in (0.0, 0.4, 1.0))
    assert 1.5 * true.epochs_to_fit.max() < partly.epochs_to_fit.min()
    assert partly.epochs_to_fit.mean() < shuffled.epochs_to_fit.mean()
    assert true.final_test.min() - 0.1 > partly.final_test.max() > partly.final_test.min() > 0.4


# Measured with five seeds: fitting shuffled pixels or noise takes 5 to 8 epochs. The test accuracy is 0.05 to 0.18. Its
# mean over the seeds is 0.10 to 0.13.
@pytest.mark.parametrize("kind", ["shuffled", "noise"])
def test_shuffled_pixels_and_noise_are_fitted(backend: Any, kind: str) -> None:
    found = digits(name_of(backend), 1000, images=kind)
    assert np.isfinite(found.epochs_to_fit).all()
    assert found.final_test.mean() < 0.25
    assert found.epochs_to_fit.max() < digits(name_of(backend), 1000, **SHUFFLED).epochs_to_fit.min()


# In 60 epochs 784-16-16-10 fits 33 to 40% of 4,000 shuffled labels. 784-128-10 fits all labels.
def test_a_network_784_16_16_10_is_too_small_for_4000_shuffled_labels(backend: Any) -> None:
    small = digits(name_of(backend), 4000, hidden=(16, 16), **SHUFFLED)
    wide = digits(name_of(backend), 4000, **SHUFFLED)
    assert (small.n_parameters, wide.n_parameters) == (13_002, 101_770)
    assert np.isfinite(wide.epochs_to_fit).all()
    assert np.isnan(small.epochs_to_fit).all()
    assert small.final_training.max() < 0.6


# Of 1,000 shuffled labels, 512 neurons fit 99% in 23 to 26 epochs, 128 neurons fit 99% in 30 to 34 epochs, and
# 16 neurons fit 72 to 84% in 60 epochs. With a weight decay of 0.01, 128 neurons fit 77 to 85% of the shuffled labels
# in 40 epochs, and 99% of the true labels in 10 to 15 epochs.
def test_width_helps_memorising_and_weight_decay_hinders_it(backend: Any) -> None:
    wide, narrow = (digits(name_of(backend), 1000, hidden=(width,), **SHUFFLED) for width in (512, 16))
    assert wide.epochs_to_fit.max() < np.nan_to_num(narrow.epochs_to_fit, nan=np.inf).min()
    decayed = MEMORIZER.but(epochs=40, trainer={"weight_decay": 0.01, "backend": name_of(backend)})
    assert np.isnan(memorization(*images(1000), recipe=decayed, seeds=[0, 1], **SHUFFLED).epochs_to_fit).all()
    assert np.isfinite(memorization(*images(1000), recipe=decayed, seeds=[0, 1], stop=True).epochs_to_fit).all()


# -- the shuffles and the measurements ---------------------------------------------------------------------------


def test_accuracies_are_those_of_the_network_after_each_epoch() -> None:
    x, y = blobs()
    test = blobs(30, seed=1)
    found = memorization(x, y, test=test, recipe=SMALL, seeds=[3])
    trainer = SMALL.start(10, 3, 3)
    for epoch in range(SMALL.epochs):
        trainer.fit(x, y, epochs=1)
        assert found.training[0, epoch] == trainer.evaluate(x, y).accuracy
        assert found.test[0, epoch] == trainer.evaluate(*test).accuracy
    assert found.sizes == (10, 8, 3)
    assert (found.n_parameters, found.n) == (115, 60)


def test_accuracies_are_nan_after_the_epoch_of_a_stop() -> None:
    x, y = blobs()
    whole, cut = (memorization(x, y, test=(x, y), recipe=SMALL, goal=0.9, stop=stop) for stop in (False, True))
    np.testing.assert_array_equal(whole.epochs_to_fit, cut.epochs_to_fit)
    assert cut.epochs_to_fit.max() < SMALL.epochs
    np.testing.assert_array_equal(cut.steps_to_fit, 6 * cut.epochs_to_fit)  # 60 examples in batches of 10
    for row, (full, epochs) in enumerate(zip(cut.training, cut.epochs_to_fit.astype(int), strict=True)):
        assert np.isfinite(full[:epochs]).all()
        assert np.isnan(full[epochs:]).all()
        np.testing.assert_array_equal(full[:epochs], whole.training[row, :epochs])
        assert (full[: epochs - 1] < 0.9).all()
        assert cut.final_training[row] == cut.final_test[row] == full[epochs - 1] >= 0.9


def test_epochs_to_fit_are_nan_where_the_goal_is_missed() -> None:
    found = memorization(*blobs(), recipe=SMALL.but(epochs=1, trainer={"learning_rate": 0.0}), seeds=[0])
    assert np.isnan(found.epochs_to_fit).all()
    assert np.isnan(found.steps_to_fit).all()
    assert np.isnan(found.test).all()
    assert np.isnan(found.chance)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_labels_are_shuffled_among_a_share_of_the_examples(share: float) -> None:
    y = np.arange(1000)  # all labels differ, so every move changes a label
    labels = _corrupted(y, share, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(labels), y)
    assert (labels != y).sum() == pytest.approx(share * 1000, abs=5)  # a shuffle leaves one label in place on average
    np.testing.assert_array_equal(y, np.arange(1000))  # the caller's labels are unchanged


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 1 / 255), (np.uint8, 2 / 255), (np.float32, 1 / 255)])
def test_shuffled_images_keep_their_values_and_noise_their_mean_and_variance(dtype: type, scale: float) -> None:
    rng = np.random.default_rng(0)
    x = (rng.random((300, 40)) * (255 if dtype is np.uint8 else 1)).astype(dtype)
    before = x.copy()
    shuffled = _images(x, "shuffled", scale, rng)
    np.testing.assert_array_equal(np.sort(shuffled, axis=1), np.sort(x, axis=1))
    assert (shuffled != x).mean() > 0.9
    in_order = np.tile(np.arange(40, dtype=dtype), (300, 1))
    assert (
        len(np.unique(_images(in_order, "shuffled", scale, rng), axis=0)) == 300
    )  # every image has its own order of pixels
    noise = _images(x, "noise", scale, rng)
    noise /= np.float32(255 * scale)  # the brightness of 255
    assert noise.dtype == np.float32
    assert noise.mean() == pytest.approx(0.5, abs=0.02)
    assert noise.std() == pytest.approx(np.sqrt(1 / 12), abs=0.02)
    np.testing.assert_array_equal(x, before)


def test_seeds_draw_different_labels_and_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[int, list[tuple[int, ...]]] = {0: [], 1: []}
    fit = Trainer.fit
    for seed in (0, 1, 0, 1):
        monkeypatch.setattr(Trainer, "fit", lambda t, x, y, s=seed, **k: seen[s].append(tuple(y)) or fit(t, x, y, **k))
        memorization(*blobs(), recipe=SMALL, corrupted=1.0, seeds=[seed])
    assert seen[0][0] == seen[0][1] != seen[1][0] == seen[1][1]


def test_chance_follows_from_the_frequencies_of_the_labels() -> None:
    x, _ = blobs()
    y, tested = np.array([0] * 45 + [1] * 15), np.array([0] * 30 + [1] * 30)
    found = memorization(x, y, test=(x, tested), recipe=SMALL, seeds=[0])
    assert found.chance == pytest.approx(0.75 * 0.5 + 0.25 * 0.5)


def test_sparse_examples_give_the_same_result_as_dense_ones() -> None:
    scipy_sparse = pytest.importorskip("scipy.sparse", reason="sparse examples need SciPy")
    x, y = blobs()
    x[x < 0.5] = 0
    dense, sparse = (memorization(a, y, recipe=SMALL, seeds=[0]) for a in (x, scipy_sparse.csc_array(x)))
    np.testing.assert_allclose(dense.training, sparse.training, atol=0.02)
    with pytest.raises(ValueError, match="toarray"):
        memorization(scipy_sparse.csr_array(x), y, images="noise")


def test_the_first_rows_of_a_stratified_order_have_the_classes_in_proportion() -> None:
    y = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [600, 300, 100]))
    order = stratified_order(y, np.random.default_rng(1))
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    for n in (10, 50, 333, 1000):
        np.testing.assert_allclose(np.bincount(y[order[:n]], minlength=3), np.array([0.6, 0.3, 0.1]) * n, atol=2)
    assert not np.array_equal(order, stratified_order(y, np.random.default_rng(2)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corrupted": 1.5}, "at most 1"),
        ({"corrupted": -0.1}, "at least 0"),
        ({"goal": 0}, "more than 0"),
        ({"goal": 1.01}, "at most 1"),
        ({"images": "random"}, "unknown images"),
        ({"seeds": []}, "one or more different"),
        ({"seeds": [1, 1]}, "one or more different"),
        ({"seeds": [-1]}, "at least 0"),
        ({"recipe": SMALL.but(epochs=0)}, "epochs must be at least 1"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        memorization(*blobs(), **change)


@pytest.mark.parametrize(
    ("x", "y", "test", "message"),
    [
        (np.zeros(3), [0], None, "shape"),
        (np.zeros((0, 3)), [], None, "empty"),
        (np.full((2, 3), np.nan), [0, 1], None, "finite"),
        (np.zeros((2, 3)), [0, 1, 2], None, "labels"),
        (np.zeros((2, 3)), [0.5, 1], None, "labels"),
        (np.zeros((2, 3)), [0, -1], None, "-1"),
        (np.zeros((2, 3)), np.eye(2), None, "labels"),
        (np.zeros((2, 3)), [0, 1], (np.zeros((2, 4)), [0, 1]), "test x"),
        (np.zeros((2, 3)), [0, 1], (np.zeros((2, 3)), [0]), "test y"),
    ],
)
def test_unusable_data_is_refused(x: Any, y: Any, test: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(x, y, test, SMALL)


def test_classes_are_taken_from_training_and_test_labels() -> None:
    x = np.zeros((2, 3))
    for y, tested in (([0, 1], [0, 4]), ([0, 4], [0, 1])):
        assert task(x, y, (x, tested), SMALL).n_out == 5
    assert task(x, [0, 1], None, SMALL).n_out == 2


def test_a_test_must_be_a_pair_and_seeds_must_be_integers() -> None:
    with pytest.raises(TypeError, match="pair"):
        memorization(*blobs(), test=blobs()[0])
    with pytest.raises(TypeError, match="seeds"):
        memorization(*blobs(), seeds=5)


def test_the_backend_argument_replaces_the_recipe_s(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    fit = Trainer.fit
    monkeypatch.setattr(Trainer, "fit", lambda self, *a, **k: used.append(self._backend) or fit(self, *a, **k))
    recipe = SMALL.but(trainer={"backend": "numpy"})
    memorization(*blobs(), recipe=recipe, seeds=[0])
    memorization(*blobs(), recipe=recipe.but(trainer={"backend": "auto"}), seeds=[0], backend="numpy")
    assert used == ["numpy", "numpy"]


def test_the_byte_scale_of_a_recipe_reads_sparse_bytes() -> None:
    sparse = pytest.importorskip("scipy.sparse", reason="sparse matrices need SciPy")
    found = task(sparse.csr_array(np.diag([3, 5]).astype(np.uint8)), [0, 1], None, SMALL.but(network={"byte_scale": 1}))
    assert found.x.values.tolist() == [3, 5]
