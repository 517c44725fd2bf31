"""Literal types for arguments that take a name. With them, a type checker refuses Network(..., activation="rleu")."""

from __future__ import annotations

from typing import Literal, TypeAlias

Activation: TypeAlias = Literal["sigmoid", "relu", "tanh", "leaky_relu", "identity"]  # of hidden layers
Output: TypeAlias = Literal[  # of the last layer
    "sigmoid", "relu", "tanh", "leaky_relu", "identity", "softmax", "exponential"
]
Cost: TypeAlias = Literal[
    "squared_error", "cross_entropy", "half_squared_error", "absolute_error", "huber", "quantile", "poisson"
]
TaskName: TypeAlias = Literal["classification", "regression", "multilabel"]
Init: TypeAlias = Literal["scaled", "normal"]
OptimizerName: TypeAlias = Literal["sgd", "momentum", "nesterov", "adam"]
ScheduleName: TypeAlias = Literal["constant", "step", "cosine", "exponential"]
Threads: TypeAlias = int | Literal["auto"]
Sparse: TypeAlias = bool | Literal["auto"]
BatchSize: TypeAlias = int | Literal["auto"]
# A registered backend may have any name, so the type accepts every str. An editor still suggests these four names.
BackendName: TypeAlias = Literal["auto", "cython", "numba", "numpy"] | str
