"""Changes during a fit, made by a callback or another thread, and the registry of the kinds of change."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

from fastnet import Callback, Trainer

from .fits import At, Fit
from .harness import Case

Check = Callable[[Fit, Case], str]
KINDS: dict[str, tuple[Check, tuple[str, ...]]] = {}  # from the name of a kind to its check and its variants
SOON = 20.0  # seconds that a thread may take for its work


def kind(*variants: str) -> Callable[[Check], Check]:
    """Register a kind of change under the function's name."""

    def register(check: Check) -> Check:
        KINDS[check.__name__] = check, variants or ("",)
        return check

    return register


class Meanwhile:
    """`with Meanwhile(change):` repeats the change in a thread while the block runs.

    By default the block begins after the first change. With `at_once=False` the block begins at once.
    """

    def __init__(self, change: Callable[[], object], most: int = 1 << 30, at_once: bool = True) -> None:
        self._change, self._most, self._at_once = change, most, at_once
        self._errors = list[BaseException]()
        self._over, self._begun = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()
        assert not self._at_once or self._begun.wait(SOON), "the thread did nothing"

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(SOON)
        assert not self._thread.is_alive(), "the thread does not end"
        if self._errors:
            raise self._errors[0]

    def _loop(self) -> None:
        try:
            for _ in range(self._most):
                self._change()
                self._begun.set()
                if self._over.is_set():
                    break
        except BaseException as error:
            self._errors.append(error)
        self._begun.set()


class Disturbance:
    """Make a change after a given update: a callback makes it once, or a thread repeats it until the fit ends."""

    def __init__(
        self, fit: Fit, case: Case, change: Callable[[], object], most: int = 1 << 30, at_once: bool = True
    ) -> None:
        self.at = 1 + case["at"] % fit.steps
        self._fit, self._change, self._most, self._at_once = fit, change, most, at_once
        self._by_thread = case["by"] == "thread"

    def run(self, trainer: Trainer, x: Any, y: Any, callbacks: Sequence[Callback] = (), **arguments: Any) -> None:
        """Run the fit with the change."""
        with contextlib.ExitStack() as until_the_end:

            def begin() -> None:
                if self._by_thread:
                    until_the_end.enter_context(Meanwhile(self._change, self._most, self._at_once))
                else:
                    self._change()

            at = At(self.at, begin)
            trainer.fit(x, y, **{"epochs": self._fit.epochs} | arguments, callbacks=[at, *callbacks])


def together(*calls: Callable[[], object]) -> list[BaseException | None]:
    """Make the calls at the same time, each in a thread. Return the error of each call, or None."""
    found = list[BaseException | None]([None] * len(calls))
    gate = threading.Barrier(len(calls))

    def run(i: int) -> None:
        gate.wait(SOON)
        try:
            calls[i]()
        except BaseException as error:
            found[i] = error

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * SOON)
        assert not thread.is_alive(), "a call did not return"
    return found


def raised(call: Callable[[], object]) -> BaseException | None:
    """Make the call. Return its error, or None."""
    try:
        call()
    except BaseException as error:
        return error
    return None


def check_refusal(
    error: BaseException | None, kinds: type[Exception] | tuple[type[Exception], ...], words: str
) -> None:
    """Check that the error has one of the types and that its message matches."""
    if error is not None and not isinstance(error, kinds):
        raise error
    assert error is not None, f"not refused: {words}"
    assert re.search(words, str(error)), f"refused with another message: {error}"


def refused(kinds: type[Exception] | tuple[type[Exception], ...], words: str, call: Callable[[], object]) -> None:
    """Check that the call raises an error of one of the types and that its message matches."""
    check_refusal(raised(call), kinds, words)
