"""The README's Python, run as it stands, one block after the other; and how its findings are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import conftest
import numpy as np
import pytest

import fastnet
from fastnet import cli, explore
from fastnet.errors import DataError
from fastnet.explore import Finding, Setting

README = Path(__file__).parents[1] / "README.md"


def test_its_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not README.exists():
        pytest.skip("no README.md here")
    conftest.load_backend("cython")
    for package in ("matplotlib", "jinja2", "scipy"):
        pytest.importorskip(package, reason="the README has the extras of `all`")
    for name in ("mnist", "mnist-5k"):
        try:
            fastnet.data.load(name, download=False)
        except DataError as error:
            pytest.skip(str(error))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    assert len(blocks) >= 3
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert {path.name for path in tmp_path.iterdir()} >= {"digits.npz", "report.html", "weights.png"}
    assert names["history"]["validation_accuracy"][-1] > 0.94  # 95, it says


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program, with one experiment that is quick."""
    for package in ("pytest_benchmark", "matplotlib"):
        pytest.importorskip(package, reason="the extras bench and plot")
    from fastnet.bench import findings

    def draw() -> Any:
        from fastnet.plots import style

        figure = style.figure(2, 2)
        figure.add_subplot().plot([0, 1])
        return figure

    def run(name: str, setting: Setting) -> Finding:
        return Finding(f"{name}: {len(setting.data.x_train)} of {setting.data.name}\n", {}, {"drawn": draw})

    monkeypatch.setattr(findings, "run", run)
    monkeypatch.setattr(findings, "SHOWN", dict.fromkeys(explore.EXPERIMENTS, ("drawn", "a line")))
    return findings


def test_findings_are_written_between_their_marks(findings: Any, tmp_path: Path) -> None:
    data, readme = tmp_path / "mine.npz", tmp_path / "README.md"
    np.savez(data, x=np.random.default_rng(0).random((20, 4)), y=np.arange(20) % 2)
    readme.write_text("before\n<!-- findings: begin -->\nold\n<!-- findings: end -->\nafter\n")
    command = [str(readme), "--pictures", str(tmp_path / "docs"), "--data", str(data), "--experiments", "noise"]
    assert findings.main(command) == 0
    text = readme.read_text()
    assert text.startswith("before\n<!-- findings: begin -->")
    assert text.endswith("<!-- findings: end -->\nafter\n")
    assert "old" not in text
    assert "![a line](docs/drawn.png)" in text
    assert f"noise: 16 of {data}" in text
    assert explore.EXPERIMENTS["noise"].capitalize() in text
    assert (tmp_path / "docs" / "drawn.png").read_bytes().startswith(b"\x89PNG")
    assert "weights:" not in text


def test_a_file_without_the_marks_is_left_alone(
    findings: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("<!-- benchmark: begin --><!-- benchmark: end -->")
    assert findings.main([str(readme), "--pictures", str(tmp_path / "docs")]) == 2
    assert "findings: begin" in capsys.readouterr().err
    assert readme.read_text() == "<!-- benchmark: begin --><!-- benchmark: end -->"
    assert not (tmp_path / "docs").exists()


def test_the_readme_s_commands_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    """Each `fastnet ...` line of its text blocks is one that the options' parser accepts."""
    if not README.exists():
        pytest.skip("no README.md here")
    from fastnet.cli.entry import parser

    blocks = re.findall(r"^```text\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").replace("&&", "\n").splitlines()
    commands = [line.partition("#")[0].split() for line in lines if line.strip().startswith("fastnet ")]
    assert len(commands) > 8
    for command in commands:
        if command[1] != "bench":  # its options are its own
            assert parser().parse_args(command[1:]).command == command[1]
    assert cli.main(["explore"]) == 0
    assert capsys.readouterr().out
