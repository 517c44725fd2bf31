"""The Cython kernels under ThreadSanitizer, with 2 to 8 threads on 2 cores.

Not here: AVX-512's masked loads and the Numba backend, which GCC does not instrument.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import backend_calls as bc
import comparisons as cmp
import kernel_cases as kc
import numpy as np

import fastnet.kernels
from fastnet.backends.threads import run_team
from fastnet.kernels import contract as c
from fastnet.kernels import cython_dispatch

from .harness import Case, Danger, Unfit

CHECKOUT = Path(__file__).parents[2]
BUILDS = CHECKOUT / "build" / "races"
MAX_ROWS = 3000  # largest number of rows of an order
OPTIONS = "halt_on_error=1:exitcode=66:atexit_sleep_ms=0:history_size=7:stack_trace_format='    %f %S'"


# The kernels are built with the sanitizer for one instruction set, and rebuilt after each change of the sources. They
# run in a Python with the sanitizer's library. In most cases a team makes one call of `train`. The call ends by itself,
# by a stop, by a broken team or by a number that is not finite. In the other cases threads call all kernels at once on
# the same inputs. A race that the sanitizer reports is a failure. A result that differs from the result of one thread
# is also a failure.
class Program(Danger):
    seconds = 120.0

    def unable(self) -> str:
        if sys.platform != "linux" or not (CHECKOUT / "setup.py").exists():
            return "building the kernels with the thread sanitizer needs a checkout on Linux"
        if os.environ.get("FASTNET_REQUIRE_EXT") == "1":  # the run requires the kernels, so a failed build is an error
            return ""
        if not (shutil.which("gcc") and find_spec("Cython") and find_spec("setuptools")):
            return "the kernels are built with GCC, Cython and setuptools, and one of these is missing"
        return "" if self.launcher() else "Python does not run here with the thread sanitizer's library loaded"

    def launcher(self) -> list[str]:
        return _launcher()

    def prepare(self) -> None:
        fastnet.kernels.__path__.insert(0, str(sanitized_kernels()))
        for dtype in kc.DTYPES:
            file = cython_dispatch.module(dtype).__file__
            assert file is not None
            assert file.startswith(fastnet.kernels.__path__[0]), file

    def draw(self, rng: np.random.Generator) -> Case:
        def up_to(most: int, least: int = 1) -> int:
            """Draw an integer on a logarithmic scale."""
            return int(math.exp(rng.uniform(math.log(least), math.log(most + 1))))

        def one_of(names: Any) -> Any:
            return rng.choice(list(names)).item()

        ending = rng.choice(["all", "stop", "not finite", "broken", "at once"], p=[0.5, 0.12, 0.1, 0.08, 0.2]).item()
        inputs = one_of(("dense", "zeros", "sparse"))
        n_in = up_to(60) if inputs == "dense" else up_to(300, c.SPARSE_INPUTS)
        return {
            "ending": ending,
            "n_threads": int(rng.integers(2, 9)),
            "sizes": [n_in, *(up_to(100) for _ in range(rng.integers(0, 4))), up_to(20, 2)],
            "hidden": one_of(kc.HIDDEN),
            "output": int(rng.integers(len(kc.PAIRS))),
            "task": one_of(kc.TASKS),
            "weights": one_of(kc.WEIGHTS),
            "dtype": one_of(kc.DTYPES),
            "inputs": inputs,
            "x": one_of(kc.INPUTS),
            "y": one_of(kc.TARGETS),
            "rows": up_to(400, 10),
            "batch": up_to(700),
            "steps": up_to(40),
            "rule": one_of(kc.RULES),
            "extra": one_of(kc.EXTRAS),
            "drop": bool(rng.random() < 0.4),
            "milliseconds": up_to(40),  # delay before the stop or before BROKEN is set
            "seed": int(rng.integers(1 << 31)),
        }

    def check(self, case: Case) -> str:
        if case["n_threads"] < 2 or len(case["sizes"]) < 2 or min(case["sizes"]) < 1 or case["rows"] < 1:
            raise Unfit
        if case["batch"] < 1 or case["steps"] < 1:
            raise Unfit
        problem = Problem(case)
        if case["ending"] == "at once":
            return problem.all_at_once()
        if case["ending"] == "broken":
            return problem.broken()
        return problem.trained()


# -- one case --------------------------------------------------------------------------------------------------------


class Problem:
    """A network, data and settings, with the checks of the results."""

    def __init__(self, case: Case) -> None:
        self.case, self.n_threads = case, int(case["n_threads"])
        rng = np.random.default_rng(case["seed"])
        hidden, x, sizes = case["hidden"], case["x"], case["sizes"]
        if case["ending"] == "not finite":  # ReLU may hide a NaN, and bytes are always finite
            hidden, x = "tanh", "floats"
        output, words = (
            kc.PAIRS[case["output"]],
            {key: case[key] for key in ("rows", "dtype", "seed", "task", "weights")},
        )
        k = kc.case(sizes, hidden, output, inputs=x, targets=case["y"], **words)
        if case["inputs"] != "dense":
            k = kc.mostly_zero(k, 0.2, case["seed"])
        if case["ending"] == "not finite":
            k.x[rng.integers(len(k.x)), rng.integers(k.x.shape[1])] = np.nan
        if case["inputs"] == "sparse":
            k = k._replace(x=kc.sparse(k.x, case["dtype"], scale=k.scale))
        if case["drop"] and len(sizes) > 2:
            k = kc.dropping(k, *((int(rng.integers(1 << 31)), int(rng.integers(1 << 62))) for _ in sizes[2:]))
        self.k = k
        extra: dict[str, Any] = kc.EXTRAS[case["extra"]]
        self.rule = replace(kc.RULES[case["rule"]], **extra)
        self.batch = int(case["batch"])
        n = min(self.batch * case["steps"], max(MAX_ROWS, self.batch))
        self.order = rng.integers(0, case["rows"], n - int(rng.integers(self.batch)))
        self.rates = bc.rates(self.order, self.batch, (1e-4 if output[0] == "exponential" else 0.1) / max(sizes))
        for array in (k.net, k.params, k.y, k.weights, self.order, self.rates):
            array.flags.writeable = False

    def train(
        self, n_threads: int, n: int, run: Callable[..., Any], progress: kc.Array | None = None
    ) -> tuple[kc.Array, kc.Array]:
        """Train on the first n rows of the order. run(n_threads, call) is run_team or a function like it.

        Return the report of the updates made, and a vector of the cost, the parameters and the optimiser's state.
        """
        rates = self.rates[: -(-n // self.batch)]
        call = bc.call(self.k, self.order[:n], self.batch, self.rule, rates, n_threads=n_threads)
        if progress is not None:
            call = call._replace(progress=progress)

        def train(team: kc.Array, worker: int) -> float:
            return cython_dispatch.train(call._replace(team=team, worker=worker))

        cost = run(n_threads, train)
        result = np.concatenate(([0.0 if cost is None else cost], call.params, call.state.ravel()))
        return call.report[: call.progress[c.STEPS]], result

    def later(self, array: kc.Array, place: int) -> threading.Timer:
        """Return a timer that sets array[place] to 1 after the delay of the case."""
        timer = threading.Timer(self.case["milliseconds"] / 1000, array.__setitem__, (place, 1))
        timer.start()
        return timer

    def trained(self) -> str:
        """Check that a team gives the result of one thread."""
        progress, n = np.zeros(c.PROGRESS_COLUMNS, np.int64), len(self.order)
        timer = self.later(progress, c.STOP) if self.case["ending"] == "stop" else None
        report, found = self.train(self.n_threads, n, run_team, progress)
        steps = len(report)
        if timer is not None:
            timer.cancel()
            timer.join()
        stopped = steps < -(-n // self.batch)
        report_alone, alone = self.train(1, min(n, steps * self.batch) if timer else n, run_team)
        assert steps == len(report_alone), f"{steps} steps; one thread makes {len(report_alone)}"
        cmp.assert_close(found, alone, cmp.AGREEMENT[self.case["dtype"]])
        sums, sums_alone = report.sum(0), report_alone.sum(0)
        if self.case["dtype"] == "float32" and self.case["task"] != "regression":  # rounding may decide a tie
            uncertain = [c.SCORE, c.LABELS]
            off = np.abs(sums[uncertain] - sums_alone[uncertain])
            assert off.max() <= 3, f"scores of {sums[uncertain]}; one thread has {sums_alone[uncertain]}"
            sums[uncertain] = sums_alone[uncertain]
        cmp.assert_close(sums, sums_alone, cmp.AGREEMENT[self.case["dtype"]])
        too_late = self.case["ending"] != "all" and not stopped  # the call ended before the timer set STOP
        return f"a team, {self.case['inputs']} inputs, {self.case['ending']}{', too late' * too_late}"

    def broken(self) -> str:
        """Break a team whose last thread never joins. Check that the other threads return."""

        def run(n_threads: int, call: Callable[[kc.Array, int], Any]) -> None:
            team = c.team(n_threads)
            threads = [threading.Thread(target=call, args=(team, worker)) for worker in range(n_threads - 1)]
            timer = self.later(team, c.BROKEN)
            for thread in threads:
                thread.start()
            for thread in [*threads, timer]:
                thread.join()

        self.train(self.n_threads, len(self.order), run)
        return "a broken team"

    def all_at_once(self) -> str:
        """Call all kernels from several threads on the same inputs. Check that each thread gets the right results."""
        expected = self.results()
        together, found = threading.Barrier(self.n_threads), []

        def run() -> None:
            together.wait()
            found.append(self.results())

        threads = [threading.Thread(target=run) for _ in range(self.n_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == self.n_threads, "a thread ended with an error"
        for results in found:
            cmp.assert_same_bits(results, expected)
        return f"all kernels at once, {self.case['inputs']} inputs"

    def results(self) -> list[Any]:
        """Return the results of each kernel, and of `train` by a team of two."""
        k = self.k
        cost, grad = bc.gradient(cython_dispatch, k)
        results = [cost, grad, bc.predict(cython_dispatch, k), *self.train(2, len(self.order), run_team)]
        if not isinstance(k.x, c.SparseRows):
            n, out = len(k.x), np.empty((len(k.x), k.naive.sizes[-1]), k.params.dtype)
            cython_dispatch.predictor(k.net, k.params, n, k.x.dtype, bc.workspace(k, n))(k.x, out)
            starts = np.empty(n + 1, np.int64)
            nothing = np.empty(0, np.int32), np.empty(0, k.params.dtype)
            entries = cython_dispatch.compress(k.x, k.scale, starts, *nothing)
            indices, values = np.empty(entries, np.int32), np.empty(entries, k.params.dtype)
            assert cython_dispatch.compress(k.x, k.scale, starts, indices, values) == entries
            results += [out, starts, indices, values]
        return results


# -- the kernels, built with the sanitizer, and a Python that can load them ------------------------------------------


@cache
def _launcher() -> list[str]:
    """Return the command that starts Python with the sanitizer's library, or [] if it does not run."""
    library = subprocess.run(["gcc", "-print-file-name=libtsan.so"], capture_output=True, text=True).stdout.strip()
    level = cython_dispatch.runnable(cython_dispatch.cpu_features())[0]
    command = ["env", f"LD_PRELOAD={library}", f"TSAN_OPTIONS={OPTIONS}", f"FASTNET_ISA={level}"]
    # Address space randomisation can keep the library from mapping its memory. Some containers forbid turning it off.
    for before in (["setarch", "--addr-no-randomize"], []):
        tried = subprocess.run([*before, *command, sys.executable, "-c", ""], capture_output=True)
        if tried.returncode == 0 and not tried.stderr:
            return [*before, *command]
    return []


def sanitized_kernels() -> Path:
    """Return the folder of the extension modules, built from the checkout's sources if missing."""
    sources = [CHECKOUT / "setup.py", CHECKOUT / "kernels" / "cython_backend.pyx", *(CHECKOUT / "kernels").glob("*.h")]
    level = os.environ["FASTNET_ISA"]
    key = hashlib.sha256("\0".join((sys.version, level)).encode())
    for source in sources:
        key.update(source.read_bytes())
    folder = BUILDS / key.hexdigest()[:16]
    modules = Path("lib", "fastnet", "kernels")
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            for source in sources:
                copy = Path(name, "made", source.relative_to(CHECKOUT))
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, copy)
            environment = os.environ | {"LD_PRELOAD": "", "FASTNET_DEBUG": ""}
            environment |= {"FASTNET_SANITIZE": "thread", "FASTNET_ISA_BUILD": level, "FASTNET_REQUIRE_EXT": "1"}
            command = [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", "lib"]
            subprocess.run(command, cwd=Path(name, "made"), env=environment, check=True)
            if not folder.exists():  # another process may have made the folder meanwhile
                Path(name, "made").rename(folder)
    return folder / modules
