"""Trainer: splitting a training into chunks, calls of fit and batches with callbacks does not change the result."""

from __future__ import annotations

import json
import math
import threading
from typing import Any

import comparisons as cmp
import kernel_cases as kc
import numpy as np
import pytest
from conftest import name_of
from trainer_cases import CHUNKS, OPTIMIZERS, SCHEDULES, Recorder, X, Y, bits, make

import fastnet
from fastnet import Adam, Callback, Cosine, Exponential, Momentum, Network, Trainer
from fastnet.kernels import contract as c
from fastnet.kernels import numpy_backend
from fastnet.training import chunks as chunks_module


@pytest.fixture
def name(backend: Any) -> str:
    """Return the name of each backend of this machine."""
    return name_of(backend)


# -- chunks, calls of fit and blocks must not change the result --------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_20_and_20_epochs_equal_40(optimizer: str, schedule: str) -> None:
    once, twice = (make(optimizer=optimizer, schedule=SCHEDULES[schedule]) for _ in range(2))
    once.fit(X, Y, epochs=40)
    twice.fit(X, Y, epochs=20)
    between = bits(twice)
    twice.evaluate(X, Y)
    twice.fit(X, Y, epochs=20, validation_data=(X[:9], Y[:9]), callbacks=[lambda *_: None, Recorder(3)])
    assert bits(once) == bits(twice) != between
    assert once.history["cost"] == twice.history["cost"]
    assert once.history["learning_rate"] == twice.history["learning_rate"]
    assert once.steps == twice.steps == 40 * 7
    assert once.history["epoch"] == list(range(1, 41))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_20_and_20_epochs_equal_40_on_every_backend(name: str, optimizer: str) -> None:
    x = (X * 255).astype(np.uint8)
    once, twice = (make(optimizer=optimizer, schedule=Cosine(epochs=40), backend=name) for _ in range(2))
    once.fit(x, Y, epochs=40)
    twice.fit(x, Y, epochs=20).to_json()
    twice.fit(x, Y, epochs=20)
    assert bits(once) == bits(twice)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_fit_equals_one_call_of_train(backend: Any, name: str, optimizer: str) -> None:
    trainer = make(
        optimizer=optimizer, backend=name, weight_decay=0.02, clip_norm=0.5, schedule=Exponential(factor=0.5)
    )
    net = trainer.network
    params = net.parameters.copy()
    chosen = {"sgd": fastnet.GradientDescent(), "adam": Adam()}.get(optimizer) or Momentum(nesterov=optimizer[0] == "n")
    vector = fastnet.training.optimizers.encode(chosen, 0.02, 0.5)  # encode is not exported
    state = np.zeros((c.SLOTS[chosen.kind], len(params)), np.float32)
    work = c.aligned_empty(c.plan(net.layers, 8, len(state), 4).size, np.float32)
    rng, progress = np.random.default_rng(0), np.zeros(c.PROGRESS_COLUMNS, np.int64)
    costs = []
    for epoch in range(3):
        rates = 0.1 * 0.5 ** (epoch + np.arange(7) / 7)
        order, team, report = rng.permutation(53), c.team(1), np.empty((7, c.REPORT_COLUMNS))
        call = c.TrainCall(
            net.layers, params, state, X, Y, np.empty(0), order, 8, rates, vector, 7 * epoch, progress, report, work,
            team, 0,
        )  # fmt: skip
        costs.append(backend.train(call) / 53)
    history = trainer.fit(X, Y, epochs=3)
    assert bits(trainer) == params.tobytes()
    assert history["cost"] == pytest.approx(costs, rel=1e-6)  # the history adds up the costs of several chunks


def test_one_epoch_equals_steps_along_the_gradient() -> None:
    trainer = make(shuffle=False)
    net = trainer.network.copy()
    for start in range(0, 53, 8):
        net.parameters[:] -= 0.1 * net.gradient(X[start : start + 8], Y[start : start + 8])
    trainer.fit(X, Y, epochs=1)
    cmp.assert_close(trainer.network.parameters, net.parameters, 1e-6)


def test_weight_decay_does_not_change_the_biases() -> None:
    plain, decayed = (make(shuffle=False, batch_size=53, weight_decay=decay) for decay in (0, 0.5))
    before = plain.network.copy()
    for trainer in (plain, decayed):
        trainer.fit(X, Y, epochs=1)
    for w, b, plain_w, plain_b, old in zip(
        decayed.network.weights, decayed.network.biases, plain.network.weights, plain.network.biases, before.weights,
        strict=True,
    ):  # fmt: skip
        cmp.assert_close(b, plain_b, 1e-7)
        cmp.assert_close(w, plain_w - 0.1 * 0.5 * old, 1e-6)


@pytest.mark.parametrize("batch_size", [53, 1000])
def test_a_batch_of_all_examples_is_plain_gradient_descent(name: str, batch_size: int) -> None:
    trainer = make(batch_size=batch_size, shuffle=False, backend=name)
    net = trainer.network.copy()
    trainer.fit(X, Y, epochs=2)
    for _ in range(2):
        net.parameters[:] -= 0.1 * net.gradient(X, Y, backend=name)
    cmp.assert_close(trainer.network.parameters, net.parameters, 1e-6)
    assert trainer.steps == 2


@pytest.mark.parametrize(("n", "steps"), [(53, 1), (200, 1), (201, 2)])
def test_an_automatic_batch_has_200_examples(n: int, steps: int) -> None:
    trainer = make(batch_size="auto")
    trainer.fit(np.tile(X, (4, 1))[:n], np.tile(Y, 4)[:n], epochs=1)
    assert trainer.steps == steps


def test_a_batch_of_several_blocks_equals_a_step_of_the_gradient(name: str) -> None:
    n = 2 * c.BLOCK_ROWS + 77
    x, y = np.tile(X, (12, 1))[:n], np.tile(Y, 12)[:n]
    trainer = make(batch_size=n, backend=name)
    net = trainer.network.copy()
    trainer.fit(x, y, epochs=1)
    cmp.assert_close(trainer.network.parameters, net.parameters - 0.1 * net.gradient(x, y), 1e-6)


def test_the_seed_decides_the_order_of_shuffled_examples() -> None:
    def after(**arguments: Any) -> bytes:
        trainer = make(**arguments)
        trainer.fit(X, Y, epochs=2)
        return bits(trainer)

    assert after() == after()
    assert after(seed=1) != after(seed=2)
    assert after(shuffle=False, seed=1) == after(shuffle=False, seed=2) != after()
    assert after(seed=None) != after(seed=None)


@kc.pairs("backend", optimizer=["sgd", "adam"], chunks=CHUNKS)
def test_chunks_do_not_change_the_result(
    name: str, optimizer: str, chunks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> Trainer:
        trainer = make(optimizer=optimizer, schedule="exponential", backend=name)
        trainer.fit(X, Y, epochs=3, validation_data=(X[:5], Y[:5]))
        return trainer

    usual = run()
    for constant, value in CHUNKS[chunks].items():
        monkeypatch.setattr(chunks_module, constant, value)
    other = run()
    assert bits(usual) == bits(other)
    assert usual.steps == other.steps
    assert usual.history["accuracy"] == other.history["accuracy"]
    assert usual.history["cost"] == other.history["cost"]


def test_kernel_calls_of_other_lengths_report_the_same_costs_bit_for_bit() -> None:
    x = np.random.default_rng(0).normal(size=(900, 6))
    costs = []
    for every in (1, 7, 100):
        trainer = make(network=Network([6, 5, 3], seed=0, dtype=np.float64), batch_size=3)
        costs.append(trainer.fit(x, x.argmax(1) % 3, epochs=3, callbacks=[Recorder(every)])["cost"])
    assert costs[0] == costs[1] == costs[2]


@pytest.mark.parametrize(("packed", "calls"), [(0.0, 7), (1e9, 2)])
def test_chunks_of_a_large_network_are_longer(packed: float, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call packs all parameters, so calls must be long. Long calls run in a thread, where Ctrl-C can stop them."""
    threads = []
    train = numpy_backend.train

    def spy(call: c.TrainCall) -> float:
        threads.append(threading.current_thread() is threading.main_thread())
        return train(call)

    monkeypatch.setattr(numpy_backend, "train", spy)
    for constant, value in {"CHUNK_SECONDS": 0.0, "FIRST_CHUNK": 1, "PACKED_SECONDS": packed}.items():
        monkeypatch.setattr(chunks_module, constant, value)
    trainer = make()
    trainer.fit(X, Y, epochs=1)
    # packed = 0: seven calls of one batch. packed = 1e9: two calls, of 1 batch (to measure the speed) and of 6.
    assert threads == [packed == 0] * calls


def test_more_epochs_than_a_float_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="epochs must be at most 9,007"):
        make().fit(X, Y, epochs=10**5000)


def test_partial_fit_trains_on_a_stream_in_order() -> None:
    stream, whole = make(optimizer="adam"), make(optimizer="adam", shuffle=False)
    records = [stream.partial_fit(X[a:b], Y[a:b]) for a, b in ((0, 16), (16, 40), (40, 53))]
    whole.fit(X, Y, epochs=1)
    assert bits(stream) == bits(whole)
    assert [record.examples for record in records] == [16, 24, 13]
    assert [record.epoch for record in records] == [1, 2, 3]
    assert len(stream.history) == 0
    with pytest.raises(ValueError, match=r"Cosine\(epochs=100\)"):
        make(schedule="cosine").partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"x is empty"):
        stream.partial_fit(X[:0], Y[:0])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_random_labels_are_memorised(name: str, optimizer: str) -> None:
    net = Network([6, 64, 3], activation="tanh", output="softmax", cost="cross_entropy", seed=0)
    x, rate = 6 * X[:24] - 3, {"sgd": 0.3, "adam": 0.02}[optimizer]
    trainer = Trainer(net, optimizer=optimizer, learning_rate=rate, batch_size=6, backend=name, seed=0)
    trainer.fit(x, Y[:24], epochs=200)
    assert trainer.evaluate(x, Y[:24]).accuracy == 1


# -- callbacks ---------------------------------------------------------------------------------------------------


def test_a_function_is_called_after_each_epoch() -> None:
    seen: list[tuple[Trainer, fastnet.Epoch]] = []
    trainer = make()
    few = X[:20], Y[:20]
    history = trainer.fit(X, Y, epochs=3, validation_data=few, callbacks=[lambda *a: seen.append(a)])
    assert [(t, e) for t, e in seen] == [(trainer, epoch) for epoch in history]
    assert (seen[-1][1].validation_cost, seen[-1][1].validation_accuracy) == trainer.evaluate(*few)[:2]


@pytest.mark.parametrize("every", [1, 2, 3, 7, 100])
def test_batches_are_counted_exactly(every: int) -> None:
    recorder, other = Recorder(every), Recorder(5)
    make().fit(X, Y, epochs=2, callbacks=[recorder, other])
    assert [p.batch for p in recorder.seen] == 2 * list(range(every, 8, every))
    assert [(p.epoch, p.batch, p.batches, p.examples) for p in other.seen] == [(1, 5, 7, 40), (2, 5, 7, 40)]


def test_progress_has_the_costs_of_the_epoch_so_far() -> None:
    recorder = Recorder(1)
    history = make().fit(X, Y, epochs=1, callbacks=[recorder])
    last = recorder.seen[-1]
    assert (last.cost, last.accuracy, last.examples) == (history["cost"][0], history["accuracy"][0], 53)


def test_stop_ends_the_fit_at_the_next_batch() -> None:
    trainer = make()
    history = trainer.fit(X, Y, epochs=5, callbacks=[Recorder(3, lambda t, p: t.stop())])
    assert trainer.steps == 3
    assert history["examples"] == [24]
    trainer.fit(X, Y, epochs=2)  # a new call continues
    assert trainer.steps == 3 + 14
    assert history["examples"] == [24, 53, 53]
    trainer.fit(X, Y, epochs=9, callbacks=[lambda t, epoch: t.stop()])
    assert len(trainer.history) == 4


def test_a_new_learning_rate_applies_from_the_next_batch() -> None:
    def halve(trainer: Trainer, progress: Any) -> None:
        trainer.learning_rate /= 2

    recorder = Recorder(1, halve)
    changed, by_schedule = make(), make(schedule=lambda step: 0.5**step)
    changed.fit(X, Y, epochs=1, callbacks=[recorder])
    by_schedule.fit(X, Y, epochs=1)
    assert bits(changed) == bits(by_schedule)
    assert [p.learning_rate for p in recorder.seen] == [0.1 * 0.5**k for k in range(7)]
    assert changed.history["learning_rate"] == [0.1 * 0.5**6]


@pytest.mark.parametrize("threads", [False, True])
def test_an_error_of_a_callback_is_raised(threads: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(trainer: Trainer, what: Any) -> None:
        raise LookupError("mine")

    if threads:
        monkeypatch.setattr(chunks_module, "LONG_BATCH", 0)
    for callback in (fail, Recorder(2, fail)):
        trainer = make()
        with pytest.raises(LookupError, match="mine"):
            trainer.fit(X, Y, epochs=2, callbacks=[callback])
        assert np.isfinite(trainer.network.parameters).all()
        trainer.fit(X, Y, epochs=1)


@pytest.mark.parametrize("callbacks", [5, [5], "abc", None, print, [Callback], [fastnet.Epoch], [[print]]])
def test_objects_that_are_no_callbacks_are_refused_before_training(callbacks: Any) -> None:
    trainer = make()
    with pytest.raises((TypeError, ValueError), match="callback"):
        trainer.fit(X, Y, epochs=1, callbacks=callbacks)
    assert trainer.steps == 0


@pytest.mark.parametrize("every", [0, 2.5, "often"])
def test_an_impossible_every_is_refused(every: Any) -> None:
    trainer = make()
    with pytest.raises((TypeError, ValueError), match="every"):
        trainer.fit(X, Y, epochs=1, callbacks=[Recorder(every)])
    assert trainer.steps == 0


def test_a_negative_every_is_refused() -> None:
    with pytest.raises(ValueError, match="every"):
        make().fit(X[:9], Y[:9], epochs=1, callbacks=[Recorder(-1, lambda t, p: t.stop())])


@pytest.mark.parametrize("every", [0, -1, 2.5, "often"])
def test_an_impossible_every_set_by_the_callback_is_refused(every: Any) -> None:
    trainer = make()
    recorder = Recorder(1, lambda t, p: setattr(recorder, "every", every))
    with pytest.raises((TypeError, ValueError), match="every must be"):
        trainer.fit(X, Y, epochs=1, callbacks=[recorder])
    assert trainer.steps == 1
    trainer.fit(X, Y, epochs=1)


# -- history -------------------------------------------------------------------------------------------------------


def test_the_history_has_every_field(name: str) -> None:
    trainer = make(backend=name)
    history = trainer.fit(X, Y, epochs=2)
    assert history is trainer.history
    trainer.fit(X, Y, epochs=1, validation_data=(X, Y))
    assert len(history) == len(list(history)) == 3
    columns = history.to_dict()
    assert set(columns) == {
        "epoch", "cost", "accuracy", "label_accuracy", "r2", "validation_cost", "validation_accuracy",
        "validation_label_accuracy", "validation_r2", "seconds", "examples", "examples_per_second", "learning_rate",
        "waiting", "backend", "backend_reason", "threads", "inputs", "averaging",
    }  # fmt: skip
    assert all(len(values) == 3 for values in columns.values())
    assert columns["backend"] == [name] * 3
    assert columns["backend_reason"] == ["named by the argument"] * 3
    assert columns["learning_rate"] == [0.1] * 3
    assert columns["threads"] == [1] * 3
    assert columns["inputs"] == ["dense"] * 3
    assert columns["averaging"] == [""] * 3
    assert all(rate > 0 for rate in columns["examples_per_second"])
    assert [math.isnan(value) for value in columns["validation_cost"]] == [True, True, False]
    text = history.to_json()
    parsed = json.loads(text, parse_constant=pytest.fail)
    assert parsed["validation_accuracy"] == [None, None, history["validation_accuracy"][2]]
    assert parsed["cost"] == history["cost"]
    with pytest.raises(KeyError, match="validation_cost"):
        history["loss"]
    assert "of 3 epochs," in repr(history)
    assert "of 1 epoch," in repr(make(backend=name).fit(X, Y, epochs=1))


def test_a_regression_has_no_accuracy() -> None:
    trainer = Trainer(
        Network([6, 1], output="identity", seed=0), optimizer="sgd", learning_rate=0.05, seed=0, backend="numpy"
    )
    history = trainer.fit(X, X.sum(1), epochs=30, validation_data=(X, X.sum(1)))
    assert history["cost"][-1] < history["cost"][0]
    assert json.loads(history.to_json())["accuracy"] == [None] * 30
    assert math.isnan(history["validation_accuracy"][0])
    assert f"R2 {history['r2'][-1]:.3f}>" in repr(history)
    assert "accuracy" not in repr(history)


def test_no_epochs_change_nothing() -> None:
    trainer = make()
    before = bits(trainer)
    assert len(trainer.fit(X, Y, epochs=0)) == 0
    assert bits(trainer) == before
