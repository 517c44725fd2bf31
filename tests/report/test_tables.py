"""The cards of tables, regressions and several labels show the numbers of insight and of scikit-learn."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
pytest.importorskip("jinja2", reason="needs Jinja2 (extra: plot)")
pytest.importorskip("scipy", reason="needs the extra insight")
pytest.importorskip("sklearn", reason="needs scikit-learn (extra: sklearn)")

from report_cases import Page, table_data, trained, undrawn  # noqa: F401  # a fixture is found by name
from sklearn import metrics

import fastnet
from fastnet import insight, report
from fastnet.report import answers, content, network, subject, table, values
from fastnet.report.parts import Card, picture
from fastnet.text import amount

NAMES = ["size", "age", "colour", "weight", "price", "year"]
DATA = table_data()


def rendered(model: Any, x: Any, y: Any, **options: Any) -> Page:
    return Page(report.render(model, x, y, backend="numpy", **options))


def regression(outputs: int = 1) -> fastnet.Trainer:
    trainer = fastnet.Trainer(fastnet.Network([6, 8, outputs], task="regression", seed=0), seed=0, backend="numpy")
    trainer.fit(DATA.x_train, DATA.x_train[:, :outputs] * 1000 + 5000, epochs=3)
    return trainer


@pytest.mark.usefixtures("undrawn")
def test_a_regression_stands_beside_the_mean() -> None:
    trainer, y = regression(), DATA.x_test[:, :1] * 1000 + 5000
    page, predicted = rendered(trainer, DATA.x_test, y, class_names=["rent"]), trainer.network.forward(DATA.x_test)
    mean = np.full_like(y, y.mean())
    scores = [
        metrics.r2_score(y, predicted),
        *(
            f(y, answer)
            for answer in (predicted, mean)
            for f in (metrics.root_mean_squared_error, metrics.mean_absolute_error)
        ),
    ]
    assert page.cards["values"].rows[1] == ["rent", *map(amount, map(float, scores))]
    assert page.figures["test R2"] == amount(scores[0])
    assert (page.figures["RMSE"], page.figures["MAE"]) == (amount(scores[1]), amount(scores[2]))
    assert f"is off by {amount(scores[2])} on average (MAE)" in page.cards["values"].text
    assert f"the mean target, {amount(float(y.mean()))}, is off by {amount(scores[4])}" in page.text


@pytest.mark.usefixtures("undrawn")
def test_the_worst_errors_are_rows_of_the_table() -> None:
    trainer, y = regression(), DATA.x_test[:, 0] * 1000 + 5000
    off = y - trainer.network.forward(DATA.x_test, backend="numpy")[:, 0]
    head, *rows = rendered(trainer, DATA.x_test, y, feature_names=NAMES).cards["errors"].rows
    assert head == ["row", "truth", "answer", "truth - answer", *NAMES]
    worst = np.argsort(-np.abs(off))[:20]
    assert [row[0] for row in rows] == [str(k + 1) for k in worst]
    assert [row[3] for row in rows] == [amount(off[k], "+") for k in worst]
    assert [row[4:] for row in rows] == [[amount(value) for value in DATA.x_test[k]] for k in worst]


@pytest.mark.usefixtures("undrawn")
def test_errors_of_several_values_are_compared_in_units_of_their_spread() -> None:
    """Without the units, the second value would have no row: it is a thousand times smaller."""
    network = fastnet.Network([6, 2], task="regression", seed=0)
    network.parameters[:] = 0
    y = DATA.x_test[:, 1:3] * [1000, 1]
    page = rendered(network, DATA.x_test, y, class_names=["large", "small"])
    assert {row[1] for row in page.cards["errors"].rows[1:]} == {"large", "small"}
    assert "RMSE" not in page.figures
    assert f"R2 is {amount(network.evaluate(DATA.x_test, y).r2)} over all 2 outputs" in page.cards["values"].text


@pytest.mark.usefixtures("undrawn")
def test_each_label_has_a_line() -> None:
    y, y_test = (x[:, :3] > [0, 1, 9] for x in (DATA.x_train, DATA.x_test))
    trainer = fastnet.Trainer(fastnet.Network([6, 8, 3], task="multilabel", seed=0), seed=0, backend="numpy")
    trainer.fit(DATA.x_train, y, epochs=20)
    trainer.network.biases[-1][2] = -50  # the third label is never predicted
    page = rendered(trainer, DATA.x_test, y_test, class_names=["a", "b", "c"], feature_names=NAMES)
    predicted = trainer.network.predict(DATA.x_test, backend="numpy")
    expected = np.transpose(metrics.precision_recall_fscore_support(y_test, predicted, zero_division=np.nan))
    assert [row[1:] for row in page.cards["labels"].rows[1:3]] == [
        [*(f"{score:.1%}" for score in scores), str(int(support))] for *scores, support in expected[:2]
    ]
    assert page.cards["labels"].rows[3][1:] == ["-", "-", "-", "0"]
    assert page.figures["labels right"] == f"{np.mean(predicted == y_test):.1%}"
    outputs = trainer.network.forward(DATA.x_test, backend="numpy")
    sure = np.sort(np.where(predicted, outputs, 1 - outputs)[predicted != y_test])[::-1]
    assert f"got {len(sure)} of 300 labels of the 100 test examples wrong" in page.cards["mistakes"].text
    assert "the share of examples with all labels right" in page.cards["learning"].text
    head, *rows = page.cards["mistakes"].rows
    assert head == ["row", "label", "is", "says", "sure", *NAMES]
    assert [row[4] for row in rows] == [f"{share:.1%}" for share in sure[:20]]
    for number, label, is_, says, *_ in rows:
        i, k = int(number) - 1, "abc".index(label)
        assert (is_, says) == (("with", "without") if y_test[i, k] else ("without", "with"))
        assert predicted[i, k] != y_test[i, k]


# -- the importance of the columns ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("undrawn")
def test_the_importance_is_that_of_insight() -> None:
    run = trained(DATA, 5, 2)
    found = insight.importance(run.network, DATA.x_test, DATA.y_test, repeats=5, backend="numpy")
    page = rendered(run, DATA.x_test, DATA.y_test, feature_names=NAMES)
    first = found.order[0]
    assert first == 0  # the first column nearly determines the class
    falls = f"the accuracy falls from {found.score:.1%} to {found.score - found.mean[0]:.1%}."
    assert f"“size” matters most: if its values are shuffled among the rows, {falls}" in page.cards["importance"].text
    assert "shuffled 5 times on all 100 test examples" in page.cards["importance"].text
    listed = ", ".join(f"“{NAMES[k]}”" for k in found.order[:3])
    assert f"Shown: {listed}." in page.cards["dependence"].text


@pytest.mark.usefixtures("undrawn")
def test_many_rows_are_sampled_and_many_columns_are_cut() -> None:
    rng = np.random.default_rng(0)
    x, names = rng.random((3_000, 12), np.float32), [f"c{k}" for k in range(12)]
    network = fastnet.Network([12, 2], seed=0)
    network.weights[0][...] = 0
    network.weights[0][1, 4:] = np.arange(8) + 1
    network.biases[0][0] = 18
    y = network.predict(x)
    y[:30] = 1 - y[:30]
    page = rendered(network, x, y, feature_names=names)
    assert "on 2,000 of the 3,000 test examples, evenly spread" in page.cards["importance"].text
    assert page.cards["mistakes"].rows[0][4:] == [f"c{k}" for k in range(11, 3, -1)]


@pytest.mark.usefixtures("undrawn")
def test_the_report_says_why_the_importance_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def left_out(network: fastnet.Network, y: Any) -> str:
        page = rendered(network, np.random.default_rng(0).random((len(y), network.sizes[0])), y)
        assert not {"importance", "dependence"} & set(page.cards)
        return page.cards["left-out"].text

    y = np.arange(50) % 2
    assert "importance of 300 columns takes too long" in left_out(fastnet.Network([300, 2], seed=0), y)
    assert "too few test examples" in left_out(fastnet.Network([3, 2], seed=0), y[:19])
    values = fastnet.Network([3, 1], task="regression", seed=0)
    assert "all test examples have the same target" in left_out(values, np.ones(50)).lower()
    monkeypatch.setattr(subject, "MAX_WORK", 1e3)
    assert "importance of 3 columns takes too long" in left_out(fastnet.Network([3, 2], seed=0), y)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert "needs scikit-learn" in (said := left_out(fastnet.Network([3, 2], seed=0), y))
    assert '"fastnet-mlp[sklearn]"' in said


def test_a_network_that_is_no_better_than_the_mean_gets_no_advice() -> None:
    network = fastnet.Network([6, 1], task="regression", seed=0)
    page = rendered(network, DATA.x_test, 100 - DATA.x_test[:, 0])
    assert "no better than always answering the mean" in page.cards["importance"].text


# -- the page ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("widths", ["nnww", "nwnnnw", "nnn", "w", "", "nwnwn"])
def test_no_place_beside_a_card_is_empty(widths: str) -> None:
    cards = content.paired([Card(str(k), "", "", wide=width == "w") for k, width in enumerate(widths)])
    assert [card.key for card in cards] == [str(k) for k in range(len(widths))]
    runs = "".join("w" if card.wide else "n" for card in cards).split("w")
    assert all(len(run) % 2 == 0 for run in runs)
    assert sum(card.wide for card in cards) - widths.count("w") == sum(len(run) % 2 for run in widths.split("w"))


def test_text_in_the_pictures_of_tables_is_not_small(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.text import Text

    sizes = []

    def measured(figure: Any, alt: str, kind: str = "svg") -> Any:
        figure.draw_without_rendering()
        assert figure.get_figwidth() <= 4.2
        sizes.append(min(t.get_fontsize() for t in figure.findobj(Text) if t.get_text() and t.get_visible()))
        return picture(figure, alt, kind)

    for cards in (answers, network, table, values):
        monkeypatch.setattr(cards, "picture", measured)
    monkeypatch.setattr("fastnet.plots.style.rendered", lambda *given, **options: b"")
    rendered(trained(DATA, 5, 2), DATA.x_test, DATA.y_test, feature_names=[name * 9 for name in NAMES])
    rendered(regression(), DATA.x_test, DATA.x_test[:, 0])
    assert len(sizes) == 12
    assert min(sizes) >= 8
