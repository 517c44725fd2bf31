"""Several epochs in one chunk: without callbacks and validation, a fit gives what single epochs give, bit for bit."""

from __future__ import annotations

import signal
from typing import Any

import kernel_cases as kc
import numpy as np
import pytest
from conftest import name_of
from trainer_cases import CHUNKS, OPTIMIZERS, SCHEDULES, Recorder, X, Y, bits, make

import fastnet
from fastnet import DivergedError, Exponential, Trainer
from fastnet.checks import unconverted
from fastnet.kernels import contract as c
from fastnet.kernels import numpy_backend
from fastnet.training import chunks as chunks_module

WEIGHTS = np.random.default_rng(3).uniform(0.1, 2, 53) * (np.arange(53) % 6 > 0)


def everything(trainer: Trainer) -> dict[str, Any]:
    """Return what a fit leaves behind, but for the times."""
    history = trainer.history.to_dict()
    del history["seconds"], history["examples_per_second"]
    assert isinstance(trainer.seed, np.random.Generator)
    return {
        "parameters": bits(trainer),
        "moments": trainer._state.moments.tobytes(),
        "generator": repr(trainer.seed.bit_generator.state),
        "history": repr(history),
        "text": repr(trainer),  # has the numbers of epochs and steps
    }


def nothing(trainer: Trainer, epoch: fastnet.Epoch) -> None:
    """A callback: with it, each epoch is trained alone."""


@kc.pairs(
    "backend",
    "dtype",
    optimizer=OPTIMIZERS,
    schedule=[name for name in SCHEDULES if name != "function"],
    batch_size=[8, 53, 200, 1],
    dropout=[0.0, 0.4],
    shuffle=[True, False],
    weights=["none", "drawn"],
    chunks=["huge", "first small", "threads"],
    rows=["as they are", "unconverted"],
)
def test_epochs_in_one_chunk_equal_single_epochs(
    backend: Any,
    dtype: str,
    optimizer: str,
    schedule: str,
    batch_size: int,
    dropout: float,
    shuffle: bool,
    weights: str,
    chunks: str,
    rows: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for constant, value in CHUNKS[chunks].items():
        monkeypatch.setattr(chunks_module, constant, value)
    x = X.astype(np.float16) if rows == "unconverted" else X
    if rows == "unconverted":
        monkeypatch.setattr(unconverted, "MAX_COPY", 0)
        monkeypatch.setattr(unconverted, "PIECE_BYTES", 20 * 6 * np.dtype(dtype).itemsize)
    found = []
    for callbacks in ([], [nothing]):
        trainer = make(
            network=fastnet.Network([6, 5, 3], seed=0, dtype=dtype),
            optimizer=optimizer,
            schedule=SCHEDULES[schedule],
            batch_size=batch_size,
            dropout=dropout,
            shuffle=shuffle,
            backend=name_of(backend),
            seed=np.random.default_rng(5),
        )
        for epochs in (5, 1, 4):
            trainer.fit(x, Y, epochs=epochs, sample_weight=None if weights == "none" else WEIGHTS, callbacks=callbacks)
        found.append(everything(trainer))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "arguments", [{"callbacks": [nothing]}, {"validation_data": (X, Y)}, {"validation_split": 0.2}, {}]
)
def test_only_epochs_that_nobody_looks_at_share_a_call(arguments: dict[str, Any], update_counts: list[int]) -> None:
    make().fit(X, Y, epochs=6, **arguments)
    assert (max(update_counts) > 7) == (not arguments)


def test_a_user_s_schedule_is_asked_epoch_by_epoch(update_counts: list[int]) -> None:
    make(schedule=lambda step: 1.0).fit(X, Y, epochs=6)
    assert max(update_counts) <= 7


# The last epoch is epoch 7. The rate grows by 1e5 an epoch, so the fit diverges after some epochs.
@kc.pairs("backend", batch_size=[8, 53, 1], shuffle=[True, False])
def test_a_divergence_leaves_what_it_leaves_after_single_epochs(backend: Any, batch_size: int, shuffle: bool) -> None:
    found = []
    for callbacks in ([], [nothing]):
        trainer = make(
            network=fastnet.Network([6, 5, 3], output="identity", seed=0),
            learning_rate=1e-9,
            schedule=Exponential(factor=1e5),
            batch_size=batch_size,
            shuffle=shuffle,
            backend=name_of(backend),
            seed=np.random.default_rng(5),
        )
        with pytest.raises(DivergedError) as caught:
            trainer.fit(X, np.eye(3, dtype=np.float32)[Y], epochs=30, callbacks=callbacks)
        assert caught.value.epoch > 2
        assert len(trainer.history) == caught.value.epoch - 1
        found.append(everything(trainer) | {"error": repr(vars(caught.value)), "message": str(caught.value)})
    assert found[0] == found[1]


def test_a_rate_beyond_float64_stops_the_fit_at_its_epoch() -> None:
    found = []
    for callbacks in ([], [nothing]):
        trainer = make(learning_rate=1e-300, schedule=Exponential(factor=1e150), seed=np.random.default_rng(5))
        with pytest.raises(ValueError, match="the schedule gave inf at step") as caught:
            trainer.fit(X, Y, epochs=6, callbacks=callbacks)
        assert len(trainer.history) == 2
        found.append(everything(trainer) | {"message": str(caught.value)})
    assert found[0] == found[1]


# 7 updates are an epoch. In the last case the next epoch is not begun.
@pytest.mark.parametrize("updates", [10, 3, 20, 14])
def test_ctrl_c_in_the_middle_leaves_what_a_stop_leaves(updates: int, monkeypatch: pytest.MonkeyPatch) -> None:
    train = numpy_backend.train

    def interrupted(call: c.TrainCall) -> float:
        """Make some updates. Then Ctrl-C arrives."""
        batch = c.batches(len(call.order), call.batch_size, call.epoch_rows)[updates - 1]
        call = call._replace(order=call.order[: batch.stop], rates=call.rates[:updates], report=call.report[:updates])
        cost = train(call)
        signal.raise_signal(signal.SIGINT)
        return cost

    trainer = make(optimizer="adam", seed=np.random.default_rng(5))
    monkeypatch.setattr(numpy_backend, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y, epochs=6)
    monkeypatch.setattr(numpy_backend, "train", train)
    stopped = make(optimizer="adam", seed=np.random.default_rng(5))
    stopped.fit(X, Y, epochs=6, callbacks=[Recorder(1, lambda t, p: t.stop() if t.steps == updates else None)])
    assert trainer.steps == updates
    assert everything(trainer) == everything(stopped)
    for one in (trainer, stopped):
        one.fit(X, Y, epochs=2)
    assert everything(trainer) == everything(stopped)


def test_the_seconds_of_a_chunk_are_shared_by_its_epochs() -> None:
    history = make().fit(X, Y, epochs=6)
    assert all(seconds > 0 for seconds in history["seconds"])
    assert history["examples"] == [53] * 6
