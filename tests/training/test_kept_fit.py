"""A trainer uses the objects of its last fit again: same bits as without, no copies of them, no user's data in them."""

from __future__ import annotations

import copy
import dataclasses
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import kernel_cases as kc
import numpy as np
import pytest
import scipy.sparse
from trainer_cases import bits, make

import fastnet
from fastnet import DivergedError, Epoch, Trainer
from fastnet.kernels import contract as c
from fastnet.training import fit as fit_module
from fastnet.training.history import FIELDS

Step = Callable[[Trainer], object]


def left_behind(trainer: Trainer) -> dict[str, Any]:
    """Return what calls leave behind, but for the times."""
    history = trainer.history.to_dict()
    del history["seconds"], history["examples_per_second"]
    return {
        "parameters": bits(trainer),
        "moments": trainer._state.moments.tobytes(),
        "generator": repr(trainer._rng.bit_generator.state),
        "history": repr(history),
        "text": repr(trainer),
        "rate": trainer.learning_rate,
    }


def drawn_steps(rng: np.random.Generator, backend: str) -> list[Step]:
    """Draw a part of a stream, and perhaps something else that a user does before the stream goes on."""
    n = int(rng.choice([1, 5, 5, 5, 17]))
    x: Any = rng.random((n, 6), np.float32)
    kind = rng.integers(8)
    if kind == 0:
        x = (x * 255).astype(np.uint8)
    elif kind == 1:
        x = x.astype(np.float64)
    elif kind == 2:
        x = scipy.sparse.csr_matrix(x)
    y: Any = rng.integers(0, 3, n)
    if rng.integers(4) == 0:
        y = np.eye(3)[y]
    weights = rng.uniform(0.1, 2, n) if rng.integers(4) == 0 else None
    epochs, value = int(rng.integers(1, 4)), float(rng.uniform(0.01, 0.2))
    name = str(rng.choice([backend, "numpy"]))

    def partial_fit(trainer: Trainer) -> object:
        record = dataclasses.asdict(trainer.partial_fit(x, y, sample_weight=weights))
        return [(key, repr(record[key])) for key in FIELDS if key not in ("seconds", "examples_per_second")]

    def fit(trainer: Trainer) -> None:
        trainer.fit(x, y, epochs=epochs, sample_weight=weights)

    def fit_watched(trainer: Trainer) -> None:
        def act(trainer: Trainer, epoch: Epoch) -> None:
            trainer.network.parameters *= 0.9

        trainer.fit(x, y, epochs=epochs, callbacks=[act], validation_data=(x, y))

    def set_rate(trainer: Trainer) -> None:
        trainer.learning_rate = value

    def write(trainer: Trainer) -> None:
        trainer.network.weights[0][...] *= value

    def new_buffer(trainer: Trainer) -> None:
        trainer.network.__setstate__(trainer.network.__getstate__())

    def on_another_backend(trainer: Trainer) -> None:
        with fastnet.use_backend(name):
            partial_fit(trainer)

    def refused(trainer: Trainer) -> None:
        with pytest.raises(ValueError, match="finite"):
            trainer.partial_fit(np.full((n, 6), np.nan, np.float32), y)
        with pytest.raises(ValueError, match="labels are from 0 to 2"):
            trainer.partial_fit(np.ones((5, 6), np.float32), np.array([0, 1, 2, 3, -1]))

    def diverged(trainer: Trainer) -> None:
        before, trainer.learning_rate = trainer.learning_rate, 1e300
        with pytest.raises(DivergedError):
            trainer.partial_fit(np.ones((5, 6), np.float32), np.arange(5) % 3)
        trainer.learning_rate = before

    steps: list[Step] = [fit, fit_watched, set_rate, write, new_buffer, on_another_backend, refused, diverged]
    return [partial_fit, steps[rng.integers(len(steps))], partial_fit] if rng.integers(2) else [partial_fit]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", kc.BACKENDS)
def test_any_sequence_of_calls_gives_the_bits_of_fits_made_anew(name: str, seed: int, optimizer: str) -> None:
    kept, anew = (
        make(backend=None, optimizer=optimizer, batch_size="auto" if seed % 2 else 4, dropout=0.3 * (seed == 2), seed=1)
        for _ in range(2)
    )
    rng = np.random.default_rng(seed)
    with fastnet.use_backend(name):
        for _ in range(40):
            for step in drawn_steps(rng, name):
                anew._kept.fit = None
                assert step(kept) == step(anew)
                assert left_behind(kept) == left_behind(anew)


def test_equal_calls_share_one_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    make_fit = fit_module._made
    monkeypatch.setattr(fit_module, "_made", lambda *arguments: made.append(1) or make_fit(*arguments))
    trainer, x, y = make(), np.ones((5, 6), np.float32), np.zeros(5, np.int64)
    for _ in range(3):
        trainer.partial_fit(x, y)
    trainer.fit(x, y, epochs=2)
    assert len(made) == 1
    trainer.partial_fit(x[:4], y[:4])
    assert len(made) == 2


def test_a_copy_has_no_kept_fit_and_trains_alone() -> None:
    trainer, x, y = make(optimizer="adam"), np.ones((5, 6), np.float32), np.zeros(5, np.int64)
    trainer.partial_fit(x, y)
    for twin in (copy.deepcopy(trainer), pickle.loads(pickle.dumps(trainer))):
        assert twin._kept.fit is None
        assert trainer._kept.fit is not None
        before = bits(trainer)
        twin.partial_fit(x, y)
        assert bits(trainer) == before
    trainer.partial_fit(x, y)
    assert bits(trainer) == bits(twin)


def test_a_kept_fit_has_no_data_of_the_user() -> None:
    trainer = make()
    arrays = {name: np.ones((5, 6), np.float32) for name in ("x", "validation x")}
    arrays |= {name: np.zeros(5, np.int64) for name in ("y", "validation y")}
    arrays["weights"] = np.arange(1.0, 6.0)
    alive = {name: weakref.ref(array) for name, array in arrays.items()}
    validation = arrays["validation x"], arrays["validation y"]
    trainer.fit(arrays["x"], arrays["y"], epochs=1, sample_weight=arrays["weights"], validation_data=validation)
    del arrays, validation
    gc.collect()
    assert trainer._kept.fit is not None
    assert [name for name, ref in alive.items() if ref() is not None] == []


def test_each_team_of_one_is_new() -> None:
    first, second = c.team(1), c.team(1)
    first[c.BROKEN] = 1
    assert second.tolist() == [1] + [0] * (c.TEAM_COLUMNS + c.TEAM_LINE - 1)
