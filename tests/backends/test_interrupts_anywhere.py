"""Ctrl-C at every function call of a fit, and Ctrl-C in a child that another thread forks during a fit."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from fastnet import Callback, Network, Trainer
from fastnet.backends.interrupts import Interrupts

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="os.kill sends no SIGINT on Windows"),
    pytest.mark.usefixtures("usual_sigint_handler"),
]


class EveryBatch(Callback):
    every = 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # Python 3.12 and later warn of forks
def test_a_child_forked_by_another_thread_has_the_usual_handler() -> None:
    """The handler of SIGINT during a fit stops the fit. The child has no fit, so it gets the usual handler."""
    statuses = []

    def fork() -> None:
        child = os.fork()
        if not child:
            os._exit(signal.getsignal(signal.SIGINT) is not signal.default_int_handler)
        statuses.append(os.waitpid(child, 0)[1])

    with Interrupts(), Interrupts():
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
    assert statuses == [0]


@contextlib.contextmanager
def interrupt_at_call(number: int) -> Iterator[None]:
    """Send SIGINT at event `number`. A call or return of a Python or C function is an event."""
    left = number

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGINT)

    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(None)
        if left > 0:
            raise EOFError


def test_interrupt_at_every_function_call() -> None:
    """Ctrl-C ends the fit at every call. Afterwards the usual handler is restored, and the trainer can fit again."""
    net = Network([3, 2], seed=0)
    x, y, steps = np.eye(4, 3), np.array([0, 1, 0, 1]), set()
    Trainer(net, backend="numpy").fit(x, y, epochs=1)  # does all imports
    for number in range(1, 10_000):
        trainer = Trainer(net, backend="numpy", batch_size=2, seed=0)
        try:
            with interrupt_at_call(number):
                trainer.fit(x, y, epochs=1, callbacks=[EveryBatch()])
            pytest.fail("the interrupt was lost")
        except EOFError:
            break
        except KeyboardInterrupt:
            pass
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        steps.add(trainer.steps)
        trainer.fit(x, y, epochs=1)
    assert number > 100
    assert steps == {0, 1, 2}
