"""Pictures of networks, trainings, searches and the results of fastnet.insight. Each function returns a figure.

The functions need the extra `plot` (Matplotlib). `save` writes a figure to a file.
"""

from fastnet.plots.architecture import architecture
from fastnet.plots.classes import captioned, confusion, mistakes
from fastnet.plots.confidence import noise, reliability
from fastnet.plots.data_size import data_size
from fastnet.plots.descent import batches, descent_log, range_test
from fastnet.plots.excitation import excitation
from fastnet.plots.gradients import neuron_gradients, ranking
from fastnet.plots.importance import importance, partial_dependence
from fastnet.plots.landscape import landscape
from fastnet.plots.memorization import capacity, corruption, memorization, memorization_effect
from fastnet.plots.minima import interpolation, minima
from fastnet.plots.predictions import predictions
from fastnet.plots.search import search_curves, search_effects, search_parallel
from fastnet.plots.style import save
from fastnet.plots.training import history
from fastnet.plots.weights import structure, weights

__all__ = [
    "architecture",
    "batches",
    "capacity",
    "captioned",
    "confusion",
    "corruption",
    "data_size",
    "descent_log",
    "excitation",
    "history",
    "importance",
    "interpolation",
    "landscape",
    "memorization",
    "memorization_effect",
    "minima",
    "mistakes",
    "neuron_gradients",
    "noise",
    "partial_dependence",
    "predictions",
    "range_test",
    "ranking",
    "reliability",
    "save",
    "search_curves",
    "search_effects",
    "search_parallel",
    "structure",
    "weights",
]
