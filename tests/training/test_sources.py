"""Fits on sources: the results of data in memory, whatever the buffer and the speed of the reader."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import kernel_cases as kc
import numpy as np
import pytest
from conftest import name_of
from source_cases import BYTES, LABELS, N_IN, N_OUT, SMALL, VALUES, Slow, readers_running, small
from trainer_cases import Recorder

from fastnet import DivergedError, EarlyStopping, Network, Trainer, source_rows
from fastnet.data import source
from fastnet.errors import DataError
from fastnet.source import Block
from fastnet.training import feeds

N = len(BYTES)
ONE_HOT = np.eye(N_OUT)[LABELS]
INPUTS: dict[str, Any] = {
    "bytes": BYTES,
    "float32": (BYTES / 255).astype(np.float32),
    "float64": BYTES / 255,
    "int16": BYTES.astype(np.int16),
}
TASKS: dict[str, tuple[dict[str, Any], Any]] = {
    "classes": ({}, LABELS),
    "targets": ({"cost": "squared_error", "output": "sigmoid"}, ONE_HOT.astype(np.float32)),
    "values": ({"task": "regression"}, VALUES),
    "labels": ({"task": "multilabel"}, ONE_HOT),
}
EXACT_SMALL = {"EXACT_BYTES": SMALL}


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Any:
    yield
    assert not readers_running()


def made(backend: Any = "numpy", task: str = "classes", **options: Any) -> Trainer:
    net = Network([N_IN, 6, N_OUT], seed=0, dtype=options.pop("dtype", np.float32), **TASKS[task][0])
    defaults = {"batch_size": 16, "seed": 1, "backend": backend, "sparse": False, "optimizer": "momentum"}
    return Trainer(net, **defaults | {"learning_rate": 0.01} | options)


def result(trainer: Trainer, *examples: Any, epochs: int = 3, **options: Any) -> tuple[bytes, list[Any]]:
    """Return the parameters after a fit, and the history without times."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*has a standard deviation of")  # of a sample, which differs
        history = trainer.fit(*examples, epochs=epochs, **options).to_dict()
    for name in ("seconds", "examples_per_second", "waiting"):
        del history[name]
    return trainer.network.parameters.tobytes(), [(name, repr(column)) for name, column in history.items()]


@pytest.mark.filterwarnings("ignore:.*has a standard deviation of")  # of whole numbers that are not scaled
@kc.pairs(
    "backend",
    task=TASKS,
    x=INPUTS,
    dtype=[np.float32, np.float64],
    batch=[1, 16, 300],
    dropout=[0.0, 0.3],
    how=["in the buffer", "exactly shuffled", "in order"],
)
def test_a_source_gives_the_bits_of_arrays(
    backend: Any, task: str, x: str, dtype: Any, batch: int, dropout: float, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 300 rows of float64 in a batch, a window is one batch."""
    options: dict[str, Any] = {"batch_size": batch, "dropout": dropout, "dtype": dtype, "shuffle": how != "in order"}
    buffer: int | None = 400_000 if batch == 300 else SMALL
    if how == "in the buffer":
        buffer = 10**9
    elif how == "exactly shuffled":
        buffer = None
        for module in (source_rows, feeds):
            monkeypatch.setattr(module, "EXACT_BYTES", SMALL)
    data = source((INPUTS[x], TASKS[task][1]), shuffle_buffer=buffer)
    backend = name_of(backend)
    found = result(made(backend, task, **options), data)
    wanted = result(made(backend, task, **options), INPUTS[x], TASKS[task][1])
    assert found[0] == wanted[0]
    for (name, mine), (_, theirs) in zip(found[1], wanted[1], strict=True):
        if name in ("r2", "cost"):  # the sums depend on the lengths of the parts
            np.testing.assert_allclose(eval_list(mine), eval_list(theirs), rtol=1e-12)
        else:
            assert mine == theirs, name


def eval_list(text: str) -> list[float]:
    return [float(part) for part in text.strip("[]").split(", ")]


def test_a_slow_disk_changes_no_bit_and_shows_in_the_history() -> None:
    trainer = made()
    fast = result(trainer, small(BYTES, LABELS))
    assert all(0 <= share <= 1 for share in trainer.history["waiting"])
    for _ in range(2):
        trainer = made()
        assert result(trainer, source(Slow(BYTES, LABELS), shuffle_buffer=SMALL)) == fast
        assert all(0.5 < share <= 1 for share in trainer.history["waiting"])
    assert result(made(seed=2), small(BYTES, LABELS)) != fast
    trainer.fit(BYTES, LABELS, epochs=1)
    assert trainer.history["waiting"][-1] == 0


def test_the_buffer_changes_the_order_only() -> None:
    """On data in random order each buffer trains to about the same cost."""
    costs = [
        made(learning_rate=0.05).fit(small(BYTES, LABELS, shuffle_buffer=size), epochs=5)["cost"][-1]
        for size in (20_000, SMALL, 10**6)
    ]
    assert max(costs) - min(costs) < 0.02 * max(costs)
    assert len(set(costs)) == 3


@pytest.mark.parametrize("how", ["mapping", "balanced"])
def test_class_weights_are_those_of_arrays(how: str) -> None:
    weights: Any = {0: 0.5, 1: 3.0} if how == "mapping" else "balanced"
    found = result(made(shuffle=False), small(BYTES, LABELS), class_weight=weights)
    assert found[0] == result(made(shuffle=False), BYTES, LABELS, class_weight=weights)[0]
    assert found[0] != result(made(shuffle=False), BYTES, LABELS)[0]


@pytest.mark.parametrize("task", TASKS)
def test_validation_data_may_be_a_source(task: str) -> None:
    y = TASKS[task][1]
    trainers = made(task=task), made(task=task)
    stopping = EarlyStopping(patience=2)
    result(trainers[0], BYTES, y, validation_data=small(BYTES[::2], y[::2]), callbacks=[stopping])
    result(trainers[1], BYTES, y, validation_data=(BYTES[::2], y[::2]))
    for name in ("cost", "accuracy", "label_accuracy", "r2"):
        columns = [trainer.history[f"validation_{name}"] for trainer in trainers]
        np.testing.assert_allclose(*columns, rtol=1e-12)
        assert name != "cost" or not np.isnan(columns[0]).any()


def test_partial_fit_takes_the_rows_in_their_order() -> None:
    trainers = made(), made()
    records = trainers[0].partial_fit(small(BYTES, LABELS)), trainers[1].partial_fit(BYTES, LABELS)
    assert trainers[0].network.parameters.tobytes() == trainers[1].network.parameters.tobytes()
    assert records[0].examples == records[1].examples == N


def test_callbacks_see_the_row_numbers_of_the_source() -> None:
    seen = Recorder(every=1)
    made().fit(small(BYTES, LABELS), epochs=1, callbacks=[seen])
    rows = np.concatenate([progress.rows for progress in seen.seen])
    assert sorted(rows) == list(range(N))
    assert (rows != np.arange(N)).any()
    assert {progress.batches for progress in seen.seen} == {63}


@pytest.mark.parametrize("at", [7, 20, 21, 22, 41, 42, 61])
def test_divergence_names_the_step_as_in_memory(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The windows have 21 batches each. The network gets back the parameters from before the bad update."""
    errors, parameters = [], []
    for data in (small(BYTES, LABELS, shuffle_buffer=75_000),), (BYTES, LABELS):
        trainer = made(optimizer="sgd", schedule=lambda step: 1e30 if step == at else 1.0, shuffle=False)
        with pytest.raises(DivergedError) as caught:
            trainer.fit(*data, epochs=1, callbacks=[Recorder(every=3)])
        errors.append((caught.value.epoch, caught.value.step, str(caught.value)))
        parameters.append(trainer.network.parameters.tobytes())
    assert errors[0] == errors[1]
    assert parameters[0] == parameters[1]


def damaged(what: str) -> tuple[Any, Any]:
    x, y = np.array(INPUTS["float32"]), LABELS.copy()
    if what == "x":
        x[701, 3] = np.nan
    elif what == "y":
        y[701] = 9
    return x, y


@pytest.mark.parametrize(("what", "message"), [("x", r"x\[701, 3\] is nan"), ("y", r"y\[701\] is 9")])
@pytest.mark.parametrize("how", ["fit", "exact", "evaluate", "load"])
def test_an_error_names_the_row(what: str, message: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = {"exact": None, "load": 10**9}.get(how, SMALL)
    for module in (source_rows, feeds):
        monkeypatch.setattr(module, "EXACT_BYTES", SMALL)
    data, trainer = source(damaged(what), shuffle_buffer=buffer, name="train.npy"), made()
    with pytest.raises(DataError, match=rf"^row 701 of train\.npy: {message}"):
        trainer.evaluate(data) if how == "evaluate" else trainer.fit(data, epochs=1)


class Failing(Slow):
    """Fails at the n-th call of `read`: with an error, or by something else that `act` does."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        super().__init__(BYTES, LABELS, 0.0)
        self._left, self._act = at, act

    def read(self, start: int, stop: int) -> Block:
        self._left -= 1
        if self._left == 0:
            self._act()
        return super().read(start, stop)


def test_an_error_of_the_reader_ends_the_fit() -> None:
    def act() -> None:
        raise OSError("the disk is gone")

    trainer = made()
    with pytest.raises(OSError, match="the disk is gone"):
        trainer.fit(source(Failing(150, act), shuffle_buffer=SMALL), epochs=1)
    assert trainer.steps > 0
    trainer.fit(small(BYTES, LABELS), epochs=1)  # the trainer can go on


def test_ctrl_c_ends_a_fit_that_waits_for_a_hanging_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def act() -> None:
        signal.raise_signal(signal.SIGINT)
        go_on.wait(10)

    monkeypatch.setattr("fastnet.backends.read_ahead.CLOSE_SECONDS", 0.1)
    trainer, began = made(), time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(source(Failing(150, act), shuffle_buffer=SMALL), epochs=3)
    assert time.monotonic() - began < 5
    assert len(trainer.history) == 1  # the part of the epoch that was trained
    assert 0 < trainer.history.epochs[-1].examples < N
    go_on.set()
    for _ in range(500):
        time.sleep(0.01 if readers_running() else 0)


def test_a_callback_may_stop_in_the_middle_of_a_window() -> None:
    trainer = made()
    trainer.fit(small(BYTES, LABELS), epochs=3, callbacks=[Recorder(every=5, act=lambda trainer, _: trainer.stop())])
    assert trainer.steps == 5


def test_the_rest_of_an_epoch_is_the_same_epoch() -> None:
    """A resumed training asks for the windows from a batch on. They are the rest of the windows of the epoch."""
    from fastnet.backends.interrupts import Interrupts
    from fastnet.source_rows import SourceRows

    rows = SourceRows(small(BYTES, LABELS), made().network)

    def trained(feed: feeds.Feed, first_row: int) -> list[int]:
        windows = feed.windows(True, np.random.default_rng(3), first_row, Interrupts())
        return [int(row) for window in windows for row in window.numbered(window.order)]

    whole = trained(feeds.SourceFeed(rows, 16), 0)
    for first_row in (16, 16 * 20, 16 * 40, 16 * 62):
        assert trained(feeds.SourceFeed(rows, 16), first_row) == whole[first_row:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": LABELS}, "leave out y"),
        ({"sample_weight": np.ones(N)}, "sample_weight is given beside a source"),
        ({"validation_split": 0.2}, "give validation_data"),
        ({"class_weight": {1: 0.0}}, "class_weight.1. is 0"),
    ],
)
def test_what_a_source_cannot_do_is_refused_in_words(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made().fit(small(BYTES, LABELS), epochs=1, **arguments)


def test_sparse_and_mixed_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="use 'auto'"):
        made(sparse=True).fit(small(BYTES, LABELS), epochs=1)

    class Mixed(Slow):
        def read(self, start: int, stop: int) -> Block:
            x, y = super().read(start, stop)
            return Block(x if start < 900 else x.astype(np.float32), y)

    with pytest.raises(DataError, match=r"are other numbers, but the first rows are bytes: give all rows one dtype"):
        made().fit(source(Mixed(BYTES, LABELS, 0.0), shuffle_buffer=SMALL), epochs=1)
    with pytest.raises(DataError, match="has no labels"):
        made().fit(small(BYTES, None), epochs=1)
