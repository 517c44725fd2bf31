"""The programs that write the tables of trainings on several processes into a page."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pytest_benchmark", reason="needs the extra bench")

import numpy as np

from fastnet.bench import averaging, distributed
from fastnet.bench.workloads import Images


@pytest.fixture
def images() -> Images:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (256, 784)).astype(np.uint8), rng.integers(0, 10, 256)
    return Images(x, y, x, y, "noise")


def test_accuracies_go_between_the_markers(images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(averaging, "load_images", lambda: images)
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- averaging: begin -->\nold\n<!-- averaging: end -->\nafter\n")
    assert averaging.main([str(page), "--seeds", "2", "--epochs", "1"]) == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert rows[0] == ["training", "one process", "gradients", "every 4", "every 16", "every 64", "every 256"]
    assert len(rows) == 2 + len(averaging.ROWS)
    assert all(re.fullmatch(r"\d+\.\d\d% ± \d+\.\d\d%", cell) for cell in rows[2][1:])
    assert "noise after 1 epoch:" in text


def test_a_page_without_the_markers_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("no markers")
    for main in (averaging.main, distributed.main):
        assert main([str(page)]) == 2
        assert "begin -->" in capsys.readouterr().err


def test_real_runs_stand_beside_the_model(tmp_path: Path) -> None:
    pytest.importorskip("mpi4py", reason="needs the extra mpi")
    if shutil.which("mpiexec") is None:
        pytest.skip("mpiexec is not installed")
    runs: list[dict[str, Any]] = [distributed.measured(n, ["W1"], 400) for n in (1, 2)]
    section = distributed.speeds(runs)
    assert [row[1:3] for row in section.rows] == [("2", str(k)) for k in distributed.EVERY]
    for record in section.records:
        assert record["examples_per_second"] > 0
        assert record["predicted"] > 0
    assert "784-16-16-10 at 10" in section.note
    assert [row[0] for row in distributed.messages(runs).rows] == ["13,002"]
