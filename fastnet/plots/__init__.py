"""Pictures of what fastnet.insight finds, one function a picture; each returns a matplotlib Figure.

    >>> figure = fastnet.plots.weights(network)
    >>> fastnet.plots.save(figure, "weights.png")

Needs the extra `plot`. All share one look (style.py); none computes anything but what it shows.
"""

from fastnet.plots.data_size import data_size
from fastnet.plots.landscape import landscape
from fastnet.plots.memorization import capacity, corruption, memorization, memorization_effect
from fastnet.plots.minima import interpolation, minima
from fastnet.plots.style import save

__all__ = [
    "capacity",
    "corruption",
    "data_size",
    "interpolation",
    "landscape",
    "memorization",
    "memorization_effect",
    "minima",
    "save",
]
