"""What a trained network really learned: experiments that return numbers, as arrays and small dataclasses.

Everything here trains and computes through Trainer and Network, thus through the kernels. Pictures of the results are
drawn by fastnet.plots; `fastnet explore` runs the experiments from the command line.
"""

from fastnet.insight.calibration import Calibration, calibration, fit_temperature, tempered
from fastnet.insight.classified import Classified, classified
from fastnet.insight.confidence import Answers, NoiseConfidence, confidence_on_noise
from fastnet.insight.excitation import ExcitingImages, IdealInputs, exciting_images, ideal_inputs
from fastnet.insight.weights import (
    Structure,
    UnlitWeights,
    WeightStructure,
    blobs,
    edge_share,
    edges,
    neighbour_correlation,
    never_lit,
    unlit_weights,
    weight_structure,
)
from fastnet.recipe import CHAPTER, Recipe

__all__ = [
    "CHAPTER",
    "Answers",
    "Calibration",
    "Classified",
    "ExcitingImages",
    "IdealInputs",
    "NoiseConfidence",
    "Recipe",
    "Structure",
    "UnlitWeights",
    "WeightStructure",
    "blobs",
    "calibration",
    "classified",
    "confidence_on_noise",
    "edge_share",
    "edges",
    "exciting_images",
    "fit_temperature",
    "ideal_inputs",
    "neighbour_correlation",
    "never_lit",
    "tempered",
    "unlit_weights",
    "weight_structure",
]
