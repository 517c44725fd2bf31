"""What several processes train: one network, with the gradient of all their batches, or with averaged parameters.

Each test runs on threads that stand for processes, and on the processes of mpiexec, which test_mpi.py starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from pairwise import cover
from process_cases import BYTES, LABELS, LEADS, SIZES, VALUES, WEIGHTS, N, left_behind, make, rows_of, together

import fastnet
from fastnet.backends.interrupts import Together
from fastnet.data import source
from fastnet.distributed import Averaging, in_threads
from fastnet.training.chunks import Chunks

BACKENDS = ["numpy", "cython", "numba"]
INPUTS: dict[str, Any] = {
    "bytes": BYTES,
    "floats": BYTES / np.float64(255),
    "sparse": scipy.sparse.csr_matrix(BYTES.astype(np.float64) / 255),
}
REGRESSION = {"output": "identity", "cost": "half_squared_error"}
sizes = pytest.mark.parametrize("n", SIZES)


def on_whole_batches(n: int, uneven: bool, x: Any, y: Any, weights: Any, epochs: int, **settings: Any) -> Any:
    """Train on one process. Each update is made from the batches of all n processes, one after the other."""
    trainer, size = make(**settings, batch_size=1000), 8
    parts = [np.arange(N)[rows_of(rank, n, uneven)] for rank in range(n)]
    records = []
    for _ in range(epochs):
        for start in range(0, max(map(len, parts)), size):
            rows = np.concatenate([part[start : start + size] for part in parts])
            some = None if weights is None else weights[rows]
            records.append(trainer.partial_fit(x[rows], y[rows], sample_weight=some))
    return trainer, records


@sizes
@pytest.mark.parametrize(
    ("backend", "optimizer", "inputs", "uneven", "weighted", "regression", "more"),
    cover(
        BACKENDS,
        ["sgd", "momentum", "nesterov", "adam"],
        [*INPUTS],
        [False, True],
        [False, True],
        [False, True],
        [{}, {"clip_norm": 0.1}, {"weight_decay": 0.1}, {"clip_norm": 0.3, "weight_decay": 0.2}],
    ),
)
def test_averaged_gradients_equal_one_process_on_the_whole_batch(
    n: int,
    backend: str,
    optimizer: Any,
    inputs: str,
    uneven: bool,
    weighted: bool,
    regression: bool,
    more: dict[str, Any],
) -> None:
    settings = {"backend": backend, "optimizer": optimizer, "network": REGRESSION if regression else {}, **more}
    x, y, weights = INPUTS[inputs], VALUES if regression else LABELS, WEIGHTS if weighted else None

    def train(communicator: Any) -> Any:
        rows = rows_of(communicator.rank, n, uneven)
        trainer = make(communicator, shuffle=False, **settings)
        some = None if weights is None else weights[rows]
        history = trainer.fit(x[rows], y[rows], epochs=3, sample_weight=some)
        return trainer.network.parameters, history.to_dict(), trainer.steps

    alone, records = on_whole_batches(n, uneven, x, y, weights, 3, **settings)
    for parameters, history, steps in together(train, n):
        np.testing.assert_allclose(parameters, alone.network.parameters, rtol=1e-9, atol=1e-12)
        assert steps == alone.steps
        assert history["examples"] == [N] * 3
        assert history["averaging"] == [f"gradients of {n} processes"] * 3
        if not weighted:
            first = records[: len(records) // 3]
            cost = sum(record.cost * record.examples for record in first) / N
            assert history["cost"][0] == pytest.approx(cost, rel=1e-9)


@sizes
@pytest.mark.parametrize(
    ("backend", "averaging", "more", "uneven"),
    cover(
        BACKENDS,
        [1, 3, 1000, Averaging(4, warmup=1), Averaging(4, state="keep")],
        [{}, {"dropout": 0.3}, {"optimizer": "momentum", "clip_norm": 0.1}],
        [False, True],
    ),
)
def test_the_same_number_of_processes_gives_the_same_bits(
    n: int, backend: str, averaging: Any, more: dict[str, Any], uneven: bool
) -> None:
    def train(communicator: Any) -> Any:
        rows = rows_of(communicator.rank, n, uneven)
        trainer = make(communicator, backend=backend, averaging=averaging, network={"dtype": "float32"}, **more)
        trainer.fit(BYTES[rows], LABELS[rows], epochs=2)
        trainer.fit(BYTES[rows], LABELS[rows], epochs=1)
        return left_behind(trainer), left_behind(trainer, times=True)

    first, second = together(train, n), together(train, n)
    assert [bits for bits, _ in first] == [bits for bits, _ in second]
    parameters, moments, histories = zip(*(bits for _, bits in first), strict=True)
    assert len(set(parameters)) == len(set(histories)) == 1  # those of all processes, with the times
    if moments[0]:  # of Adam and momentum
        keeps = getattr(averaging, "state", "average") == "keep"
        assert len(set(moments)) == (n if keeps else 1)
    warmup = getattr(averaging, "warmup", 0)
    assert histories[0].count(f"gradients of {n} processes") == (3 if averaging == 1 else warmup)


@sizes
@pytest.mark.parametrize("state", ["average", "keep"])
def test_averaged_parameters_are_the_mean_of_trainings_alone(n: int, state: Any) -> None:
    """The mean is weighted by the numbers of examples."""
    parts = [rows_of(rank, n, uneven=True) for rank in range(n)]

    def train(communicator: Any, rows: slice) -> tuple[Any, Any]:
        averaging = {} if communicator is None else {"averaging": Averaging(1000, state=state)}
        trainer = make(communicator, shuffle=False, **averaging)
        trainer.fit(BYTES[rows], LABELS[rows], epochs=1)
        return trainer.network.parameters, trainer.state().moments

    alone = [train(None, rows) for rows in parts]
    means = [sum(found[k] * len(LABELS[rows]) / N for found, rows in zip(alone, parts, strict=True)) for k in range(2)]
    for rank, (parameters, moments) in enumerate(together(lambda c: train(c, parts[c.rank]), n)):
        np.testing.assert_allclose(parameters, means[0], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(moments, means[1] if state == "average" else alone[rank][1], rtol=1e-12, atol=1e-14)


@sizes
def test_each_process_draws_its_own_order(n: int) -> None:
    """Otherwise they would also drop out the same activations."""

    class Rows(fastnet.Callback):
        every = 1

        def __init__(self) -> None:
            self.seen: list[int] = []

        def on_batches(self, trainer: fastnet.Trainer, so_far: fastnet.EpochSoFar) -> None:
            self.seen += so_far.rows.tolist()

    def train(communicator: Any) -> list[int]:
        rows = Rows()
        make(communicator, averaging=4).fit(BYTES[:20], LABELS[:20], epochs=1, callbacks=[rows])
        return rows.seen

    seen = together(train, n)
    assert all(sorted(rows) == list(range(20)) for rows in seen)
    assert len(set(map(tuple, seen))) == n


@sizes
@pytest.mark.parametrize("averaging", [1, 4])
def test_a_source_equals_rows_in_memory(n: int, averaging: int) -> None:
    def train(communicator: Any, reads: bool) -> Any:
        rows = rows_of(communicator.rank, n, uneven=True)
        x, y = BYTES[rows], LABELS[rows]
        trainer = make(communicator, averaging=averaging, shuffle=False)
        trainer.fit(*((source((x, y), shuffle_buffer=4000),) if reads else (x, y)), epochs=3)
        return left_behind(trainer)

    assert together(lambda communicator: train(communicator, True), n) == together(
        lambda communicator: train(communicator, False), n
    )


@sizes
@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("averaging", [1, 4])
def test_the_records_cover_the_rows_of_all_processes(n: int, averaging: int, regression: bool) -> None:
    """With a learning rate of 0, the records hold the evaluation of the new network on all rows."""
    network, targets = (REGRESSION, VALUES) if regression else ({}, LABELS)

    def train(communicator: Any) -> Any:
        rows = rows_of(communicator.rank, n, uneven=True)
        x, y, weights = BYTES[rows], targets[rows], WEIGHTS[rows]
        trainer = make(communicator, averaging=averaging, network=network, learning_rate=0.0)
        trainer.fit(x, y, epochs=1, validation_data=(x, y, weights))
        read = source((x, y), shuffle_buffer=4000)
        return trainer.fit(read, epochs=1, validation_data=read).epochs

    evaluate = make(network=network).network.evaluate
    plain, weighted = evaluate(BYTES, targets), evaluate(BYTES, targets, sample_weight=WEIGHTS)
    for in_memory, from_source in together(train, n):
        for epoch, on_validation in ((in_memory, weighted), (from_source, plain)):
            found = [getattr(epoch, name) for name in plain._fields]
            assert found == pytest.approx(list(plain), nan_ok=True)
            validated = [getattr(epoch, f"validation_{name}") for name in plain._fields]
            assert validated == pytest.approx(list(on_validation), nan_ok=True)
            assert epoch.examples == N


@sizes
def test_r2_covers_the_row_of_a_process_that_has_one(n: int) -> None:
    """R2 of one row alone is nan."""

    def train(communicator: Any) -> Any:
        rows = slice(0, 1) if communicator.rank == n - 1 else slice(1 + communicator.rank, None, n - 1)
        x, y = BYTES[rows], VALUES[rows]
        trainer = make(communicator, network=REGRESSION, learning_rate=0.0)
        found = []
        for validation in ((x, y), source((x, y))):
            stopping = fastnet.EarlyStopping("validation_r2")
            trainer.fit(x, y, epochs=1, validation_data=validation, callbacks=[stopping])
            found += [trainer.history.epochs[-1].validation_r2]
        return found

    expected = make(network=REGRESSION).network.evaluate(BYTES, VALUES).r2
    for found in together(train, n):
        assert found == pytest.approx([expected, expected])


@sizes
def test_the_schedule_sees_the_updates_of_all_processes(n: int) -> None:
    """The last process has one batch in an epoch. The schedule ends for all of them with the longest epoch."""

    def train(communicator: Any) -> Any:
        rows = rows_of(communicator.rank, n, uneven=True)
        trainer = make(communicator, averaging=4, schedule="cosine")
        return trainer.fit(BYTES[rows], LABELS[rows], epochs=2)["learning_rate"], trainer.steps

    (first, *others) = together(train, n)
    assert others == [first] * len(others)
    rates, steps = first
    assert rates[0] > rates[1] > 0
    assert steps == 2 * -(-len(range(*rows_of(0, n, uneven=True).indices(N))) // 8)


@sizes
def test_a_function_as_a_schedule_is_the_same_in_all_processes(n: int) -> None:
    """Its address in memory differs."""

    def train(communicator: Any) -> Any:
        trainer = make(communicator, schedule=lambda step: 1 / (1 + step))
        return trainer.fit(BYTES, LABELS, epochs=1)["learning_rate"]

    assert together(train, n) == [[0.05 / 26]] * n


@sizes
def test_auto_chooses_once_and_the_same_in_all_processes(n: int) -> None:
    def train(communicator: Any) -> Any:
        rows = rows_of(communicator.rank, n)
        trainer = make(communicator, averaging="auto")
        trainer.fit(BYTES[rows], LABELS[rows], epochs=2)
        return trainer.fit(BYTES[rows], LABELS[rows], epochs=2)["averaging"], trainer.state().process.every

    found = together(train, n)
    (texts, every), *others = found
    assert others == [(texts, every)] * len(others)
    assert len(set(texts)) == 1
    assert every in (1, 2, 4, 8, 16, 32, 64)


@sizes
def test_early_stopping_ends_all_processes_after_the_same_epoch(n: int) -> None:
    def train(communicator: Any) -> Any:
        rows = rows_of(communicator.rank, n)
        callbacks = [fastnet.EarlyStopping("cost", patience=2), fastnet.ReduceOnPlateau("cost", patience=1)]
        trainer = make(communicator, averaging=4, learning_rate=2.0)
        trainer.fit(BYTES[rows], LABELS[rows], epochs=200, callbacks=callbacks)
        return left_behind(trainer)

    (first, *others) = together(train, n)
    assert others == [first] * len(others)
    assert len(eval(first[2], {"nan": np.nan})["epoch"]) < 200


@sizes
@pytest.mark.parametrize("within_an_epoch", [False, True])
def test_stop_in_one_process_stops_all(n: int, within_an_epoch: bool) -> None:
    class Stop(fastnet.Callback):
        every = 3

        def on_batches(self, trainer: fastnet.Trainer, so_far: fastnet.EpochSoFar) -> None:
            if within_an_epoch and so_far.epoch == 2:
                trainer.stop()

        def on_epoch_end(self, trainer: fastnet.Trainer, epoch: fastnet.Epoch) -> None:
            if not within_an_epoch and epoch.epoch == 2:
                trainer.stop()

    def train(communicator: Any) -> Any:
        rows = rows_of(communicator.rank, n)
        trainer = make(communicator, averaging=4)
        trainer.fit(BYTES[rows], LABELS[rows], epochs=10**6, callbacks=[Stop()] if communicator.rank == n - 1 else [])
        return left_behind(trainer)

    (first, *others) = together(train, n)
    assert others == [first] * len(others)
    history = eval(first[2], {"nan": np.nan})
    assert history["epoch"] == [1, 2]
    assert (history["examples"][1] == N) is not within_an_epoch


@sizes
def test_ctrl_c_between_two_averages_leaves_all_with_the_same_network(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainers can go on. Callbacks that keep a state for a resumed training see that without the last average."""
    monkeypatch.setattr(Chunks, "next_size", lambda *_: 5)

    class Interrupting(fastnet.Callback):
        every = 3

        def __init__(self, group: Together) -> None:
            self.group = group

        def on_batches(self, trainer: fastnet.Trainer, so_far: fastnet.EpochSoFar) -> None:
            if so_far.epoch == 2 and trainer.communicator.rank == n - 1:
                self.group.stop()

        def on_fit_end(self, trainer: fastnet.Trainer) -> None:
            self.kept = trainer.network.parameters.copy()

    def train(communicator: Any) -> Any:
        trainer, group = make(communicator, averaging=1000), Together()
        interrupting = Interrupting(group)
        with pytest.raises(KeyboardInterrupt):
            group.context().run(trainer.fit, BYTES, LABELS, epochs=2, callbacks=[interrupting])
        trained = left_behind(trainer)
        trainer.fit(BYTES, LABELS, epochs=1)
        return trained, trainer.steps, interrupting.kept.tobytes()

    found = together(train, n)
    (trained, steps, _), *others = found
    assert [other[:2] for other in others] == [(trained, steps)] * len(others)
    assert steps == 26 + 5 + 26
    assert len({kept for _, _, kept in found}) == n


@sizes
def test_the_first_process_alone_writes_logs_and_shows_a_bar(
    n: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(communicator: Any) -> list[str]:
        path = communicator.bcast(tmp_path / "log.csv")
        callbacks = [fastnet.CSVLogger(path), fastnet.ProgressBar()]
        make(communicator).fit(BYTES, LABELS, epochs=2, callbacks=callbacks)
        return [line.partition(",")[0] for line in path.read_text().splitlines()]

    assert together(train, n) == [["epoch", "1", "2"]] * n
    assert capsys.readouterr().err.count("epoch 1/2 |") == LEADS


def test_one_process_with_a_communicator_trains_as_one_without() -> None:
    def train(communicator: Any) -> Any:
        trainer = make(communicator, averaging=4)
        trainer.fit(BYTES, LABELS, epochs=2)
        return left_behind(trainer)

    without = make()
    without.fit(BYTES, LABELS, epochs=2)
    assert in_threads(train, 1) == [left_behind(without)]
