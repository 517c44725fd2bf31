"""Reads and writes networks in the JSON format of network2.py from Michael Nielsen's book. Every number is exact.

Run: python examples/nielsen_json.py (a second). With a file as argument, it tests the network in this file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from typing import Any

import numpy as np

import fastnet
from fastnet.names import Cost

# A file holds sizes, weights (a matrix (n_out, n_in) for each layer), biases (a column [[b], ...] for each layer) and
# the name of the cost. All neurons are sigmoids. QuadraticCost is half of fastnet's squared_error: to continue a
# training here, use half of the book's eta. CrossEntropyCost equals fastnet's cross_entropy with sigmoid outputs.
COSTS: dict[str, Cost] = {"QuadraticCost": "squared_error", "CrossEntropyCost": "cross_entropy"}
KEYS = ("sizes", "weights", "biases", "cost")


def save(net: fastnet.Network, path: str) -> None:
    """Writes the network. An existing file is replaced only when the new file is complete.

    Raises ValueError if the activation of a layer is not sigmoid.
    """
    if set(net.activations_by_layer) != {"sigmoid"}:
        raise ValueError(f"net is {net!r}; expected sigmoid in every layer, as in the book's networks")
    cost = next(name for name, ours in COSTS.items() if ours == net.cost_name)
    arrays = [w.tolist() for w in net.weights], [b[:, None].tolist() for b in net.biases]
    with open(f"{path}.part", "w", encoding="utf-8") as file:
        json.dump(dict(zip(KEYS, (net.sizes, *arrays, cost), strict=True)), file)
    os.replace(f"{path}.part", path)


def load(path: str) -> fastnet.Network:
    """Returns the network of a file, in float64 like the book. Raises fastnet.DataError if the file holds none."""
    try:
        with open(path, encoding="utf-8") as file:
            found: Any = json.load(file)
        if not isinstance(found, dict) or not found.keys() >= set(KEYS):
            raise ValueError(f"expected an object with {', '.join(KEYS)}")
        if found["cost"] not in list(COSTS):
            raise ValueError(f"cost is {found['cost']!r}; expected {' or '.join(COSTS)}")
        net = fastnet.Network(
            found["sizes"], activation="sigmoid", output="sigmoid", cost=COSTS[found["cost"]], dtype=np.float64
        )
        for name, views in (("weights", net.weights), ("biases", [b[:, None] for b in net.biases])):
            arrays = [np.array(each, np.float64) for each in found[name]] if isinstance(found[name], list) else []
            shapes, wanted = ([array.shape for array in part] for part in (arrays, views))
            if shapes != wanted:
                raise ValueError(f"{name} has the shapes {shapes}; sizes needs {wanted}")
            for view, array in zip(views, arrays, strict=True):
                view[...] = array
        if not np.isfinite(net.parameters).all():
            raise ValueError("a weight or bias is not finite")
    except OSError as error:
        raise fastnet.DataError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise fastnet.DataError(f"{path} is not a network in the book's format: {error}") from error
    return net


def book_cost(net: fastnet.Network, x: Any, y: Any) -> float:
    """Returns the book's cost: half of the squared error, or the cross-entropy."""
    return net.cost(x, y) / (2 if net.cost_name == "squared_error" else 1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("path", nargs="?", help="a network that the book's network2.py saved")
    path = parser.parse_args().path
    data = fastnet.data.load("mnist-5k")
    if path is not None:
        net = load(path)
        print(f"{net!r}: {net.accuracy(data.x_test, data.y_test):.1%} of the test images right")
        return
    with tempfile.TemporaryDirectory() as folder:
        for book, cost in COSTS.items():
            net = fastnet.Network([784, 30, 10], activation="sigmoid", output="sigmoid", cost=cost, seed=0)
            trainer = fastnet.Trainer(net, optimizer="sgd", learning_rate=0.5, batch_size=10, seed=0)
            trainer.fit(data.x_train, data.y_train, epochs=5)
            save(net, f"{folder}/net.json")
            again = load(f"{folder}/net.json")
            equal = np.array_equal(net.parameters, again.parameters)
            print(f"{book}: written and read, all {net.n_parameters:,} parameters are equal: {equal}")
            costs = net.cost(data.x_test, data.y_test), book_cost(again, data.x_test, data.y_test)
            print(f"  on the test images {cost} {costs[0]:.4f}, the book's cost {costs[1]:.4f}")


if __name__ == "__main__":
    try:
        main()
    except (fastnet.FastnetError, ValueError) as error:  # no file, data set or backend: the message says what to do
        sys.exit(str(error))
