"""The entry of the Numba backend: addresses of arrays; a cache that cannot be written, and stale kernels."""

from __future__ import annotations

import shutil
from pathlib import Path

import backend_calls as bc
import comparisons as cmp
import kernel_cases as kc
import numpy as np
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
        ("numba_narrow.py", "COLUMN_TILE = 4 ", "COLUMN_TILE = 2 "),
    ]
    for file, line, changed in changes:
        source = tmp_path / "fastnet" / "kernels" / file
        assert source.read_text().count(line) == 1, file
        before = source.read_text()
        source.write_text(before.replace(line, changed))
        assert python(CACHED, **environment) == "0\n", file  # no hits in the cache: the kernel was compiled again
        source.write_text(before)


@pytest.mark.parametrize("inputs", ["floats", "bytes", "sparse"])
def test_the_data_of_arrays_is_found_with_and_without_the_layout_of_array_objects(
    inputs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the layout is unknown, the entry functions ask each array for the address of its data."""
    backend = load_backend("numba")
    assert backend.DATA_AT > 0
    k = kc.case((5, 4, 3), rows=9, inputs=inputs, weights="drawn")
    found = []
    for data_at, place in ((backend.DATA_AT, id), (0, backend._data)):
        monkeypatch.setattr(backend, "DATA_AT", data_at)
        monkeypatch.setattr(backend, "_place", place)
        backend._template.cache_clear()
        backend._compression.cache_clear()
        case = k._replace(x=kc.sparse(k.x, k.params.dtype)) if inputs == "sparse" else k
        trained = bc.train(backend, case, np.arange(9), 4, kc.RULES["adam"])
        found.append([trained.params, bc.predict(backend, case), *bc.gradient(backend, case)])
    backend._template.cache_clear()
    backend._compression.cache_clear()
    cmp.assert_same_bits(found[0], found[1])
