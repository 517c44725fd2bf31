"""The program of test_mpiexec.py: a training of several processes, whole, killed or resumed.

python kill_and_resume.py gradients|parameters whole|killed|resumed FOLDER. It prints a line for each process.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

import fastnet
from fastnet.distributed import Averaging, mpi
from fastnet.training import ranks
from fastnet.training.checkpoint_file import numbered
from fastnet.training.chunks import Chunks

N, EPOCHS = 3000, 4
RNG = np.random.default_rng(0)
X, Y = RNG.integers(0, 256, (N, 20), np.uint8), RNG.integers(0, 3, N)
# The gradients, and the parameters with an optimiser's state that each process keeps.
SETTINGS: dict[str, dict[str, Any]] = {
    "gradients": {"averaging": 1, "dropout": 0.2, "optimizer": "adam"},
    "parameters": {"averaging": Averaging(16, state="keep"), "dropout": 0.2, "optimizer": "momentum"},
}


class Killed(fastnet.Callback):
    """Kills one process by SIGKILL within the second epoch, once all processes have a checkpoint from within it."""

    every = 1

    def __init__(self, folder: Path, communicator: Any) -> None:
        self.folder, self.rank, self.size = folder, communicator.rank, communicator.size

    def on_batches(self, trainer: Any, so_far: Any) -> None:
        if self.rank != self.size - 1 or so_far.epoch < 2 or so_far.batch < 100:
            return
        made = [{steps for steps, _ in numbered(self.folder / f"rank-{rank}")} for rank in range(self.size)]
        if any(0 < step - so_far.batches < so_far.batches for step in set.intersection(*made)):
            os.kill(os.getpid(), signal.SIGKILL)


def main(name: str, what: str, folder: Path) -> None:
    communicator = mpi.world()
    ranks.TELL_SECONDS = -1.0  # so that this short training writes checkpoints within an epoch
    Chunks.next_size = lambda *_: 20  # type: ignore[method-assign]  # and so that the processes meet often
    cut = N // communicator.size // 2  # the last process has more rows than the others
    first = communicator.rank * cut
    rows = slice(first, first + cut if communicator.rank + 1 < communicator.size else N)
    checkpoint = fastnet.Checkpoint(folder, seconds=0)
    if what == "resumed":
        trainer = fastnet.Trainer.resume(folder, communicator=communicator)
        print(f"process {communicator.rank} goes on after update {trainer.steps}", flush=True)
        trainer.fit(X[rows], Y[rows], callbacks=[checkpoint])
    else:
        network = fastnet.Network([20, 30, 3], seed=1)
        trainer = fastnet.Trainer(network, batch_size=10, seed=3, communicator=communicator, **SETTINGS[name])
        callbacks = [] if what == "whole" else [checkpoint, Killed(folder, communicator)]
        trainer.fit(X[rows], Y[rows], epochs=EPOCHS, callbacks=callbacks)
    state = trainer.state()
    own = hashlib.sha256(state.parameters.tobytes() + state.moments.tobytes()).hexdigest()
    for line in communicator.allgather(f"process {communicator.rank} after {state.steps} updates: {own}"):
        if communicator.rank == 0:
            print(line, flush=True)


main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
