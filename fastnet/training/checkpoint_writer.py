"""The thread that writes checkpoints while the training goes on."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from fastnet.errors import warn
from fastnet.text import reason
from fastnet.training.checkpoint_file import name_of, numbered, write
from fastnet.training.state import TrainingState

BEST, NUMBERED = "best.npz", "numbered"  # in the order of their writes


class Writer:
    """Writes states to a folder in a thread of its own, until `end`.

    A state that waits for the disk gives way to a newer one, so that a slow disk does not slow the training. In a
    forked child the thread is missing, and nothing is written.

    With `skips=False`, for several processes, no state gives way: `write` waits for the one before it. So all processes
    write the same states, and none is more than two states ahead of another. Each then keeps two more.
    """

    def __init__(self, folder: Path, keep: int, *, skips: bool = True) -> None:
        self._folder, self._keep, self._skips = folder, keep if skips else keep + 2, skips
        self._changed = threading.Condition()
        self._waiting: dict[str, TrainingState] = {}  # the numbered checkpoint and the best one, each at most once
        self._is_ending = self._is_writing = False
        self._problems: list[str] = []  # of the thread; not yet told
        self._told: set[str] = set()
        self._process = os.getpid()
        self._thread: threading.Thread | None = threading.Thread(target=self._run, name="fastnet", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no thread can be started, so the training waits for each write
            self._thread = None

    def write(self, state: TrainingState, *, is_due: bool, is_best: bool) -> None:
        """Have a state written: as a numbered checkpoint if it is due, as the best one if it is the best."""
        if os.getpid() != self._process:
            return
        kinds = [NUMBERED] * is_due + [BEST] * is_best
        if self._thread is None:
            for kind in kinds:
                self._save(kind, state)
        else:
            with self._changed:
                while not self._skips and (self._waiting or self._is_writing):
                    self._changed.wait()
                self._waiting |= dict.fromkeys(kinds, state)
                self._changed.notify()
        self._tell()

    def end(self) -> None:
        """Wait until all states are on the disk, and end the thread."""
        if os.getpid() != self._process:
            return
        if self._thread is not None:
            with self._changed:
                self._is_ending = True
                self._changed.notify()
            self._thread.join()
        self._tell()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    if self._is_ending:
                        return
                    self._changed.wait()
                taken, self._waiting, self._is_writing = self._waiting, {}, True
            # The best one comes first: if the process is killed between the two writes, the training goes on from an
            # earlier checkpoint, and finds the best epoch again.
            for kind in sorted(taken):
                self._save(kind, taken.pop(kind))
            with self._changed:
                self._is_writing = False
                self._changed.notify()

    def _save(self, kind: str, state: TrainingState) -> None:
        """Write a state. Then remove the oldest checkpoints."""
        try:
            if kind == BEST:
                write(self._folder / BEST, state)
                return
            write(self._folder / name_of(state.steps), state)
            older = [path for steps, path in numbered(self._folder) if steps <= state.steps]
            for path in older[self._keep :]:
                path.unlink(missing_ok=True)
        except Exception as error:  # the training goes on whatever happens to its checkpoints
            self._note(error)

    def _note(self, error: Exception) -> None:
        """Keep a problem for the training thread, which warns of it once for each cause."""
        cause = error.__cause__
        why = reason(cause if isinstance(cause, Exception) else error)
        if why not in self._told:
            self._told.add(why)
            self._problems.append(str(error))

    def _tell(self) -> None:
        while self._problems:
            warn(f"a checkpoint was not written, and the training goes on: {self._problems.pop(0)}")
