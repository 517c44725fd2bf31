"""The experiments of `fastnet explore`. Each one trains networks on a data set and reports a Finding.

An experiment is a module of this package with one function, explore(setting).
"""

from fastnet.explore.experiments import EXPERIMENTS, NEED_SCIPY, Setting, run
from fastnet.explore.finding import Finding
from fastnet.text import plain

__all__ = ["EXPERIMENTS", "NEED_SCIPY", "Finding", "Setting", "plain", "run"]
