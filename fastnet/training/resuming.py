"""The part of a trainer that stops and goes on: its state, and a trainer made from the state in a checkpoint."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fastnet.backends.engine import choose
from fastnet.backends.selection import describe
from fastnet.errors import DataError, warn
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Ints
from fastnet.names import BackendName, ScheduleName
from fastnet.network import Network
from fastnet.text import reason, shown
from fastnet.training.dropout import with_dropout
from fastnet.training.fingerprint import check_same, fingerprint
from fastnet.training.fit import Fit, Kept
from fastnet.training.history import History
from fastnet.training.kernel_calls import OptimizerState
from fastnet.training.optimizers import Adam, GradientDescent, Momentum
from fastnet.training.schedules import OWN_SCHEDULES, Schedule, as_schedule
from fastnet.training.settings import TrainerSettings
from fastnet.training.state import FitSoFar, Process, TrainingState, check_callbacks, generator_from, states_of
from fastnet.training.totals import Totals
from fastnet.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from fastnet.data.files import PathLike
    from fastnet.training.averaging import Communicator

OPTIMIZERS = {kind.__name__: kind for kind in (GradientDescent, Momentum, Adam)}
SCHEDULES = {kind.__name__: kind for kind in OWN_SCHEDULES}


class ResumableTrainer(TrainerSettings):
    """The second part of a trainer: its state, which changes during a training, and `state` and `resume`.

    `TrainingLoop` and `Trainer` change the attributes below. `_begin_state` sets those that are not made of arguments.
    """

    history: History
    learning_rate: float
    _state: OptimizerState
    _layers: Ints
    _rng: np.random.Generator
    _stopped: bool

    def _begin_state(self) -> None:
        """Set the attributes of a trainer that has made no update."""
        self._epoch = 0  # the number of epochs begun
        self._totals: Totals | None = None  # of the current epoch; None between two epochs
        self._drawn_from: Mapping[str, Any] | None = None  # the generator's state before it drew the current order
        self._split_seed: int | None = None  # the seed of validation splits, drawn when it is first needed
        self._kept = Kept()
        self._resumed: FitSoFar | None = None  # the fit that a checkpoint has begun
        self._failed = False  # whether an error ended the last fit
        self._resumed_from: Path | None = None  # the folder of the checkpoint that the trainer was made from
        self._every: int | None = None  # after how many updates the processes average, once that is chosen

    @property
    def is_resumable(self) -> bool:
        """Whether a training may go on from `state()`. It may not after an error, or after Ctrl-C in a callback."""
        return not self._failed

    @property
    def resumed_from(self) -> Path | None:
        """The folder of the checkpoint from which `resume` made this trainer, or None."""
        return self._resumed_from

    def clock(self) -> float:
        """Return a time in seconds, to measure how long a fit takes. Processes that train together see the same time.

        So a callback that does something every minute does it at the same update of all processes.
        """
        fit = self._kept.running
        return time.monotonic() if fit is None or fit.ranks is None else fit.ranks.now

    # -- the state ---------------------------------------------------------------------------------------------

    def state(self) -> TrainingState:
        """Return a copy of everything that the training needs to go on. `Checkpoint` writes it to files.

        In a callback, `on_batches` and `on_epoch_end` of the callbacks that come later in the list are not yet in this
        state.

        Raises
        ------
        RuntimeError
            An error ended the last fit in the middle of an update or of its callbacks.
        ValueError, TypeError
            A part cannot be kept: an optimiser or a random generator of your own, or the state of a callback.
        """
        if self._failed:
            raise RuntimeError("an error ended the last fit: resume from an earlier checkpoint, or call fit again")
        totals = self._totals if self._drawn_from is not None else None
        fit, history = self._kept.running, list(self.history.epochs)
        n_epochs = self._epoch
        generator: Mapping[str, Any] = self._rng.bit_generator.state
        if totals is not None and self._drawn_from is not None:
            n_epochs, generator = totals.epoch - 1, self._drawn_from
            if len(history) and history[-1].epoch == totals.epoch:  # the record of an interrupted epoch
                history.pop()
        return TrainingState(
            network=self._network,
            parameters=self._network.parameters.copy(),
            moments=self._state.moments.copy(),
            steps=self._state.step,
            n_epochs=n_epochs,
            settings=self._settings,
            learning_rate=self.learning_rate,
            generator=generator,
            split_seed=self._split_seed,
            dropout_keys=_keys(self._layers, self._dropout),
            totals=totals and dataclasses.replace(totals),
            history=history,
            fit=self._resumed if fit is None else self._fit_so_far(fit),
            process=self._process,
        )

    @property
    def _process(self) -> Process | None:
        """Which process of a training this one is."""
        communicator = self._communicator
        return None if communicator is None else Process(communicator.rank, communicator.size, self._every)

    def _fit_so_far(self, fit: Fit) -> FitSoFar:
        fit.fingerprint = fit.fingerprint or fingerprint(fit)
        return FitSoFar(
            epochs=fit.epochs,
            horizon=(int(fit.horizon[0]), int(fit.horizon[1])),
            backend=fit.engine.name,
            threads=fit.updates.n_threads,
            is_stopped=self._stopped,
            data=fit.fingerprint,
            callbacks=states_of(fit.callbacks),
            software=software_of(fit.engine.name),
        )

    @cached_property  # computed once, since it takes longer than copying a small network
    def _settings(self) -> dict[str, Any]:
        """Return the settings as values that JSON can hold. A schedule of the user's own is null."""
        optimizer, schedule, seed = self._optimizer, self._schedule, self._seed
        if type(optimizer) not in OPTIMIZERS.values():
            raise ValueError(f"a checkpoint cannot keep {optimizer!r:.80}: use one of fastnet's own optimisers")
        is_own = type(schedule) in SCHEDULES.values()
        return {
            "optimizer": [type(optimizer).__name__, dataclasses.asdict(optimizer)],  # type: ignore[call-overload]  # all three are dataclasses
            "schedule": [type(schedule).__name__, dataclasses.asdict(schedule)] if is_own else None,
            "batch_size": self._batch_size,
            "weight_decay": self._weight_decay,
            "clip_norm": self._clip_norm,
            "dropout": list(self._dropout),
            "shuffle": self._shuffle,
            "backend": self._backend,
            "seed": None if seed is None or isinstance(seed, np.random.Generator) else int(seed),
            "threads": self._threads,
            "sparse": self.sparse,
            "averaging": self._averaging and dataclasses.asdict(self._averaging),
        }

    @contextmanager
    def _running_fit(self, fit: Fit) -> Iterator[None]:
        """A context in which this fit runs."""
        self._kept.running, self._failed = fit, False
        try:
            yield
        except BaseException:
            self._failed = True
            raise
        finally:
            self._kept.running = None

    # -- going on ----------------------------------------------------------------------------------------------

    @classmethod
    def resume(
        cls,
        folder: PathLike | TrainingState,
        *,
        schedule: ScheduleName | Schedule | Callable[[int], float] | None = None,
        backend: BackendName | None = None,
        communicator: Communicator | None = None,
    ) -> Self:
        """Return the trainer of the newest whole checkpoint in a folder, with its network.

        `fit` then finishes the interrupted fit. Leave out `epochs`, and give the data, the other arguments and the
        callbacks as before. On the same backend, machine and software, the result is that of a fit that never stopped,
        bit for bit. Other versions, another instruction set or fewer threads give a warning in `fit`. A damaged
        checkpoint is skipped with a warning.

        The network has the parameters of the last update. If `EarlyStopping` is to restore those of the best epoch,
        call `fit` without `epochs`, also after a fit that had ended: it then trains no more, and restores them.

        Parameters
        ----------
        folder : path or TrainingState
            The folder of a `Checkpoint`, the file of one checkpoint, or what `state` returned. The trainer gets a
            network of its own.
        schedule : str, Schedule or function, optional
            The schedule, if it is a class or function of your own: a checkpoint cannot keep it.
        backend : str, optional
            Another backend than before. The results then differ by rounding.
        communicator : Communicator, optional
            For a training on several processes: their communicator. All processes make this call with the same folder.
            Each has its own checkpoints in it, and they go on from the newest update that all of them have.

        Raises
        ------
        DataError
            There is no such folder, or it holds no whole checkpoint. With a communicator, all processes raise the error
            of one of them.
        ValueError
            `schedule` is missing. Or the training had another number of processes.
        BackendError
            The backend is missing here.

        Examples
        --------
        >>> import tempfile
        >>> import fastnet
        >>> folder, x, y = tempfile.mkdtemp(), [[0.0, 0.0], [1.0, 1.0]], [0, 1]
        >>> trainer = fastnet.Trainer(fastnet.Network([2, 2], seed=0), seed=0)
        >>> history = trainer.fit(x, y, epochs=3, callbacks=[fastnet.Checkpoint(folder)])
        >>> resumed = fastnet.Trainer.resume(folder)
        >>> len(resumed.fit(x, y))
        3
        """
        from fastnet.training.checkpoint_folders import check_process, newest  # imported here: it imports fastnet.data

        if isinstance(folder, TrainingState):
            path, state = None, folder
            check_process("the state", state.process, communicator)
        else:
            path, state = newest(folder, communicator)
        network = state.network.copy()
        network.parameters = state.parameters
        if state.settings.get("schedule") is None and schedule is None:
            raise ValueError("the training has a schedule of your own: give it, as resume(folder, schedule=...)")
        fit = state.fit
        if fit is not None:
            engine = choose(backend or fit.backend)
            threads = min(fit.threads, engine.kernels.MAX_THREADS)
            fit = dataclasses.replace(fit, backend=engine.name, threads=threads)
        try:
            trainer = cls._from_settings(network, state.settings, schedule, backend, communicator)
            trainer._go_on_from(dataclasses.replace(state, fit=fit))
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise _damaged(path or "state()", error) from error
        trainer._resumed_from = None if path is None else path.parent
        return trainer

    @classmethod
    def _from_settings(
        cls,
        network: Network,
        settings: Mapping[str, Any],
        schedule: Any,
        backend: BackendName | None,
        communicator: Communicator | None,
    ) -> Self:
        """Return a new trainer with recorded settings."""
        found = dict(settings)
        kind, values = found["optimizer"]
        found["optimizer"] = OPTIMIZERS[kind](**values)
        if schedule is None:
            kind, values = found["schedule"]
            schedule = SCHEDULES[kind](**values)
        found |= {"schedule": as_schedule(schedule), "backend": backend or found["backend"]}
        averaging = found.pop("averaging", None)  # files of trainings on one process, and older files, have none
        if averaging is not None:
            from fastnet.training.averaging import Averaging

            found |= {"communicator": communicator, "averaging": Averaging(**averaging)}
        return cls._made(network, found)

    @classmethod
    def _made(cls, network: Network, settings: Mapping[str, Any]) -> Self:
        """Return a new trainer. `settings` are keyword arguments of Trainer."""
        raise NotImplementedError

    def _go_on_from(self, state: TrainingState) -> None:
        """Take over a state. Raises ValueError if it does not fit the settings."""
        if state.moments.shape != self._state.moments.shape or len(state.dropout_keys) not in (0, len(self._dropout)):
            raise ValueError(f"its optimiser's state is {state.moments.shape}, not {self._state.moments.shape}")
        self._state.moments[...] = state.moments
        self._state.step, self._epoch, self.learning_rate = state.steps, state.n_epochs, state.learning_rate
        self._rng, self._drawn_from = generator_from(state.generator), state.generator
        self._layers = with_dropout(self._network.layers, self._dropout, np.array(state.dropout_keys, np.int64))
        self._split_seed, self._totals, self._resumed = state.split_seed, state.totals, state.fit
        self.history.epochs[:] = state.history
        self._every = None if state.process is None else state.process.every

    def _fit_to_finish(self, epochs: int | None) -> FitSoFar | None:
        """Return the interrupted fit if `fit` finishes it, or None if `fit` begins another one."""
        if epochs is None:
            if self._resumed is None:
                raise TypeError("fit needs the number of epochs, such as fit(x, y, epochs=10)")
            return self._resumed
        self._refuse_unfinished("leave out epochs")
        return None

    def _refuse_unfinished(self, advice: str) -> None:
        resumed = self._resumed
        if resumed is not None and not resumed.is_over(self._epoch):
            done = self._epoch - resumed.horizon[0]
            raise ValueError(
                f"this trainer continues a fit of {resumed.epochs:,} epochs, of which {done:,} are done: {advice}"
            )


def check_resumed(fit: Fit, recorded: FitSoFar) -> None:
    """Raise ValueError if a fit cannot continue the recorded one, since its data or its callbacks are others."""
    fit.fingerprint = fingerprint(fit)
    check_same(fit.fingerprint, recorded.data)
    check_callbacks(fit.callbacks, recorded.callbacks)
    if fit.updates.n_threads != recorded.threads:
        warn(
            f"the fit goes on with {fit.updates.n_threads} threads, not {recorded.threads}, since this process may use "
            "fewer cores: the results differ by rounding"
        )
    now = software_of(fit.engine.name)
    then = recorded.software
    others = [f"{name} {now[name]} in place of {then[name]}" for name in now if then.get(name, now[name]) != now[name]]
    if others:
        warn(f"the last bits may differ from those of a fit without a break: {', '.join(others)}")


def software_of(name: str) -> dict[str, str]:
    """Return what may change the last bits of a training with this backend, by name."""
    found = describe(name)
    return {
        "fastnet": __version__,
        "numpy": np.__version__,
        name: found.version,
        f"the instruction set of {name}": found.instruction_set,
    }


def _keys(layers: Ints, rates: tuple[float, ...]) -> list[int]:
    return [int(key) for key in layers[: len(rates), c.DROP_KEY]] if any(rates) else []


def _damaged(path: Path | str, error: Exception) -> DataError:
    return DataError(f"{shown(path)} is not a checkpoint that fastnet wrote: {reason(error)}; begin a new training")
