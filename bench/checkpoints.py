"""How long a checkpoint holds up the training: `python -m fastnet.bench.checkpoints`.

The time of `Trainer.state`, which the training waits for, beside the time of copying the parameters and Adam's moments,
and the time in which a thread then writes the file.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fastnet.network import Network
from fastnet.text import duration, table
from fastnet.training import Callback, Checkpoint, Trainer
from fastnet.training.checkpoint_file import write

NETWORKS = ([784, 16, 16, 10], [784, 512, 512, 10])
ROUNDS = 30


class Timed(Callback):
    """Measure the parts of a checkpoint in the middle of a fit."""

    def on_epoch_end(self, trainer: Trainer, epoch: object) -> None:
        """Time a state, a copy and a write."""
        state = trainer.state()
        self.n_parameters = state.parameters.size
        with tempfile.TemporaryDirectory() as folder:
            self.write = median_of(lambda: write(Path(folder, "checkpoint.npz"), state))
            checkpoint = Checkpoint(folder, seconds=0)
            checkpoint.on_fit_begin(trainer, None)  # type: ignore[arg-type]  # without a measure it reads no info
            pause = 2 * self.write  # so that the thread writes each checkpoint before the next one
            self.copy = median_of(lambda: (state.parameters.copy(), state.moments.copy()), pause)
            self.held = median_of(lambda: checkpoint.on_batches(trainer, None), pause)  # type: ignore[arg-type]  # nor this
            checkpoint.on_fit_end(trainer)


def median_of(function: Callable[[], object], pause: float = 0.0) -> float:
    """Return the median time of a call in seconds. `pause` seconds pass between two calls."""
    times = []
    for _ in range(ROUNDS):
        time.sleep(pause)
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def measured(sizes: Sequence[int]) -> Timed:
    """Return the times for a network of these sizes with Adam."""
    rng, timed = np.random.default_rng(0), Timed()
    x, y = rng.random((1000, sizes[0]), np.float32), rng.integers(0, sizes[-1], 1000)
    Trainer(Network(sizes, seed=0), seed=0).fit(x, y, epochs=1, callbacks=[timed])
    return timed


def main() -> None:
    """Print the table."""
    rows: list[tuple[str, ...]] = [
        ("parameters", "copy of parameters and moments", "held up by a checkpoint", "file written in")
    ]
    for sizes in NETWORKS:
        found = measured(sizes)
        rows.append((f"{found.n_parameters:,}", *map(duration, (found.copy, found.held, found.write))))
    print(table(rows))


if __name__ == "__main__":
    main()
