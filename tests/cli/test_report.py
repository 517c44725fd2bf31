"""`fastnet train --out`, `--report`, and `fastnet report`."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_cases import FIT, error, pictures, prices, record

pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
pytest.importorskip("jinja2", reason="needs Jinja2 (extra: plot)")
pytest.importorskip("scipy", reason="needs the extra insight")

from report_cases import Page, undrawn  # noqa: F401  # a fixture is found by name

import fastnet
from fastnet import cli
from fastnet.report import Run

TRAIN = (*FIT, "--backend", "numpy")


def train(*arguments: object) -> int:
    return cli.main(["train", *TRAIN, *map(str, arguments)])


def test_train_writes_a_run_and_its_report(folder: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    run, html = folder / "runs" / "first", folder / "out.html"
    assert train("--data", data, "--out", run, "--report", html) == 0
    out, err = capsys.readouterr()
    assert f"out         {run}" in out
    assert f"report      {html}" in out
    assert err.count("epoch ") == 15
    assert sorted(path.name for path in run.iterdir()) == [
        "history.json",
        "initial.npz",
        "network.npz",
        "run.json",
        "run.toml",
    ]

    found = Run.load(run)
    (x, y), test = pictures(120, 0), pictures(30, 1)
    network = fastnet.Network([64, 8, 3], activation="sigmoid", cost="squared_error", seed=0)
    assert found.initial is not None
    np.testing.assert_array_equal(found.initial.parameters, network.parameters)
    trainer = fastnet.Trainer(
        network, optimizer="sgd", learning_rate=0.5, schedule="cosine", batch_size=10, backend="numpy", seed=0
    )
    trainer.fit(x, y, epochs=15, validation_data=test)
    np.testing.assert_array_equal(found.network.parameters, network.parameters)
    assert found.history["validation_accuracy"] == trainer.history["validation_accuracy"]
    assert found.record["test"]["accuracy"] == network.accuracy(*test)
    assert found.record["source"].pop("data") == data
    assert set(found.record["source"].values()) == {None}
    assert (found.record["seed"], found.record["init"], found.record["epochs"]) == (0, "scaled", 15)

    page = Page(html.read_text("utf-8"))
    assert page.h1 == f"64-8-3 on {data}"
    assert page.figures["test accuracy"] == "100.0%"
    assert {"weights", "noise", "calibration"} <= set(page.cards)
    assert "before and after training" in page.cards["weights"].images[0]["alt"]

    # `fastnet report` makes the same report from the run's folder. By default it writes into this folder.
    assert cli.main(["report", str(run), "--backend", "numpy"]) == 0
    assert capsys.readouterr().out == f"report      {run / 'report.html'}\n"
    assert (run / "report.html").read_bytes() == html.read_bytes()


@pytest.mark.usefixtures("undrawn")
def test_the_record_of_a_run_equals_the_json(folder: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    printed = record(capsys, "train", "--data", data, *TRAIN, "--out", folder / "run")
    kept = json.loads((folder / "run" / "run.json").read_text())
    assert kept.pop("format") == "fastnet run 1"
    assert {name: printed[name] for name in kept} == kept
    assert {name: printed[name] for name in printed.keys() - kept.keys()} == {
        "save": None,
        "history": None,
        "out": str(folder / "run"),
        "report": None,
    }
    printed = record(capsys, "report", folder / "run", "--output", folder / "x.html", "--quiet")
    assert printed == {
        "run": str(folder / "run"),
        "report": str(folder / "x.html"),
        "task": "classification",
        "columns": [],
        "class_names": ["0", "1", "2"],
    }
    assert (folder / "x.html").exists()


@pytest.mark.usefixtures("undrawn")
def test_a_report_finds_its_data_from_any_folder(
    folder: Path, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = pictures(40, 3)
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    monkeypatch.chdir(folder)
    assert train("--data", "x.npy", "--labels", "y.npy", "--out", "run", "--quiet") == 0
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert cli.main(["report", os.path.join("..", "run"), "--quiet"]) == 0
    assert Page((folder / "run" / "report.html").read_text("utf-8")).h1 == "64-8-3 on x.npy"
    (folder / "y.npy").unlink()
    said = error(capsys, "report", folder / "run", "--output", folder / "no.html")
    assert f"the data of {folder / 'run'}: there is no file" in said
    assert "give their new place with --data" in said
    assert not (folder / "no.html").exists()
    assert cli.main(["report", str(folder / "run"), "--data", data, "--quiet"]) == 0
    page = Page((folder / "run" / "report.html").read_text("utf-8"))
    assert page.cards["settings"].facts["trained on"] == "x.npy"
    assert page.cards["settings"].facts["tested here on"] == data
    assert capsys.readouterr() == ("", "")


def test_report_refuses_unusable_runs(folder: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = folder / "run"
    assert train("--data", data, "--out", run, "--quiet") == 0
    assert "there is no folder" in error(capsys, "report", folder / "nowhere")
    (folder / "empty").mkdir()
    assert "holds no training run (run.json is missing)" in error(capsys, "report", folder / "empty")
    x, y = pictures(40, 3)
    np.savez(folder / "other.npz", x=x[:, :4], y=y)
    said = error(capsys, "report", run, "--data", folder / "other.npz")
    assert f"{run} takes 64 inputs and distinguishes 3 classes, but" in said
    assert "cannot be written" in error(capsys, "report", run, "--output", folder / "nowhere" / "x.html")
    before = Path(data).read_bytes()
    assert "would replace the data" in error(capsys, "report", run, "--output", data)
    assert Path(data).read_bytes() == before
    assert "--output" in error(capsys, "report", run, "--output", folder)
    assert "a report is an HTML file" in error(capsys, "report", run, "--output", folder / "x.pdf")
    kept = json.loads((run / "run.json").read_text())
    del kept["source"]
    (run / "run.json").write_text(json.dumps(kept))
    assert "does not name the data of its training: give --data" in error(capsys, "report", run)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("option", ["--save", "--history", "--report", "--out"])
def test_empty_names_are_refused_before_training(
    option: str, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_training(monkeypatch)
    assert f"{option} is empty" in error(capsys, "train", "--data", data, option, "")


def test_a_folder_in_place_of_a_file_is_refused(
    folder: Path, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_training(monkeypatch)
    assert "names a folder" in error(capsys, "train", "--data", data, "--report", f"{folder / 'new'}{os.sep}")
    assert not (folder / "new").exists()


def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastnet.Trainer, "fit", lambda *arguments, **options: pytest.fail("it was trained first"))


def test_impossible_paths_are_refused_before_training(
    folder: Path, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_training(monkeypatch)
    (folder / "run" / "network.npz").mkdir(parents=True)
    (folder / "linked").mkdir()
    (folder / "linked" / "history.json").symlink_to(data)
    given = ("train", "--data", data)
    assert "--report" in error(capsys, *given, "--report", folder / "nowhere" / "x.html")
    assert "give a name that ends in .html" in error(capsys, *given, "--report", folder / "x.pdf")
    assert "would replace the data" in error(capsys, *given, "--report", data)
    assert "cannot make the folder" in error(capsys, *given, "--out", data)
    assert "--out: network.npz" in error(capsys, *given, "--out", folder / "run")
    assert "would replace the data" in error(capsys, *given, "--out", folder / "linked")
    both = ("--save", folder / "new" / "network.npz", "--out", folder / "new")
    (folder / "new").mkdir()
    assert "--save and --out: network.npz are both" in error(capsys, *given, *both)


@pytest.mark.parametrize("command", ["train", "report"])
def test_a_missing_extra_is_an_error_before_training(
    command: str, folder: Path, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    no_training(monkeypatch)
    given = ("train", "--data", data, "--report", folder / "x.html") if command == "train" else ("report", folder)
    assert 'python -m pip install "fastnet-mlp[plot]"' in error(capsys, *given)


@pytest.mark.usefixtures("undrawn")
def test_ctrl_c_keeps_the_run(
    folder: Path, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = fastnet.Trainer.fit

    def interrupted(trainer: fastnet.Trainer, *arguments: Any, **options: Any) -> Any:
        def stop(trainer: fastnet.Trainer, epoch: fastnet.Epoch) -> None:
            if epoch.epoch == 3:
                signal.raise_signal(signal.SIGINT)

        return fit(trainer, *arguments, **options | {"callbacks": [stop]})

    monkeypatch.setattr(fastnet.Trainer, "fit", interrupted)
    run, html = folder / "run", folder / "x.html"
    assert train("--data", data, "--out", run, "--report", html, "--save", folder / "m.npz", "--quiet") == 130
    out, err = capsys.readouterr()
    assert not out
    assert f"the network trained so far is saved in {folder / 'm.npz'} and {run}" in err
    assert not html.exists()
    found = Run.load(run)
    assert len(found.history["cost"]) == found.record["epochs"] == 3
    saved = fastnet.Network.load(folder / "m.npz")
    np.testing.assert_array_equal(saved.parameters, found.network.parameters)
    assert "test" not in found.record
    assert cli.main(["report", str(run), "--quiet"]) == 0
    assert Page((run / "report.html").read_text("utf-8")).cards["settings"].facts["epochs"] == "3"


def test_ctrl_c_before_training_leaves_an_older_run(folder: Path, data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = folder / "run"
    assert train("--data", data, "--out", run, "--quiet") == 0
    before = {path.name: path.read_bytes() for path in run.iterdir()}

    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fastnet.Trainer, "fit", interrupt)
    assert train("--data", data, "--out", run, "--quiet", "--seed", 1) == 130
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_a_report_that_fails_keeps_the_network(
    folder: Path, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fastnet.report import rendering

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rendering, "render", fail)
    assert train("--data", data, "--out", folder / "run", "--report", folder / "x.html", "--quiet") == 2
    assert capsys.readouterr().err == "fastnet: error: No space left on device\n"
    assert Run.load(folder / "run").record["test"]["accuracy"] == 1
    assert not (folder / "x.html").exists()


@pytest.mark.usefixtures("undrawn")
def test_a_report_has_the_curves_of_the_validation(folder: Path, data: str) -> None:
    assert train("--data", data, "--report", folder / "x.html", "--quiet") == 0
    assert Page((folder / "x.html").read_text("utf-8")).cards["learning"].facts["test accuracy in the end"]


@pytest.mark.usefixtures("undrawn")
def test_a_report_of_no_epochs(folder: Path, data: str) -> None:
    assert train("--data", data, "--out", folder / "run", "--epochs", 0, "--quiet") == 0
    assert cli.main(["report", str(folder / "run"), "--quiet"]) == 0
    cards = Page((folder / "run" / "report.html").read_text("utf-8")).cards
    assert "no history of epochs" in cards["left-out"].text
    assert "learning" not in cards
    shutil.rmtree(folder / "run")


@pytest.mark.usefixtures("undrawn")
def test_a_report_reads_the_table_of_its_run_as_the_training_did(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{k % 7 if k % 5 else ''},{'Oslo' if k % 3 else 'Rome'},{k},{'yes' if k % 3 else 'no'}" for k in range(60)]
    (folder / "people.csv").write_text("\n".join(["age,city,id,bought", *rows]))
    table = ["--label-column", "bought", "--categorical", "city", "--impute", "--drop", "id", "--epochs", "2"]
    given = ["--data", str(folder / "people.csv"), "--out", str(folder / "run"), "--quiet"]
    assert cli.main(["train", *given, *table]) == 0
    found = record(capsys, "report", folder / "run", "--quiet")
    assert (found["task"], found["columns"], found["class_names"]) == ("classification", ["age", "city"], ["no", "yes"])
    assert Page((folder / "run" / "report.html").read_text("utf-8")).h1.endswith("people.csv")

    (folder / "people.csv").write_text("\n".join(["age,city,id,bought", "3,Bergen,0,no", *rows]))
    assert "'Bergen' is not among the values" in error(capsys, "report", folder / "run")


@pytest.mark.usefixtures("undrawn")
def test_a_report_of_a_regression(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, _ = prices(folder)
    given = ["--data", table, "--label-column", "price", "--task", "regression", "--epochs", "5", "--quiet"]
    assert cli.main(["train", *given, "--out", str(folder / "run")]) == 0
    found = record(capsys, "report", folder / "run", "--quiet")
    assert (found["task"], found["columns"], found["class_names"]) == ("regression", ["rooms", "area"], [])
    page = Page((folder / "run" / "report.html").read_text("utf-8"))
    evaluated = record(capsys, "evaluate", "--model", folder / "run" / "network.npz", "--data", table)
    assert float(page.figures["RMSE"]) == pytest.approx(evaluated["values"]["rmse"][0], rel=1e-3)
