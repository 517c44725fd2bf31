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
from numpy.typing import NDArray

from fastnet.backends.machine import resident_peak
from fastnet.bench.workloads import SEED, Array, Workload


class Model(Protocol):
    """The class `Model` in the module of each library.

    Model(workload, dtype, x, y) starts from fastnet's parameters; scikit-learn draws its own.
    x: (n, n_in) floats of the dtype, from 0 to 1. y: (n,) labels.
    """

    def epoch(self, order: NDArray[np.int64]) -> None:
        """Makes one step for each batch of the order. The last batch may be smaller."""

    def layers(self) -> list[tuple[Array, Array]]:
        """The weights (n_out, n_in) and biases (n_out,) of each layer; [] for a different algorithm."""

    def prepared(self, x: Array) -> Any:
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


class Worker:
    def __init__(self, module: str, folder: Path, workload: Workload, dtype: str) -> None:
        self._make = import_module(module).Model
        self._workload, self._dtype = workload, dtype
        self._x, self._x_test = (self._floats(np.load(folder / f"{name}.npy")) for name in ("x", "x_test"))
        self._y, self._y_test = (np.load(folder / f"{name}.npy") for name in ("y", "y_test"))
        self._model: Model | None = None
        self._rng = np.random.default_rng(SEED)
        self._prepared: dict[int, list[Any]] = {}  # test images, by the number of rows per call

    def _floats(self, x: Array) -> Array:
        return np.divide(x, 255, dtype=self._dtype) if x.dtype == np.uint8 else x.astype(self._dtype)

    @property
    def model(self) -> Model:
        if self._model is None:  # made after the verification has freed its own model
            self._model = self._make(self._workload, self._dtype, self._x, self._y)
        return self._model

    def answer(self, letter: str, *words: str) -> str:
        if letter == "E":
            return self._epoch()
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
        raise ValueError(f"unknown question {letter!r}; expected E, V, A, I or M")

    def _epoch(self) -> str:
        model = self.model
        wall, cpu = time.perf_counter(), time.process_time()
        model.epoch(self._rng.permutation(len(self._x)))  # drawing the order is part of an epoch, as in fastnet
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return f"t {wall!r} {cpu!r}"

    def _verification(self, rows: int, path: str) -> None:
        model: Model = self._make(self._workload, self._dtype, self._x[:rows], self._y[:rows])
        model.epoch(np.random.default_rng(SEED).permutation(rows))
        x = model.prepared(self._x[:rows])
        results = {"labels": model.predict(x)}
        if layers := model.layers():
            flat = [np.ravel(part) for layer in layers for part in layer]
            results |= {"parameters": np.concatenate(flat), "outputs": model.outputs(x)}
        np.savez(path, allow_pickle=False, **results)

    def _inference(self, rows: int, times: int) -> float:
        """The mean seconds of a call. The calls get different images if there are enough images."""
        if rows not in self._prepared:
            starts = range(0, max(len(self._x_test) - rows, 0) + 1, rows)[:times]
            self._prepared[rows] = [self.model.prepared(self._x_test[k : k + rows]) for k in starts]
            self.model.predict(self._prepared[rows][0])  # the first call may compile
        calls = [self._prepared[rows][k % len(self._prepared[rows])] for k in range(times)]
        predict = self.model.predict
        began = time.perf_counter()
        for x in calls:
            predict(x)
        return (time.perf_counter() - began) / times
