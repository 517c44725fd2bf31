"""`fastnet backends` lists the backends, compiles their kernels, and names what is missing."""

from __future__ import annotations

import pytest
from cli_cases import record

from fastnet import backends, cli
from fastnet.backends import selection


def test_backends_lists_each_backend(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = record(capsys, "backends")
    assert [b["name"] for b in found["backends"]] == list(backends.NAMES)
    assert found["chosen"] == backends.resolve()._asdict()
    monkeypatch.setenv(backends.ENVIRONMENT, "numpy")
    assert cli.main(["backends"]) == 0
    assert "chosen: numpy (named by $FASTNET_BACKEND)" in capsys.readouterr().out


def test_backends_compiles_ahead(capsys: pytest.CaptureFixture[str]) -> None:
    found = record(capsys, "backends", "--warmup")
    assert found["warmup_seconds"].keys() == {b["name"] for b in found["backends"] if b["available"]}
    assert all(0 <= seconds < 300 for seconds in found["warmup_seconds"].values())
    assert "warmup_seconds" not in record(capsys, "backends")
    assert cli.main(["backends", "--warmup"]) == 0
    assert "ready to run: cython (0.0 s)" in capsys.readouterr().out or not found["backends"][0]["available"]


def test_backends_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(selection._MODULES, "cython", "fastnet.kernels.not_built")
    monkeypatch.setitem(selection._MODULES, "numba", "fastnet.kernels.not_built")
    assert cli.main(["backends"]) == 0
    out = capsys.readouterr().out
    assert "cython: the cython backend is missing here" in out
    assert 'pip install "fastnet-mlp[numba]"' in out
    assert "chosen: numpy (auto: cython and numba missing)" in out
    monkeypatch.setenv(backends.ENVIRONMENT, "cython")
    assert cli.main(["backends"]) == 2
    out, err = capsys.readouterr()
    assert "instruction set" in out  # the list is printed nevertheless
    assert err.startswith("fastnet: error: the cython backend is missing")
