"""The page of a search: its best setting, its pictures and its table, and searches that lack something."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
pytest.importorskip("jinja2", reason="needs Jinja2 (extra: plot)")

from report_cases import Page, content, searched, undrawn  # noqa: F401 # a fixture is found by name

from fastnet import FastnetError, plots, report
from fastnet.report import search as page_of_search
from fastnet.search import SearchResult
from fastnet.search.standing_texts import result_text, standing_rows


def written(found: SearchResult, folder: Path, name: str = "<i>bands</i>") -> Page:
    report.write_search(folder / "x.html", found, name)
    return Page((folder / "x.html").read_text("utf-8"))


@pytest.fixture(scope="module")
def found() -> SearchResult:
    return searched()


def test_the_pictures_are_those_of_the_search(found: SearchResult, tmp_path: Path) -> None:
    page = written(found, tmp_path)
    for key, draw in (
        ("curves", plots.search_curves),
        ("parallel", plots.search_parallel),
        ("effects", plots.search_effects),
    ):
        (image,) = page.cards[key].images
        assert content(image["src"]) == plots.style.rendered(draw(found), "svg", dpi=220)
        assert len(image["alt"].split()) > 8


@pytest.mark.usefixtures("undrawn")
def test_the_page_has_the_best_setting_and_the_table(found: SearchResult, tmp_path: Path) -> None:
    page = written(found, tmp_path)
    best = found.best
    assert page.h1 == "4 settings on <i>bands</i>"
    assert page.cards["settings"].rows == standing_rows(found.standings, "accuracy", 4)
    assert page.cards["settings"].rows[0][:5] == ["rank", "setting", "accuracy", "std error", "score"]
    assert "batch size" not in page.cards["settings"].rows[0]  # it is the same in all settings
    assert page.cards["best"].facts["learning rate"] == f"{best.setting['learning_rate']:.4g}"
    assert result_text(best, "accuracy") in page.cards["best"].text
    assert page.figures["best accuracy"] == f"{best.mean:.2%}"
    assert page.figures["trainings"] == "8"
    assert all(all(image["alt"] for image in card.images) for card in page.cards.values())


@pytest.mark.usefixtures("undrawn")
def test_searches_that_lack_something(found: SearchResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = written(searched("grid", hidden=(4,), learning_rate=0.1), tmp_path)
    assert alone.h1 == "1 setting on <i>bands</i>"
    assert "No parameter varies" in alone.cards["parallel"].text
    assert not alone.cards["effects"].images
    diverged = written(searched("grid", hidden=(4,), learning_rate=[0.1, 1e30], activation="relu"), tmp_path)
    assert "1 setting diverged in at least one training" in diverged.text
    assert diverged.cards["settings"].rows[-1][2:5] == ["-", "-", "-"]
    none = written(searched("grid", learning_rate=[1e25, 1e30], activation="relu", optimizer="sgd"), tmp_path)
    assert "So none is the best: the cost is no longer finite" in none.text
    assert "All settings diverged." in none.cards["best"].text
    assert "stand out" not in none.text + "".join(image["alt"] for image in none.cards["curves"].images)
    monkeypatch.setattr(page_of_search, "MAX_ROWS", 3)
    assert "1 worse setting left out here" in written(found, tmp_path).cards["settings"].text


def test_a_missing_extra_is_named(found: SearchResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(FastnetError, match=r'pip install "fastnet-mlp\[plot\]"'):
        report.write_search(tmp_path / "x.html", found)
