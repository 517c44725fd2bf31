"""Pictures of what fastnet.insight finds, one function a picture; each returns a matplotlib Figure.

    >>> figure = fastnet.plots.weights(network)
    >>> fastnet.plots.save(figure, "weights.png")

Needs the extra `plot`. All share one look (style.py); none computes anything but what it shows.
"""

from fastnet.plots.confidence import noise, reliability
from fastnet.plots.descent import batches, descent_log, range_test
from fastnet.plots.excitation import excitation
from fastnet.plots.gradients import neuron_gradients, ranking
from fastnet.plots.style import save
from fastnet.plots.weights import structure, weights

__all__ = [
    "batches",
    "descent_log",
    "excitation",
    "neuron_gradients",
    "noise",
    "range_test",
    "ranking",
    "reliability",
    "save",
    "structure",
    "weights",
]
