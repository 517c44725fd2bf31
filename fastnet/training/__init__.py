"""Training: the trainer, optimisers, schedules, callbacks, the history, recipes, and runs saved in folders.

A call of `fit` goes through trainer.py (epochs, learning rates, callbacks), divergence.py (runs a chunk of batches, and
finds the update that diverged) and updates.py (the kernel call).
"""

from fastnet.training.callbacks import Callback, Progress
from fastnet.training.history import Epoch, History
from fastnet.training.optimizers import Adam, GradientDescent, Momentum
from fastnet.training.schedules import Constant, Cosine, Exponential, Schedule, Step
from fastnet.training.trainer import Trainer

__all__ = [
    "Adam",
    "Callback",
    "Constant",
    "Cosine",
    "Epoch",
    "Exponential",
    "GradientDescent",
    "History",
    "Momentum",
    "Progress",
    "Schedule",
    "Step",
    "Trainer",
]
