"""Plant each fault in a copy of the checkout, build changed kernels, run the tests, and report the caught faults."""

from __future__ import annotations

import argparse
import datetime
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import NamedTuple

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
MAX_SECONDS = 1800  # time limit of the suite for one fault; a suite that hangs has caught the fault
COMPILED = (".pyx", ".h")  # a fault in a file with this suffix needs a build


class Fault(NamedTuple):
    """A patch, one line that describes the fault, and the tests that run before the whole suite."""

    name: str
    about: str
    tests: tuple[str, ...]
    patch: Path
    compiled: bool


class Found(NamedTuple):
    """The result for a fault. `caught_by` is the first failing test or another failure, or "" if the suite passed."""

    fault: Fault
    caught_by: str
    seconds: float


def read(patch: Path) -> Fault:
    """Read a fault from its file: a line that describes the fault, a line "Tests: ...", and the patch."""
    about, tests, *_ = (text := patch.read_text()).splitlines()
    files = re.findall(r"^\+\+\+ b/(\S+)", text, re.MULTILINE)
    if not tests.startswith("Tests: ") or not files:
        raise ValueError(f"{patch}: expected a line about the fault, a line 'Tests: ...' and a patch")
    compiled = any(name.endswith(COMPILED) for name in files)
    return Fault(patch.stem, about, tuple(tests.removeprefix("Tests: ").split()), patch, compiled)


def copy_checkout(target: Path) -> None:
    """Copy the checkout with uncommitted changes and kernels built in place, but without the caches of tools."""
    left = shutil.ignore_patterns(".git", ".*cache", ".benchmarks", ".hypothesis", ".venv", "__pycache__", "*.egg-info")
    built = {str(CHECKOUT): {"build", "dist"}, str(CHECKOUT / "docs"): {"_build"}}
    shutil.copytree(
        CHECKOUT, target, symlinks=True, ignore=lambda folder, names: left(folder, names) | built.get(folder, set())
    )


class Copy:
    """A copy of the checkout in which one fault at a time is planted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        copy_checkout(folder)
        # All faults share one cache, so that Numba recompiles only changed kernels. Tests must not import the checkout.
        self._environment = os.environ | {
            "PYTHONPATH": str(folder),
            "NUMBA_CACHE_DIR": str(folder / ".numba"),
            "FASTNET_REQUIRE_EXT": "1",
            "FASTNET_ISA_BUILD": _best_build(),
        }
        self._kernels = {path: path.read_bytes() for path in (folder / "kernels").glob("*.so")}

    def suite(self, *arguments: str, workers: int = 0) -> str:
        """Run tests up to the first failure. Return the failure, or "" if all tests passed."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=no", "-n", str(workers)]
        try:
            done = subprocess.run(
                [*command, *arguments],
                cwd=self._folder,
                env=self._environment,
                capture_output=True,
                text=True,
                timeout=MAX_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return f"the suite did not end in {MAX_SECONDS} s"
        if done.returncode == 0:
            return ""
        failed = re.search(r"^(?:FAILED|ERROR) (\S+(?: \S+\])?)", done.stdout, re.MULTILINE)
        if failed is None and done.returncode in (4, 5):  # wrong arguments, or no tests
            raise RuntimeError(done.stdout + done.stderr)
        return failed.group(1) if failed else f"the process ended with status {done.returncode}"

    def plant(self, fault: Fault) -> Found:
        """Apply the patch, run the suite, and revert the patch."""
        began = time.monotonic()
        self._apply(fault.patch)
        try:
            if fault.compiled:
                self._build()
            caught = self.suite(*fault.tests) or self.suite(workers=2)
        finally:
            self._apply(fault.patch, "--reverse")
            for path, content in self._kernels.items() if fault.compiled else ():
                path.write_bytes(content)
        return Found(fault, caught, time.monotonic() - began)

    def check(self, patch: Path) -> None:
        """Raise an error if the patch does not apply."""
        self._apply(patch, "--check")

    def _apply(self, patch: Path, *options: str) -> None:
        # The copy is not a repository, so git runs outside it and needs --unsafe-paths.
        command = ["git", "apply", "--unsafe-paths", f"--directory={self._folder}", *options, str(patch)]
        subprocess.run(command, cwd="/", check=True)

    def _build(self) -> None:
        """Build the kernels. A fault that does not compile is an error, because it does not test the suite."""
        command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
        done = subprocess.run(command, cwd=self._folder, env=self._environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])


def _best_build() -> str:
    """Return the best instruction set of this machine. Building for this set alone takes a quarter of the time."""
    from fastnet.kernels import cython_dispatch

    return cython_dispatch.runnable(cython_dispatch.cpu_features())[0]


def run(faults: Sequence[Fault], jobs: int) -> list[Found]:
    """Plant the faults in `jobs` copies of the checkout. Each copy has one fault at a time."""
    with tempfile.TemporaryDirectory(prefix="fastnet-faults-") as folder, ThreadPoolExecutor(jobs) as pool:
        copies: Queue[Copy] = Queue()
        for number in range(jobs):
            copies.put(Copy(Path(folder, str(number))))
        copy = copies.get()
        for patch in sorted(HERE.glob("*.patch")):  # includes faults that this run does not plant
            copy.check(patch)
        broken = copy.suite(*sorted({test for fault in faults for test in fault.tests}))
        copies.put(copy)
        if broken:
            raise SystemExit(f"the suite fails without a fault: {broken}")

        def plant(fault: Fault) -> Found:
            copy = copies.get()
            try:
                found = copy.plant(fault)
            finally:
                copies.put(copy)
            print(f"{fault.name:40} {found.seconds:5.0f} s  {found.caught_by or 'NOT CAUGHT'}", flush=True)
            return found

        return list(pool.map(plant, faults))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", help="the faults to plant (default: all)")
    parser.add_argument("--list", action="store_true", help="list the faults with their descriptions")
    parser.add_argument("--count", type=int, help="number of faults to plant, drawn at random")
    parser.add_argument("--seed", type=int, help="seed of the draw (default: today's date, such as 20260131)")
    parser.add_argument(
        "--jobs", type=int, default=1, help="number of faults to plant at the same time (default: %(default)s)"
    )
    args = parser.parse_args()
    # Some tests send SIGINT. A background job of a shell ignores SIGINT, and so would the tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faults = [read(patch) for patch in sorted(HERE.glob("*.patch"))]
    if args.names:
        unknown = set(args.names) - {fault.name for fault in faults}
        if unknown:
            parser.error(f"no fault is called {', '.join(sorted(unknown))}; --list lists them")
        faults = [fault for fault in faults if fault.name in args.names]
    if args.count is not None:
        seed = int(datetime.date.today().strftime("%Y%m%d")) if args.seed is None else args.seed
        print(f"{args.count} of {len(faults)} faults, seed {seed}")
        faults = random.Random(seed).sample(faults, min(args.count, len(faults)))
    if args.list:
        for fault in faults:
            print(f"{fault.name:40} {fault.about}")
        return 0
    found = run(faults, args.jobs)
    caught = sum(bool(one.caught_by) for one in found)
    print(f"caught {caught} of {len(found)} planted faults")
    return 0 if caught == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
