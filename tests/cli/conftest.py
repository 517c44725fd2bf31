"""Fixtures: every command-line test has its own folder, data set and settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_cases import FIT, pictures

from fastnet import backends, cli


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with a small data set. The real cache and the backend settings are hidden."""
    monkeypatch.setenv("FASTNET_CACHE", str(tmp_path / "cache"))
    for name in ("FASTNET_DATA", backends.ENVIRONMENT):
        monkeypatch.delenv(name, raising=False)
    # The fixture does not chdir, because subprocesses may need a relative PYTHONPATH.
    (x, y), (x_test, y_test) = pictures(120, 0), pictures(30, 1)
    np.savez(tmp_path / "bands.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return tmp_path


@pytest.fixture
def data(folder: Path) -> str:
    return str(folder / "bands.npz")


@pytest.fixture
def model(folder: Path, data: str, capsys: pytest.CaptureFixture[str]) -> str:
    path = str(folder / "model.npz")
    assert cli.main(["train", "--data", data, *FIT, "--save", path, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    return path
