"""The Numba backend uses the vectors of the CPU that Numba's settings name, not those of the host's CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import load_backend, python

from fastnet.kernels import cython_dispatch

AVX2 = "+avx2,+fma"


@pytest.fixture(scope="module", autouse=True)
def numba_backend() -> Any:
    backend = load_backend("numba")
    if not backend.MACHINE.x86:
        pytest.skip("the test is for x86-64")
    return backend


@pytest.mark.parametrize(
    ("cpu", "features", "name", "register_bytes", "compresses"),
    [
        ("generic", "", "SSE2", 16, False),
        ("generic", AVX2, "AVX2 and FMA", 32, False),
        ("generic", "+avx512f", "AVX-512", 64, False),
        ("generic", "+avx512vl", "AVX-512", 64, True),
        ("nehalem", "", "SSE2", 16, False),
        ("nehalem", "+avx", "AVX", 32, False),
        ("haswell", "", "AVX2 and FMA", 32, False),
        ("haswell", "-avx", "SSE2", 16, False),
        ("skylake-avx512", "", "AVX-512", 64, True),
        ("skylake-avx512", "+sse2", "AVX-512", 64, True),
        ("skylake-avx512", "-avx512vl", "AVX-512", 64, False),
        ("skylake-avx512", "-avx512f", "AVX2 and FMA", 32, False),
    ],
)
def test_the_vectors_follow_from_the_cpu_s_name_and_features(
    numba_backend: Any, cpu: str, features: str, name: str, register_bytes: int, compresses: bool
) -> None:
    found = numba_backend.numba_vectors.machine("x86_64-unknown-linux-gnu", cpu, features)
    assert found.instruction_set == name
    assert found.register_bytes == register_bytes
    assert found.compresses == compresses


TRAINED = """
import numpy as np, fastnet
from fastnet.kernels import numba_backend
rng = np.random.default_rng(0)
x = rng.random((20, 70), np.float32) * (rng.random((20, 70)) < 0.2)  # zeros are skipped
found = []
for backend in "numba", "numpy":
    network = fastnet.Network([70, 33, 3], seed=0)
    trainer = fastnet.Trainer(network, backend=backend, optimizer="adam", batch_size=7, seed=0)
    trainer.fit(x.astype(np.float32), np.arange(20) % 3, epochs=2)
    found.append(network.parameters)
np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-5)
print(sum(numba_backend._run.stats.cache_hits.values()), numba_backend.instruction_set())
"""


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


# There are only two CPUs, because compiling for a CPU takes ten seconds. Each row has a CPU, its features (None: the
# default), the x86-64 level that this machine must support, and the name of the vectors.
@pytest.mark.parametrize(
    ("cpu", "features", "level", "name"),
    [
        ("generic", None, "generic", "SSE2"),
        ("haswell", "+sse2", "x86_v3", "AVX2 and FMA"),
    ],
)
def test_training_with_vectors_for_another_cpu(
    cpu: str, features: str | None, level: str, name: str, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All CPUs share a cache folder, but the kernels are compiled for each CPU, so the cache has no hits."""
    for variable in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "FASTNET_ISA"):
        monkeypatch.delenv(variable, raising=False)
    if level not in cython_dispatch.runnable(cython_dispatch.cpu_features()):
        pytest.skip(f"this CPU cannot run code for {cpu}")
    given = {} if features is None else {"NUMBA_CPU_FEATURES": features}
    printed = python(TRAINED, NUMBA_CPU_NAME=cpu, NUMBA_CACHE_DIR=str(shared_cache), **given)
    assert printed == f"0 {name}\n"
