"""The workloads and their data, and the check of a backend's results before it is timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet.data import load, locate
from fastnet.data.files import PathLike
from fastnet.errors import DataError, FastnetError
from fastnet.names import Activation, Cost, OptimizerName, Output, Sparse
from fastnet.network import Network
from fastnet.training.optimizers import Adam, Momentum
from fastnet.training.trainer import Trainer

Array = NDArray[Any]

ROWS = 60_000  # examples of an epoch
DTYPES = ("float32", "float64")
INPUTS = ("bytes", "float32", "sparse")
SEED = 0  # of parameters and order: every backend trains the same network on the same batches

VERIFIED_BATCHES = 30
# The largest allowed ||found - expected|| / ||expected||, where `expected` is from the NumPy backend in float64.
# Rounding alone causes about a hundredth of this error. A wrong formula, row or rate exceeds the tolerance by far.
TOLERANCES = {"float32": 1e-3, "float64": 1e-10}
# Rounding in float32 can move a ReLU's weighted sum across zero, which switches the neuron's gradient on or off.
KINK_TOLERANCE = 5e-3
MOMENTUM, ADAM = Momentum().momentum, Adam()  # the settings of the optimisers, for the peers


class VerificationError(FastnetError, ArithmeticError):
    """A backend's results differ from the reference by more than rounding."""


@dataclass(frozen=True)
class Setup:
    """The settings of fastnet in a measurement."""

    backend: str
    dtype: str = DTYPES[0]
    sparse: Sparse = "auto"  # Trainer(sparse=...): whether it compresses dense images
    threads: int = 1

    def __str__(self) -> str:
        more = [f"sparse={self.sparse}"] if self.sparse != "auto" else []
        more += [f"{self.threads} threads"] if self.threads != 1 else []
        return ", ".join([self.backend, self.dtype, *more])


@dataclass(frozen=True)
class Workload:
    """A network and its training at a constant learning rate. An identity output means a regression."""

    name: str
    sizes: tuple[int, ...]
    activation: Activation
    output: Output
    cost: Cost
    batch_size: int
    learning_rate: float
    optimizer: OptimizerName = "sgd"

    @property
    def has_labels(self) -> bool:
        """Whether the targets are labels; the targets of a regression are numbers (n, n_out)."""
        return self.output != "identity"

    @property
    def layers(self) -> str:
        return "-".join(map(str, self.sizes))

    @property
    def label(self) -> str:
        """The heading of the workload's bars in a picture."""
        return f"{self.name}: {self.layers}, batch {self.batch_size}"

    @property
    def title(self) -> str:
        cost = self.cost.replace("_", " ")
        optimizer = "" if self.optimizer == "sgd" else f", {self.optimizer}"
        return f"{self.layers} {self.activation}, {self.output} output, {cost}, batch {self.batch_size}{optimizer}"

    @property
    def forward_flops(self) -> int:
        """Operations of one prediction: a multiplication and an addition for each weight."""
        return 2 * sum(n_in * n_out for n_in, n_out in pairwise(self.sizes))

    @property
    def train_flops(self) -> int:
        """Operations of training on one example.

        A layer needs three matrix products: for its outputs, for its gradient and for the deltas of its inputs. The
        first layer does not need the deltas of its inputs.
        """
        return 3 * self.forward_flops - 2 * self.sizes[0] * self.sizes[1]

    def tolerance(self, dtype: str) -> float:
        kinked = self.activation == "relu" and dtype == "float32"
        return KINK_TOLERANCE if kinked else TOLERANCES[dtype]

    def network(self, dtype: str) -> Network:
        return Network(
            self.sizes, activation=self.activation, output=self.output, cost=self.cost, seed=SEED, dtype=dtype
        )

    def trainer(self, network: Network, setup: Setup, **settings: Any) -> Trainer:
        """A trainer of the network. `settings` are more arguments of Trainer."""
        return Trainer(
            network,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            backend=setup.backend,
            seed=SEED,
            sparse=setup.sparse,
            threads=setup.threads,
            **settings,
        )


_SMALL: tuple[tuple[int, ...], Activation, Output, Cost] = ((784, 16, 16, 10), "sigmoid", "sigmoid", "squared_error")
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
    """ROWS images as bytes (ROWS, 784) and their labels, a test set, and a description."""

    x: Array
    y: NDArray[np.int64]
    x_test: Array
    y_test: NDArray[np.int64]
    about: str


def load_images(data_dir: PathLike | None = None) -> Images:
    """MNIST if it is on this machine, otherwise mnist-5k repeated up to ROWS images. Nothing is downloaded.

    Raises
    ------
    DataError
        If neither data set is on this machine, or if MNIST is corrupt.
    """
    if locate("mnist", data_dir) is not None:
        data = load("mnist", data_dir=data_dir, download=False)
        return Images(data.x_train, data.y_train, data.x_test, data.y_test, f"mnist, {len(data.x_train):,} images")
    data = load("mnist-5k")
    count, n_in = data.x_train.shape
    about = f"the {count:,} images of mnist-5k repeated up to {ROWS:,}, because mnist is not on this machine"
    x, y = np.resize(data.x_train, (ROWS, n_in)), np.resize(data.y_train, ROWS)
    return Images(x, y, data.x_test, data.y_test, about)


def as_input(images: Images, kind: str) -> Images:
    """The images in the form `kind`, one of INPUTS: bytes as they are, floats from 0 to 1, or a CSR array of bytes."""
    if kind == "bytes":
        return images
    if kind == "float32":
        x, x_test = (np.divide(x, 255, dtype=np.float32) for x in (images.x, images.x_test))
        return images._replace(x=x, x_test=x_test)
    try:
        from scipy.sparse import csr_array
    except ImportError as error:
        raise DataError(f"sparse input needs SciPy ({error}): python -m pip install scipy") from None
    return images._replace(x=csr_array(images.x), x_test=csr_array(images.x_test))


# -- the check ----------------------------------------------------------------------------------------------------

Check = Callable[[str, Array, Array], None]  # name, found, expected


def checker(who: str, tolerance: float) -> Check:
    """A function that raises VerificationError if `found` differs from `expected` by more than the tolerance."""

    def check(what: str, found: Array, expected: Array) -> None:
        error = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
        if not error <= tolerance:  # also true for NaN
            raise VerificationError(
                f"{who}: the {what} is wrong: its relative error is {error:.2g}, and rounding explains at most "
                f"{tolerance:g}; nothing was timed"
            )

    return check


def verified_rows(workload: Workload) -> int:
    """The number of examples of a verification; its last batch is smaller than the others."""
    return VERIFIED_BATCHES * workload.batch_size - workload.batch_size // 2


class Reference(NamedTuple):
    """The results of a short training run on the NumPy backend in float64."""

    start: Array
    parameters: Array
    cost: Array
    outputs: Array  # of the training rows, after the run


def reference(workload: Workload, x: Array, y: Array) -> Reference:
    network = workload.network("float64")
    start = network.parameters.copy()
    history = workload.trainer(network, Setup("numpy", "float64", sparse=False)).fit(x, y, epochs=1)
    return Reference(start, network.parameters, np.array(history["cost"]), network.forward(x, backend="numpy"))


def verify(workload: Workload, setup: Setup, x: Any, y: Array) -> None:
    """Compares a backend with the NumPy backend in float64, on the first rows of x and y.

    It compares the outputs, the gradient of one batch and of all rows, and the cost and the parameters after a short
    training run whose last batch is smaller. With sparse="auto" and dense x, a second run compresses x.

    Raises
    ------
    VerificationError
        If a result differs. The message names the first result that differs.
    """
    rows = verified_rows(workload)
    x, y = x[:rows], y[:rows]
    dense = x if isinstance(x, np.ndarray) else x.toarray()
    network, exact = workload.network(setup.dtype), workload.network("float64")
    check = checker(f"{workload.name}, {setup}", workload.tolerance(setup.dtype))
    check("output", network.forward(x, backend=setup.backend), exact.forward(dense, backend="numpy"))
    for count in (workload.batch_size, len(y)):
        found = network.views(network.gradient(dense[:count], y[:count], backend=setup.backend))
        expected = exact.views(exact.gradient(dense[:count], y[:count], backend="numpy"))
        for layer, pair in enumerate(zip(found.weights, expected.weights, strict=True), 1):
            check(f"gradient of layer {layer}'s weights over {count} examples", *pair)
        for layer, pair in enumerate(zip(found.biases, expected.biases, strict=True), 1):
            check(f"gradient of layer {layer}'s biases over {count} examples", *pair)

    right = reference(workload, dense, y)
    for sparse in dict.fromkeys([setup.sparse, setup.sparse and dense is x]):
        network, what = workload.network(setup.dtype), f"after {len(y)} examples of training"
        history = workload.trainer(network, replace(setup, sparse=sparse)).fit(x, y, epochs=1)
        check(f"cost {what}", np.array(history["cost"]), right.cost)
        check(f"change of the parameters {what}", network.parameters - right.start, right.parameters - right.start)
