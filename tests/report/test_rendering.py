"""Writing the report: whole or not at all, from records of any age, and without an extra an error that names it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the extra plot")
pytest.importorskip("jinja2", reason="the extra plot")
pytest.importorskip("scipy", reason="the extra insight")

from report_cases import Page, picture_data, table_data, trained, undrawn  # noqa: F401  # a fixture is found by name

import fastnet
from fastnet import insight, report
from fastnet.errors import DataError, FastnetError
from fastnet.report import Run, rendering

DATA = picture_data()


@pytest.fixture(scope="module")
def run() -> Run:
    return trained(DATA, 8, 3)


def test_writing_is_whole_or_not_at_all(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.html"
    monkeypatch.setattr(rendering, "render", lambda *given, **options: "an older page é")
    report.write(path, run, DATA)
    monkeypatch.undo()
    monkeypatch.setattr(insight, "classified", lambda *given, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report.write(path, run, DATA)
    assert path.read_text("utf-8") == "an older page é"
    assert [found.name for found in tmp_path.iterdir()] == ["out.html"]
    monkeypatch.undo()
    with pytest.raises(DataError, match="cannot write"):
        report.write(tmp_path / "nowhere" / "x.html", fastnet.Network([6, 2]), table_data())


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("jinja2", r"reports need Jinja2.*mlp\[plot\]"),
        ("matplotlib", r"need Matplotlib.*mlp\[plot\]"),
        ("scipy", r"reports need SciPy.*mlp\[insight\]"),
    ],
)
def test_missing_extras_are_named(module: str, said: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(FastnetError, match=said):
        report.render(run, DATA)


@pytest.mark.usefixtures("undrawn")
def test_a_record_of_less_is_enough(run: Run, tmp_path: Path) -> None:
    run.save(tmp_path)
    (tmp_path / "run.json").write_text('{"format": "fastnet run 1", "learning_rate": null, "new": [{}]}')
    page = Page(report.render(Run.load(tmp_path), DATA, backend="numpy"))
    assert "learning rate" not in page.cards["settings"].facts


@pytest.mark.usefixtures("undrawn")
def test_validation_that_came_later() -> None:
    trainer = fastnet.Trainer(fastnet.Network([64, 3], seed=0), backend="numpy", seed=0)
    test = DATA.x_test, DATA.y_test
    trainer.fit(DATA.x_train, DATA.y_train, epochs=1)
    trainer.fit(DATA.x_train, DATA.y_train, epochs=1, validation_data=test)
    card = Page(report.render(trainer, DATA, backend="numpy")).cards["learning"]
    last = f"{trainer.history['validation_accuracy'][-1]:.1%}"
    assert card.facts["validation accuracy in the end"] == last
    assert f"validation accuracy {last} in the end" in card.images[0]["alt"]


def test_the_report_is_no_part_of_the_import() -> None:
    assert importlib.import_module("fastnet").report is report
