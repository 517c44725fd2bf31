"""Pictures of what fastnet.insight finds, one function a picture; each returns a matplotlib Figure.

    >>> figure = fastnet.plots.weights(network)
    >>> fastnet.plots.save(figure, "weights.png")

Needs the extra `plot`. All share one look (style.py); none computes anything but what it shows.
"""

from fastnet.plots.architecture import architecture
from fastnet.plots.classes import captioned, confusion, mistakes
from fastnet.plots.confidence import noise, reliability
from fastnet.plots.style import save
from fastnet.plots.training import history

__all__ = [
    "architecture",
    "captioned",
    "confusion",
    "history",
    "mistakes",
    "noise",
    "reliability",
    "save",
]
from fastnet.plots.style import save
from fastnet.plots.training import history

<<<<<<< HEAD
__all__ = [
    "architecture",
    "confusion",
    "history",
    "mistakes",
    "save",
]
=======
__all__ = ["noise", "reliability", "save"]
>>>>>>> dedf8d5c044ad2af5e22eb33b5f19cd94f93737a
