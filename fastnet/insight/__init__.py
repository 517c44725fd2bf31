"""What a trained network really learned: experiments that return numbers, as arrays and small dataclasses.

Everything here trains and computes through Trainer and Network, thus through the kernels. Pictures of the results are
drawn by fastnet.plots; `fastnet explore` runs the experiments from the command line.
"""

from fastnet.insight.data_size import DataSize, data_size
from fastnet.insight.landscape import Landscape, descent_landscape, descent_path, landscape
from fastnet.insight.memorization import MEMORIZER, Memorization, memorization
from fastnet.insight.minima import MINIMIZER, Minima, Path, interpolate, match_neurons, minima
from fastnet.recipe import CHAPTER, Recipe

__all__ = [
    "CHAPTER",
    "MEMORIZER",
    "MINIMIZER",
    "DataSize",
    "Landscape",
    "Memorization",
    "Minima",
    "Path",
    "Recipe",
    "data_size",
    "descent_landscape",
    "descent_path",
    "interpolate",
    "landscape",
    "match_neurons",
    "memorization",
    "minima",
]
