"""The pages that bench/ writes: docs/benchmarks.md, docs/findings.md and the README's table. No file is large."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnet import explore
from fastnet.bench import pages, summary
from fastnet.errors import DataError
from fastnet.explore import Finding, Setting

CHECKOUT = Path(__file__).parents[1]
BENCHMARKS, README = CHECKOUT / "docs" / "benchmarks.md", CHECKOUT / "README.md"
needs_checkout = pytest.mark.skipif(not (CHECKOUT / ".git").exists(), reason="not a git checkout")
needs_docs = pytest.mark.skipif(not BENCHMARKS.exists(), reason="the wheel's tests run without docs/")

TRAINING = """
## Training

| workload | backend | seconds per epoch | speed, tuned NumPy = 1 |
| --- | --- | ---: | ---: |
"""
FACTS = "\n## The machine\n\n- processor: a 386\n- date: 1985-10-17\n"


def a_page(**seconds: float) -> str:
    names = dict.fromkeys(summary.BARS, 0.5) | seconds
    rows = [f"| {w} | {name} | {s} | {1 / s:.2f} |" for w in ("W1", "W3", "W5", "W6") for name, s in names.items()]
    return TRAINING + "\n".join(rows) + "\n" + FACTS


# -- size ---------------------------------------------------------------------------------------------------------


@needs_checkout
def test_no_tracked_file_is_large() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, check=True).stdout
    files = [CHECKOUT / name for name in listed.decode().split("\0") if name]
    assert len(files) > 100
    assert {path: path.stat().st_size for path in files if path.is_file() and path.stat().st_size > 100_000} == {}


def test_a_png_takes_the_largest_palette_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="Matplotlib draws it")
    from PIL import Image

    from fastnet.plots import style

    figure = style.figure(2, 2)
    figure.add_subplot().imshow(np.random.default_rng(0).random((60, 60, 3)))
    path = tmp_path / "noise.png"
    n_colours = []
    for _ in range(2):
        pages.save_picture(figure, path)
        with Image.open(path) as image:
            n_colours.append(len(image.getcolors()))
        monkeypatch.setattr(pages, "MAX_BYTES", 0.95 * path.stat().st_size)
    assert pages.PALETTES[1] < n_colours[0] <= pages.PALETTES[0]
    assert n_colours[1] <= pages.PALETTES[1]


# -- the README's table -------------------------------------------------------------------------------------------


@needs_docs
def test_the_readme_has_the_table_of_the_page() -> None:
    """`python -m fastnet.bench.summary docs/benchmarks.md README.md --picture docs/pictures/speed.png` mends it."""
    table = summary.table(BENCHMARKS.read_text("utf-8"))
    assert table in pages.split(str(README), summary.SECTION)[1]
    assert sum(line.startswith("|") for line in table.splitlines()) <= 8


def test_the_table_has_a_line_for_each_workload_in_milliseconds() -> None:
    table = summary.table(a_page(cython=0.0265)).splitlines()
    assert table[2] == "| 784-16-16-10, 10 | **26.5** | 500 | 500 | 500 | 500 | 37.74 |"
    assert [line.split("|")[1].strip() for line in table[3:6]] == [
        *("784-16-16-10, 128", "784-128-64-10, 64", "784-512-512-10, 128"),
    ]
    assert "(a 386, 1985-10-17)" in table[-2]


@pytest.mark.parametrize("page", ["", FACTS, a_page().replace(summary.SPEED, "speed"), a_page().replace("jax", "jix")])
def test_a_page_without_the_peers_is_refused(page: str) -> None:
    with pytest.raises(DataError, match="fastnet bench --peers"):
        summary.table(page)


def test_the_command_writes_the_table_and_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="Matplotlib draws it")
    page, readme, drawn = (tmp_path / name for name in ("page.md", "README.md", "speed.png"))
    page.write_text(a_page())
    readme.write_text("top\n" + "\n".join(pages.markers(summary.SECTION)) + "\nend\n")
    words = [str(page), str(readme), "--picture", str(drawn)]
    assert summary.main(words) == 0
    assert f"]({drawn.name})\n\n{summary.table(a_page())}\n" in readme.read_text()
    assert drawn.read_bytes().startswith(b"\x89PNG")
    page.write_text("nothing")
    assert summary.main(words) == 2
    assert "no training table" in capsys.readouterr().err


# -- the findings -------------------------------------------------------------------------------------------------


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program with quick experiments."""
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
