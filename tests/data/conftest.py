"""Fixtures: every test of data has its own cache and settings and cannot reach the network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_cases import STEMS, idx

from fastnet.data import downloads, named_sets


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hide the real cache, the real data and the network from every test. Return the folder of the cache."""
    monkeypatch.setenv("FASTNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FASTNET_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(named_sets, "SYSTEM_FOLDERS", {})
    monkeypatch.setattr(named_sets, "MIRRORS", {"mnist": (), "fashion-mnist": ()})
    monkeypatch.setattr(downloads, "TIMEOUT", 5.0)
    return tmp_path / "cache"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Make `mnist` a set of 40 + 20 random pictures. Return its uncompressed files."""
    rng = np.random.default_rng(0)
    content = {}
    for part, n in (("train", 40), ("t10k", 20)):
        content[f"{part}-images-idx3-ubyte"] = idx(rng.integers(0, 256, (n, 28, 28)).astype(np.uint8))
        content[f"{part}-labels-idx1-ubyte"] = idx(np.arange(n, dtype=np.uint8) % 10)
    hashes = {stem: hashlib.sha256(data).hexdigest() for stem, data in content.items()}
    monkeypatch.setattr(named_sets, "SHA256", {**named_sets.SHA256, "mnist": hashes})
    monkeypatch.setattr(named_sets, "FILE_SIZES", {stem: len(content[stem]) for stem in STEMS})
    return content


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write
