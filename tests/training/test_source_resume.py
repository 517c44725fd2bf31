"""A training on a source that stops in the middle of an epoch, and goes on from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kernel_cases as kc
import pytest
from conftest import name_of
from source_cases import BYTES, LABELS, N_IN, N_OUT, SMALL, Chunks, Slow, small
from trainer_cases import Recorder

from fastnet import Network, Trainer, source_rows
from fastnet.data import source
from fastnet.source import Source
from fastnet.training import checkpoint_file, feeds

KINDS = ["blocks", "exact", "slow", "stream"]


def data(kind: str) -> Source:
    if kind == "exact":
        return source((BYTES, LABELS), shuffle_buffer=None)
    reader: Any = {"slow": Slow(BYTES, LABELS), "stream": Chunks(BYTES, LABELS, 50)}.get(kind, (BYTES, LABELS))
    return source(reader, shuffle_buffer=SMALL)


def made(backend: str) -> Trainer:
    return Trainer(Network([N_IN, 6, N_OUT], seed=0), batch_size=16, seed=1, backend=backend, dropout=0.2)


@kc.pairs("backend", kind=KINDS, at=[1, 20, 41, 62])
def test_a_resumed_fit_gives_the_bits_of_one_that_never_stopped(
    backend: Any, kind: str, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint is written after batch number `at` of the last epoch."""
    for module in (source_rows, feeds):
        monkeypatch.setattr(module, "EXACT_BYTES", SMALL)
    trainer, epochs = made(name_of(backend)), 1 if kind == "stream" else 2

    def write(trainer: Trainer, progress: Any) -> None:
        if progress.epoch == epochs and progress.batch == at:
            checkpoint_file.write(tmp_path / checkpoint_file.name_of(trainer.steps), trainer.state())

    history = trainer.fit(data(kind), epochs=epochs, callbacks=[Recorder(every=1, act=write)])
    resumed = Trainer.resume(tmp_path)
    assert resumed.steps == trainer.steps - 63 + at
    found = resumed.fit(data(kind))
    assert resumed.network.parameters.tobytes() == trainer.network.parameters.tobytes()
    for name in ("epoch", "cost", "accuracy", "examples"):
        assert found[name] == history[name], name


def test_another_source_or_another_buffer_is_refused(tmp_path: Path) -> None:
    def write(trainer: Trainer, progress: Any) -> None:
        checkpoint_file.write(tmp_path / checkpoint_file.name_of(trainer.steps), trainer.state())

    made("numpy").fit(small(BYTES, LABELS), epochs=2, callbacks=[Recorder(every=40, act=write)])
    for other in (small(BYTES[:-1], LABELS[:-1]), small(BYTES, LABELS, shuffle_buffer=50_000)):
        with pytest.raises(ValueError, match=r"differs from the interrupted fit's"):
            Trainer.resume(tmp_path).fit(other)
