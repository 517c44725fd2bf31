"""Compares networks with their ONNX files in onnxruntime, and prints the worst difference of the outputs."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

import kernel_cases as kc
from pairwise import cover

from fastnet import Network

# A case has a hidden activation, an output with its cost and its task, a depth, n_out, the dtype, and that of x.
AXES = (kc.HIDDEN, kc.FORMULAS, (0, 1, 2, 3, 4), (1, 2, 7), kc.DTYPES, ("float32", "float64", "uint8", None))
ROWS = (0, 1, 300)
TOLERANCE = 1e-5


class Comparison(NamedTuple):
    """The differences between a network and its ONNX file on some rows."""

    rows: int
    worst: float  # of the outputs, relative to outputs above 1
    labels: int  # the number of labels that differ
    labels_apart: int  # those of them whose weighted sums differ by more than rounding errors


def cases() -> list[tuple[Any, ...]]:
    """Return a pairwise cover of the axes."""
    return cover(*AXES)


def drawn(count: int, seed: int) -> list[tuple[Any, ...]]:
    """Return random cases."""
    rng = np.random.default_rng(seed)
    return [tuple(axis[rng.integers(len(axis))] for axis in AXES) for _ in range(count)]


def network(case: tuple[Any, ...], seed: int = 0) -> Network:
    """Return the network of a case. Its widths are drawn."""
    hidden, (output, cost, task), depth, n_out, dtype, _ = case
    rng = np.random.default_rng(seed)
    sizes = [*rng.integers(1, 40, depth + 1).tolist(), max(n_out, 2) if output == "softmax" else n_out]
    scale = float(rng.choice([1 / 255, 0.01]))
    made = Network(
        sizes, activation=hidden, output=output, cost=cost, task=task, seed=rng, dtype=dtype, byte_scale=scale
    )
    for biases in made.biases:
        biases[...] = 0.3 * rng.standard_normal(biases.shape)
    return made


def inputs(net: Network, x_dtype: str | None, rows: int, scale: float = 1.0) -> NDArray[Any]:
    """Return examples of the dtype."""
    rng = np.random.default_rng(rows)
    if x_dtype == "uint8":
        return rng.integers(0, 256, (rows, net.sizes[0]), dtype=np.uint8)
    return (scale * rng.standard_normal((rows, net.sizes[0]))).astype(x_dtype or net.dtype)


def run(path: Path, x: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the outputs of an ONNX file by name."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": x}), strict=True))


def compare(net: Network, path: Path, x: NDArray[Any]) -> Comparison:
    """Compare the outputs and labels of a network with those of its ONNX file."""
    found = run(path, x)
    some = x if len(x) else inputs(net, None, 1)  # `forward` refuses an array without rows
    expected, classes = net.forward(some)[: len(x)], net.predict(some)[: len(x)]
    outputs = found["values" if net.task == "regression" else "probabilities"]
    assert (outputs.shape, outputs.dtype) == (expected.shape, expected.dtype)
    worst = float((np.abs(outputs - expected) / np.maximum(1, np.abs(expected))).max(initial=0))
    if net.task == "regression":
        assert [*found] == ["values"]
        return Comparison(len(x), worst, 0, 0)
    labels = found["labels"]
    assert (labels.shape, labels.dtype) == (classes.shape, np.int64)
    differ = labels != classes
    apart = differ & _is_clear(net, some)[: len(x)]
    return Comparison(len(x), worst, int(differ.sum()), int(apart.sum()))


def _is_clear(net: Network, x: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where rounding errors of the weighted sums cannot change a label."""
    sums = net.activations(x)[-2] if len(net.sizes) > 2 else x * (net.byte_scale if x.dtype == np.uint8 else 1)
    sums = sums.astype(net.dtype) @ net.weights[-1].T + net.biases[-1]
    margin = np.abs(sums)
    if net.task == "classification":
        first, second = np.sort(sums, axis=1)[:, :-3:-1].T if sums.shape[1] > 1 else (sums[:, 0], 0)
        margin = np.abs(first - second)
    return margin > TOLERANCE * (1 + np.abs(sums).max(axis=1).reshape(-1, *[1] * (margin.ndim - 1)))


def comparisons(chosen: list[tuple[Any, ...]], folder: Path) -> Iterator[tuple[tuple[Any, ...], Comparison]]:
    """Write the network of each case, and compare it with its file on no row, on one row and on many rows."""
    path = folder / "network.onnx"
    for seed, case in enumerate(chosen):
        net, x_dtype = network(case, seed), case[-1]
        net.to_onnx(path, x_dtype=x_dtype)
        onnx.checker.check_model(path, full_check=True)
        for rows in ROWS:
            yield case, compare(net, path, inputs(net, x_dtype, rows))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.export.onnx_matrix", description=__doc__)
    parser.add_argument("--drawn", type=int, default=500, help="random networks beside the cover (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    covering = cases()
    chosen = covering + drawn(arguments.drawn, arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        found = list(comparisons(chosen, Path(folder)))
    print(f"{len(chosen)} networks: {len(covering)} of the pairwise cover, {arguments.drawn} drawn")
    print(f"{sum(one.rows for _, one in found):,} rows")
    for dtype in kc.DTYPES:
        case, worst = max((pair for pair in found if pair[0][4] == dtype), key=lambda pair: pair[1].worst)
        print(f"{dtype}: worst difference {worst.worst:.2g}, of {case}")
    print(f"{sum(one.labels for _, one in found)} labels differ")


if __name__ == "__main__":
    main()
