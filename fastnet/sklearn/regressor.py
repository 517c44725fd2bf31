"""MLPRegressor: regression with scikit-learn's interface and numbers."""

from __future__ import annotations
