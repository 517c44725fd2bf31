"""Starts a peer's process and talks to it: one line for a question, one line for the answer."""

# The process first prints `ready`. Then it answers the question
#   E [<times>] -> t <wall seconds> <cpu seconds>   one more epoch; peers of this package can train several
# A peer of this package (worker.py) also answers the questions
#   V <rows> <file.npz> -> v                 trains a new model on the first rows and writes the results to the file
#   L <folder> -> l                          goes on with the data, workload and dtype of this folder
#   O <rows> <file.npz> -> o                 writes the results of the first test rows before any training to the file
#   A -> a <test accuracy>
#   I <rows> <times> -> i <seconds a call>   labels of the first test images
#   M -> m <bytes>                           peak resident memory

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastnet.bench.workloads import Array, Images, Reference, VerificationError, Workload, checker
from fastnet.errors import FastnetError
from fastnet.text import shown

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
CASE = "case.json"  # the file that describes the workload in a folder of a case
WARM = 5  # before a turn of calls is timed, this part of the calls runs once more: one in five
MAX_ACCURACY_GAP = 0.05  # between the reference and a different algorithm
TIE = 1e-3  # rounding may swap two outputs that are closer than this


class PeerError(FastnetError, RuntimeError):
    """The other program is missing, did not start, ended early, or broke the protocol."""


class Peer:
    """A program that trains. With `environment`, standard error is kept, and shown if the program ends early."""

    def __init__(self, words: Sequence[str], name: str = "peer", environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.cpu_seconds: list[float] = []  # per epoch; much more than the wall time means that several threads ran
        self._errors = None if environment is None else tempfile.TemporaryFile()  # noqa: SIM115  # open until close()
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, bufsize=0, env=environment
        )
        try:
            if (line := self._line()) != "ready":
                raise PeerError(f"the {name} printed {line!r}; expected 'ready'")
        except BaseException:
            self.close()
            raise

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise PeerError(f"the {self.name} ended with status {self._process.wait()}{self._last_error()}")
        return line.decode(errors="replace").strip()

    def _last_error(self) -> str:
        if self._errors is None:
            return ""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1][:300]}" if lines else ""

    def ask(self, question: str, letter: str, *names: str, above: float = -1.0) -> list[float]:
        """The numbers of the answer, one for each name. Raises PeerError unless the first number exceeds `above`."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the process has ended; _line() raises for that
            self._process.stdin.write(f"{question}\n".encode())
        line = self._line()
        try:
            kind, *words = line.split()
            numbers = [float(word) for word in words]
            if kind != letter or len(numbers) != len(names) or not all(above < n < math.inf for n in numbers[:1]):
                raise ValueError
        except ValueError:
            expected = " ".join([letter, *(f"<{name}>" for name in names)])
            raise PeerError(f"the {self.name} printed {line!r}; expected {expected!r}") from None
        return numbers

    def epoch(self) -> float:
        wall, cpu = self.ask("E", "t", "wall seconds", "cpu seconds", above=0)
        self.cpu_seconds.append(cpu)
        return wall

    def accuracy(self) -> float | None:
        return None

    def close(self) -> None:
        self._process.kill()
        with self._process:  # waits, and closes the pipes
            pass
        if self._errors is not None:
            self._errors.close()


def start_command(command: str, workload: Workload) -> Peer:
    """Starts the user's own program."""
    try:
        words = [word.replace("{workload}", workload.name) for word in shlex.split(command)]
        if not words:
            raise ValueError("the command is empty")
        return Peer(words)
    except (OSError, ValueError) as error:
        raise PeerError(f"cannot start the peer {shown(command)!r}: {error}") from error


class OwnPeer(Peer):
    """A peer of this package, on one thread, with the rows that `write_images` or `write_case` wrote to `folder`."""

    def __init__(self, name: str, module: str, folder: str, workload: Workload, dtype: str) -> None:
        code = "import sys; sys.path[:] = {!r}; from fastnet.bench.peers.worker import main; main(*{!r})"
        arguments = (module, folder, json.dumps(dataclasses.asdict(workload)), dtype)
        environment = os.environ | dict.fromkeys(ONE_THREAD, "1") | {"JAX_PLATFORMS": "cpu"}
        words = [sys.executable, "-c", code.format(sys.path, arguments)]
        self._workload, self._dtype = workload, dtype
        super().__init__(words, f"peer {name}", environment)

    def load(self, folder: str, workload: Workload, dtype: str) -> None:
        """Goes on with another case, which `write_case` wrote to the folder."""
        self._workload, self._dtype = workload, dtype
        self.ask(f"L {folder}", "l")

    def epochs(self, times: int) -> float:
        """Trains for some epochs and returns the seconds of all of them."""
        return self.ask(f"E {times}", "t", "wall seconds", "cpu seconds", above=0)[0]

    def accuracy(self) -> float:
        return self.ask("A", "a", "test accuracy")[0]

    def inference(self, rows: int, times: int) -> float:
        """Seconds per call that labels `rows` images; the mean over `times` calls."""
        return self.ask(f"I {rows} {times}", "i", "seconds a call", above=0)[0]

    def memory(self) -> int:
        return int(self.ask("M", "m", "bytes")[0])

    def verify(self, right: Reference, y: Array, same: bool, tolerance: float | None = None) -> None:
        """Compares the results of training on the first len(y) examples with the reference.

        It compares the parameters, outputs and labels, or only the training accuracy if the peer's algorithm differs.

        Raises
        ------
        VerificationError
            If a result differs by more than rounding, or the accuracy is lower by more than MAX_ACCURACY_GAP.
        """
        rows, who = len(y), f"{self._workload.name}, {self.name}, {self._dtype}"
        found = self._results("V", rows)
        labels, expected = found["labels"], right.outputs.argmax(1)
        if not same:
            shares = np.mean(labels == y), np.mean(expected == y)
            if shares[0] < shares[1] - MAX_ACCURACY_GAP:
                raise VerificationError(
                    f"{who}: after {rows} examples its training accuracy is {shares[0]:.1%}, but the reference "
                    f"reaches {shares[1]:.1%}; nothing was timed"
                )
            return
        tolerance = tolerance or self._workload.tolerance(self._dtype)
        check, what = checker(who, tolerance), f"after {rows} examples of training"
        check(f"change of the parameters {what}", found["parameters"] - right.start, right.parameters - right.start)
        self._check_rows(found, right.outputs, f" {what}", tolerance)

    def verify_outputs(self, expected: Array) -> None:
        """Compares the outputs and labels of the first test rows, before any training, with these outputs."""
        self._check_rows(self._results("O", len(expected)), expected, "", self._workload.tolerance(self._dtype))

    def _results(self, question: str, rows: int) -> dict[str, Array]:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "results.npz")
            self.ask(f"{question} {rows} {path}", question.lower())
            with np.load(path) as file:
                return dict(file)

    def _check_rows(self, found: dict[str, Array], expected: Array, what: str, tolerance: float) -> None:
        who = f"{self._workload.name}, {self.name}, {self._dtype}"
        checker(who, tolerance)(f"output{what}", found["outputs"], expected)
        if not self._workload.has_labels:
            return
        largest = np.sort(expected, axis=1)[:, -2:]
        clear = largest[:, 1] - largest[:, 0] > max(TIE, tolerance / 10)
        if wrong := int(np.sum((found["labels"] != expected.argmax(1)) & clear)):
            raise VerificationError(f"{who}: {wrong} of {len(expected)} labels are wrong; nothing was timed")


def write_images(images: Images, folder: str) -> None:
    """Writes dense images to the folder from which the peers of this package read them."""
    for name in ("x", "y", "x_test", "y_test"):
        np.save(Path(folder, name), getattr(images, name))


def write_case(folder: str, workload: Workload, dtype: str, data: Mapping[str, Any], threads: int = 1) -> None:
    """Writes x, y, x_test and y_test, where x may be a CSR matrix, and the workload to a folder, for `OwnPeer.load`.

    Only a peer with `PEERS[name].has_threads` may load a case of several threads.
    """
    Path(folder).mkdir(exist_ok=True)
    for name, rows in data.items():
        if isinstance(rows, np.ndarray):
            np.save(Path(folder, name), rows)
        else:
            from scipy.sparse import save_npz

            save_npz(Path(folder, name), rows, compressed=False)
    described = {"workload": dataclasses.asdict(workload), "dtype": dtype, "threads": threads}
    Path(folder, CASE).write_text(json.dumps(described))
