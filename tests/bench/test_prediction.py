"""`python -m fastnet.bench.prediction`: its shares of the limits, on few rows and on made-up times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastnet.bench import pages, prediction
from fastnet.bench.contenders import Timing


def test_the_share_is_that_of_the_nearer_limit() -> None:
    own, memory = Timing([2.0, 4.0, 2.0], [10.0, 10.0, 10.0]), Timing([1.0, 1.0, 1.5], [10.0] * 3)
    assert prediction._share(own, memory, operations=5) == 0.5  # the memory limits: 1/2, 1/4 and 1.5/2
    assert prediction._share(own, memory, operations=18) == 0.9  # the arithmetic limits: 1.8 seconds


def test_the_command_writes_its_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(prediction, "NETWORKS", ((784, 4, 10),))
    monkeypatch.setattr(prediction, "ROWS", (200,))
    monkeypatch.setattr(prediction.threads, "usable_cores", lambda: 1)
    page = tmp_path / "page.md"
    page.write_text("\n".join(["Before.", *pages.markers(prediction.SECTION), "After."]))
    assert prediction.main(["--rows", "200", "--rounds", "1", "--no-onnxruntime", "--page", str(page)]) == 0
    text = page.read_text()
    assert text.count("| 784-4-10 |") == 4
    assert "Million rows a second" in text
    assert text.endswith("After.")


def test_onnx_runtime_computes_the_same() -> None:
    pytest.importorskip("onnxruntime", reason="compares with ONNX Runtime")
    network = prediction.Network([784, 8, 10], seed=0)
    for x in (np.full((3, 784), 7, np.uint8), np.full((3, 784), 0.5, np.float32)):
        found = prediction._onnx(network, x, 1)()  # raises if the outputs differ
        assert len(found) == 1
