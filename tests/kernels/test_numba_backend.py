"""The cache of the Numba backend: folders that cannot be written, and stale kernels."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import load_backend, python

import fastnet

CACHELESS = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from fastnet.kernels import numba_backend
print([w.category.__name__ for w in caught])
print(str(caught[0].message) if caught else "")
"""


def test_a_cache_that_cannot_be_written_gives_one_warning(tmp_path: Path) -> None:
    load_backend("numba")
    (tmp_path / "file").touch()
    environment = {
        "NUMBA_CACHE_DIR": str(tmp_path / "file" / "cache"),  # impossible even for root: "file" is no folder
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",  # Numba then tries no other folder
    }
    categories, message = python(CACHELESS, **environment).splitlines()
    assert "NUMBA_CACHE_DIR" in message
    assert categories == "['RuntimeWarning']"


OUTPUT = """
import numpy as np, fastnet
net = fastnet.Network([1, 1], activation=[], output="leaky_relu")
net.parameters[:] = 1, 0
print(float(net.forward(-np.ones((1, 1)), backend="numba")[0, 0]))
"""


CACHED = """
from fastnet.kernels import numba_backend
print(len(numba_backend._run._cache._cache_file._load_index()))
"""


def test_a_change_elsewhere_makes_cached_kernels_stale(tmp_path: Path) -> None:
    load_backend("numba")
    package = Path(fastnet.__file__).parent
    shutil.copytree(package, tmp_path / "fastnet", ignore=shutil.ignore_patterns("__pycache__", "bench"))
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}
    assert float(python(OUTPUT, **environment)) == pytest.approx(-0.01)
    assert python(CACHED, **environment) == "1\n"
    changes = [
        ("contract.py", "LEAKY_SLOPE = 0.01", "LEAKY_SLOPE = 0.25"),
        ("numba_vectors.py", "z * c.LEAKY_SLOPE", "z * 0.5"),
    ]
    for file, line, changed in changes:
        source = tmp_path / "fastnet" / "kernels" / file
        assert source.read_text().count(line) == 1, file
        before = source.read_text()
        source.write_text(before.replace(line, changed))
        assert python(CACHED, **environment) == "0\n", file  # no hits in the cache: the kernel was compiled again
        source.write_text(before)
