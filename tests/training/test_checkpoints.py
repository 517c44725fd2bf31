"""Checkpoint: which files it writes and keeps, damaged files, writes that fail, and its thread."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainer_cases import X, Y, bits, make

from fastnet import Adam, Callback, Checkpoint, DataError, EarlyStopping, Epoch, Network, Trainer
from fastnet.training import checkpoint_file, checkpoint_writer
from fastnet.training.checkpoint_file import read, write

BATCHES = 7  # of an epoch of make()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def steps(folder: Path) -> list[int]:
    return sorted(number for number, _ in checkpoint_file.numbered(folder))


@pytest.mark.parametrize(("every", "keep", "left"), [(1, 3, [4, 5, 6]), (2, 3, [2, 4, 6]), (4, 2, [4, 6]), (9, 1, [6])])
def test_every_and_keep(tmp_path: Path, every: int, keep: int, left: list[int]) -> None:
    """The end of a fit is always written."""
    wait = Waiting()
    trainer = make()
    trainer.fit(X, Y, epochs=6, callbacks=[Checkpoint(tmp_path / "new", every=every, keep=keep), wait])
    assert steps(tmp_path / "new") == [BATCHES * epochs for epochs in left]
    assert bits(trainer) == Network.load(tmp_path / "new" / f"checkpoint-{6 * BATCHES:010}.npz").parameters.tobytes()


class Waiting(Callback):
    """Give the writer the time to write each checkpoint, so that no newer one takes its place."""

    comes_last = True

    def on_epoch_end(self, trainer: Trainer, epoch: Epoch) -> None:
        time.sleep(0.02)


def test_seconds_write_within_an_epoch(tmp_path: Path) -> None:
    class Look(Waiting):
        every = 3

        def on_batches(self, trainer: Trainer, so_far: Any) -> None:
            time.sleep(0.02)
            seen.append((trainer.steps, steps(tmp_path)[-1:]))

    seen: list[Any] = []
    make().fit(X, Y, epochs=2, callbacks=[Look(), Checkpoint(tmp_path, seconds=0)])
    assert seen == [(3, []), (6, [3]), (10, [7]), (13, [10])]
    seen.clear()
    make().fit(X, Y, epochs=2, callbacks=[Look(), Checkpoint(tmp_path / "rare", seconds=3600)])
    assert names(tmp_path / "rare") == [f"checkpoint-{2 * BATCHES:010}.npz"]


def test_best_is_the_checkpoint_of_the_best_epoch_of_the_whole_training(tmp_path: Path) -> None:
    parameters: list[bytes] = []

    def note(trainer: Trainer, epoch: Epoch) -> None:
        parameters.append(bits(trainer))

    trainer, data = make(learning_rate=2.0, optimizer="adam"), {"x": X, "y": Y, "validation_data": (X[::-1], Y)}
    for _ in range(2):
        trainer.fit(**data, epochs=4, callbacks=[note, Checkpoint(tmp_path, best="validation_cost", keep=1)])
        best = int(np.argmin(trainer.history["validation_cost"]))
        state = read(tmp_path / "best.npz")
        assert (state.n_epochs, state.parameters.tobytes()) == (best + 1, parameters[best])
    assert best + 1 < len(parameters)  # else the last checkpoint would do
    with pytest.raises(ValueError, match="validation_cost is nan in each epoch of this fit"):
        trainer.fit(X, Y, epochs=1, callbacks=[Checkpoint(tmp_path, best="validation_cost")])


def test_a_checkpoint_comes_after_the_callbacks_and_before_their_end(tmp_path: Path) -> None:
    """So it holds the last epoch's states and parameters, not the best parameters that EarlyStopping restores."""
    trainer = make(learning_rate=1.0)
    stopping = EarlyStopping("cost", patience=1)
    trainer.fit(X, Y, epochs=50, callbacks=[Checkpoint(tmp_path), stopping])
    state = read(checkpoint_file.numbered(tmp_path)[0][1])
    assert stopping.best_epoch is not None
    assert state.fit is not None
    assert state.fit.is_stopped
    assert state.n_epochs == len(trainer.history) > stopping.best_epoch
    assert [name for name, _ in state.fit.callbacks] == ["EarlyStopping"]
    assert state.fit.callbacks[0][1]["parameters"].tobytes() == bits(trainer) != state.parameters.tobytes()


# -- damaged files -------------------------------------------------------------------------------------------------


def test_a_damaged_checkpoint_is_skipped_with_its_name(tmp_path: Path) -> None:
    make().fit(X, Y, epochs=3, callbacks=[Checkpoint(tmp_path), Waiting()])
    *_, third, newest = sorted(tmp_path.iterdir())
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.warns(UserWarning, match=f"a checkpoint is skipped: .*{newest.name}"):
        resumed = Trainer.resume(tmp_path)
    assert third.name == f"checkpoint-{resumed.steps:010}.npz"
    resumed.fit(X, Y, callbacks=[Checkpoint(tmp_path)])  # the damaged file is no longer training


def test_a_whole_file_is_read_or_refused(tmp_path: Path) -> None:
    """A changed byte is found, or it stands between the arrays and changes nothing."""
    trainer = make(optimizer="adam", seed=np.random.Generator(np.random.MT19937(0)))
    trainer.fit(X, Y, epochs=2, callbacks=[EarlyStopping("cost"), Checkpoint(tmp_path)])
    path = checkpoint_file.numbered(tmp_path)[0][1]
    whole, right = path.read_bytes(), said(path)
    rng, refused = np.random.default_rng(0), 0
    for _ in range(300):
        content = bytearray(whole)
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            assert said(path) == right
        except DataError:
            refused += 1
    assert refused > 200


def said(path: Path) -> list[Any]:
    """Return all that a checkpoint says."""
    state = read(path)
    found = {name: value for name, value in vars(state).items() if name != "network"}
    return [state.network.sizes, repr({name: np.asarray(value).tolist() for name, value in found.items()})]


HOSTILE: dict[str, Any] = {
    "an unknown class": {"settings": {"optimizer": ["os.system", {}], "schedule": ["Constant", {}]}},
    "an unknown generator": {"generator": {"bit_generator": "__class__", "state": {}}},
    "a state of the wrong kind": {"generator": {"bit_generator": "PCG64", "state": {"state": "x", "inc": 1}}},
    "too many updates": {"steps": 2**80},
    "no number": {"learning_rate": "fast"},
    "a negative batch size": {"settings": {"batch_size": -1}},
    "an unknown setting": {"settings": {"colour": 1}},
    "records without numbers": {"texts": [[["numpy", "", "dense"], 10**12]]},
    "an array that is missing": {"fit": {"callbacks": [["EarlyStopping", {}, {"parameters": "array_99"}]]}},
}


@pytest.mark.filterwarnings("ignore:a checkpoint is skipped")
@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_hostile_content_with_a_right_checksum_is_refused(tmp_path: Path, change: Any, monkeypatch: Any) -> None:
    make().fit(X, Y, epochs=2, callbacks=[Checkpoint(tmp_path)])
    path = checkpoint_file.numbered(tmp_path)[0][1]
    usual = checkpoint_file._checksum

    def changed(arrays: dict[str, Any]) -> Any:
        about = json.loads(arrays["training"].tobytes())
        for name, value in change.items():
            about[name] = {**about[name], **value} if isinstance(value, dict) else value
        arrays["training"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        return usual(arrays)

    state = read(path)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_file, "_checksum", changed)
        write(path, state)
    for other in checkpoint_file.numbered(tmp_path)[1:]:
        other[1].unlink()
    with pytest.raises(DataError, match=r"holds no whole checkpoint|is not a checkpoint that fastnet wrote"):
        Trainer.resume(tmp_path)


def test_a_folder_of_a_longer_training_is_refused(tmp_path: Path) -> None:
    make().fit(X, Y, epochs=3, callbacks=[Checkpoint(tmp_path)])
    before = names(tmp_path)
    with pytest.raises(ValueError, match=r"of a longer training: go on from it with Trainer\.resume, or give another"):
        make().fit(X, Y, epochs=1, callbacks=[Checkpoint(tmp_path)])
    assert names(tmp_path) == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no locks of folders")
def test_a_folder_that_another_training_writes_to_is_refused_until_its_end(tmp_path: Path) -> None:
    def another(trainer: Trainer, epoch: Epoch) -> None:
        with pytest.raises(DataError, match="another training writes to"):
            make().fit(X, Y, epochs=1, callbacks=[Checkpoint(tmp_path)])

    trainer, checkpoint = make(), Checkpoint(tmp_path)
    for _ in range(2):
        trainer.fit(X, Y, epochs=1, callbacks=[another, checkpoint])


# -- writes that fail, and the thread ------------------------------------------------------------------------------


def test_a_write_that_fails_warns_once_and_the_training_goes_on(tmp_path: Path, monkeypatch: Any) -> None:
    undisturbed, trainer = make(), make()
    undisturbed.fit(X, Y, epochs=6)
    usual, count = checkpoint_writer.write, 0

    def full(path: Path, state: Any) -> None:
        nonlocal count
        count += 1
        if 2 <= count <= 4:
            raise DataError(f"cannot write {path}") from OSError(errno.ENOSPC, "No space left on device")
        usual(path, state)

    monkeypatch.setattr(checkpoint_writer, "write", full)
    with pytest.warns(
        UserWarning, match="a checkpoint was not written, and the training goes on: cannot write"
    ) as told:
        trainer.fit(X, Y, epochs=6, callbacks=[Checkpoint(tmp_path, keep=9), Waiting()])
    assert len(told) == 1
    assert bits(trainer) == bits(undisturbed)
    assert steps(tmp_path) == [BATCHES * epoch for epoch in (1, 5, 6)]


def test_a_slow_disk_does_not_slow_the_training(tmp_path: Path, monkeypatch: Any) -> None:
    """While one checkpoint is written, at most one waits, and that is the newest."""
    usual, go, written = checkpoint_writer.write, threading.Event(), []

    def slow(path: Path, state: Any) -> None:
        assert go.wait(10)
        written.append(state.n_epochs)
        usual(path, state)

    class Go(Callback):
        def on_fit_end(self, trainer: Trainer) -> None:
            go.set()  # before the Checkpoint's end, since it comes after it in the list

    monkeypatch.setattr(checkpoint_writer, "write", slow)
    end = Go()
    end.comes_last = True
    make().fit(X, Y, epochs=20, callbacks=[Checkpoint(tmp_path), end])
    assert len(written) <= 2
    assert written[-1] == 20
    assert not [thread for thread in threading.enumerate() if thread.name == "fastnet"]


def test_a_slow_disk_gets_both_kinds_and_the_best_one_first(tmp_path: Path, monkeypatch: Any) -> None:
    """Whatever checkpoint a kill leaves, best.npz has the best epoch of its history, and no later one is missing."""
    usual, best, numbered = checkpoint_writer.write, 0, []

    def slow(path: Path, state: Any) -> None:
        nonlocal best
        time.sleep(0.01)
        usual(path, state)
        if path.name == "best.npz":
            best = state.n_epochs
        else:
            numbered.append((best, 1 + int(np.argmin([epoch.cost for epoch in state.history]))))

    monkeypatch.setattr(checkpoint_writer, "write", slow)
    make(learning_rate=0.01).fit(X, Y, epochs=300, callbacks=[Checkpoint(tmp_path, best="cost")])
    assert 3 < len(numbered) < 300  # the writer was the slower one, and numbered checkpoints did not wait for the end
    assert all(written >= needed for written, needed in numbered)


def test_without_threads_the_training_writes_itself(tmp_path: Path, monkeypatch: Any) -> None:
    def none(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    make().fit(X, Y, epochs=2, callbacks=[Checkpoint(tmp_path)])
    assert steps(tmp_path) == [BATCHES, 2 * BATCHES]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX systems fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_that_is_forked_during_a_fit_ends_and_writes_nothing(tmp_path: Path) -> None:
    def fork(trainer: Trainer, epoch: Epoch) -> None:
        if epoch.epoch != 2:
            return
        if child := os.fork():
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert max(steps(tmp_path), default=0) <= 2 * BATCHES  # the writer may not have begun
        else:
            signal.alarm(20)  # kills a child that hangs
            return

    parent = os.getpid()
    make().fit(X, Y, epochs=4, callbacks=[fork, Checkpoint(tmp_path)])
    if os.getpid() != parent:
        os._exit(0)
    assert max(steps(tmp_path)) == 4 * BATCHES


# -- what cannot be kept -------------------------------------------------------------------------------------------


def test_what_a_checkpoint_cannot_keep_is_refused_before_the_training(tmp_path: Path) -> None:
    class Own(Adam):
        pass

    class Odd(Callback):
        @property
        def state(self) -> Mapping[str, Any]:
            return {"set": {1, 2}}

    with pytest.raises(ValueError, match=r"a checkpoint cannot keep .*Own.*: use one of fastnet's own optimisers"):
        make(optimizer=Own()).fit(X, Y, epochs=1, callbacks=[Checkpoint(tmp_path)])
    trainer = make()
    with pytest.raises(TypeError, match=r"the state of Odd holds \{1, 2\} as 'set'; a checkpoint keeps numbers, texts"):
        trainer.fit(X, Y, epochs=1, callbacks=[Odd(), Checkpoint(tmp_path)])
    assert trainer.steps == 0


@pytest.mark.parametrize("arguments", [{"every": 0}, {"seconds": -1}, {"keep": 0}, {"best": "speed"}, {"folder": 3}])
def test_checkpoint_refuses_settings(arguments: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=next(iter(arguments)).replace("best", "monitor")):
        Checkpoint(**{"folder": "x", **arguments})
