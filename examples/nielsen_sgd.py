"""The Network and SGD of Michael Nielsen's "Neural Networks and Deep Learning", on top of fastnet: 784-30-10.

Run: python examples/nielsen_sgd.py (4,000 images, a second), or with --data mnist (50,000 images, 2 to 8 seconds)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

import fastnet

# Data are a list of pairs, as in the book, or a pair of arrays. In the book's training data, a pair is x (784, 1) and
# y (10, 1). In the book's test data, a pair is x (784, 1) and a digit. The arrays are x (n, 784) and the digits y (n,).
Data = tuple[Any, Any] | Iterable[tuple[Any, Any]]


def as_arrays(data: Data) -> tuple[Any, Any]:
    """Returns x (n, n_in) and y from data in either form. y holds digits (n,) or targets (n, n_out)."""
    if isinstance(data, tuple):
        x, y = data
        return x, y
    pairs = list(data)
    x, y = (np.array([np.ravel(pair[k]) for pair in pairs]) for k in (0, 1))
    return x, y[:, 0] if y.shape[1] == 1 else y


class Network:
    """The book's class. `net` is the fastnet network behind it."""

    def __init__(self, sizes: list[int], seed: int | None = None) -> None:
        # The book draws weights and biases from the standard normal distribution. With such large weights a network can
        # take long to learn one of the digits: on 4,000 images --seed 3 ends at 80%, most other seeds near 90%.
        self.net = fastnet.Network(sizes, activation="sigmoid", cost="squared_error", init="normal", seed=seed)
        self.seed = seed

    def feedforward(self, a: Any) -> Any:
        """Returns the outputs (n_out, 1) of one input (n_in, 1)."""
        return self.net.forward(np.reshape(a, (1, -1))).T

    def evaluate(self, test_data: Data) -> int:
        """Returns the number of test inputs that are classified right."""
        x, y = as_arrays(test_data)
        return int(np.count_nonzero(self.net.predict(x) == y))

    def SGD(
        self, training_data: Data, epochs: int, mini_batch_size: int, eta: float, test_data: Data | None = None
    ) -> None:
        """Stochastic gradient descent. With test_data, each epoch prints a line such as Epoch 0: 9045 / 10000.

        The book's cost is half the squared error. Its gradient is half of fastnet's, so the learning rate is eta / 2.
        """
        x, y = as_arrays(training_data)
        test = None if test_data is None else as_arrays(test_data)

        def tell(trainer: fastnet.Trainer, epoch: fastnet.Epoch) -> None:
            print(f"Epoch {epoch.epoch - 1}" + (f": {self.evaluate(test)} / {len(test[0])}" if test else " complete"))

        trainer = fastnet.Trainer(
            self.net, optimizer="sgd", learning_rate=eta / 2, batch_size=mini_batch_size, seed=self.seed
        )
        trainer.fit(x, y, epochs=epochs, callbacks=[tell])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="mnist-5k", help="mnist-5k (default) or mnist")
    parser.add_argument("--seed", type=int, default=0, help="seed of the parameters and of the order (default 0)")
    args = parser.parse_args()
    data = fastnet.data.load(args.data)
    training_data = data.x_train[:50_000], data.y_train[:50_000]  # the book keeps the last 10,000 for validation
    network = Network([784, 30, 10], args.seed)
    network.SGD(training_data, 30, 10, 3.0, test_data=(data.x_test, data.y_test))


if __name__ == "__main__":
    try:
        main()
    except (fastnet.FastnetError, ValueError) as error:  # no data set or no such backend: the message says what to do
        sys.exit(str(error))
