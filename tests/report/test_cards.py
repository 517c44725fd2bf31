"""Cards that have too little to say, the words of cards that depend on what is known, and durations in words."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
pytest.importorskip("jinja2", reason="needs Jinja2 (extra: plot)")
pytest.importorskip("scipy", reason="needs the extra insight")

from report_cases import Card, Page, picture_data, table_data, trained, undrawn  # noqa: F401  # a fixture is found by name

import fastnet
from fastnet import plots, report
from fastnet.data import Dataset
from fastnet.text import duration

pytestmark = pytest.mark.usefixtures("undrawn")
DATA = table_data()


@pytest.mark.parametrize(("n", "shown"), [(1, False), (199, False), (200, True)])
def test_calibration_needs_examples(n: int, shown: bool) -> None:
    data = table_data(2, 600)
    data = dataclasses.replace(data, x_test=data.x_test[:n], y_test=data.y_test[:n])
    card = Page(report.render(fastnet.Network([6, 2], seed=0), data, backend="numpy")).cards["calibration"]
    assert bool(card.images) is bool(card.facts) is shown
    assert (f"too few test examples to tell: {n}. It takes at least 200" in card.text) is not shown


def test_the_words_for_a_reliability_diagram_name_its_widest_gap() -> None:
    data = picture_data()
    run = trained(data, 8, 3)
    found = fastnet.insight.calibration(
        run.network, data.x_test[1::2], data.y_test[1::2], temperature=None, backend="numpy"
    )
    card = Page(report.render(run, data, backend="numpy")).cards["calibration"]
    many = found.counts >= 10
    gaps = [abs(a - c) if enough else 0 for a, c, enough in zip(found.accuracy, found.confidence, many, strict=True)]
    k = gaps.index(max(gaps))
    assert f"{many.sum()} bars stand for at least 10 examples" in card.images[0]["alt"]
    assert (
        f"{found.counts[k]} answers with a mean confidence of {found.confidence[k]:.0%}, of which "
        f"{found.accuracy[k]:.0%} are right"
    ) in card.images[0]["alt"]


def learning(validation_data: Any, monkeypatch: pytest.MonkeyPatch, **record: Any) -> tuple[Card, str]:
    """Return the card of a training, and the name of the second curve in its picture."""
    drawn: list[str] = []
    draw = plots.history
    monkeypatch.setattr(
        plots,
        "history",
        lambda history, *, validation_name: (drawn.append(validation_name), draw(history))[1],
    )
    trainer = fastnet.Trainer(fastnet.Network([6, 4, 2], seed=0), backend="numpy", seed=0)
    trainer.fit(DATA.x_train, DATA.y_train, epochs=2, validation_data=validation_data)
    run = report.Run.of(trainer, **record)
    return Page(report.render(run, DATA, backend="numpy")).cards["learning"], drawn[0]


TEST = (DATA.x_test, DATA.y_test)
HELD_OUT = "12 rows held out of the training rows"


@pytest.mark.parametrize(("targets", "said"), [(None, False), ({"mean": [2.0], "deviation": [3.0]}, True)])
def test_the_card_says_that_costs_are_those_of_standardized_numbers(
    targets: Any, said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, _ = learning(TEST, monkeypatch, standardization={"inputs": None, "targets": targets})
    assert ("targets were standardized" in card.text) is said


@pytest.mark.parametrize(
    ("validation_data", "record", "name", "rows"),
    [
        (TEST, {}, "test", "the test examples"),  # not known from the record: the costs are equal
        (TEST, {"validation": "the test examples"}, "test", "the test examples"),
        ((DATA.x_train[:12], DATA.y_train[:12]), {"validation": HELD_OUT}, "validation", HELD_OUT),
        ((DATA.x_train[:12], DATA.y_train[:12]), {}, "validation", "validation data given to fit"),
    ],
)
def test_the_learning_card_says_which_rows_validate(
    validation_data: Any, record: dict[str, str], name: str, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, drawn = learning(validation_data, monkeypatch, **record)
    assert drawn == name
    assert f"The {name} curve comes from {rows}." in card.text
    assert [label for label in card.facts if "accuracy" in label] == [
        "training accuracy in the end",
        f"{name} accuracy in the end",
    ]
    assert f"{name} accuracy from" in card.images[0]["alt"]


def test_without_validation_there_is_one_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    card, _ = learning(None, monkeypatch)
    assert "curve comes from" not in card.text
    assert list(card.facts)[2:] == ["training accuracy in the end"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (2e-5, "20 us"),
        (8.62e-5, "86.2 us"),
        (9.999e-4, "1 ms"),
        (0.0358, "35.8 ms"),
        (0.5, "0.5 s"),
        (99.96, "1.67 min"),
        (5990, "99.8 min"),
        (7200, "2.0 h"),
        (1e7, "2,777.8 h"),
    ],
)
def test_durations_of_any_size(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def shown(model: Any, data: Any) -> Page:
    return Page(report.render(model, data, backend="numpy"))


def test_the_kept_network_and_the_standardized_targets_are_told() -> None:
    data = table_data()
    data = dataclasses.replace(data, y_train=data.x_train[:, :1], y_test=data.x_test[:, :1], class_names=())
    run = trained(data, 4, 1, output="identity")
    assert "network kept" not in shown(run, data).cards["learning"].facts
    known = {"best_epoch": 3, "standardization": {"inputs": {"means": [0]}, "targets": {"means": [0]}}}
    page = shown(dataclasses.replace(run, record={**run.record, **known}), data)
    assert page.cards["learning"].facts["network kept"] == "that of epoch 3"
    assert "these costs have no unit" in page.cards["learning"].text
    assert page.cards["settings"].facts["standardized"] == "inputs and targets"
    assert "RMSE" in page.figures
    assert "test cost" not in page.figures  # it has the square of the unit


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(1, "The only mistake"), (2, "One of the most frequent mistakes"), (3, "The most frequent mistake")],
)
def test_mistakes_of_the_same_number_are_not_called_the_most_frequent(wrong: int, said: str) -> None:
    network = fastnet.Network([2, 2], seed=0)
    network.weights[0][...], network.biases[0][...] = 5 * np.eye(2), 0
    x = np.repeat(np.eye(2, dtype=np.float32), 20, axis=0)
    y = x.argmax(1)
    y[[0, 39, 1][:wrong]] = [1, 0, 1][:wrong]
    data = Dataset("pairs", x, y, x, y, None, ("a", "b"))
    assert f"{said}: “" in shown(network, data).cards["confusion"].text
