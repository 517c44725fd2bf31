"""Ctrl-C during a fit: fit stops soon, at a batch boundary, and keeps all finished steps.

A timer sends real signals. On an idle machine a fit stops within 0.2 s. The tests allow 1 s and print the time (-rP).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import name_of

from fastnet import Callback, Epoch, EpochSoFar, Network, Trainer
from fastnet.kernels import contract as c
from fastnet.kernels import numpy_backend

SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")  # with a sanitizer the kernels are many times slower
ALLOWED = 5.0 if SANITIZED else 1.0  # seconds
X = np.random.default_rng(0).integers(0, 256, (4000, 100), np.uint8)
Y = np.random.default_rng(1).integers(0, 10, 4000)

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="os.kill sends no SIGINT on Windows"),
    pytest.mark.usefixtures("usual_sigint_handler"),
    pytest.mark.filterwarnings("ignore:the network does not learn:UserWarning"),  # the labels are random
]


@pytest.fixture
def name(backend: Any) -> str:
    """Return the name of each backend of this machine."""
    return name_of(backend)


class Sender:
    """Send one SIGINT `delay` seconds after start(), but not before ready() is true. `sent` is the signal's time."""

    def __init__(self, delay: float, ready: Callable[[], bool] = lambda: True) -> None:
        self.sent = 0.0
        self._ready = ready
        self._timer = threading.Timer(delay, self._send)

    def _send(self) -> None:
        while not self._ready():
            time.sleep(0.01)
        self.sent = time.perf_counter()
        os.kill(os.getpid(), signal.SIGINT)

    def start(self) -> None:
        self._timer.start()

    def seconds(self) -> float:
        """Return the seconds since the signal."""
        return time.perf_counter() - self.sent

    def close(self) -> None:
        self._timer.cancel()
        with contextlib.suppress(RuntimeError):  # the timer was never started
            self._timer.join()


@contextlib.contextmanager
def interrupt(delay: float = 0.2, *, start: bool = True, ready: Callable[[], bool] = lambda: True) -> Iterator[Sender]:
    """Check that the KeyboardInterrupt of a Sender ends the block in time."""
    sender = Sender(delay, ready)
    try:
        if start:
            sender.start()
        with pytest.raises(KeyboardInterrupt):
            yield sender
        seconds = sender.seconds()
    finally:
        sender.close()
    assert sender.sent
    print(f"answered after {seconds:.3f} s")
    assert seconds < ALLOWED


class Act(Callback):
    def __init__(self, act: Callable[[], object], every: int | None = None) -> None:
        self.act = act
        self.every = every

    def on_batches(self, trainer: Trainer, progress: EpochSoFar) -> None:
        self.act()


def make(name: str = "numpy", **arguments: Any) -> Trainer:
    net = Network([100, 16, 10], seed=0)
    return Trainer(net, **{"optimizer": "momentum", "batch_size": 10, "backend": name, "seed": 0} | arguments)


def wide(name: str, **arguments: Any) -> Trainer:
    """Return a trainer of a wide network, for which a pass over ten thousand rows takes long."""
    net = Network([100, 1024, 1024, 10], activation="relu", seed=0)
    return Trainer(net, optimizer="sgd", learning_rate=1e-4, backend=name, seed=0, **arguments)


def after_steps(steps: int, **arguments: Any) -> Trainer:
    """Return a trainer that a callback stopped after `steps` updates."""
    trainer = make(**arguments)
    whole, rest = divmod(steps, 400)
    trainer.fit(X, Y, epochs=whole)
    if rest:
        trainer.fit(X, Y, epochs=1, callbacks=[Act(trainer.stop, rest)])
    assert trainer.steps == steps
    return trainer


# -- when the signal arrives -----------------------------------------------------------------------------------


def test_interrupt_between_small_batches(name: str) -> None:
    make(name).fit(X, Y, epochs=1)  # compiles if necessary
    trainer = make(name)
    with interrupt():
        trainer.fit(X, Y, epochs=10**6)
    twin = after_steps(trainer.steps, name=name)
    assert trainer.network.parameters.tobytes() == twin.network.parameters.tobytes()
    assert sum(trainer.history["examples"]) == 10 * trainer.steps
    assert trainer.history["epoch"] == list(range(1, len(trainer.history) + 1))
    before = len(trainer.history)
    trainer.fit(X, Y, epochs=2)  # training can continue
    assert len(trainer.history) == before + 2
    assert trainer.history["examples"][-2:] == [4000, 4000]


def test_interrupt_in_one_enormous_step(name: str) -> None:
    make(name).fit(X, Y, epochs=1)
    trainer = wide(name, batch_size=1 << 30)
    before = trainer.network.parameters.copy()
    with interrupt():
        trainer.fit(np.tile(X, (40, 1)), np.tile(Y, 40), epochs=1)
    assert trainer.steps == 0
    assert trainer.network.parameters.tobytes() == before.tobytes()
    assert len(trainer.history) == 0
    assert trainer.fit(X[:100], Y[:100], epochs=1)["epoch"] == [1]


def test_interrupt_between_long_steps(name: str) -> None:
    make(name).fit(X, Y, epochs=1)
    trainer = wide(name, batch_size=1000)
    with interrupt(ready=lambda: trainer.steps > 0):
        trainer.fit(np.tile(X, (10, 1)), np.tile(Y, 10), epochs=100)
    assert trainer.steps > 0
    assert sum(trainer.history["examples"]) == 1000 * trainer.steps


def test_interrupt_during_validation(name: str) -> None:
    x, y = np.tile(X, (40, 1)), np.tile(Y, 40)
    make(name).fit(X, Y, epochs=1)
    trainer = wide(name, batch_size=10)
    with interrupt(0.1, start=False) as sender:
        trainer.fit(X[:10], Y[:10], epochs=5, validation_data=(x, y), callbacks=[Act(sender.start, 1)])
    assert trainer.steps == 1
    assert trainer.history["examples"] == [10]
    assert np.isnan(trainer.history["validation_cost"][0])


def test_interrupt_after_a_fit_of_few_examples(name: str) -> None:
    """Batches of the second fit take much longer than those of the first, so a chunk must have fewer batches."""
    net = Network([100, 100, 10], activation="relu", seed=0)  # its calls are below LONG_BATCH and run in this thread
    trainer = Trainer(net, optimizer="sgd", learning_rate=1e-4, batch_size=20_000, backend=name, seed=0)
    trainer.fit(X[:1], Y[:1], epochs=50)
    x, y = np.tile(X, (800, 1)), np.tile(Y, 800)
    with interrupt():
        trainer.fit(x, y, epochs=10**6)


def test_interrupt_ends_a_slow_callback() -> None:
    trainer = make()
    ends: list[Epoch] = []

    def slow(_: Trainer, epoch: Epoch) -> None:
        time.sleep(30)
        ends.append(epoch)

    with interrupt():
        trainer.fit(X, Y, epochs=2, callbacks=[slow])
    assert ends == []
    assert trainer.history["examples"] == [4000]
    assert len(trainer.fit(X, Y, epochs=1)) == 2


def test_interrupt_ends_a_slow_callback_on_batches() -> None:
    trainer = make()
    with interrupt():
        trainer.fit(X, Y, epochs=1, callbacks=[Act(lambda: time.sleep(30), 7)])
    assert trainer.steps == 7
    assert trainer.network.parameters.tobytes() == after_steps(7).network.parameters.tobytes()
    trainer.fit(X, Y, epochs=1)
    assert trainer.history["examples"][-1] == 4000


def test_interrupt_in_partial_fit(name: str) -> None:
    trainer = Trainer(Network([100, 256, 10], seed=0), batch_size=10, backend=name, seed=0)
    trainer.partial_fit(X, Y)
    x, y = np.tile(X, (300, 1)), np.tile(Y, 300)
    with interrupt():
        while True:
            trainer.partial_fit(x, y)
    steps = trainer.steps
    assert np.isfinite(trainer.network.parameters).all()
    trainer.partial_fit(X, Y)
    assert trainer.steps == steps + 400


# -- the user's own handlers -------------------------------------------------------------------------------------


@contextlib.contextmanager
def handler(function: Any) -> Iterator[None]:
    before = signal.signal(signal.SIGINT, function)
    try:
        yield
        assert signal.getsignal(signal.SIGINT) is function
    except KeyboardInterrupt:  # the error would end the whole test run
        pytest.fail("fit raised KeyboardInterrupt instead of calling the user's handler")
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_user_s_handler_is_called_once_at_a_batch_boundary(name: str) -> None:
    trainer = make(name)
    trainer.fit(X, Y, epochs=1)
    calls: list[tuple[int, bytes, int]] = []

    def note(number: int, frame: object) -> None:
        calls.append((number, trainer.network.parameters.tobytes(), trainer.steps))

    sender = Sender(0.2)
    with handler(note):
        sender.start()
        trainer.fit(X, Y, epochs=10**6)  # fit ends, although the handler raises nothing
        seconds = sender.seconds()
        sender.close()
    assert seconds < ALLOWED
    number, parameters, steps = calls[0]
    assert len(calls) == 1
    assert number == signal.SIGINT
    assert (parameters, steps) == (trainer.network.parameters.tobytes(), trainer.steps)
    assert parameters == after_steps(steps, name=name).network.parameters.tobytes()


def test_signals_at_the_same_time_count_once() -> None:
    def factor(step: int) -> float:  # called between two epochs, when fit delays signals
        if step == 450:
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGINT)
        return 1.0

    trainer = make(schedule=factor)
    calls: list[int] = []
    with handler(lambda number, frame: calls.append(trainer.steps)):
        trainer.fit(X, Y, epochs=3)
    assert calls == [400]
    assert trainer.history["epoch"] == [1]


def test_a_user_s_handler_may_raise_any_exception() -> None:
    class Enough(Exception):
        pass

    def fail(number: int, frame: object) -> None:
        raise Enough

    trainer = make()
    sender = Sender(0.2)
    with handler(fail):
        sender.start()
        with pytest.raises(Enough):
            trainer.fit(X, Y, epochs=10**6)
        sender.close()
    assert len(trainer.history) > 0


@pytest.mark.parametrize("ignored", [signal.SIG_IGN])
def test_an_ignored_signal_stays_ignored(ignored: Any) -> None:
    trainer = make()
    sender = Sender(0.05)
    with handler(ignored):
        sender.start()
        while not sender.sent or sender.seconds() < 0.1:
            trainer.fit(X, Y, epochs=1)
        sender.close()
    assert set(trainer.history["examples"]) == {4000}


def test_the_handler_is_restored_after_an_error() -> None:
    def fail(trainer: Trainer, epoch: Epoch) -> None:
        raise LookupError

    def mine(number: int, frame: object) -> None: ...

    with handler(mine):
        with pytest.raises(LookupError):
            make().fit(X, Y, epochs=1, callbacks=[fail])
        with pytest.raises(ValueError, match="x"):
            make().fit(X[:, :5], Y, epochs=1)


def test_fit_works_in_another_thread(name: str) -> None:
    trainer, twin = make(name), make(name)
    twin.fit(X, Y, epochs=2)
    thread = threading.Thread(target=trainer.fit, args=(X, Y), kwargs={"epochs": 2})
    thread.start()
    thread.join()
    assert trainer.network.parameters.tobytes() == twin.network.parameters.tobytes()


# -- while numba compiles ------------------------------------------------------------------------------------------

COMPILING = """
import os, signal, threading, time
import numpy as np, fastnet
trainer = fastnet.Trainer(fastnet.Network([3, 2], dtype=np.float64), backend="numba")
sent = []
def send():
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)
threading.Timer(1.0, send).start()
try:
    trainer.fit(np.ones((4, 3)), np.zeros(4, int), epochs=10**9)
except KeyboardInterrupt:
    print(time.perf_counter() - sent[0], trainer.steps, flush=True)
"""


def test_interrupt_while_numba_compiles(name: str, tmp_path: Path) -> None:
    if name != "numba":
        pytest.skip("only Numba compiles on first use")
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", COMPILING], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    seconds, steps = done.stdout.split()
    print(f"answered after {seconds} s, {steps} steps")
    assert float(seconds) < ALLOWED
    assert int(steps) == 0


def test_interrupt_in_a_callback_on_batches_keeps_the_record_of_the_epoch() -> None:
    trainer = make()

    def strike() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y, epochs=1, callbacks=[Act(strike, 50)])
    assert trainer.steps == 50
    assert trainer.history["examples"] == [500]


@pytest.mark.parametrize(("rows", "in_a_thread"), [(100, False), (6000, True)])
def test_a_long_batch_of_a_narrow_network_runs_in_a_thread(
    rows: int, in_a_thread: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network has few parameters but many layers. The activations of the layers also count as work."""
    threads = []
    train = numpy_backend.train

    def spy(call: c.TrainCall) -> float:
        threads.append(threading.current_thread())
        return train(call)

    monkeypatch.setattr(numpy_backend, "train", spy)
    trainer = Trainer(Network([1] * 60, activation="tanh"), batch_size=1 << 30, backend="numpy")
    trainer.fit(np.zeros((rows, 1), np.uint8), np.zeros(rows, int), epochs=1)
    assert [thread is not threading.main_thread() for thread in threads] == [in_a_thread]
