"""Training. `Trainer.fit`, in trainer.py, prepares a fit with fit.py and trains in chunks of batches.

A chunk goes through trainer.py, divergence.py, kernel_calls.py, backends/threads.py and the backend's `train`.
"""

from fastnet.training.callbacks import Callback, EpochSoFar, FitInfo
from fastnet.training.checkpoint import Checkpoint
from fastnet.training.early_stopping import EarlyStopping
from fastnet.training.history import Epoch, History
from fastnet.training.loggers import CSVLogger, JSONLines, Logger, TensorBoard
from fastnet.training.optimizers import Adam, GradientDescent, Momentum
from fastnet.training.plateau import ReduceOnPlateau
from fastnet.training.progress_bar import ProgressBar
from fastnet.training.schedules import Constant, Cosine, Exponential, Schedule, Step
from fastnet.training.trainer import Trainer

__all__ = [
    "Adam",
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "Constant",
    "Cosine",
    "EarlyStopping",
    "Epoch",
    "EpochSoFar",
    "Exponential",
    "FitInfo",
    "GradientDescent",
    "History",
    "JSONLines",
    "Logger",
    "Momentum",
    "ProgressBar",
    "ReduceOnPlateau",
    "Schedule",
    "Step",
    "TensorBoard",
    "Trainer",
]
