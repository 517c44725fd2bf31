"""The scenarios run with failing calls: training, prediction, saving and loading, and the check of each outcome."""

from __future__ import annotations

import abc
import gzip
import struct
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import comparisons as cmp
import numpy as np

from fastnet import Callback, Checkpoint, Epoch, EpochSoFar, Network, Trainer
from fastnet.data.arrays import read_idx
from fastnet.data.csv_tables import read_csv
from fastnet.training.callbacks import OnEpochEnd
from fastnet.training.checkpoint_file import numbered, read
from fastnet.training.history import FIELDS
from fastnet.training.runs import Run

from . import writers
from .fits import bits
from .harness import Case
from .interrupted_fits import Fit, go_on
from .kernel_calls import available

# The kinds of failures, see KINDS in failing_calls.py. If the name is a plural, all calls from the n-th on fail.
ARRAYS, ALLOCATIONS, THREADS = ("array", "arrays"), ("allocation", "allocations"), ("thread", "threads")
MEMORY = ARRAYS + ALLOCATIONS
READING = (*ALLOCATIONS, "open", "read", "close")
CRASHING = ("safetensors", "onnx", "c")  # safetensors, onnx and NumPy's matmul crash where an allocation fails
WRITING = (*READING, "write", "short write", "full disk", "fsync", "rename", "chmod", "truncate")


class Outcome(NamedTuple):
    """The outcome of a scenario: its result or error, its warnings, and the number of failed calls."""

    result: Any
    error: BaseException | None
    where: str
    warnings: Sequence[warnings.WarningMessage]
    failed: int


class Scenario(abc.ABC):
    """An action of a user, during which calls fail."""

    kinds: Sequence[str]  # the kinds of failures that can occur
    may_warn = False  # whether a failure may become a warning

    def place(self, folder: Path) -> None:  # noqa: B027 - some scenarios have no files
        """Put the files that `run` needs into the folder. No call fails."""

    @abc.abstractmethod
    def run(self) -> Any:
        """Take the action."""

    @abc.abstractmethod
    def judge(self, outcome: Outcome, kind: str, n: int) -> None:
        """Raise AssertionError if the result or the files are wrong."""


class Writing(Scenario):
    """A writer. Afterwards each file has its old or its new content, and there are no other files."""

    kinds = WRITING

    def __init__(self, name: str) -> None:
        self._name, self._writer = name, writers.writer(name)
        if name in CRASHING:
            self.kinds = tuple(kind for kind in WRITING if kind not in ALLOCATIONS)

    def place(self, folder: Path) -> None:
        self._folder = folder
        writers.place(folder, self._writer.old)

    def run(self) -> None:
        self._writer.write(self._folder)

    def judge(self, outcome: Outcome, kind: str, n: int) -> None:
        optional = self._name == "small set"  # this writer may fail without an error, because it only fills a cache
        finished = outcome.error is None and not optional
        left = writers.left(self._writer, self._folder, finished)
        assert not writers.left_over(self._folder), "a temporary file is left"
        assert kind != "short write" or left == "all new", "the writer did not write the rest after a short write"
        self._writer.write(self._folder)
        assert writers.left(self._writer, self._folder, True)


class Reading(Scenario):
    """Loading a file. The result must be right."""

    kinds = READING

    def __init__(self, write: Callable[[Path], object], read: Callable[[Path], Any]) -> None:
        self._write, self._read = write, read
        self._right: Any = None

    def place(self, folder: Path) -> None:
        self._path = folder / "file"
        self._write(self._path)
        if self._right is None:
            self._right = self._read(self._path)

    def run(self) -> Any:
        return self._read(self._path)

    def judge(self, outcome: Outcome, kind: str, n: int) -> None:
        if outcome.error is None:
            assert outcome.result == self._right, "the loaded object is wrong"
        assert self._read(self._path) == self._right, "a second load gives a wrong object"


class Training(Scenario):
    """A fit. If it raises, the trainer is at a batch boundary and can continue. Otherwise the result is right."""

    kinds = ARRAYS + THREADS

    def __init__(self, **more: Any) -> None:
        case: Case = {"dtype": "float32", "sizes": [70, 40, 3], "rows": 100, "batch": 40, "threads": 1} | {
            "inputs": "uint8",
            "optimizer": "momentum",
            "schedule": "cosine",
            "dropout": False,
            "validation": True,
            "seed": 0,
        }
        self._fit = Fit(case | more)
        self._alone = Fit(case | more | {"threads": 1})
        self._trainer = self._fit.trainer()
        self._states: set[tuple[int, str]] = set()
        with manycores():
            states = self._states

            class Note(Callback):
                every = 1

                def on_batches(self, trainer: Trainer, progress: EpochSoFar) -> None:
                    states.add(bits(trainer))

            self._states.add(bits(self._trainer))
            self._fit.run(self._trainer, 2, Note())
            self._end = bits(self._trainer)
            alone = self._alone.trainer()
            self._alone.run(alone, 2)
            self._end_alone = bits(alone)
            self._parameters = self._trainer.network.parameters.copy()

    def place(self, folder: Path) -> None:
        self._trainer = self._fit.trainer()

    def run(self) -> None:
        with manycores():
            self._fit.run(self._trainer, 2)

    def judge(self, outcome: Outcome, kind: str, n: int) -> None:
        trainer = self._trainer
        if outcome.error is not None:
            assert kind in MEMORY, f"fit needs no second thread: {outcome.error!r}"
            assert bits(trainer) in self._states, f"not at a batch boundary, at {trainer.steps} steps\n{outcome.where}"
        elif kind in MEMORY or not outcome.warnings:
            assert bits(trainer) == self._end, "the result is wrong"
        else:
            self._judge_threads(trainer, all_of_them=kind == "threads" and n == 1)
        with manycores():
            go_on(self._fit, trainer)

    def _judge_threads(self, trainer: Trainer, all_of_them: bool) -> None:
        cmp.assert_close(trainer.network.parameters, self._parameters, cmp.AGREEMENT["float32"])
        if all_of_them:
            assert bits(trainer) == self._end_alone, "the result is not that of one thread"


class Checkpointing(Training):
    """A fit with checkpoints, of which some cannot be written. The fit is right, and every checkpoint is whole."""

    kinds = ("open", "write", "short write", "full disk", "fsync", "close", "rename", "truncate")
    may_warn = True

    def place(self, folder: Path) -> None:
        super().place(folder)
        self._folder = folder / "checkpoints"

    def run(self) -> None:
        def wait(trainer: Trainer, epoch: Epoch) -> None:
            time.sleep(0.02)  # so that the thread writes each checkpoint

        self._fit.run(self._trainer, 2, Checkpoint(self._folder, keep=2), OnEpochEnd(wait))

    def judge(self, outcome: Outcome, kind: str, n: int) -> None:
        assert outcome.error is None, f"the training ends: {outcome.error!r}\n{outcome.where}"
        assert bits(self._trainer) == self._end, "the result is wrong"
        found = numbered(self._folder) if self._folder.is_dir() else []
        for _, path in found:
            read(path)
        assert not writers.left_over(self._folder), "a temporary file is left"
        if not outcome.failed or kind == "short write":
            assert len(found) == 2, f"a checkpoint is missing: {found}"
        elif kind not in ("full disk", "close", "open"):  # a folder that cannot be opened or closed is no loss
            assert outcome.warnings, "no warning tells of the failure"
        if found:
            resumed = Trainer.resume(self._folder)
            self._fit.run(resumed, None)
            assert bits(resumed) == self._end, "the resumed training is wrong"


class Predicting(Scenario):
    """All methods that predict."""

    kinds = ARRAYS + THREADS

    def __init__(self, backend: str) -> None:
        rng = np.random.default_rng(0)
        self._backend, self._threads = backend, 1 if backend == "numpy" else 2
        self._network = Network([70, 40, 3], output="softmax", cost="cross_entropy", seed=0)
        self._x = rng.random((90, 70), np.float32)
        self._y = rng.integers(0, 3, 90)
        self._right = self._predictions()

    def run(self) -> Any:
        return self._predictions()

    def _predictions(self) -> list[Any]:
        network, x, y, backend = self._network, self._x, self._y, self._backend
        with manycores():
            trainer = Trainer(network, backend=backend, threads=self._threads)
            evaluation = trainer.evaluate(x, y)
            predictor = network.compile(backend=backend, max_batch=50, threads=self._threads)
            outputs = [network.forward(x, backend=backend), predictor(x), network.activations(x, backend=backend)[0]]
            return [evaluation, *(array.tobytes() for array in outputs), network.predict(x, backend=backend).tobytes()]

    def judge(self, outcome: Outcome, kind: str, n: int) -> None:
        assert kind in MEMORY or outcome.error is None, f"predicting needs no second thread: {outcome.error!r}"
        if outcome.error is None and not outcome.warnings:
            assert outcome.result == self._right, "the prediction is wrong"
        assert self._predictions() == self._right, "a second prediction is wrong"


def manycores() -> Any:
    """Pretend that the machine has enough cores for every team."""
    return patch("fastnet.backends.threads.usable_cores", lambda: 4)


# -- the scenarios ----------------------------------------------------------------------------------------------------


def _network() -> Network:
    return Network([50, 40, 3], seed=0)


def _load_network(path: Path) -> bytes:
    return Network.load(path).parameters.tobytes()


def _load_run(path: Path) -> Any:
    run = Run.load(path)
    return run.network.parameters.tobytes(), run.history, run.record


def _write_idx(path: Path) -> None:
    path.write_bytes(gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 5000) + bytes(range(250)) * 20))


def _load_csv(path: Path) -> Any:
    table = read_csv(path)
    return table.names, [column.tobytes() for column in table.columns.values()]


SCENARIOS: dict[str, Callable[[], Scenario]] = {f"write {name}": partial(Writing, name) for name in writers.names()}
SCENARIOS |= {
    "load a network": lambda: Reading(lambda path: _network().save(path), _load_network),
    "load a run": lambda: Reading(lambda path: Run(_network(), {name: [] for name in FIELDS}).save(path), _load_run),
    "load idx": lambda: Reading(_write_idx, lambda path: read_idx(path).tobytes()),
    "load csv": lambda: Reading(lambda path: path.write_text("a,b\n" + "1.5,2\n" * 500), _load_csv),
}
SCENARIOS["train with checkpoints"] = partial(Checkpointing, backend="numpy")
for _name in available():
    SCENARIOS[f"train on {_name}"] = partial(Training, backend=_name)
    SCENARIOS[f"train sparse on {_name}"] = partial(Training, backend=_name, inputs="sparse", optimizer="adam")
    SCENARIOS[f"predict on {_name}"] = partial(Predicting, _name)
    if _name != "numpy":
        SCENARIOS[f"train a team on {_name}"] = partial(Training, backend=_name, threads=3, dropout=True)
