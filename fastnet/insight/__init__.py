"""What a trained network really learned: experiments that return numbers, as arrays and small dataclasses.

Everything here trains and computes through Trainer and Network, thus through the kernels. Pictures of the results are
drawn by fastnet.plots; `fastnet explore` runs the experiments from the command line.
"""

from fastnet.insight.calibration import Calibration, calibration, fit_temperature, tempered
from fastnet.insight.classified import Classified, classified
from fastnet.insight.confidence import Answers, NoiseConfidence, confidence_on_noise
from fastnet.recipe import CHAPTER, Recipe

__all__ = [
    "CHAPTER",
    "Answers",
    "Calibration",
    "Classified",
    "NoiseConfidence",
    "Recipe",
    "calibration",
    "classified",
    "confidence_on_noise",
    "fit_temperature",
    "tempered",
]
