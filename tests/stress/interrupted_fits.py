"""The fit of a case: its data, its trainers, and the expected state after any number of updates."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet import Callback, Epoch, EpochSoFar, Network, Trainer

from .fits import bits
from .harness import Case, Unfit

ENDLESS = 10**6  # epochs


class StopAfter(Callback):
    """Stop a fit after a number of updates. It splits the epochs into other calls than `kills.Act` does."""

    def __init__(self, steps: int, batches: int) -> None:
        self._steps = steps
        self.every = steps % batches or None

    def on_batches(self, trainer: Trainer, progress: EpochSoFar) -> None:
        if trainer.steps == self._steps:
            trainer.stop()

    def on_epoch_end(self, trainer: Trainer, epoch: Epoch) -> None:
        if trainer.steps == self._steps:
            trainer.stop()


class Fit:
    """The data, the settings and the trainers of a case."""

    def __init__(self, case: Case) -> None:
        self.case = case
        sizes, rows = case["sizes"], case["rows"]
        if len(sizes) < 2 or min(sizes) < 1 or rows < 1 or case["batch"] < 1 or case["threads"] < 1:
            raise Unfit
        rng = np.random.default_rng(case["seed"])
        x = rng.integers(0, 256, (rows, sizes[0]), np.uint8)
        x[rng.random(x.shape) < 0.5] = 0
        self.y = rng.random((rows, sizes[-1]))
        self.x: Any = x if case["inputs"] == "uint8" else x / np.float64(255)
        if case["inputs"] == "float32":
            self.x = np.float32(self.x)
        if case["inputs"] == "sparse":
            import scipy.sparse

            self.x = scipy.sparse.csr_array(self.x)
        self.batches = -(-rows // case["batch"])

    def trainer(self) -> Trainer:
        case = self.case
        return Trainer(
            Network(case["sizes"], output="sigmoid", task="multilabel", seed=case["seed"], dtype=case["dtype"]),
            optimizer=case["optimizer"],
            learning_rate=1e-3,
            schedule=case["schedule"],
            batch_size=case["batch"],
            dropout=0.25 if case["dropout"] and len(case["sizes"]) > 2 else 0.0,
            threads=case["threads"],
            backend=case["backend"],
            seed=case["seed"],
        )

    def run(self, trainer: Trainer, epochs: int | None, *callbacks: Callback) -> None:
        validation = (self.x, self.y) if self.case["validation"] else None
        trainer.fit(self.x, self.y, epochs=epochs, validation_data=validation, callbacks=callbacks)

    def after(self, steps: int) -> Trainer:
        """Return an undisturbed trainer after `steps` updates."""
        trainer = self.trainer()
        if steps:
            self.run(trainer, ENDLESS, StopAfter(steps, self.batches))
        assert trainer.steps == steps
        return trainer

    def twin(self, trainer: Trainer) -> Trainer:
        """Return a new trainer with a copy of the trainer's state."""
        twin = self.trainer()
        twin.network.parameters[...] = trainer.network.parameters
        twin._state.moments[...] = trainer._state.moments
        twin._state.step, twin._epoch = trainer._state.step, trainer._epoch
        twin._rng.bit_generator.state = trainer._rng.bit_generator.state
        return twin

    def examples(self, steps: int) -> int:
        """Return the number of examples in the first `steps` updates."""
        epochs, more = divmod(steps, self.batches)
        return int(epochs * self.case["rows"] + more * self.case["batch"])


def go_on(fit: Fit, trainer: Trainer) -> None:
    """Check that the next epoch is whole and equals an epoch of an uninterrupted trainer with the same state."""
    twin, steps = fit.twin(trainer), trainer.steps
    fit.run(trainer, 1)
    fit.run(twin, 1)
    assert trainer.steps == steps + fit.batches
    assert bits(trainer) == bits(twin), "the trainer continues differently than a new trainer with its state"
