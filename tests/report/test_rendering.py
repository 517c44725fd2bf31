"""Writing the report: atomic writes, runs of older versions, and errors that name a missing extra."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
pytest.importorskip("jinja2", reason="needs Jinja2 (extra: plot)")
pytest.importorskip("scipy", reason="needs the extra insight")

from report_cases import Page, picture_data, table_data, trained, undrawn  # noqa: F401  # a fixture is found by name

import fastnet
from fastnet import insight, report
from fastnet.errors import DataError, FastnetError
from fastnet.report import Run, rendering

DATA = picture_data()


@pytest.fixture(scope="module")
def run() -> Run:
    return trained(DATA, 8, 3)


def test_a_failed_write_leaves_the_old_file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_the_error_names_a_missing_extra(module: str, said: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(FastnetError, match=said):
        report.render(run, DATA)


@pytest.mark.usefixtures("undrawn")
def test_a_record_with_few_fields_is_enough(run: Run, tmp_path: Path) -> None:
    run.save(tmp_path)
    (tmp_path / "run.json").write_text('{"format": "fastnet run 1", "learning_rate": null, "new": [{}]}')
    page = Page(report.render(Run.load(tmp_path), DATA, backend="numpy"))
    assert "settings" not in page.cards


@pytest.mark.usefixtures("undrawn")
def test_validation_from_a_later_fit_is_drawn() -> None:
    trainer = fastnet.Trainer(fastnet.Network([64, 3], seed=0), backend="numpy", seed=0)
    test = DATA.x_test, DATA.y_test
    trainer.fit(DATA.x_train, DATA.y_train, epochs=1)
    trainer.fit(DATA.x_train, DATA.y_train, epochs=1, validation_data=test)
    card = Page(report.render(trainer, DATA, backend="numpy")).cards["learning"]
    last = f"{trainer.history['validation_accuracy'][-1]:.1%}"
    assert card.facts["test accuracy in the end"] == last
    assert f"test accuracy {last} in the end" in card.images[0]["alt"]


def test_the_report_is_found_in_fastnet() -> None:
    assert importlib.import_module("fastnet").report is report
