"""Pictures of what fastnet.insight finds, one function a picture; each returns a matplotlib Figure.

    >>> figure = fastnet.plots.weights(network)
    >>> fastnet.plots.save(figure, "weights.png")

Needs the extra `plot`. All share one look (style.py); none computes anything but what it shows.
"""

from fastnet.plots.architecture import architecture
from fastnet.plots.classes import captioned, confusion, mistakes
from fastnet.plots.confidence import noise, reliability
from fastnet.plots.excitation import excitation
from fastnet.plots.style import save
from fastnet.plots.training import history
from fastnet.plots.weights import structure, weights

__all__ = [
    "architecture",
    "captioned",
    "confusion",
    "excitation",
    "history",
    "mistakes",
    "noise",
    "reliability",
    "save",
    "structure",
    "weights",
]
