"""The settings of a trainer, as it was given them, and how a trainer is made of four classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet.names import BatchSize, Sparse, Threads
from fastnet.network import Network
from fastnet.training.optimizers import Optimizer
from fastnet.training.schedules import Schedule

if TYPE_CHECKING:  # only trainings of several processes need this module
    from fastnet.training.averaging import Averaging, Communicator


class TrainerSettings:
    """The first of the four parts of `Trainer`: the settings, which its arguments fix.

    The parts are base classes, one in each file. Each one uses the parts before it:

    - TrainerSettings (settings.py) has the settings as read-only properties.
    - ResumableTrainer (resuming.py) has what changes during a training, writes it down and takes it over.
    - TrainingLoop (loop.py) trains the epochs of a fit.
    - Trainer (trainer.py) is the public class: it documents and checks the arguments, and prepares each fit.
    """

    _network: Network
    _optimizer: Optimizer
    _schedule: Schedule
    _batch_size: BatchSize
    _weight_decay: float
    _clip_norm: float | None
    _dropout: tuple[float, ...]
    _shuffle: bool
    _backend: str | None
    _seed: int | np.random.Generator | None
    _threads: Threads
    _sparse: bool | None
    _communicator: Communicator | None
    _averaging: Averaging | None

    @property
    def network(self) -> Network:
        """The network. It cannot be replaced, since the optimiser's state belongs to this network."""
        return self._network

    @property
    def optimizer(self) -> Optimizer:
        """The optimiser, as an object."""
        return self._optimizer

    @property
    def schedule(self) -> Schedule:
        """The schedule, as an object."""
        return self._schedule

    @property
    def batch_size(self) -> BatchSize:
        """The number of examples in an update, as given. If x has fewer examples, one batch holds all of them."""
        return self._batch_size

    @property
    def weight_decay(self) -> float:
        """The factor of L2 regularisation: weight_decay * w is added to the gradient of the weights."""
        return self._weight_decay

    @property
    def clip_norm(self) -> float | None:
        """The largest norm of the gradient, or None."""
        return self._clip_norm

    @property
    def dropout(self) -> tuple[float, ...]:
        """The dropout rate of each hidden layer."""
        return self._dropout

    @property
    def shuffle(self) -> bool:
        """Whether each epoch draws a new order of the examples."""
        return self._shuffle

    @property
    def backend(self) -> str | None:
        """The backend, as given. The history says which backend each epoch ran on."""
        return self._backend

    @property
    def seed(self) -> int | np.random.Generator | None:
        """The seed of the order and of dropout, as given."""
        return self._seed

    @property
    def threads(self) -> Threads:
        """How many threads share the work of each batch, as given. The history says how many each epoch used."""
        return self._threads

    @property
    def sparse(self) -> Sparse:
        """Whether `fit` compresses dense inputs, as given. The history says which epochs had compressed inputs."""
        return "auto" if self._sparse is None else self._sparse

    @property
    def communicator(self) -> Communicator | None:
        """The communicator of the processes that train this network together, or None."""
        return self._communicator

    @property
    def averaging(self) -> Averaging | None:
        """What the processes average, and how often. None without a communicator."""
        return self._averaging
