"""What a notebook shows for networks, histories, trainers, estimators and figures."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import fastnet
from fastnet.notebook import HEIGHT, MAX_POINTS, WIDTH, card

TAGS = {"div", "strong", "br", "table", "thead", "tbody", "tr", "th", "td", "svg", "polyline", "small", "span"}


class Parsed(HTMLParser):
    """The tags, the text and the lines of a piece of HTML, whose tags must be closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text, self.labels, self.cells = "", list[str](), list[str]()
        self.lines = list[list[tuple[float, float]]]()
        self._open = list[str]()
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._open += [tag] if tag != "br" else []
        self.labels += [value or "" for name, value in attrs if name == "aria-label"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        points = dict(attrs)["points"] or ""
        self.lines.append([(float(x), float(y)) for x, y in (point.split(",") for point in points.split())])

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        self.cells += [data] if self._open[-1] in ("th", "td") else []


def trained(epochs: int = 20) -> fastnet.Trainer:
    rng = np.random.default_rng(0)
    trainer = fastnet.Trainer(fastnet.Network([4, 5, 3], seed=0), seed=0)
    trainer.fit(rng.normal(size=(60, 4)), np.arange(60) % 3, epochs=epochs, validation_split=0.2)
    return trainer


def test_names_from_files_cannot_change_the_page() -> None:
    name = "</svg><script>alert('1')</script>&amp;"
    found = Parsed(card(name, {name: name}, [[name], [name]], {name: [3.0, 2.0]}))
    assert found.tags <= TAGS
    assert found.text.count(name) == 6
    assert name in found.labels[0]


@pytest.mark.parametrize("n", [2, 3, MAX_POINTS, MAX_POINTS + 1, 10 * MAX_POINTS + 7])
def test_a_curve_shows_its_ends_and_stays_in_its_picture(n: int) -> None:
    line = [*np.geomspace(8, 2, n - 1).tolist(), 4.0]
    (drawn,) = Parsed(card("t", {}, curves={"cost": line, "validation cost": [math.nan] * n})).lines
    assert len(drawn) <= MAX_POINTS + 1
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in drawn)
    assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)
    assert (drawn[0], drawn[-1][0]) == ((2, 2), WIDTH - 2)
    if n > 2:
        assert drawn[-1][1] == pytest.approx(2 + (HEIGHT - 4) * (8 - 4) / (8 - min(line)), abs=0.06)


@pytest.mark.parametrize("line", [[], [1.0], [math.nan, 1.0], [math.inf] * 3])
def test_no_curve_is_drawn_through_fewer_than_two_numbers(line: list[float]) -> None:
    assert "svg" not in card("t", {}, curves={"cost": line})


def test_networks_histories_and_trainers_show_layers_parameters_and_curves() -> None:
    trainer = trained()
    shown: list[Any] = [trainer.network, trainer.history, trainer]
    network, history, settings = (Parsed(thing._repr_html_()) for thing in shown)
    assert network.cells[5:] == ["1", "4", "5", "relu", "25", "2", "5", "3", "softmax", "18"]
    assert f"parameters: {trainer.network.n_parameters}" in network.text
    assert "20 epochs" in history.text
    assert f"accuracy {trainer.history['accuracy'][-1]:.2%}" in history.text
    assert f"{trainer.steps:,} updates" in settings.text
    for found in (history, settings):
        assert len(found.lines) == 2
        assert f"{max(trainer.history['cost'] + trainer.history['validation_cost']):.4g}" in found.labels[0]


def test_objects_that_are_not_trained_yet_show_no_curve() -> None:
    trainer = fastnet.Trainer(fastnet.Network([4, 3], seed=0))
    for html in (trainer._repr_html_(), trainer.history._repr_html_()):
        assert not Parsed(html).lines


def test_estimators_show_their_network_after_fit() -> None:
    sklearn = pytest.importorskip("fastnet.sklearn", reason="needs the extra `sklearn`")
    model = sklearn.MLPClassifier((7,), max_iter=3, n_iter_no_change=9, tol=0, random_state=0)
    assert "4-7-3" not in model._repr_html_()
    with pytest.warns(UserWarning, match="Maximum iterations"):
        model.fit(np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3)
    for html in (model._repr_html_(), model._repr_mimebundle_()["text/html"]):
        assert "sk-container" in html  # scikit-learn's diagram
        assert html.count("<polyline") == 1
        assert "4-7-3" in html
        assert f"{model.network_.n_parameters}" in html


@pytest.mark.parametrize("first", ["", "import matplotlib.pyplot", "%matplotlib inline"])
def test_a_figure_at_the_end_of_a_cell_is_shown_once(first: str) -> None:
    for package in ("matplotlib", "ipykernel", "nbformat"):
        pytest.importorskip(package, reason="the extra `dev` has Jupyter's kernel")
    nbclient = pytest.importorskip("nbclient", reason="the extra `dev` has Jupyter's kernel")
    from nbformat.v4 import new_code_cell, new_notebook

    cells = [first, "import fastnet", "fastnet.plots.architecture(fastnet.Network([4, 3], seed=0))"]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    (output,) = notebook.cells[-1].outputs
    assert set(output["data"]) == {"text/plain", "image/png"}
