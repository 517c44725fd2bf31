"""Trainings of several processes that stop and go on from their checkpoints: here the processes are threads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pairwise import cover

from fastnet import Callback, Checkpoint, DataError, Network, Trainer
from fastnet.distributed import Averaging, ThreadCommunicator, in_threads
from fastnet.training import ranks
from fastnet.training.checkpoint_file import numbered
from fastnet.training.chunks import Chunks
from fastnet.training.early_stopping import EarlyStopping

SIZE, EPOCHS = 3, 3
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(200, 6)), RNG.integers(0, 3, 200)
ROWS = [slice(0, 90), slice(90, 130), slice(130, 200)]  # 12, 5 and 9 batches


def trainer(communicator: ThreadCommunicator | None, **settings: Any) -> Trainer:
    network = Network([6, 8, 3], activation="tanh", output="softmax", cost="cross_entropy", seed=1, dtype="float64")
    return Trainer(network, batch_size=8, seed=5, communicator=communicator, **settings)


def data(communicator: ThreadCommunicator) -> dict[str, Any]:
    rows = ROWS[communicator.rank]
    return {"x": X[rows], "y": Y[rows], "validation_data": (X[rows], Y[rows])}


@pytest.fixture(autouse=True)
def at_each_meeting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let callbacks run at each meeting of the processes, and let them meet often: these trainings are short."""
    monkeypatch.setattr(ranks, "TELL_SECONDS", -1.0)
    monkeypatch.setattr(Chunks, "next_size", lambda *_: 5)


def result(found: Trainer) -> tuple[Any, ...]:
    """Return what must be equal to the bit: parameters, state of the optimiser, and the history without times."""
    state = found.state()
    return state.parameters.tobytes(), state.moments.tobytes(), state.steps, found.history["validation_cost"]


CASES = cover(
    ("adam", "momentum", "sgd"),
    (1, 4, Averaging(4, state="keep"), Averaging(7, warmup=1)),
    (0.0, 0.4),
    ("cython", "numpy"),
)


@pytest.mark.parametrize(("optimizer", "averaging", "dropout", "backend"), CASES)
def test_a_training_goes_on_with_the_same_bits_from_any_update(
    tmp_path: Path, optimizer: Any, averaging: Any, dropout: float, backend: Any
) -> None:
    """The processes have unequal numbers of rows. Some checkpoints lie between two averages."""
    settings = {"optimizer": optimizer, "averaging": averaging, "dropout": dropout, "backend": backend}

    def whole(communicator: ThreadCommunicator) -> tuple[Any, ...]:
        made = trainer(communicator, **settings)
        made.fit(**data(communicator), epochs=EPOCHS, callbacks=[Checkpoint(tmp_path, seconds=0, keep=1000)])
        return result(made)

    expected = in_threads(whole, SIZE)
    assert len({found[0] for found in expected}) == 1  # at the end all have the same parameters
    steps = [step for step, _ in numbered(tmp_path / "rank-1")]
    assert len(steps) > 4
    for step in steps[1 :: len(steps) // 3]:
        folder = tmp_path / f"from-{step}"
        for rank in range(SIZE):
            (folder / f"rank-{rank}").mkdir(parents=True)
            for number, path in numbered(tmp_path / f"rank-{rank}"):
                if number <= step:
                    shutil.copy(path, folder / f"rank-{rank}")

        def go_on(communicator: ThreadCommunicator, folder: Path = folder, step: int = step) -> tuple[Any, ...]:
            resumed = Trainer.resume(folder, communicator=communicator)
            assert resumed.steps == step
            assert resumed.averaging == trainer(communicator, **settings).averaging
            resumed.fit(**data(communicator), callbacks=[Checkpoint(folder, seconds=0)])
            return result(resumed)

        assert in_threads(go_on, SIZE) == expected, f"from update {step}"


def test_the_choice_of_auto_is_kept(tmp_path: Path) -> None:
    def begin(communicator: ThreadCommunicator) -> str:
        made = trainer(communicator)
        made.fit(**data(communicator), epochs=1, callbacks=[Checkpoint(tmp_path)])
        return made.history.epochs[-1].averaging

    def go_on(communicator: ThreadCommunicator) -> str:
        resumed = Trainer.resume(tmp_path, communicator=communicator)
        assert resumed.averaging == Averaging("auto")
        resumed.fit(**data(communicator), epochs=2)
        return resumed.history.epochs[-1].averaging

    chosen = in_threads(begin, SIZE)
    assert in_threads(go_on, SIZE) == chosen


class FailsAt(Callback):
    """Fails in one process after an epoch."""

    def __init__(self, rank: int, epoch: int) -> None:
        self.rank, self.epoch = rank, epoch

    def on_epoch_end(self, trainer: Any, epoch: Any) -> None:
        if (trainer.communicator.rank, epoch.epoch) == (self.rank, self.epoch):
            raise OSError("power")


def test_all_processes_go_on_after_the_error_of_one(tmp_path: Path) -> None:
    """EarlyStopping keeps its state. The checkpoint of epoch 3 is missing in process 2 only."""

    def stopping() -> EarlyStopping:
        return EarlyStopping(patience=2, monitor="validation_cost")

    def whole(communicator: ThreadCommunicator) -> tuple[Any, ...]:
        made = trainer(communicator, averaging=4)
        made.fit(**data(communicator), epochs=6, callbacks=[stopping()])
        return result(made)

    def fails(communicator: ThreadCommunicator) -> None:
        callbacks = [stopping(), FailsAt(2, 3), Checkpoint(tmp_path)]
        with pytest.raises(OSError, match="process 2 of 3: power"):
            trainer(communicator, averaging=4).fit(**data(communicator), epochs=6, callbacks=callbacks)

    def go_on(communicator: ThreadCommunicator) -> tuple[Any, ...]:
        resumed = Trainer.resume(tmp_path, communicator=communicator)
        assert resumed.steps == 24
        resumed.fit(**data(communicator), callbacks=[stopping(), Checkpoint(tmp_path)])
        return result(resumed)

    expected = in_threads(whole, SIZE)
    in_threads(fails, SIZE)
    assert in_threads(go_on, SIZE) == expected


def test_a_folder_in_use_ends_all_processes(tmp_path: Path) -> None:
    """Process 1 finds the checkpoints of a longer training. All processes raise its error, before the first update."""

    def longer(communicator: ThreadCommunicator) -> None:
        trainer(communicator, averaging=4).fit(**data(communicator), epochs=3, callbacks=[Checkpoint(tmp_path)])

    def again(communicator: ThreadCommunicator) -> None:
        made = trainer(communicator, averaging=4)
        with pytest.raises(
            ValueError, match=r"process 1 of 3: .*rank-1.* holds .* of a longer training: go on from it"
        ):
            made.fit(**data(communicator), epochs=1, callbacks=[Checkpoint(tmp_path)])
        assert made.steps == 0

    in_threads(longer, SIZE)
    for rank in (0, 2):
        shutil.rmtree(tmp_path / f"rank-{rank}")
    in_threads(again, SIZE)


def test_another_number_of_processes_is_refused(tmp_path: Path) -> None:
    def begin(communicator: ThreadCommunicator) -> None:
        trainer(communicator, averaging=4).fit(**data(communicator), epochs=1, callbacks=[Checkpoint(tmp_path)])

    in_threads(begin, SIZE)
    with pytest.raises(ValueError, match="is a checkpoint of process 0 of 3, and this is process 0 of 2"):
        in_threads(lambda communicator: Trainer.resume(tmp_path, communicator=communicator), 2)
    with pytest.raises(DataError, match="checkpoints of some processes only, and process 3 has none there"):
        in_threads(lambda communicator: Trainer.resume(tmp_path, communicator=communicator), 4)
