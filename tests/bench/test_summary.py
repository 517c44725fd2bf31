"""The README's table of speeds agrees with docs/benchmarks.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastnet.bench import pages, summary
from fastnet.errors import DataError

CHECKOUT = Path(__file__).parents[2]
BENCHMARKS, README = CHECKOUT / "docs" / "benchmarks.md", CHECKOUT / "README.md"
needs_docs = pytest.mark.skipif(not BENCHMARKS.exists(), reason="the wheel's tests run without docs/")

TRAINING = """
## Training

| workload | backend | seconds per epoch | speed, tuned NumPy = 1 |
| --- | --- | ---: | ---: |
"""
FACTS = "\n## The machine\n\n- processor: a 386\n- fastnet: 0.1.0\n- date: 1985-10-17\n"


def a_page(**seconds: float) -> str:
    names = dict.fromkeys(summary.BARS, 0.5) | seconds
    rows = [f"| {w} | {name} | {s} | {1 / s:.2f} |" for w in ("W1", "W3", "W5", "W6") for name, s in names.items()]
    return TRAINING + "\n".join(rows) + "\n" + FACTS


@needs_docs
def test_the_readme_has_the_table_of_the_page() -> None:
    """To update: `python -m fastnet.bench.summary docs/benchmarks.md README.md --picture docs/pictures/speed.png`."""
    table = summary.table(BENCHMARKS.read_text("utf-8"))
    assert table in pages.split(str(README), summary.SECTION)[1]
    assert sum(line.startswith("|") for line in table.splitlines()) <= 8


def test_the_table_has_a_line_for_each_workload_in_milliseconds() -> None:
    table = summary.table(a_page(cython=0.0265)).splitlines()
    assert table[2] == "| 784-16-16-10, 10 | **26.5** | 500 | 500 | 500 | 500 | 37.74 |"
    assert [line.split("|")[1].strip() for line in table[3:6]] == [
        *("784-16-16-10, 128", "784-128-64-10, 64", "784-512-512-10, 128"),
    ]
    assert "(a 386, 1985-10-17)" in " ".join(table[-4:])


@pytest.mark.parametrize("page", ["", FACTS, a_page().replace(summary.SPEED, "speed"), a_page().replace("jax", "jix")])
def test_a_page_without_the_peers_is_refused(page: str) -> None:
    with pytest.raises(DataError, match="fastnet bench --peers"):
        summary.table(page)


def test_the_command_writes_the_table_and_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
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
