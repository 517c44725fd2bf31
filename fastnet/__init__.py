"""fastnet: multi-layer perceptrons trained fast on a CPU, by interchangeable Cython, Numba and NumPy kernels.

>>> import fastnet
>>> data = fastnet.data.load("mnist-5k")
>>> network = fastnet.Network([784, 16, 16, 10], seed=0)
>>> trainer = fastnet.Trainer(network, seed=0)
>>> history = trainer.fit(data.x_train, data.y_train, epochs=10)

`import fastnet` loads NumPy and nothing heavier. A backend is loaded when it is first used; data, distributed,
insight, plots, report and sklearn are loaded when they are first named.
"""

from typing import TYPE_CHECKING, Any

from fastnet import backends
from fastnet.backends import use_backend
from fastnet.backends.warming import warmup
from fastnet.costs import CrossEntropy, Huber, Quantile
from fastnet.errors import BackendError, DataError, DivergedError, FastnetError, MissingLibraryError
from fastnet.evaluation import Evaluation
from fastnet.network import Network
from fastnet.predictor import Predictor
from fastnet.training import (
    Adam,
    Callback,
    Checkpoint,
    Constant,
    Cosine,
    CSVLogger,
    EarlyStopping,
    Epoch,
    EpochSoFar,
    Exponential,
    FitInfo,
    GradientDescent,
    History,
    JSONLines,
    Logger,
    Momentum,
    ProgressBar,
    ReduceOnPlateau,
    Schedule,
    Step,
    TensorBoard,
    Trainer,
)
from fastnet.version import __version__

if TYPE_CHECKING:
    from fastnet import data, distributed, insight, plots, report, search
    from fastnet import sklearn as sklearn
    from fastnet.ensemble import Ensemble

# Loaded on first use: with them, `import fastnet` takes twice as long. sklearn is not in __all__, as it needs an extra.
_LAZY = ("data", "distributed", "insight", "plots", "report", "search", "sklearn")
_LAZY_CLASSES = {"Ensemble": "ensemble"}  # their modules

__all__ = [
    "Adam",
    "BackendError",
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "Constant",
    "Cosine",
    "CrossEntropy",
    "DataError",
    "DivergedError",
    "EarlyStopping",
    "Ensemble",
    "Epoch",
    "EpochSoFar",
    "Evaluation",
    "Exponential",
    "FastnetError",
    "FitInfo",
    "GradientDescent",
    "History",
    "Huber",
    "JSONLines",
    "Logger",
    "MissingLibraryError",
    "Momentum",
    "Network",
    "Predictor",
    "ProgressBar",
    "Quantile",
    "ReduceOnPlateau",
    "Schedule",
    "Step",
    "TensorBoard",
    "Trainer",
    "__version__",
    "backends",
    "data",
    "distributed",
    "insight",
    "plots",
    "report",
    "search",
    "use_backend",
    "warmup",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY or name in _LAZY_CLASSES:
        from importlib import import_module

        module = import_module(f"fastnet.{_LAZY_CLASSES.get(name, name)}")
        return getattr(module, name) if name in _LAZY_CLASSES else module
    raise AttributeError(f"module 'fastnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
