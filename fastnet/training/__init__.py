"""Training: the trainer, optimisers, schedules, callbacks and the history; recipes, and runs kept in folders.

A fit goes through these files: trainer.py (epochs, learning rates, callbacks), divergence.py (a chunk of batches, made
again where it diverges), updates.py (the kernel call).
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
