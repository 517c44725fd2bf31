"""Search: train many networks and choose the best, at random, on a grid or by successive halving, with joblib."""

from fastnet.search.optuna_callback import OptunaCallback
from fastnet.search.records import Record, Request, Standing, Trial
from fastnet.search.result import SearchResult
from fastnet.search.searching import search
from fastnet.search.space import OMIT, Distribution, integers, loguniform, uniform
from fastnet.search.space_file import read_space

__all__ = [
    "OMIT",
    "Distribution",
    "OptunaCallback",
    "Record",
    "Request",
    "SearchResult",
    "Standing",
    "Trial",
    "integers",
    "loguniform",
    "read_space",
    "search",
    "uniform",
]
