"""An error in one of several processes ends all of them with its words. A fit that differs between them never begins.

Each test runs on threads that stand for processes, and on the processes of mpiexec, which test_mpi.py starts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import pytest
from process_cases import BYTES, LABELS, SIZES, VALUES, make, outcomes, rows_of

import fastnet
from fastnet.data import source
from fastnet.source import Block

sizes = pytest.mark.parametrize("n", SIZES)
REGRESSION = {"activation": "identity", "output": "identity", "cost": "squared_error"}


class Failing(fastnet.Callback):
    """A callback that acts in the second epoch, or at the fit's begin or end."""

    every = 3

    def __init__(self, where: str, act: Callable[[fastnet.Trainer], object]) -> None:
        self._where, self._act = where, act

    def _called(self, where: str, trainer: fastnet.Trainer, epoch: int = 2) -> None:
        if where == self._where and epoch == 2:
            self._act(trainer)

    def on_fit_begin(self, trainer: fastnet.Trainer, info: fastnet.FitInfo) -> None:
        self._called("begin", trainer)

    def on_batches(self, trainer: fastnet.Trainer, so_far: fastnet.EpochSoFar) -> None:
        self._called("batches", trainer, so_far.epoch)

    def on_epoch_end(self, trainer: fastnet.Trainer, epoch: fastnet.Epoch) -> None:
        self._called("epoch", trainer, epoch.epoch)

    def on_fit_end(self, trainer: fastnet.Trainer) -> None:
        self._called("end", trainer)


class TwoArguments(Exception):
    """An error that cannot be pickled."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")

    def __reduce__(self) -> NoReturn:
        raise TypeError("no pickle")


def fail(error: Callable[..., BaseException], *arguments: str) -> Callable[[fastnet.Trainer], object]:
    def act(trainer: fastnet.Trainer) -> None:
        raise error(*arguments)

    return act


def set_rate(trainer: fastnet.Trainer) -> None:
    trainer.learning_rate *= 0.5


def set_parameters(trainer: fastnet.Trainer) -> None:
    trainer.network.parameters[0] += 1


def fit_again(trainer: fastnet.Trainer) -> None:
    trainer.fit(BYTES, LABELS, epochs=1)


@sizes
@pytest.mark.parametrize("averaging", [1, 4])
@pytest.mark.parametrize(
    ("where", "act", "words"),
    [
        ("begin", fail(OSError, "the disk is full"), "OSError: process {} of {}: the disk is full"),
        ("batches", fail(OSError, "the disk is full"), "OSError: process {} of {}: the disk is full"),
        ("epoch", fail(OSError, "the disk is full"), "OSError: process {} of {}: the disk is full"),
        ("end", fail(OSError, "the disk is full"), "OSError: process {} of {}: the disk is full"),
        ("batches", fail(KeyboardInterrupt), "KeyboardInterrupt: process {} of {}"),
        ("epoch", fail(TwoArguments, "one", "two"), "process {} of {}: TwoArguments: one and two"),
        ("epoch", fail(SystemExit, "enough"), "process {} of {}: SystemExit: enough"),
        ("epoch", set_rate, "ValueError: process {} of {}: the learning rate is 0.025 here and 0.05 in process 0 of"),
        ("epoch", set_parameters, "ValueError: process {} of {}: the parameters differ from those of process 0 of"),
        ("batches", fit_again, "RuntimeError: process {} of {}: a callback called fit of its own trainer"),
    ],
)
def test_a_callback_that_fails_in_one_process_ends_all(
    n: int, where: str, act: Any, words: str, averaging: int
) -> None:
    def train(communicator: Any) -> None:
        rows = rows_of(communicator.rank, n)
        callbacks = [Failing(where, act)] if communicator.rank == n - 1 else []
        make(communicator, averaging=averaging).fit(
            BYTES[rows], LABELS[rows], epochs=2 if where == "end" else 10**6, callbacks=callbacks
        )

    found, expected = outcomes(train, n), words.format(n - 1, n)
    assert [text for text in found[:-1] if not text.removeprefix("FastnetError: ").startswith(expected)] == []
    # The process itself raises its own error, whose words stay as they are if they are not the only argument.
    assert expected.rpartition(": ")[2] in found[-1]


@sizes
@pytest.mark.parametrize("averaging", [1, 4, 10**6])
def test_a_process_that_diverges_ends_all(n: int, averaging: int) -> None:
    def train(communicator: Any) -> None:
        rows = rows_of(communicator.rank, n)
        scale = 1e200 if communicator.rank == n - 1 else 1.0
        trainer = make(communicator, averaging=averaging, optimizer="sgd", network=REGRESSION)
        try:
            trainer.fit(BYTES[rows], VALUES[rows] * scale, epochs=10**6)
        finally:
            assert np.isfinite(trainer.network.parameters).all()

    found = outcomes(train, n)
    assert len(set(found)) == 1
    assert "no longer finite in epoch 1, step" in found[0]
    assert found[0].startswith("DivergedError: the " if averaging == 1 else f"DivergedError: process {n - 1} of {n}: ")


@sizes
@pytest.mark.parametrize("reads", [False, True])
def test_averaged_gradients_diverge_at_the_step_of_one_process(n: int, reads: bool) -> None:
    """All processes have the same rows, so they equal one process. The network gets back its last good parameters."""

    def train(communicator: Any) -> str:
        trainer = make(communicator, optimizer="sgd", network=REGRESSION, learning_rate=3.0, shuffle=False)
        data: Any = BYTES, VALUES
        if reads and communicator is not None:  # the windows of a source are overwritten
            data = (source(data, shuffle_buffer=4000),)
        with pytest.raises(fastnet.DivergedError) as caught:
            trainer.fit(*data, epochs=1000)
        return (
            f"{caught.value.epoch} {caught.value.step} {trainer.steps} {np.abs(trainer.network.parameters).max():.6g}"
        )

    found = outcomes(lambda communicator: fail(ValueError, train(communicator))(None), n)
    assert set(found) == {f"ValueError: {train(None)}"}


class Fading:
    """A reader whose rows are lost in the second epoch."""

    def __init__(self, rows: slice) -> None:
        self._x, self._y, self._reads = BYTES[rows], LABELS[rows], 0

    def __len__(self) -> int:
        return len(self._x)

    def read(self, start: int, stop: int) -> Block:
        self._reads += stop - start
        if self._reads > 1.5 * len(self):
            raise OSError("the network drive is gone")
        return Block(self._x[start:stop], self._y[start:stop])


@sizes
@pytest.mark.parametrize("averaging", [1, 4])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda fit, rows: fit | {"x": np.full((9, 70), np.nan), "y": LABELS[:9]},
            "ValueError: process {}: x[0, 0] is nan",
        ),
        (lambda fit, rows: fit | {"x": BYTES[:, :9]}, "ValueError: process {}: x has shape"),
        (lambda fit, rows: fit | {"x": BYTES[:0], "y": LABELS[:0]}, "ValueError: process {}: "),
        (lambda fit, rows: fit | {"y": LABELS[rows] + 1}, "ValueError: process {}: y"),
        (
            lambda fit, rows: fit | {"x": source(Fading(rows), shuffle_buffer=4000), "y": None},
            "the network drive is gone",
        ),
        (
            lambda fit, rows: fit | {"validation_data": (BYTES, LABELS)},
            "ValueError: the processes differ in the validation",
        ),
        (lambda fit, rows: fit | {"class_weight": {0: 2.0}}, "differ in class_weight: None in process 0"),
        (lambda fit, rows: fit | {"validation_split": 0.1}, "differ in validation_split: 0.0 in process 0"),
        (
            lambda fit, rows: fit | {"epochs": 9},
            "ValueError: the processes differ in the number of epochs: 10 in process 0",
        ),
        (lambda fit, rows: fit | {"callbacks": [3]}, "TypeError: process {}: a callback is"),
    ],
)
def test_bad_data_in_one_process_end_all(n: int, change: Any, words: str, averaging: int) -> None:
    def train(communicator: Any) -> None:
        rows = rows_of(communicator.rank, n)
        arguments = {"x": BYTES[rows], "y": LABELS[rows], "epochs": 10}
        if communicator.rank == n - 1:
            arguments = change(arguments, rows)
        make(communicator, averaging=averaging).fit(**arguments)

    found = outcomes(train, n)
    assert len(set(found)) == 1
    assert words.format(f"{n - 1} of {n}") in found[0]


@sizes
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "sgd"}, "the processes differ in optimizer: Adam"),
        ({"learning_rate": 0.5}, "the processes differ in learning_rate: 0.05 in process 0 of {0}, 0.5 in process {1}"),
        ({"schedule": "cosine"}, "the processes differ in schedule: Constant"),
        ({"batch_size": 9}, "the processes differ in batch_size: 8 in process 0"),
        ({"weight_decay": 0.1}, "the processes differ in weight_decay: 0.0"),
        ({"clip_norm": 0.1}, "the processes differ in clip_norm: None"),
        ({"dropout": 0.1}, "the processes differ in dropout: (0.0,)"),
        ({"shuffle": False}, "the processes differ in shuffle: True"),
        ({"backend": "cython"}, "the processes differ in the"),
        ({"averaging": 5}, "the processes differ in averaging: Averaging(every=4"),
        ({"network": {"dtype": "float32"}}, "the processes differ in the network: "),
        ({"network": {"activation": "relu"}}, "the processes differ in the network: "),
        ({"network": {"init": "normal"}}, "the processes differ in the network's parameters: hash "),
    ],
)
def test_other_settings_in_one_process_are_refused_before_the_first_update(
    n: int, settings: dict[str, Any], words: str
) -> None:
    def train(communicator: Any) -> None:
        rows = rows_of(communicator.rank, n)
        more = settings if communicator.rank == n - 1 else {}
        trainer = make(communicator, **{"averaging": 4} | more)
        before = trainer.network.parameters.copy()
        try:
            trainer.fit(BYTES[rows], LABELS[rows], epochs=2)
        finally:
            assert np.array_equal(trainer.network.parameters, before)

    found = outcomes(train, n)
    assert len(set(found)) == 1
    assert f"ValueError: {words.format(n, n - 1)}" in found[0]


@sizes
def test_another_version_in_one_process_is_refused(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastnet.training import ranks_fit

    real = ranks_fit.facts_of

    def facts_of(trainer: Any, fit: Any, software: dict[str, str]) -> dict[str, str]:
        return real(trainer, fit, software | ({"fastnet": "0.1.9"} if trainer.communicator.rank == n - 1 else {}))

    def train(communicator: Any) -> None:
        rows = rows_of(communicator.rank, n)
        make(communicator).fit(BYTES[rows], LABELS[rows], epochs=2)

    monkeypatch.setattr(ranks_fit, "facts_of", facts_of)
    found = outcomes(train, n)
    assert set(found) == {
        f"ValueError: the processes differ in the version of fastnet: {fastnet.__version__} in process 0 of {n}, "
        f"0.1.9 in process {n - 1} of {n}; give all processes the same"
    }


@sizes
def test_a_stream_and_a_part_of_a_stream_are_refused(n: int) -> None:
    def train(communicator: Any) -> None:
        make(communicator).partial_fit(BYTES, LABELS)

    assert set(outcomes(train, n)) == {"ValueError: partial_fit trains on one process: give each process' rows to fit"}

    class Chunks:
        def chunks(self) -> Any:
            yield Block(BYTES, LABELS)

    def stream(communicator: Any) -> None:
        make(communicator).fit(source(Chunks()), epochs=1)

    assert [text for text in outcomes(stream, n) if "ValueError: a stream has no known length" not in text] == []


@sizes
def test_a_backend_that_cannot_update_is_refused_for_gradients(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastnet.kernels import numpy_backend

    def train(communicator: Any, averaging: Any) -> None:
        make(communicator, averaging=averaging).fit(BYTES, LABELS, epochs=1)

    monkeypatch.delattr(numpy_backend, "update")
    found = outcomes(lambda communicator: train(communicator, 1), n)
    assert [text for text in found if "cannot average gradients, since it has no `update`" not in text] == []
    for averaging in (16, "auto"):
        assert set(outcomes(lambda communicator, every=averaging: train(communicator, every), n)) == {"none"}
