"""What a trained network really learned: experiments that return numbers, as arrays and small dataclasses.

Everything here trains and computes through Trainer and Network, thus through the kernels. Pictures of the results are
drawn by fastnet.plots; `fastnet explore` runs the experiments from the command line.
"""

from fastnet.insight.batches import BatchRun, compare_batches
from fastnet.insight.calibration import Calibration, calibration, fit_temperature, tempered
from fastnet.insight.confidence import Answers, NoiseConfidence, confidence_on_noise
from fastnet.insight.descent import DescentLog, StopAtMinimum, descent_log
from fastnet.insight.excitation import ExcitingImages, IdealInputs, exciting_images, ideal_inputs
from fastnet.insight.gradients import Nudge, Ranking, Verification, nudge, ranking, verify_ranking
from fastnet.insight.rates import RangeTest, learning_rate_finder
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
    "BatchRun",
    "Calibration",
    "DescentLog",
    "ExcitingImages",
    "IdealInputs",
    "NoiseConfidence",
    "Nudge",
    "RangeTest",
    "Ranking",
    "Recipe",
    "StopAtMinimum",
    "Structure",
    "UnlitWeights",
    "Verification",
    "WeightStructure",
    "blobs",
    "calibration",
    "compare_batches",
    "confidence_on_noise",
    "descent_log",
    "edge_share",
    "edges",
    "exciting_images",
    "fit_temperature",
    "ideal_inputs",
    "learning_rate_finder",
    "neighbour_correlation",
    "never_lit",
    "nudge",
    "ranking",
    "tempered",
    "unlit_weights",
    "verify_ranking",
    "weight_structure",
]
