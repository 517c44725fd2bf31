"""fastnet: multi-layer perceptrons trained fast on a CPU, by interchangeable Cython, Numba and NumPy kernels.

    >>> import fastnet
    >>> data = fastnet.data.load("mnist-5k")
    >>> network = fastnet.Network([784, 16, 16, 10], seed=0)
    >>> trainer = fastnet.Trainer(network, learning_rate=1.5, batch_size=10, seed=0)
    >>> trainer.fit(data.x_train, data.y_train)
    <History of 1 epochs, the last with cost ..., accuracy ...>

The import loads NumPy and nothing heavier. A backend is loaded when it is first used.
"""

from typing import TYPE_CHECKING, Any

from fastnet import backends
from fastnet.backends import use_backend
from fastnet.backends.warming import warmup
from fastnet.errors import BackendError, DataError, DivergedError, FastnetError
from fastnet.network import Evaluation, Network
from fastnet.predictor import Predictor
from fastnet.training.callbacks import Callback, Progress
from fastnet.training.history import Epoch, History
from fastnet.training.optimizers import Adam, GradientDescent, Momentum
from fastnet.training.schedules import Constant, Cosine, Exponential, Schedule, Step
from fastnet.training.trainer import Trainer
from fastnet.version import __version__

if TYPE_CHECKING:
    from fastnet import data, insight, plots, report

__all__ = [
    "Adam",
    "BackendError",
    "Callback",
    "Constant",
    "Cosine",
    "DataError",
    "DivergedError",
    "Epoch",
    "Evaluation",
    "Exponential",
    "FastnetError",
    "GradientDescent",
    "History",
    "Momentum",
    "Network",
    "Predictor",
    "Progress",
    "Schedule",
    "Step",
    "Trainer",
    "__version__",
    "backends",
    "data",
    "insight",
    "plots",
    "report",
    "use_backend",
    "warmup",
]


def __getattr__(name: str) -> Any:
    if name in ("data", "insight", "plots", "report"):  # not everyone's: they would double what the import costs
        from importlib import import_module

        return import_module(f"fastnet.{name}")
    raise AttributeError(f"module 'fastnet' has no attribute {name!r}")
