"""Networks in the JSON format of Michael Nielsen's book, as its network2.py saves and loads them; exact both ways.

Run: python examples/nielsen_json.py           (trains two networks, writes and reads them again: a second)
     python examples/nielsen_json.py net.json  (reads a file of the book's and tries it on 1,000 test images)

A file holds sizes, weights (a matrix (n_out, n_in) a layer), biases (a column [[b], ...] a layer) and the cost's name.
QuadraticCost is half of fastnet's squared_error: train on with half the book's eta. CrossEntropyCost is fastnet's
cross_entropy with sigmoid outputs, with the same value and the same eta. All neurons are sigmoids.
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

COSTS: dict[str, Cost] = {"QuadraticCost": "squared_error", "CrossEntropyCost": "cross_entropy"}
KEYS = ("sizes", "weights", "biases", "cost")


def save(net: fastnet.Network, path: str) -> None:
    """Writes the network; a file of that name is replaced only by a whole one. Raises ValueError for other neurons."""
    if set(net.activations_by_layer) != {"sigmoid"}:
        raise ValueError(f"the book's networks are of sigmoids only, and this is {net!r}")
    cost = next(name for name, ours in COSTS.items() if ours == net.cost_name)
    arrays = [w.tolist() for w in net.weights], [b[:, None].tolist() for b in net.biases]
    with open(f"{path}.part", "w", encoding="utf-8") as file:
        json.dump(dict(zip(KEYS, (net.sizes, *arrays, cost), strict=True)), file)
    os.replace(f"{path}.part", path)


def load(path: str) -> fastnet.Network:
    """The network in a file, in float64 as the book's. Raises fastnet.DataError for a file that has none."""
    try:
        with open(path, encoding="utf-8") as file:
            found: Any = json.load(file)
        if not isinstance(found, dict) or not found.keys() >= set(KEYS):
            raise ValueError(f"it should be an object with {', '.join(KEYS)}")
        if found["cost"] not in list(COSTS):
            raise ValueError(f"its cost is {found['cost']!r}, not {' or '.join(COSTS)}")
        net = fastnet.Network(found["sizes"], cost=COSTS[found["cost"]], output="sigmoid", dtype=np.float64)
        for name, views in (("weights", net.weights), ("biases", [b[:, None] for b in net.biases])):
            arrays = [np.array(each, np.float64) for each in found[name]] if isinstance(found[name], list) else []
            shapes, wanted = ([array.shape for array in part] for part in (arrays, views))
            if shapes != wanted:
                raise ValueError(f"its {name} have the shapes {shapes}; its sizes want {wanted}")
            for view, array in zip(views, arrays, strict=True):
                view[...] = array
        if not np.isfinite(net.parameters).all():
            raise ValueError("not all of its numbers are finite")
    except OSError as error:
        raise fastnet.DataError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise fastnet.DataError(f"{path} is not a network of the book's: {error}") from error
    return net


def book_cost(net: fastnet.Network, x: Any, y: Any) -> float:
    """The cost of the network as the book has it: half of the squared error, or the same cross entropy."""
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
            net = fastnet.Network([784, 30, 10], output="sigmoid", cost=cost, seed=0)
            fastnet.Trainer(net, learning_rate=0.5, batch_size=10, seed=0).fit(data.x_train, data.y_train, epochs=5)
            save(net, f"{folder}/net.json")
            again = load(f"{folder}/net.json")
            equal = np.array_equal(net.parameters, again.parameters)
            print(f"{book}: read again, all {net.n_parameters:,} parameters are equal: {equal}")
            costs = net.cost(data.x_test, data.y_test), book_cost(again, data.x_test, data.y_test)
            print(f"  on the test images {cost} {costs[0]:.4f}, the book's cost {costs[1]:.4f}")


if __name__ == "__main__":
    try:
        main()
    except (fastnet.FastnetError, ValueError) as error:  # the file, the data set or the backend cannot be used
        sys.exit(str(error))
