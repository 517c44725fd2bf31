"""Fixtures and helpers for all tests: the backends of this machine, and a separate Numba cache."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# --import-mode=importlib puts no test folder on the path. Tests need this folder to import its helpers.
sys.path.insert(0, str(Path(__file__).parent))

import kernel_cases as kc

from fastnet.kernels import contract as c
from fastnet.kernels import numpy_backend

# After a change of a function in another file, Numba does not recompile a cached kernel, so a test could pass on old
# code. The tests therefore have their own cache. Numba reads NUMBA_CACHE_DIR at import. CI may set the variable itself.
_NUMBA_CACHE = None
if "NUMBA_CACHE_DIR" not in os.environ:
    _NUMBA_CACHE = os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="fastnet-numba-")

# pytest-xdist sets the width of a terminal, which fastnet would take for the user's wish to wrap its output.
os.environ.pop("COLUMNS", None)

# There is no deadline, because a backend may compile during the first example.
settings.register_profile("fastnet", deadline=None, database=None)
settings.register_profile("explore", deadline=None, database=None, max_examples=200, print_blob=True)
PROFILE = os.environ.get("FASTNET_HYPOTHESIS", "fastnet")
settings.load_profile(PROFILE)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give Hypothesis a fixed seed, 0 by default, so that a failure comes from a change, not from chance."""
    if config.option.hypothesis_seed is None:  # pytest-xdist passes the seed to the workers
        config.option.hypothesis_seed = secrets.randbelow(2**32) if PROFILE == "explore" else 0


def pytest_report_header(config: pytest.Config) -> str:
    return f"same Hypothesis examples: FASTNET_HYPOTHESIS={PROFILE} --hypothesis-seed={config.option.hypothesis_seed}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give all Numba tests to one worker, to compile each kernel once. Keep a folder with slow fixtures together."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if re.search(r"\[(.*-)?numba\b|numba_compiles", nodeid):
                return "numba"
            folder = Path(nodeid.partition("::")[0]).parent.name
            return folder if folder in ("insight", "explore", "report") else nodeid

    return Groups(config, log)


def pytest_unconfigure() -> None:
    if _NUMBA_CACHE is not None:
        shutil.rmtree(_NUMBA_CACHE, ignore_errors=True)


def python(code: str, *options: str, **environment: str) -> str:
    """Run code in a new interpreter, in a folder without fastnet's sources, and return what it prints."""
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | environment,
        cwd=os.sep,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def load_backend(name: str) -> Any:
    """Return a backend's module. Skip the test if the module is missing, unless FASTNET_REQUIRE_EXT is set."""
    from fastnet import backends
    from fastnet.errors import BackendError

    try:
        return backends.get(name)
    except BackendError as error:
        if os.environ.get("FASTNET_REQUIRE_EXT") == "1":
            pytest.fail(f"FASTNET_REQUIRE_EXT=1, but the backend {name} is missing: {error}")
        pytest.skip(str(error))


def name_of(backend: Any) -> str:
    """Return the name of a backend from the fixtures."""
    from fastnet import backends

    known = [found.name for found in backends.available() if found.available]
    return next(name for name in known if backends.get(name) is backend)


@pytest.fixture(scope="session", params=kc.BACKENDS)
def backend(request: pytest.FixtureRequest) -> Any:
    """Each backend of this machine."""
    return load_backend(request.param)


@pytest.fixture(scope="session", params=kc.COMPILED)
def compiled(request: pytest.FixtureRequest) -> Any:
    """Each compiled backend of this machine, for tests of what NumPy cannot do."""
    return load_backend(request.param)


@pytest.fixture(scope="session", params=kc.THREADED)
def threaded(request: pytest.FixtureRequest) -> Any:
    """Each backend whose calls several threads can share."""
    backend = load_backend(request.param)
    if backend.MAX_THREADS == 1:
        pytest.skip("this backend has no teams of threads")
    return backend


@pytest.fixture(scope="session")
def reference() -> Any:
    return load_backend("numpy")


@pytest.fixture
def usual_sigint_handler() -> Iterator[None]:
    """Set Python's own SIGINT handler, and check afterwards that it is in place again."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    after = signal.signal(signal.SIGINT, before)
    assert after is signal.default_int_handler


@pytest.fixture
def update_counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of updates in the calls of the NumPy kernel."""
    found: list[int] = []
    train = numpy_backend.train

    def spy(call: c.TrainCall) -> float:
        found.append(len(call.rates))
        return train(call)

    monkeypatch.setattr(numpy_backend, "train", spy)
    return found
