"""Threads that stand for the processes of a training."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest

import fastnet
from fastnet.distributed import ThreadCommunicator, in_threads


def test_the_collectives_are_those_of_mpi() -> None:
    def work(communicator: ThreadCommunicator) -> tuple[np.ndarray, np.ndarray, list[int], int]:
        rank = communicator.rank
        sent, received = np.array([1.0, rank]), np.empty(2)
        communicator.Allreduce(sent, received)
        own = np.array([float(rank)])
        communicator.Allreduce(own, own)  # in place
        return received, own, communicator.allgather(rank), communicator.bcast(rank * 10, root=2)

    for received, own, everyone, sent in in_threads(work, 3):
        assert received.tolist() == [3, 3]
        assert own.tolist() == [3]
        assert everyone == [0, 1, 2]
        assert sent == 20


def test_the_first_error_ends_all_threads() -> None:
    def work(communicator: ThreadCommunicator) -> None:
        if communicator.rank == 1:
            raise ArithmeticError("the second thread fails")
        communicator.allgather(0)  # waits for the second thread

    before = threading.active_count()
    with pytest.raises(ArithmeticError, match="the second thread fails"):
        in_threads(work, 3)
    assert threading.active_count() == before


def test_no_thread_waits_for_one_that_has_returned() -> None:
    def work(communicator: ThreadCommunicator) -> None:
        communicator.allgather(0)
        if communicator.rank != 1:
            communicator.allgather(0)

    with pytest.raises(threading.BrokenBarrierError, match="the same exchanges"):
        in_threads(work, 3)


def test_ctrl_c_ends_the_trainings_of_all_threads() -> None:
    x, y = np.random.default_rng(0).random((64, 3)), np.arange(64) % 2
    begun = threading.Event()

    def train(communicator: ThreadCommunicator) -> None:
        trainer = fastnet.Trainer(fastnet.Network([3, 4, 2], seed=0), communicator=communicator, averaging=4, seed=0)
        trainer.fit(x, y, epochs=10**6, callbacks=[lambda trainer, epoch: begun.set()])

    def interrupt() -> None:
        begun.wait(60)
        time.sleep(0.05)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        in_threads(train, 2)
