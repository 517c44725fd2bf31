"""Checkpoint: writes the state of a training to a folder while the training goes on."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from fastnet import checks
from fastnet.training.callbacks import Callback, EpochSoFar, FitInfo
from fastnet.training.history import Epoch
from fastnet.training.monitor import Monitor

if TYPE_CHECKING:
    from pathlib import Path

    from fastnet.data.files import PathLike
    from fastnet.training.checkpoint_writer import Writer


class Checkpoint(Callback):
    """Write checkpoints to a folder, from which `Trainer.resume` goes on as if the training had never stopped.

    A thread writes the files while the training goes on. The training waits only for a copy of the parameters and of
    the optimiser's state. A checkpoint appears in the folder when it is complete. If a write fails, the fit gives a
    UserWarning and goes on. `Network.load` reads a checkpoint, too.

    Parameters
    ----------
    folder : path
        The folder, which is made if it is missing. Use one folder for each training. If several processes train the
        network, each writes to a folder of its own in it: rank-0, rank-1 and so on.
    every : int, optional
        Write a checkpoint after each `every` epochs. The default is 1, if `seconds` is not given.
    seconds : float, optional
        Write a checkpoint when at least this time has passed since the last one, in the middle of an epoch too.
    keep : int
        The number of checkpoints to keep, of those that were written. Older ones are removed when a newer one is on the
        disk. While one is being written, only the newest of those that are due waits, so a short fit may write fewer.
        Several processes keep two more each, since one may be two checkpoints ahead of another. They write all that are
        due.
    best : str, optional
        A measure of the history, such as "validation_cost". The checkpoint of the best epoch of this training is then
        also written to best.npz, which stays until there is a better epoch.

    Raises
    ------
    ValueError, TypeError
        A setting is invalid. `fit` raises ValueError if its history will not hold the measure, or if the folder holds
        a later checkpoint of another training.
        `fit` raises TypeError for an estimator of `fastnet.sklearn`.
    DataError
        `fit` cannot make the folder, or another training writes to it.

    Examples
    --------
    >>> import tempfile
    >>> import fastnet
    >>> folder, x, y = tempfile.mkdtemp(), [[0.0, 0.0], [1.0, 1.0]], [0, 1]
    >>> trainer = fastnet.Trainer(fastnet.Network([2, 2], seed=0), seed=0)
    >>> history = trainer.fit(x, y, epochs=5, callbacks=[fastnet.Checkpoint(folder, keep=2)])
    >>> import os
    >>> max(os.listdir(folder))
    'checkpoint-0000000005.npz'
    """

    comes_last = True

    def __init__(
        self,
        folder: PathLike,
        *,
        every: int | None = None,
        seconds: float | None = None,
        keep: int = 3,
        best: str | None = None,
    ) -> None:
        from pathlib import Path  # imported here, as the next line, so that `import fastnet` loads fewer modules

        from fastnet.data.files import checked_path

        self._folder: Path = Path(checked_path("folder", folder))
        self._seconds = None if seconds is None else checks.number("seconds", seconds, minimum=0)
        every = 1 if every is None and seconds is None else every
        self._epochs = None if every is None else checks.whole_number("every", every, 1)
        self._keep = checks.whole_number("keep", keep, 1)
        self._best = None if best is None else Monitor(best, patience=1, min_delta=0.0)
        self._writer: Writer | None = None
        self._alone = ExitStack()  # holds the lock of the folder during a fit

    def on_fit_begin(self, trainer: Any, info: FitInfo) -> None:
        """Make the folder and start the thread. Raise an error if the training, or a part of it, cannot be kept."""
        from fastnet.data.files import locked_folder, make_folder
        from fastnet.training.checkpoint_folders import check_folders, folder_of
        from fastnet.training.checkpoint_writer import Writer

        if not hasattr(trainer, "state"):
            raise TypeError("Checkpoint keeps the state of a Trainer, and an estimator has none: pickle the estimator")
        if self._best is not None:
            self._best.check(info)
            self._best.start()
            for epoch in trainer.history:
                self._best.is_better(epoch)
        trainer.state()
        self._alone.close()  # after Ctrl-C at the end of the last call of this method
        with ExitStack() as alone:
            folder = make_folder(folder_of(self._folder, trainer.communicator))
            alone.enter_context(locked_folder(folder))
            check_folders(self._folder, trainer.communicator, trainer.steps, trainer.resumed_from)
            self._last, self._last_time = _place(trainer), trainer.clock()
            self._writer = Writer(folder, self._keep, skips=trainer.communicator is None)
            self._alone = alone.pop_all()

    def on_batches(self, trainer: Any, so_far: EpochSoFar) -> None:
        """Write a checkpoint if `seconds` have passed."""
        if self._is_time(trainer):
            self._write(trainer)

    def on_epoch_end(self, trainer: Any, epoch: Epoch) -> None:
        """Write a checkpoint if it is due, or if the epoch is the best."""
        is_best = self._best is not None and self._best.is_better(epoch)
        is_due = self._is_time(trainer) or (self._epochs is not None and epoch.epoch % self._epochs == 0)
        if is_due or is_best:
            self._write(trainer, is_due=is_due, is_best=is_best)

    def on_fit_end(self, trainer: Any) -> None:
        """Write the last state and wait until it is on the disk. After an error, the last checkpoint stays."""
        if self._writer is None:  # on_fit_begin raised
            return
        try:
            if trainer.is_resumable and _place(trainer) != self._last:
                self._write(trainer)
        finally:
            self._writer.end()
            self._writer = None
            self._alone.close()

    def _is_time(self, trainer: Any) -> bool:
        return self._seconds is not None and trainer.clock() - self._last_time >= self._seconds

    def _write(self, trainer: Any, *, is_due: bool = True, is_best: bool = False) -> None:
        assert self._writer is not None
        self._writer.write(trainer.state(), is_due=is_due, is_best=is_best)
        if is_due:
            self._last, self._last_time = _place(trainer), trainer.clock()


def _place(trainer: Any) -> tuple[int, int]:
    return trainer.steps, len(trainer.history)
