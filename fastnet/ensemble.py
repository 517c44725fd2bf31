"""Ensemble: several networks as one model, whose outputs are the mean of theirs."""
