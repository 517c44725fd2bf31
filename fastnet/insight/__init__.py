"""What a trained network really learned: experiments that return numbers, as arrays and small dataclasses.

Everything here trains and computes through Trainer and Network, thus through the kernels. Pictures of the results are
drawn by fastnet.plots; `fastnet explore` runs the experiments from the command line.
"""

from fastnet.insight.batches import BatchRun, compare_batches
from fastnet.insight.descent import DescentLog, StopAtMinimum, descent_log
from fastnet.insight.gradients import Nudge, Ranking, Verification, nudge, ranking, verify_ranking
from fastnet.insight.rates import RangeTest, learning_rate_finder
from fastnet.recipe import CHAPTER, Recipe

__all__ = [
    "CHAPTER",
    "BatchRun",
    "DescentLog",
    "Nudge",
    "RangeTest",
    "Ranking",
    "Recipe",
    "StopAtMinimum",
    "Verification",
    "compare_batches",
    "descent_log",
    "learning_rate_finder",
    "nudge",
    "ranking",
    "verify_ranking",
]
