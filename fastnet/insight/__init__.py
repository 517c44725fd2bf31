"""Experiments on networks, as functions that return numbers: what a network learned, and how it learned.

Results are arrays and small dataclasses. `fastnet.plots` draws them, and `fastnet explore` runs the experiments.
"""

from fastnet.insight.batches import BatchRun, compare_batches
from fastnet.insight.calibration import Calibration, calibration, fit_temperature, tempered
from fastnet.insight.classified import Classified, classified, confusion
from fastnet.insight.confidence import Answers, NoiseConfidence, confidence_on_noise
from fastnet.insight.data_size import DataSize, data_size
from fastnet.insight.descent import DescentLog, StopAtMinimum, descent_log
from fastnet.insight.excitation import ExcitingImages, IdealInputs, exciting_images, ideal_inputs
from fastnet.insight.gradients import Nudge, Ranking, Verification, nudge, ranking, verify_ranking
from fastnet.insight.images import blobs, edge_share, edges, neighbour_correlation
from fastnet.insight.importance import Importance, importance
from fastnet.insight.landscape import Landscape, descent_landscape, descent_path, landscape
from fastnet.insight.memorization import MEMORIZER, Memorization, memorization
from fastnet.insight.minima import MINIMIZER, Minima, Path, interpolate, match_neurons, minima
from fastnet.insight.partial_dependence import PartialDependence, partial_dependence
from fastnet.insight.rates import RangeTest, learning_rate_finder
from fastnet.insight.scores import LabelScores, ValueScores, label_scores, value_scores
from fastnet.insight.weights import Structure, UnlitWeights, WeightStructure, never_lit, unlit_weights, weight_structure
from fastnet.training.recipe import CHAPTER, Recipe

__all__ = [
    "CHAPTER",
    "MEMORIZER",
    "MINIMIZER",
    "Answers",
    "BatchRun",
    "Calibration",
    "Classified",
    "DataSize",
    "DescentLog",
    "ExcitingImages",
    "IdealInputs",
    "Importance",
    "LabelScores",
    "Landscape",
    "Memorization",
    "Minima",
    "NoiseConfidence",
    "Nudge",
    "PartialDependence",
    "Path",
    "RangeTest",
    "Ranking",
    "Recipe",
    "StopAtMinimum",
    "Structure",
    "UnlitWeights",
    "ValueScores",
    "Verification",
    "WeightStructure",
    "blobs",
    "calibration",
    "classified",
    "compare_batches",
    "confidence_on_noise",
    "confusion",
    "data_size",
    "descent_landscape",
    "descent_log",
    "descent_path",
    "edge_share",
    "edges",
    "exciting_images",
    "fit_temperature",
    "ideal_inputs",
    "importance",
    "interpolate",
    "label_scores",
    "landscape",
    "learning_rate_finder",
    "match_neurons",
    "memorization",
    "minima",
    "neighbour_correlation",
    "never_lit",
    "nudge",
    "partial_dependence",
    "ranking",
    "tempered",
    "unlit_weights",
    "value_scores",
    "verify_ranking",
    "weight_structure",
]
