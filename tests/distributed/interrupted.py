"""A program for mpiexec: the last process gets Ctrl-C in a long training. python interrupted.py EVERY."""

from __future__ import annotations

import os
import signal
import sys
import threading

import numpy as np

import fastnet
from fastnet.distributed import world

communicator = world()
last, rng = communicator.rank == communicator.size - 1, np.random.default_rng(communicator.rank)


def press(trainer: fastnet.Trainer, epoch: fastnet.Epoch) -> None:
    """Press Ctrl-C a moment after the third epoch, while the kernels train or the processes meet."""
    if epoch.epoch == 3 and last:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()


network = fastnet.Network([200, 64, 2], seed=0)
trainer = fastnet.Trainer(network, communicator=communicator, averaging=int(sys.argv[1]), seed=0, batch_size=10)
try:
    trainer.fit(rng.random((1000, 200)), rng.integers(0, 2, 1000), epochs=10**7, callbacks=[press])
except KeyboardInterrupt as error:
    history = trainer.history.epochs[-1]
    print(f"{communicator.rank}: {error!r} {network.parameters.sum()!r} {history.epoch} {history.examples}", flush=True)
