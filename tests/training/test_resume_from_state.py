"""A training goes on from what `Trainer.state` returned, and from one checkpoint file, with the bits of a whole fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainer_cases import X, Y, make

from fastnet import Trainer
from fastnet.training.checkpoint_file import write


def test_a_trainer_goes_on_from_a_state_in_memory_or_from_one_file(tmp_path: Path) -> None:
    states: list[Any] = []

    def take(trainer: Trainer, epoch: Any) -> None:
        if epoch.epoch == 2:
            states.append(trainer.state())

    trainer = make(optimizer="adam", schedule="cosine", dropout=0.3)
    trainer.fit(X, Y, epochs=5, callbacks=[take])
    write(tmp_path / "state.npz", states[0])
    before = states[0].network.parameters.tobytes()
    for found in (states[0], tmp_path / "state.npz"):
        resumed = Trainer.resume(found)
        resumed.fit(X, Y)
        assert resumed.network.parameters.tobytes() == trainer.network.parameters.tobytes()
    assert states[0].network.parameters.tobytes() == before  # the state's network is another one
