"""The common style of all pictures, and the writing of picture files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fastnet import Network, plots
from fastnet.errors import DataError, FastnetError
from fastnet.plots import save, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@pytest.fixture
def line() -> Any:
    pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")

    @style.picture
    def draw() -> Figure:
        figure = style.figure(4, 3)
        figure.add_subplot().plot([0, 1], [0, 1])
        return figure

    return draw


def test_the_style_does_not_depend_on_the_user_s_settings(line: Any) -> None:
    import matplotlib

    expected = style.rendered(line())
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "savefig.dpi": 5, "lines.linewidth": 9}):
        assert style.rendered(line()) == expected
        assert matplotlib.rcParams["font.size"] == 30  # the user's settings are unchanged


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_same_numbers_give_the_same_file(line: Any, kind: str, start: bytes, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(line(), tmp_path / f"{name}.{kind}")
    content = (tmp_path / f"a.{kind}").read_bytes()
    assert content.startswith(start)
    assert content == (tmp_path / f"b.{kind}").read_bytes()
    assert b"CreationDate" not in content  # the field for the date in a PDF
    assert b"dc:date" not in content


def test_an_unknown_kind_of_picture_replaces_no_file(line: Any, tmp_path: Path) -> None:
    path = tmp_path / "digits.npz"
    path.write_bytes(b"mine")
    with pytest.raises(DataError, match=r"digits\.npz.*\.png, \.svg, \.pdf"):
        save(line(), path)
    assert path.read_bytes() == b"mine"


def test_what_is_no_figure_is_not_saved(line: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"^figure must be a Figure of Matplotlib, not None$"):
        save(None, tmp_path / "a.png")  # type: ignore[arg-type]  # the refused argument
    assert not list(tmp_path.iterdir())


NETWORK = "network must be a fastnet.Network, not int"


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: plots.architecture(3), NETWORK),
        (lambda: plots.weights(3), NETWORK),
        (lambda: plots.weights(Network([4, 3]), before=3), NETWORK.replace("network", "before", 1)),
        (lambda: plots.neuron_gradients(3, np.zeros(15), (2, 2)), NETWORK),
        (lambda: plots.history(None), "history must be a fastnet.History, a Run or a mapping of columns, not None"),
        (lambda: plots.architecture(Network([4, 3]), image_shape=3), r"image_shape must be rows and columns .*, not 3"),
        (lambda: plots.descent_log(None), "log must be a fastnet.insight.DescentLog, not NoneType"),
        (lambda: plots.range_test(3), "test must be a fastnet.insight.RangeTest, not int"),
        (lambda: plots.data_size(3), "found must be a fastnet.insight.DataSize, not int"),
        (lambda: plots.landscape(3), "found must be a fastnet.insight.Landscape, not int"),
        (lambda: plots.minima(3), "found must be a fastnet.insight.Minima, not int"),
        (lambda: plots.noise(3), "found must be a fastnet.insight.NoiseConfidence, not int"),
        (lambda: plots.reliability(3), "found must be a fastnet.insight.Calibration, not int"),
        (lambda: plots.ranking(3), "ranking must be a fastnet.insight.Ranking, not int"),
        (lambda: plots.structure(3), "found must be a fastnet.insight.WeightStructure, not int"),
        (lambda: plots.excitation(3, 3, 3), "found must be a fastnet.insight.ExcitingImages, not int"),
        (lambda: plots.history({"epoch": [1]}), "history must have the columns epoch, cost, .*, not epoch"),
    ],
)
def test_what_cannot_be_drawn_is_refused(line: Any, draw: Callable[[], object], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{words}$"):
        draw()


def test_without_matplotlib_a_picture_says_how_to_get_it(line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(FastnetError, match=r'need Matplotlib .*pip install "fastnet-mlp\[plot\]"'):
        line()


def luminance(colour: str) -> float:
    """Return the relative luminance (WCAG 2.1)."""
    channels = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("colour", [style.GREY, style.BLACK])
def test_text_has_enough_contrast_on_white(colour: str) -> None:
    assert 1.05 / (luminance(colour) + 0.05) >= 4.5
