"""The option --backend and the fixtures of `python -m pytest bench`: a backend, images, one BLAS thread."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from fastnet import backends
from fastnet.bench.workloads import Images, load_images
from fastnet.errors import BackendError


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend", action="append", choices=backends.NAMES, help="backend to benchmark; repeatable; default: all"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        names = metafunc.config.getoption("--backend") or backends.NAMES
        metafunc.parametrize("backend", list(dict.fromkeys(names)), indirect=True, scope="session")


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> str:
    """The name of a backend that works here. A missing backend skips the test; FASTNET_REQUIRE_EXT=1 makes it fail."""
    name = str(request.param)
    try:
        backends.get(name)
    except BackendError as error:
        if os.environ.get("FASTNET_REQUIRE_EXT") == "1":
            pytest.fail(f"FASTNET_REQUIRE_EXT=1, but the backend {name} is missing: {error}")
        pytest.skip(str(error))
    return name


@pytest.fixture(scope="session")
def images() -> Images:
    return load_images()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Limits BLAS with threadpoolctl. Environment variables come too late, because NumPy is already imported."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield
