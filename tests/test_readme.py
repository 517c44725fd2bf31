"""The README's Python, run as it stands, one block after the other, and its commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import conftest
import pytest

import fastnet
from fastnet import cli
from fastnet.errors import DataError

README = Path(__file__).parents[1] / "README.md"


def test_its_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not README.exists():
        pytest.skip("no README.md here")
    conftest.load_backend("cython")
    for package in ("matplotlib", "jinja2", "scipy"):
        pytest.importorskip(package, reason="the README has the extras of `all`")
    try:
        fastnet.data.load("mnist-5k", download=False)
    except DataError as error:
        pytest.skip(str(error))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["trainer"].history.epochs[-1].accuracy > 0.9
    data = names["data"]
    assert round(100 * names["net"].accuracy(data.x_test, data.y_test)) == 91  # as the page says
    assert (tmp_path / "digits.npz").exists()


def test_the_readme_s_commands_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    """Each `fastnet ...` line of its text blocks is one that the options' parser accepts."""
    if not README.exists():
        pytest.skip("no README.md here")
    from fastnet.cli.entry import parser

    blocks = re.findall(r"^```text\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").replace("&&", "\n").splitlines()
    commands = [line.partition("#")[0].split() for line in lines if line.strip().startswith("fastnet ")]
    assert len(commands) >= 5
    for command in commands:
        if command[1] != "bench":  # its options are its own
            assert parser().parse_args(command[1:]).command == command[1]
    assert cli.main(["explore"]) == 0
    assert capsys.readouterr().out
