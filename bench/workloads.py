"""What is timed: networks and data as data, and the check that a backend's results are right before it is timed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet import datasets
from fastnet.errors import FastnetError
from fastnet.files import PathLike
from fastnet.network import Network
from fastnet.trainer import Trainer

Array = NDArray[Any]

ROWS = 60_000  # examples of an epoch
DTYPES = ("float32", "float64")
SEED = 0  # of parameters and order: every backend trains one network on the same batches

VERIFIED_BATCHES = 30
# The largest ||found - expected|| / ||expected|| there may be, against the NumPy backend in float64. Rounding alone
# leaves about a hundredth of it; a slip in a formula, a row or a rate leaves far more than all of it.
TOLERANCES = {"float32": 1e-3, "float64": 1e-10}


class VerificationError(FastnetError, ArithmeticError):
    """A backend's results differ from the reference's: its speed is of no interest."""


@dataclass(frozen=True)
class Workload:
    """A network and how it is trained, by plain gradient descent at a constant rate."""

    name: str
    sizes: tuple[int, ...]
    activation: str
    output: str
    cost: str
    batch_size: int
    learning_rate: float

    @property
    def title(self) -> str:
        layers, cost = "-".join(map(str, self.sizes)), self.cost.replace("_", " ")
        return f"{layers} {self.activation}, {self.output} output, {cost}, batch {self.batch_size}"

    @property
    def forward_flops(self) -> int:
        """Operations of predicting one example: a multiplication and an addition for each weight."""
        return 2 * sum(n_in * n_out for n_in, n_out in pairwise(self.sizes))

    @property
    def train_flops(self) -> int:
        """Operations of training on one example.

        Three products a layer: outputs, gradient and the deltas of its inputs, which the first layer does not need.
        """
        return 3 * self.forward_flops - 2 * self.sizes[0] * self.sizes[1]

    def network(self, dtype: str) -> Network:
        return Network(
            self.sizes, activation=self.activation, output=self.output, cost=self.cost, seed=SEED, dtype=dtype
        )

    def trainer(self, network: Network, backend: str) -> Trainer:
        return Trainer(
            network, learning_rate=self.learning_rate, batch_size=self.batch_size, backend=backend, seed=SEED
        )


_SMALL = ((784, 16, 16, 10), "sigmoid", "sigmoid", "squared_error")
WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("W1", *_SMALL, batch_size=10, learning_rate=0.5),
        Workload("W3", *_SMALL, batch_size=128, learning_rate=0.5),
        Workload("W5", (784, 128, 64, 10), "relu", "softmax", "cross_entropy", batch_size=64, learning_rate=0.1),
        Workload("W6", (784, 512, 512, 10), "relu", "softmax", "cross_entropy", batch_size=128, learning_rate=0.1),
    )
}


class Images(NamedTuple):
    """ROWS images as bytes (ROWS, 784) and their labels, a test set, and what they are."""

    x: Array
    y: NDArray[np.int64]
    x_test: Array
    y_test: NDArray[np.int64]
    about: str


def load_images(data_dir: PathLike | None = None) -> Images:
    """MNIST where it is on this machine, else mnist-5k over and over; nothing is downloaded.

    Raises DataError where there is neither, or MNIST is there and corrupt.
    """
    if datasets.locate("mnist", data_dir) is not None:
        data = datasets.load("mnist", data_dir=data_dir, download=False)
        return Images(data.x_train, data.y_train, data.x_test, data.y_test, f"mnist, {len(data.x_train):,} images")
    data = datasets.load("mnist-5k")
    count, n_in = data.x_train.shape
    about = f"the {count:,} images of mnist-5k over and over up to {ROWS:,}, as mnist is not on this machine"
    x, y = np.resize(data.x_train, (ROWS, n_in)), np.resize(data.y_train, ROWS)
    return Images(x, y, data.x_test, data.y_test, about)


def verify(workload: Workload, backend: str, dtype: str, x: Array, y: Array) -> None:
    """Compares what is timed with the NumPy backend in float64, on the first rows of x and y.

    These are the outputs, the gradient (of a batch, and of many) and the cost and parameters of a short training
    run, whose last batch is a smaller one. Raises VerificationError, naming the first that is off.
    """
    rows = VERIFIED_BATCHES * workload.batch_size - workload.batch_size // 2
    x, y = x[:rows], y[:rows]
    network, reference = workload.network(dtype), workload.network("float64")

    def check(what: str, found: Array, expected: Array) -> None:
        error = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
        if not error <= TOLERANCES[dtype]:  # a nan is wrong too
            raise VerificationError(
                f"{workload.name}, {backend}, {dtype}: the {what} is wrong: off by {error:.2g} of its size, of which "
                f"{TOLERANCES[dtype]:g} could be rounding; nothing was timed"
            )

    check("output", network.forward(x, backend=backend), reference.forward(x, backend="numpy"))
    for count in (workload.batch_size, len(x)):
        found = network.views(network.gradient(x[:count], y[:count], backend=backend))
        expected = reference.views(reference.gradient(x[:count], y[:count], backend="numpy"))
        for layer, pair in enumerate(zip(found.weights, expected.weights, strict=True), 1):
            check(f"gradient of layer {layer}'s weights over {count} examples", *pair)
        for layer, pair in enumerate(zip(found.biases, expected.biases, strict=True), 1):
            check(f"gradient of layer {layer}'s biases over {count} examples", *pair)

    start, reference_start = network.parameters.copy(), reference.parameters.copy()
    history = workload.trainer(network, backend).fit(x, y)
    reference_history = workload.trainer(reference, "numpy").fit(x, y)
    what = f"after {len(x)} examples of training"
    check(f"cost {what}", np.array(history["cost"]), np.array(reference_history["cost"]))
    check(f"change of the parameters {what}", network.parameters - start, reference.parameters - reference_start)
