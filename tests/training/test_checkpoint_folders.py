"""The checkpoints of several processes: which update they go on from, and what is refused."""

from __future__ import annotations

import re
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnet import DataError, Network, Trainer
from fastnet.distributed import ThreadCommunicator, in_threads
from fastnet.training import checkpoint_writer
from fastnet.training.checkpoint_file import name_of, numbered, write
from fastnet.training.checkpoint_folders import newest
from fastnet.training.state import Process, TrainingState


def state_of(steps: int, rank: int, size: int) -> TrainingState:
    network = Network([3, 2], seed=rank)
    trainer = Trainer(network, seed=0)
    found = trainer.state()
    return TrainingState(**{**vars(found), "steps": steps, "process": Process(rank, size, 16)})


def fill(folder: Path, steps: list[list[int]]) -> None:
    """Write checkpoints after these updates, a list for each process."""
    for rank, each in enumerate(steps):
        (folder / f"rank-{rank}").mkdir(parents=True, exist_ok=True)
        for number in each:
            write(folder / f"rank-{rank}" / name_of(number), state_of(number, rank, len(steps)))


def found(folder: Path, n: int) -> list[int]:
    return in_threads(lambda communicator: newest(folder, communicator)[1].steps, n)


def test_the_newest_update_that_all_processes_have_is_taken(tmp_path: Path) -> None:
    fill(tmp_path, [[10, 20, 30], [10, 20], [20, 30, 40]])
    assert found(tmp_path, 3) == [20, 20, 20]
    states = in_threads(lambda communicator: newest(tmp_path, communicator)[1], 3)
    assert [state.process for state in states] == [Process(rank, 3, 16) for rank in range(3)]


def test_a_damaged_checkpoint_of_one_process_is_skipped_by_all(tmp_path: Path) -> None:
    fill(tmp_path, [[10, 20], [10, 20]])
    path = tmp_path / "rank-1" / name_of(20)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="a checkpoint is skipped: .*rank-1"):
        assert found(tmp_path, 2) == [10, 10]


@pytest.mark.parametrize(
    ("steps", "n", "error", "words"),
    [
        ([[], []], 2, DataError, "holds no checkpoint of these 2 processes"),
        ([[10], []], 2, DataError, "checkpoints of some processes only, and process 1 has none"),
        ([[10], [10]], 4, DataError, "checkpoints of some processes only, and processes 2, 3 have none"),
        ([[10], [20]], 2, DataError, "no update of which all 2 processes have a whole checkpoint"),
        (
            [[10], [10], [10]],
            2,
            ValueError,
            "is a checkpoint of process 0 of 3, and this is process 0 of 2",
        ),
    ],
)
def test_what_processes_cannot_go_on_from_is_refused_in_words(
    tmp_path: Path, steps: list[list[int]], n: int, error: type[Exception], words: str
) -> None:
    fill(tmp_path, steps)

    def words_of(communicator: Any) -> str:
        with pytest.raises(error) as caught:
            newest(tmp_path, communicator)
        return str(caught.value)

    told = in_threads(words_of, n)
    assert len({re.sub(r"process \d of", "", text) for text in told}) == 1  # all raise the same error
    assert words in told[0]


def test_one_process_cannot_go_on_alone(tmp_path: Path) -> None:
    fill(tmp_path, [[10], [10]])
    with pytest.raises(ValueError, match=r"holds the checkpoints of a training on 2 processes: run .* mpiexec -n 2"):
        Trainer.resume(tmp_path)
    with pytest.raises(ValueError, match=r"is a checkpoint of process 1 of 2: run .* the folder of all processes"):
        Trainer.resume(tmp_path / "rank-1")
    shutil.copy(tmp_path / "rank-0" / name_of(10), tmp_path / name_of(10))
    with pytest.raises(ValueError, match="is a checkpoint of process 0 of 2"):
        Trainer.resume(tmp_path)


def test_a_state_in_memory_is_that_of_one_process() -> None:
    """It goes on in this process only. Another one would train alone, or on another's optimiser state."""

    def resume(communicator: ThreadCommunicator) -> list[str]:
        words = []
        together = Trainer(Network([2, 2], seed=0), communicator=communicator).state()
        states = [(together, None), (Trainer(Network([2, 2])).state(), communicator)]
        states += [(communicator.bcast(together), communicator)]
        for state, given in states:
            try:
                Trainer.resume(state, communicator=given)
                words.append("none")
            except ValueError as error:
                words.append(str(error))
        return words

    _, found = in_threads(resume, 2)
    assert "the state is a checkpoint of process 1 of 2: run the program with mpiexec -n 2" in found[0]
    assert "the state is a checkpoint of a training on one process, and this is process 1 of 2" in found[1]
    assert "the state is a checkpoint of process 0 of 2, and this is process 1 of 2" in found[2]


def test_processes_write_all_states_and_keep_two_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state waits until the one before it is on the disk, however slow the disk is."""
    may_write = threading.Semaphore(0)
    written: list[int] = []

    def slow(path: Path, state: TrainingState) -> None:
        assert may_write.acquire(timeout=30)
        write(path, state)
        written.append(state.steps)

    monkeypatch.setattr(checkpoint_writer, "write", slow)
    writer = checkpoint_writer.Writer(tmp_path, 1, skips=False)
    state = state_of(0, 0, 2)
    for steps in range(1, 7):
        writer.write(TrainingState(**{**vars(state), "steps": steps}), is_due=True, is_best=False)
        assert len(written) >= steps - 1
        may_write.release()
    writer.end()
    assert written == [1, 2, 3, 4, 5, 6]
    assert [steps for steps, _ in numbered(tmp_path)] == [6, 5, 4]


def test_the_state_of_a_process_survives_its_file(tmp_path: Path) -> None:
    fill(tmp_path, [[7], [7]])
    read = in_threads(lambda communicator: newest(tmp_path, communicator), 2)
    for rank, (path, state) in enumerate(read):
        assert path == tmp_path / f"rank-{rank}" / name_of(7)
        np.testing.assert_array_equal(state.parameters, Network([3, 2], seed=rank).parameters)
