"""The commands read and write networks as safetensors files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cli_cases import FIT, error

from fastnet import cli

pytest.importorskip("safetensors.numpy", reason="safetensors is not installed (extra: safetensors)")


def test_the_commands_read_and_write_safetensors(folder: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    answers = []
    for model in (folder / "m.npz", folder / "m.safetensors"):
        assert cli.main(list(map(str, ["train", "--data", data, *FIT, "--quiet", "--save", model]))) == 0
        capsys.readouterr()
        assert cli.main(["evaluate", "--model", str(model), "--data", data, "--json"]) == 0
        answers.append(capsys.readouterr().out.replace(model.name, ""))
    assert answers[0] == answers[1]
    assert (folder / "m.safetensors").read_bytes()[8:9] == b"{"


def test_a_missing_library_is_an_error_before_the_training(
    folder: Path, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    train = ["train", "--data", data, *FIT, "--save", folder / "m.safetensors"]
    # `error` accepts one line on stderr, so no progress of a training
    assert 'python -m pip install "fastnet-mlp[safetensors]"' in error(capsys, *train)
