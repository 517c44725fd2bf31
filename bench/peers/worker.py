"""Runs in a peer's process: answers the questions of process.py with the model of one library."""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fastnet.backends.machine import resident_peak
from fastnet.bench.peers.process import CASE, WARM
from fastnet.bench.workloads import SEED, Array, Workload


class Model(Protocol):
    """The class `Model` in the module of each library.

    Model(workload, dtype, x, y) starts from fastnet's parameters. scikit-learn draws its own where its cost differs.
    x: (n, n_in) floats of the dtype; a CSR matrix only for a peer that reads CSR. y: (n,) labels, or for a regression
    (n, n_out) floats of the dtype. A model that draws its own order has a method in_order(order) for the verification.
    A model that can use several threads for inference also takes `threads`.
    """

    def epoch(self, order: Array) -> None:
        """Makes one step for each batch of the order. The last batch may be smaller."""

    def layers(self) -> list[tuple[Array, Array]]:
        """The weights (n_out, n_in) and biases (n_out,) of each layer."""

    def prepared(self, x: Any) -> Any:
        """The images in the form that the library needs."""

    def outputs(self, prepared: Any) -> Array:
        """The output activations (n, n_out) of prepared images."""

    def predict(self, prepared: Any) -> Array:
        """The labels (n,) of prepared images."""


def main(module: str, folder: str, workload: str, dtype: str) -> None:
    say = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # keeps the libraries' own output out of the answers
    worker = Worker(module, Path(folder), Workload(**json.loads(workload)), dtype)
    print("ready", file=say)
    for line in sys.stdin:
        print(worker.answer(*line.split()), file=say)


def read_rows(folder: Path, name: str) -> Any:
    """The rows that `write_images` or `write_case` wrote: an array, or a CSR matrix."""
    if (folder / f"{name}.npy").exists():
        return np.load(folder / f"{name}.npy")
    from scipy.sparse import load_npz

    return load_npz(folder / f"{name}.npz")


class Worker:
    def __init__(self, module: str, folder: Path, workload: Workload, dtype: str) -> None:
        self._make = import_module(module).Model
        self._load(folder, workload, dtype)

    def _load(self, folder: Path, workload: Workload, dtype: str, threads: int = 1) -> None:
        self._workload, self._dtype = workload, dtype
        self._options = {"threads": threads} if threads > 1 else {}
        self._model: Model | None = None
        self._x, self._x_test = (self._floats(read_rows(folder, name)) for name in ("x", "x_test"))
        self._y, self._y_test = (np.load(folder / f"{name}.npy") for name in ("y", "y_test"))
        if not workload.has_labels:
            self._y, self._y_test = self._y.astype(dtype), self._y_test.astype(dtype)
        self._rng = np.random.default_rng(SEED)
        self._prepared: dict[int, list[Any]] = {}  # test images, by the number of rows per call

    def _floats(self, x: Any) -> Any:
        return np.divide(x, 255, dtype=self._dtype) if x.dtype == np.uint8 else x.astype(self._dtype)

    @property
    def model(self) -> Model:
        if self._model is None:  # made after the verification has freed its own model
            self._model = self._make(self._workload, self._dtype, self._x, self._y, **self._options)
        return self._model

    def answer(self, letter: str, *words: str) -> str:
        if letter == "L":
            described = json.loads(Path(words[0], CASE).read_text())
            self._load(Path(words[0]), Workload(**described["workload"]), described["dtype"], described["threads"])
            return "l"
        if letter == "E":
            return self._epoch(int(words[0]) if words else 1)
        if letter == "O":
            fresh = self._make(self._workload, self._dtype, self._x, self._y, **self._options)
            self._save(words[1], fresh, self._x_test[: int(words[0])])
            return "o"
        if letter == "V":
            self._verification(int(words[0]), words[1])
            return "v"
        if letter == "A":
            labels = self.model.predict(self.model.prepared(self._x_test))
            return f"a {np.mean(labels == self._y_test)!s}"
        if letter == "I":
            return f"i {self._inference(int(words[0]), int(words[1]))!r}"
        if letter == "M":
            return f"m {resident_peak()}"
        raise ValueError(f"unknown question {letter!r}; expected L, E, O, V, A, I or M")

    def _epoch(self, times: int) -> str:
        """Trains for some epochs and answers with the seconds of all of them."""
        model, rows = self.model, self._x.shape[0]
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(times):
            model.epoch(self._rng.permutation(rows))  # drawing the order is part of an epoch, as in fastnet
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return f"t {wall!r} {cpu!r}"

    def _verification(self, rows: int, path: str) -> None:
        model: Any = self._make(self._workload, self._dtype, self._x[:rows], self._y[:rows])
        order = np.random.default_rng(SEED).permutation(rows)
        if hasattr(model, "in_order"):
            model.in_order(order)
        model.epoch(order)
        self._save(path, model, self._x[:rows])

    def _save(self, path: str, model: Model, rows: Any) -> None:
        """Writes the model's parameters, and its outputs and labels of the rows, to the file."""
        flat = [np.ravel(part) for layer in model.layers() for part in layer]
        x = model.prepared(rows)
        results = {"parameters": np.concatenate(flat), "outputs": model.outputs(x), "labels": model.predict(x)}
        np.savez(path, allow_pickle=False, **results)

    def _inference(self, rows: int, times: int) -> float:
        """The mean seconds of a call. The calls get different images if there are enough images."""
        if rows not in self._prepared:
            starts = range(0, max(self._x_test.shape[0] - rows, 0) + 1, rows)[:times]
            self._prepared[rows] = [self.model.prepared(self._x_test[k : k + rows]) for k in starts]
            self.model.predict(self._prepared[rows][0])  # the first call may compile
        calls = [self._prepared[rows][k % len(self._prepared[rows])] for k in range(times)]
        predict = self.model.predict
        for x in calls[: times // WARM]:  # after another process's turn the caches are cold
            predict(x)
        began = time.perf_counter()
        for x in calls:
            predict(x)
        return (time.perf_counter() - began) / times
