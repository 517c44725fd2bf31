"""Callbacks that raise, train, fork, wait for ever or change the fit itself, for the program `changes`."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnet import Callback, Epoch, EpochSoFar, Trainer

from .disturbances import SOON, Disturbance, check_refusal, kind, raised, refused
from .fits import At, Fit, bits
from .harness import Case


class OwnError(BaseException):
    """A BaseException that `except Exception` does not catch."""


ERRORS = (KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration, MemoryError, OwnError, ZeroDivisionError)
RAISES = (*(error.__name__ for error in ERRORS), "RecursionError")
CHILD_SECONDS = 90  # a child that runs longer is killed


@kind(*RAISES)
def raises(fit: Fit, case: Case) -> str:
    """A callback raises. Afterwards the trainer is at a batch boundary and can continue."""
    error = next((e for e in ERRORS if e.__name__ == case["what"]), RecursionError)(case["seed"])
    at, handler = 1 + case["at"] % fit.steps, signal.getsignal(signal.SIGINT)
    trainer = fit.trainer()

    def deeper() -> None:
        deeper()

    def act() -> None:
        if case["what"] == "RecursionError":
            deeper()
        raise error

    found = raised(lambda: trainer.fit(*fit.data(), epochs=fit.epochs, callbacks=[At(at, act)]))
    too_deep = case["what"] == "RecursionError" and isinstance(found, RecursionError)
    assert found is error or too_deep, f"the fit raised another error: {found!r}"
    assert signal.getsignal(signal.SIGINT) is handler
    return goes_on(fit, trainer, at)


def goes_on(fit: Fit, trainer: Trainer, steps: int) -> str:
    """Check that the trainer has made `steps` updates and continues like a trainer that was stopped there."""
    twin = fit.stopped_at(steps)
    assert bits(trainer) == bits(twin), "the network is not at the batch boundary"
    for each in (trainer, twin):
        each.fit(*fit.data(), epochs=1)
    assert bits(trainer) == bits(twin), "the trainer does not continue from the batch boundary"
    return "goes on from the batch boundary"


@kind(*RAISES[:-1])
def raises_at_the_end(fit: Fit, case: Case) -> str:
    """A callback raises at the end of an epoch. The history keeps this epoch, and the trainer can continue."""
    error = next(e for e in ERRORS if e.__name__ == case["what"])(case["seed"])
    trainer, twin = fit.trainer(), fit.undisturbed(epochs=1)

    def act(_: Trainer, epoch: Epoch) -> None:
        raise error

    found = raised(lambda: trainer.fit(*fit.data(), epochs=fit.epochs, callbacks=[act]))
    assert found is error, f"the fit raised another error: {found!r}"
    assert (bits(trainer), len(trainer.history)) == (bits(twin), 1)
    for each in (trainer, twin):
        each.fit(*fit.data(), epochs=1)
    assert bits(trainer) == bits(twin), "the trainer does not continue from there"
    return "goes on after the epoch"


@kind("another network", "a copy of its own", "its own trainer", "its own trainer's stream", "caught")
def trains(fit: Fit, case: Case) -> str:
    """A callback or a thread trains another network, or calls the trainer of the fit and is refused."""
    trainer, expected = fit.trainer(), bits(fit.undisturbed())
    words, x_y = "a Trainer is for one fit at a time", fit.data()

    def change() -> None:
        if case["what"] == "another network":
            assert bits(fit.undisturbed()) == expected
        elif case["what"] == "a copy of its own":
            twin = fit.trainer(trainer.network.copy())
            twin.fit(*x_y, epochs=1)
            assert twin.steps == fit.batches
        elif case["what"] == "its own trainer's stream":
            refused(RuntimeError, words, lambda: trainer.partial_fit(*x_y))
        else:
            refused(RuntimeError, words, lambda: trainer.fit(*x_y, epochs=1))

    if case["what"] == "its own trainer" and case["by"] == "callback":  # the callback does not catch the refusal
        at = 1 + case["at"] % fit.steps
        doubly = [At(at, lambda: trainer.fit(*x_y, epochs=1))]
        refused(RuntimeError, words, lambda: trainer.fit(*fit.data(), epochs=fit.epochs, callbacks=doubly))
        return goes_on(fit, trainer, at)
    Disturbance(fit, case, change, most=1).run(trainer, *fit.data())
    assert bits(trainer) == expected, "the other fit had an effect on this one"
    return "same bits"


@kind("sleep", "event", "lock", "loop", "join")
def never_returns(fit: Fit, case: Case) -> str:
    """A callback waits for ever. Ctrl-C ends the callback and the fit. Such a fit in a thread blocks no other fit."""
    trainer, at = fit.trainer(), 1 + case["at"] % fit.steps
    entered, let_go = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        if case["what"] == "sleep":
            time.sleep(3600)
        elif case["what"] == "event":
            threading.Event().wait()
        elif case["what"] == "lock":
            lock = threading.Lock()
            with lock:
                lock.acquire()
        elif case["what"] == "join":
            threading.Thread(target=let_go.wait, daemon=True).start()
            next(t for t in threading.enumerate() if t.daemon and t is not threading.current_thread()).join()
        while not let_go.is_set():
            pass

    if case["by"] == "thread":
        other = threading.Thread(
            target=lambda: trainer.fit(*fit.data(), epochs=fit.epochs, callbacks=[At(at, let_go.wait)]), daemon=True
        )
        other.start()
        expected = bits(fit.undisturbed())
        let_go.set()
        other.join(SOON)
        assert not other.is_alive()
        assert bits(trainer) == expected
        return "same bits"

    def interrupt() -> None:
        entered.wait()
        time.sleep(0.01)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    sent = list[float]()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    sender = threading.Thread(target=interrupt, daemon=True)
    sender.start()
    error = raised(lambda: trainer.fit(*fit.data(), epochs=fit.epochs, callbacks=[At(at, wait)]))
    seconds = time.monotonic() - sent[0]
    let_go.set()
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler, "the SIGINT handler is not restored"
    assert isinstance(error, KeyboardInterrupt), f"expected KeyboardInterrupt, got {error!r}"
    assert seconds < SOON, f"the fit ended {seconds:.1f} s after Ctrl-C"
    return goes_on(fit, trainer, at)


@kind("trains", "goes on", "interrupted")
def forks(fit: Fit, case: Case) -> str:
    """The process forks during the fit. The child trains, finishes the fit, or gets Ctrl-C in a fit."""
    trainer, expected = fit.trainer(), bits(fit.undisturbed())
    parent, statuses = os.getpid(), list[int]()

    def child() -> None:
        if case["what"] == "interrupted":
            at = At(1, lambda: os.kill(os.getpid(), signal.SIGINT))
            error = raised(lambda: fit.trainer().fit(*fit.data(), epochs=fit.epochs, callbacks=[at]))
            assert isinstance(error, KeyboardInterrupt), f"expected KeyboardInterrupt, got {error!r}"
            return
        assert bits(fit.undisturbed()) == expected
        if case["backend"] != "numpy":
            fit.trainer(threads=2).fit(*fit.data(), epochs=2)

    def change() -> None:
        process = os.fork()
        if process:
            statuses.append(os.waitpid(process, 0)[1])
            return
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(CHILD_SECONDS)
        if case["what"] != "goes on" or case["by"] != "callback":
            end_after(child)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        Disturbance(fit, case, change, most=2, at_once=False).run(trainer, *fit.data())
    finally:
        signal.signal(signal.SIGINT, before)
        if os.getpid() != parent:  # in the child, whose callback has returned
            end_after(lambda: same(bits(trainer), expected))
    assert statuses
    assert not any(statuses), f"the child ended with {statuses}"
    assert bits(trainer) == expected, "the fork had an effect on the parent's fit"
    return "parent and child are right"


def same(found: object, expected: object) -> None:
    assert found == expected


def end_after(call: Callable[[], object]) -> None:
    """Make the call and end this child process. The exit status is 0 if the call did not raise."""
    code = 1
    try:
        call()
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


@kind("0", "-1", "2.5", "'many'", "3", "1000000", "None", "[1]")
def every(fit: Fit, case: Case) -> str:
    """The callback's `every` changes during the fit. A valid value is accepted, and any other value is refused."""
    value = eval(case["what"])
    at, trainer = 1 + case["at"] % fit.steps, fit.trainer()

    class Changes(Callback):
        every = 1

        def on_batches(self, trainer: Trainer, progress: EpochSoFar) -> None:
            if trainer.steps == at:
                self.every = value

    error = raised(lambda: trainer.fit(*fit.data(), epochs=fit.epochs, callbacks=[Changes()]))
    if case["what"] in ("3", "1000000", "None") or (
        at == fit.steps and error is None
    ):  # after the last batch, fit does not read `every`
        assert error is None, error
        assert bits(trainer) == bits(fit.undisturbed())
        return "same bits"
    check_refusal(error, (ValueError, TypeError), "every must be")
    assert bits(trainer) == bits(fit.stopped_at(at)), "the network is not at the batch boundary"
    trainer.fit(*fit.data(), epochs=1)
    return "refused"


@kind("collects", "drops", "empties the list", "handler", "ignores signals", "deletes its method")
def vandal(fit: Fit, case: Case) -> str:
    """A callback deletes all objects it can reach, or changes the signal handler. The fit must continue."""
    x, y = fit.data()
    trainer, handler = fit.trainer(), signal.getsignal(signal.SIGINT)
    held, callbacks = [x, y], list[Any]()

    class Vandal(Callback):
        every = 1

        def on_batches(self, trainer: Trainer, progress: EpochSoFar) -> None:
            if case["what"] == "collects":
                gc.collect()
            elif case["what"] == "drops":
                held.clear()
                np.ones(case["n"] * case["n_in"]).fill(np.nan)  # overwrites the memory of a freed array
            elif case["what"] == "empties the list":
                callbacks.clear()
            elif case["what"] == "handler":
                signal.signal(signal.SIGINT, lambda *_: None)
            elif case["what"] == "ignores signals":
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            elif "on_batches" in type(self).__dict__:
                del type(self).on_batches

    callbacks.append(Vandal())
    del x, y
    try:
        trainer.fit(*held, epochs=fit.epochs, callbacks=callbacks)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert bits(trainer) == bits(fit.undisturbed())
    return "same bits"
