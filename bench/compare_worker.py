"""Runs in a process of one version of fastnet: answers the questions of compare.py, one line of JSON for each.

Usage: python -P compare_worker.py [FOLDER]. It imports the fastnet of FOLDER, or the one that Python finds. It must run
with old versions of fastnet, so it uses only the public interface that version 0.2.0 has, and no module of the
benchmarks.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

if len(sys.argv) > 1 and __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
import fastnet

SEED = 0
FURTHER = 10  # epochs
PARTS = 5  # of the calls of a turn


class Worker:
    """Answers questions about one case on one backend."""

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        return dict(getattr(self, question.pop("do"))(**question))

    def load(
        self, folder: str, backend: str, kind: str, threads: int, call_rows: int, part_rows: int
    ) -> dict[str, Any]:
        """Reads the data and the workload that `write_case` wrote, and prepares the turns of this kind."""
        described = json.loads(Path(folder, "case.json").read_text())
        self._workload, self._dtype = described["workload"], described["dtype"]
        self._backend, self._threads, self._kind = backend, threads, kind
        self._rows, self._part_rows = call_rows, part_rows
        self._x, self._x_test = read_rows(folder, "x"), read_rows(folder, "x_test")
        self._y = np.load(Path(folder, "y.npy"))
        self._network = self._new_network()
        self._trainer = self._new_trainer(self._network)
        self._call = self._new_call()
        return {}

    def _new_network(self) -> Any:
        names = ("activation", "output", "cost")
        settings = {name: self._workload[name] for name in names}
        return fastnet.Network(self._workload["sizes"], seed=SEED, dtype=self._dtype, **settings)

    def _new_trainer(self, network: Any) -> Any:
        names = ("optimizer", "learning_rate", "batch_size")
        settings = {name: self._workload[name] for name in names}
        return fastnet.Trainer(network, backend=self._backend, threads=self._threads, seed=SEED, **settings)

    def _new_call(self) -> Callable[[Any, Any], Any]:
        """The function (x, y) of a kind that is a call on few rows."""
        network, trainer, backend = self._network, self._trainer, self._backend
        calls: dict[str, Callable[[Any, Any], Any]] = {
            "forward": lambda x, y: network.forward(x, backend=backend),
            "cost": lambda x, y: network.cost(x, y, backend=backend),
            "gradient": lambda x, y: network.gradient(x, y, backend=backend),
            "partial_fit": lambda x, y: trainer.partial_fit(x, y),
        }
        if self._kind == "predictor":
            predictor = network.compile(backend=backend, max_batch=self._part_rows, threads=self._threads)
            calls |= {"predictor": lambda x, y: predictor.predict(x)}
        return calls.get(self._kind, lambda x, y: None)

    def result(self, rows: int, path: str) -> dict[str, Any]:
        """Writes what this kind computes from the first rows, with a fresh network, to a file."""
        network = self._new_network()
        trainer = self._new_trainer(network)
        x, y = self._x[:rows], self._y[:rows]
        if self._kind in ("forward", "predictor"):
            x = self._x_test[:rows]
            found = network.compile(backend=self._backend, max_batch=rows).forward(x).copy()
            found = network.forward(x, backend=self._backend) if self._kind == "forward" else found
        elif self._kind in ("cost", "gradient"):
            found = getattr(network, self._kind)(x, y, backend=self._backend)
        else:
            if self._kind == "partial_fit":
                trainer.partial_fit(x, y)
            else:
                trainer.fit(x, y, epochs=1)
            found = network.parameters
        np.save(path, np.asarray(found))
        return {}

    def turn(self, epochs: int, calls: int) -> dict[str, Any]:
        """The seconds of one epoch, or of one call."""
        trainer, x, y = self._trainer, self._x, self._y
        if self._kind == "train":
            records = trainer.fit(x, y, epochs=epochs).epochs[-epochs:]
            return {"seconds": sum(record.seconds for record in records) / epochs}
        if self._kind == "fit":
            return {"seconds": typical(lambda k: trainer.fit(x, y, epochs=epochs), calls) / epochs}
        if self._kind == "further":
            one = typical(lambda k: trainer.fit(x, y, epochs=1), calls)
            many = typical(lambda k: trainer.fit(x, y, epochs=1 + FURTHER), calls)
            return {"seconds": max(many - one, 0.0) / FURTHER}
        source = self._x_test if self._kind in ("forward", "predictor") else x
        starts = range(0, source.shape[0] - self._rows + 1, self._rows)[:calls]
        parts = [(source[k : k + self._rows], y[: self._rows]) for k in starts]
        call = self._call
        return {"seconds": typical(lambda k: call(*parts[k % len(parts)]), calls)}


def typical(call: Callable[[int], Any], calls: int) -> float:
    """The seconds of a call: the median over some parts of the calls, after a part that is not timed.

    So neither the cold caches after another process's turn nor an interruption counts.
    """
    size = -(-calls // PARTS)
    seconds = []
    for part in range(PARTS + 1):
        began = time.perf_counter()
        for k in range(part * size, (part + 1) * size):
            call(k)
        seconds.append((time.perf_counter() - began) / size)
    return median(seconds[1:])


def read_rows(folder: str, name: str) -> Any:
    if Path(folder, f"{name}.npy").exists():
        return np.load(Path(folder, f"{name}.npy"))
    from scipy.sparse import load_npz

    return load_npz(Path(folder, f"{name}.npz"))


def facts() -> dict[str, Any]:
    working = [info.name for info in fastnet.backends.available() if info.available]
    place = str(Path(fastnet.__file__).resolve().parent)
    return {"version": fastnet.__version__, "place": place, "backends": working, "python": sys.version.split()[0]}


def main() -> None:
    say = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # keeps other output out of the answers
    warnings.filterwarnings("ignore", "column .* has a standard deviation")  # some pixels are nearly always black
    print(json.dumps(facts()), file=say)
    worker = Worker()
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:  # compare.py shows it and leaves the case out
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=say)


if __name__ == "__main__":
    main()
