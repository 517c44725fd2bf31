"""What a network refuses: unusable inputs and targets, and arguments that make no network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from network_cases import random_network, refused

import fastnet
from fastnet import Network
from fastnet.kernels import contract as c

X = np.random.default_rng(0).random((6, 4), np.float32)
Y = np.array([0, 1, 2, 0, 1, 2])
NAN = X.copy()
NAN[2, 1] = np.nan
INF = X.astype(np.float64)
INF[5, 3] = -np.inf


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X[:, :3], "x (6, 3) 3 4"),
        (X[0], "x (4,) (n, 4) x[None]"),
        (np.float32(1), "x ()"),
        (X[:0], "x empty"),
        (np.ones((3, 4), complex), "x complex128"),
        (NAN, "x[2, 1] nan"),
        (INF, "x[5, 3] -inf"),
        (-INF, "x[5, 3] inf"),
        (np.full((2, 4), 1e300), "x 1e+300 float32 float64"),
        (np.full((2, 4), -1e300), "x -1e+300 float32 float64"),
        (np.array([[{}] * 4]), "x objects of the type dict"),
        (X.astype(str), "x text one-hot"),
        ([[1.0, 2.0], [3.0]], "x has rows of different lengths; expected rows of one length"),
        (None, "x must be an array or a list of numbers, not None"),
        ({}, "x must be an array or a list of numbers, not {}"),
        ((row for row in X), "x must be an array or a list of numbers, not <generator"),
        ("abc", "x must be an array or a list of numbers, not 'abc'"),
        (np.ma.masked_array(X, X > 0.5), "x mask"),
    ],
)
def test_unusable_inputs_are_refused(x: Any, words: str) -> None:
    net = random_network([4, 3])
    for call in (net.forward, net.predict, net.activations, lambda x: net.cost(x, Y), lambda x: net.gradient(x, Y)):
        refused(lambda: call(x), *words.split())  # noqa: B023  # called at once


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (Y + 1, "y[2] 3 0 2"),
        (Y - 1, "y[0] -1"),
        (np.full(6, 2**63, np.uint64), "y[0] 9223372036854775808"),
        (Y.astype(float), "y floats astype(np.int64)"),
        (Y + 0.5, "y[0] 0.5 whole numbers from 0 to 2: correct"),
        (np.array([0, 1, 2, 0, np.nan, np.inf]), "y[4] nan whole numbers"),
        (Y[:5], "y (5,) 6"),
        (Y[:, None], "y (6, 1) ravel"),
        (np.zeros((6, 2)), "y (6, 2) (6, 3)"),
        (np.zeros((3, 6)), "y (3, 6)"),
        (3, "y ()"),
        (Y.astype(str), "y text np.unique"),
        (np.array([None, *Y[1:]]), "y 1 missing value"),
        ([[1, 2], [3]] * 3, "y has rows of different lengths; expected rows of one length"),
        (c.SparseRows(np.arange(7), np.zeros(6, np.int32), np.ones(6), 3), "y is sparse; y.toarray()"),
        ((label for label in Y), "y must be an array or a list of numbers, not <generator"),
        (np.full((6, 3), np.nan), "y[0, 0] nan"),
        (np.full((6, 3), 0.3), "y[0] sums 0.9 1"),
        (np.tile([1.5, -0.5, 0], (6, 1)), "y[0, 0] 1.5 softmax from 0 to 1"),
        (None, "y must be an array or a list of numbers, not None"),
    ],
)
def test_unusable_targets_are_refused(y: Any, words: str) -> None:
    net = random_network([4, 3], cost="cross_entropy")
    refused(lambda: net.cost(X, y), *words.split())
    refused(lambda: net.gradient(X, y), *words.split())


def test_one_sigmoid_output_takes_only_the_integers_0_and_1() -> None:
    refused(lambda: random_network([4, 1]).cost(X, Y), "y", "0", "2", "sigmoid", "an output each")
    refused(lambda: random_network([4, 1]).cost(X, np.where(Y > 1, 1, -1)), "y[0] is -1", "np.unique(y, return_inverse")
    random_network([4, 1], output="identity").cost(X, Y)  # a regression accepts any target


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sizes": [4]}, "sizes"),
        ({"sizes": []}, "sizes"),
        ({"sizes": "784"}, "sizes '784'"),
        ({"sizes": 784}, "sizes 784"),
        ({"sizes": None}, "sizes None"),
        ({"sizes": [4, 0]}, "sizes[1] 0"),
        ({"sizes": [-4, 3]}, "sizes[0] -4"),
        ({"sizes": [4, 3.0]}, "sizes[1] whole 3.0"),
        ({"sizes": [4, "3"]}, "sizes[1] '3'"),
        ({"sizes": [True, 3]}, "sizes[0] True"),
        ({"sizes": [2**40, 2**40]}, "sizes parameters"),
        ({"sizes": [1] * 300}, "layers 299"),
        ({"activation": "step"}, "hard step derivative zero sigmoid"),
        ({"activation": "heaviside"}, "hard step"),
        ({"output": "hard_step"}, "hard step"),
        (
            {"activation": "softmax"},
            "use output='softmax'; hidden layers take sigmoid, relu, tanh, leaky_relu",
        ),
        ({"activation": ["softmax"]}, "softmax output hidden"),
        ({"activation": "relo"}, "'relo' relu leaky_relu tanh"),
        ({"activation": "RELU"}, "'RELU' did you mean 'relu'?"),
        ({"activation": ["LeakyReLU"]}, "'LeakyReLU' did you mean 'leaky_relu'?"),
        ({"activation": ["relu", "relu"]}, "activation has length 2; expected length 1, one name"),
        ({"sizes": [4, 2], "activation": ["relu"]}, "activation has length 1; expected length 0, one name"),
        ({"activation": [None]}, "activation None"),
        ({"activation": None}, "activation None"),
        ({"activation": 5}, "activation 5"),
        ({"output": 5}, "5 softmax"),
        ({"output": "relu", "cost": "cross_entropy"}, "cross_entropy relu softmax sigmoid"),
        ({"output": "identity", "cost": "cross_entropy"}, "cross_entropy identity"),
        ({"output": "tanh", "cost": "cross_entropy"}, "cross_entropy tanh"),
        ({"sizes": [4, 1], "output": "softmax"}, "softmax one sigmoid"),
        ({"sizes": [4, 1], "output": "softmax", "cost": "cross_entropy"}, "softmax one sigmoid"),
        ({"cost": "cross_entropi"}, "cost 'cross_entropi' squared_error did you mean 'cross_entropy'"),
        ({"cost": 5}, "cost 5 Huber()"),
        ({"cost": fastnet.Huber}, "cost class Huber: write Huber()"),
        ({"task": "regresion"}, "task 'regresion' did you mean 'regression'"),
        ({"task": "classification", "output": "identity"}, "task='classification' identity softmax sigmoid regression"),
        ({"task": "classification", "cost": "huber"}, "task='classification' identity output='sigmoid'"),
        ({"task": "multilabel", "output": "softmax"}, "task='multilabel' output='sigmoid' 'softmax' classification"),
        ({"cost": "poisson", "output": "identity"}, "poisson cannot have identity outputs: use output='exponential'"),
        ({"activation": "exponential"}, "use output='exponential'; hidden layers take"),
        ({"byte_scale": 0}, "byte_scale 0 1/255"),
        ({"byte_scale": np.nan}, "byte_scale finite nan"),
        ({"byte_scale": "1/255"}, "byte_scale '1/255'"),
        ({"init": "scald"}, "init 'scald' did you mean 'scaled'"),
        ({"dtype": "float16"}, "dtype float32 float64 float16"),
        ({"dtype": int}, "dtype float32"),
        ({"dtype": "bogus"}, "dtype 'bogus'"),
        ({"dtype": None}, "dtype None"),  # NumPy reads None as float64
        ({"seed": "abc"}, "seed 'abc'"),
        ({"seed": np.random.RandomState(0)}, "seed RandomState numpy.random.Generator np.random.default_rng(0)"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 1.5}, "seed 1.5"),
    ],
)
def test_impossible_networks_are_refused(arguments: dict[str, Any], words: str) -> None:
    refused(lambda: Network(**({"sizes": [4, 3, 2]} | arguments)), *words.split())
