"""The pictures in the pages that a command writes are small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastnet.bench import pages


def test_a_png_takes_the_largest_palette_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
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
