"""The program that writes the findings and their pictures between the markers of a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnet import explore
from fastnet.explore import Finding, Setting


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the module `findings` with quick experiments."""
    for package in ("pytest_benchmark", "matplotlib"):
        pytest.importorskip(package, reason="needs the extras bench and plot")
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


def test_findings_are_written_between_their_markers(findings: Any, tmp_path: Path) -> None:
    data, page = tmp_path / "mine.npz", tmp_path / "findings.md"
    np.savez(data, x=np.random.default_rng(0).random((20, 4)), y=np.arange(20) % 2)
    page.write_text("before\n<!-- findings: begin -->\nold\n<!-- findings: end -->\nafter\n")
    command = [str(page), "--pictures", str(tmp_path / "pictures"), "--data", str(data), "--experiments", "noise"]
    assert findings.main(command) == 0
    text = page.read_text()
    assert text.startswith("before\n<!-- findings: begin -->")
    assert text.endswith("<!-- findings: end -->\nafter\n")
    assert "old" not in text
    assert "![a line](pictures/drawn.png)" in text
    assert f"noise: 16 of {data}" in text
    assert f"## {findings.heading('noise')}\n\n`fastnet explore noise`, " in text
    assert (tmp_path / "pictures" / "drawn.png").read_bytes().startswith(b"\x89PNG")
    assert "weights:" not in text


def test_a_file_without_the_markers_is_left_alone(
    findings: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "findings.md"
    page.write_text("<!-- benchmark: begin --><!-- benchmark: end -->")
    assert findings.main([str(page), "--pictures", str(tmp_path / "pictures")]) == 2
    assert "findings: begin" in capsys.readouterr().err
    assert page.read_text() == "<!-- benchmark: begin --><!-- benchmark: end -->"
    assert not (tmp_path / "pictures").exists()
