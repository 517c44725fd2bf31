"""Ensemble: several networks as one model, whose outputs are the mean of theirs."""

from fastnet.ensemble.ensemble import Ensemble, Model, load_model

__all__ = ["Ensemble", "Model", "load_model"]
