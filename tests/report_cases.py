"""Helpers for the report's tests: small runs, and a parser of the page."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from cli_cases import pictures

import fastnet
from fastnet.data import Dataset
from fastnet.plots import style
from fastnet.search import SearchResult, search
from fastnet.training.comparison import Comparison, side_by_side
from fastnet.training.recipe import CHAPTER
from fastnet.training.run_summary import RunSummary, summary_of
from fastnet.training.runs import Run

CLASS_NAMES = ("none & <b>bold</b>", '"quoted"', "</style><script>alert(1)</script>")
A_PNG = b"\x89PNG\r\n\x1a\n"
VOID = {"meta", "link", "img", "br"}


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no pictures, because Matplotlib takes three of the four seconds of a report."""
    monkeypatch.setattr(style, "rendered", lambda figure, kind="png", **options: A_PNG)


def picture_data(name: str = "<i>bands</i>") -> Dataset:
    """Return 8x8 pictures of three classes with names that look like HTML tags. Some test labels are wrong."""
    (x, y), (x_test, y_test) = pictures(240, 0), pictures(210, 1)
    y_test[::7] = (y_test[::7] + 1) % 3
    y_test[1::40] = (y_test[1::40] + 2) % 3
    return Dataset(name, x.reshape(240, 64), y, x_test.reshape(210, 64), y_test, (8, 8), CLASS_NAMES)


def table_data(classes: int = 2, n: int = 300) -> Dataset:
    """Return examples of six numbers. The first number nearly determines the class."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    x = rng.standard_normal((n, 6)).astype(np.float32)
    x[:, 0] += 2 * y
    cut = n // 3
    return Dataset("table", x[cut:], y[cut:], x[:cut], y[:cut], None, tuple(map(str, range(classes))))


def trained(data: Dataset, *sizes: int, epochs: int = 5, **network: Any) -> Run:
    """Train a network and return its run, with the initial network and the test results."""
    net = fastnet.Network([data.x_train.shape[1], *sizes], seed=0, **{**CHAPTER.network, **network})
    initial = net.copy()
    trainer = fastnet.Trainer(net, optimizer="sgd", learning_rate=0.5, batch_size=10, seed=0, backend="numpy")
    trainer.fit(data.x_train, data.y_train, epochs=epochs, validation_data=(data.x_test, data.y_test))
    return Run.of(trainer, initial, data=data.name)


def summarized(name: str, rate: float = 0.5, epochs: int = 2) -> RunSummary:
    """Return the summary of a small run on pictures."""
    data = picture_data()
    trainer = fastnet.Trainer(
        fastnet.Network([64, 4, 3], seed=0), learning_rate=rate, batch_size=10, seed=0, backend="numpy"
    )
    trainer.fit(data.x_train, data.y_train, epochs=epochs, validation_data=(data.x_test, data.y_test))
    return summary_of(Run.of(trainer, data=data.name), name)


def comparison() -> Comparison:
    """Return the comparison of three small runs, whose names look like HTML and like formulas."""
    return side_by_side([summarized(name, rate) for name, rate in (("<b>a</b>", 0.01), ("b&b", 0.1), ("$c$", 1.0))])


def searched(method: str = "random", **more: Any) -> SearchResult:
    """Return a small search on pictures, in which one setting may diverge."""
    data = picture_data()
    space = {"hidden": [(4,), (8, 4)], "learning_rate": [0.01, 0.1], "batch_size": 20, "backend": "numpy", **more}
    return search(space, data.x_train, data.y_train, method=method, trials=4, seeds=2, budget=3, n_jobs=1, seed=0)


@dataclass
class Card:
    title: str = ""
    text: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    rows: list[list[str]] = field(default_factory=list)
    images: list[dict[str, str]] = field(default_factory=list)


class Page(HTMLParser):
    """A parsed page: its cards by id, and all its tags, attributes and words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.cards: dict[str, Card] = {}
        self.figures: dict[str, str] = {}
        self.text, self.style, self.title, self.h1 = "", "", "", ""
        self.headings: list[str] = []
        self._card: Card | None = None
        self._name = ""
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append((tag, given))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self._card = self.cards[given["id"]] = Card()
        if tag[0] == "h" and tag[1:].isdigit():
            self.headings.append(tag)
        if self._card is not None:
            if tag == "img":
                self._card.images.append(given)
            if tag == "tr":
                self._card.rows.append([])
            if tag in ("th", "td"):
                self._card.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag
        if tag == "section":
            self._card = None

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            self.style += data
            return
        self.text += data
        within = self.open[-1] if self.open else ""
        if within == "title":
            self.title += data
        elif "h1" in self.open:
            self.h1 += data
        elif within == "dt":
            self._name = data
        elif within == "dd":
            facts = self._card.facts if self._card else self.figures
            facts[self._name] = data
        elif self._card is not None and within == "h2":
            self._card.title += data
        elif self._card is not None and within in ("th", "td"):
            self._card.rows[-1][-1] += data
        elif self._card is not None and within == "p":
            self._card.text += f"{data} "


def content(source: str) -> bytes:
    """Return the bytes of a data URI."""
    head, _, body = source.partition(",")
    assert head in ("data:image/png;base64", "data:image/svg+xml;base64")
    return base64.b64decode(body, validate=True)
