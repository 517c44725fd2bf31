"""The report shows the computed numbers, loads nothing from other files or hosts, and accepts networks of all kinds."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
pytest.importorskip("jinja2", reason="needs Jinja2 (extra: plot)")
pytest.importorskip("scipy", reason="needs the extra insight")

from report_cases import CLASS_NAMES, Page, content, picture_data, table_data, trained, undrawn  # noqa: F401  # a fixture is found by name

import fastnet
from fastnet import insight, report
from fastnet.data import Dataset
from fastnet.errors import DataError
from fastnet.report import Run, answers, confidence
from fastnet.report import network as network_cards
from fastnet.report.parts import picture

DATA = picture_data()


@pytest.fixture(scope="module")
def run() -> Run:
    return trained(DATA, 8, 3)


@pytest.fixture(scope="module")
def html(run: Run) -> str:
    return report.render(run, DATA, backend="numpy")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def rendered(network: Any, data: Dataset) -> Page:
    return Page(report.render(network, data, backend="numpy"))


# -- the figures -----------------------------------------------------------------------------------------------


def test_the_key_figures_equal_the_computed_ones(run: Run, page: Page) -> None:
    cost, accuracy = run.network.evaluate(DATA.x_test, DATA.y_test, backend="numpy")[:2]
    assert 0.4 < accuracy < 1  # the tests below need right and wrong answers
    assert page.h1 == page.title == f"64-8-3 on {DATA.name}"
    assert page.figures["test accuracy"] == f"{accuracy:.1%}"
    assert page.figures["test cost"] == f"{cost:.4g}"
    assert page.figures["parameters"] == "547"
    assert page.figures["backend"] == "numpy"
    time, unit = page.figures["training time"].split()  # a busy machine may need more than 100 ms
    assert float(time) == pytest.approx({"ms": 1e3, "s": 1}[unit] * run.record["seconds"], abs=0.05)
    assert "547 weights and biases learned from 240 examples and was tested on 210 others" in page.text


def test_the_ends_of_the_curves_are_in_the_text(run: Run, page: Page) -> None:
    card, history = page.cards["learning"], run.history
    assert card.facts == {
        "cost in the first epoch": f"{history['cost'][0]:.4g}",
        "cost in the last epoch": f"{history['cost'][-1]:.4g}",
        "training accuracy in the end": f"{history['accuracy'][-1]:.1%}",
        "test accuracy in the end": f"{history['validation_accuracy'][-1]:.1%}",
    }
    assert f"{history['validation_accuracy'][0]:.1%}" in card.images[0]["alt"]


def test_the_confusions_are_counted(run: Run, page: Page) -> None:
    predicted = run.network.predict(DATA.x_test, backend="numpy")
    head, *rows = page.cards["confusion"].rows
    assert head == ["class", "examples", "recall", "precision", "most taken for"]
    pairs: dict[tuple[int, int], int] = {}
    for k, row in enumerate(rows):
        truth = DATA.y_test == k
        right = np.sum(truth & (predicted == k))
        taken = {j: int(np.sum(truth & (predicted == j))) for j in range(3) if j != k}
        pairs |= {(k, j): count for j, count in taken.items()}
        favourite = max(taken, key=lambda j: taken[j])
        assert row == [
            CLASS_NAMES[k],
            str(truth.sum()),
            f"{right / truth.sum():.1%}",
            f"{right / np.sum(predicted == k):.1%}",
            f"{CLASS_NAMES[favourite]} ({taken[favourite]})" if taken[favourite] else "-",
        ]
    right = int(np.sum(predicted == DATA.y_test))
    assert f"{right} of 210 test examples right" in page.cards["confusion"].text
    most = max(pairs, key=lambda pair: pairs[pair])
    assert f"“{CLASS_NAMES[most[0]]}” is taken for “{CLASS_NAMES[most[1]]}”, {pairs[most]} time" in page.text


def test_the_worst_mistakes_are_the_most_confident(run: Run, page: Page) -> None:
    outputs = run.network.forward(DATA.x_test, backend="numpy")
    wrong = np.flatnonzero(outputs.argmax(1) != DATA.y_test)
    sure = sorted(outputs[wrong].max(1), reverse=True)
    card = page.cards["mistakes"]
    assert f"{len(wrong)} mistakes on 210" in card.text
    assert f"{sure[0]:.0%} sure" in card.text
    said = re.findall(r"\((\d+%) sure\)", card.images[0]["alt"])
    assert said == [f"{s:.0%}" for s in sure[:20]]


def test_noise_and_calibration_equal_those_of_insight(run: Run, page: Page) -> None:
    found = insight.confidence_on_noise(run.network, DATA.x_test, n=2_000, backend="numpy")
    assert page.cards["noise"].rows[1:] == [
        [kind, CLASS_NAMES[seen.favourite], f"{seen.shares.max():.0%}", f"{seen.median:.2f}"]
        for kind, seen in found.kinds.items()
    ]
    x, y = DATA.x_test[1::2], DATA.y_test[1::2]
    temperature = insight.fit_temperature(run.network, DATA.x_test[::2], DATA.y_test[::2], backend="numpy")
    plain = insight.calibration(run.network, x, y, temperature=None, backend="numpy")
    mended = insight.calibration(run.network, x, y, temperature=temperature, backend="numpy")
    assert page.cards["calibration"].facts == {
        "expected calibration error": f"{plain.error:.3f}",
        "temperature fitted": f"{temperature:.2f}",
        "error at that temperature": f"{mended.error:.3f}",
    }


def test_weights_before_and_after(run: Run, page: Page) -> None:
    card = page.cards["weights"]
    assert run.initial is not None
    assert card.facts == {
        f"correlation {when} training": f"{insight.neighbour_correlation(net.weights[0], (8, 8)):.2f}"
        for when, net in (("before", run.initial), ("after", run.network))
    }
    assert "8 in all" in card.images[0]["alt"]


def test_the_report_shows_settings_and_machine(run: Run, page: Page) -> None:
    settings, machine = page.cards["settings"].facts, page.cards["machine"].facts
    assert settings["trained on"] == DATA.name
    assert (settings["optimiser"], settings["learning rate"], settings["batch size"]) == ("sgd", "0.5", "10")
    assert settings["schedule"] == "constant"
    assert machine["backend"] == f"numpy {np.__version__}"
    assert machine["chosen because"] == "named by the argument"
    assert machine["inputs"] == run.history["inputs"][-1]
    rate = float(machine["examples a second"].replace(",", ""))
    assert rate == pytest.approx(sum(run.history["examples"]) / sum(run.history["seconds"]), rel=1e-2)
    assert machine["date"] == run.record["date"][:16].replace("T", " ")


@pytest.mark.usefixtures("undrawn")
def test_optimisers_and_schedules_are_shown_with_their_numbers() -> None:
    trainer = fastnet.Trainer(
        fastnet.Network([64, 3], seed=0),
        optimizer=fastnet.Momentum(0.8, nesterov=True),
        schedule=fastnet.Step(every=2, factor=0.5),
        weight_decay=0.25,
        clip_norm=1.5,
        backend="numpy",
    )
    trainer.fit(DATA.x_train, DATA.y_train, epochs=1)
    facts = rendered(trainer, DATA).cards["settings"].facts
    assert facts["optimiser"] == "momentum (momentum 0.8, nesterov)"
    assert facts["schedule"] == "step (every 2, factor 0.5)"
    assert facts["weight decay"] == "0.25"
    assert facts["gradient clipped to"] == "1.5"
    trainer = fastnet.Trainer(trainer.network, schedule=lambda step: 1.0, optimizer="nesterov", backend="numpy")
    record = Run.of(trainer).record
    assert (record["schedule"], record["optimizer"]) == ("a function", "nesterov")


# -- the page --------------------------------------------------------------------------------------------------


def test_the_page_loads_nothing(html: str, page: Page) -> None:
    assert ("meta", {
        "http-equiv": "Content-Security-Policy",
        "content": "default-src 'none'; img-src data:; style-src 'unsafe-inline'",
    }) in page.tags  # fmt: skip
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe", "object", "embed", "form", "base")
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:")
    assert "url(" not in page.style
    assert "@import" not in page.style
    assert "://" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", html)


def test_names_stay_text(page: Page, html: str) -> None:
    for name in (*CLASS_NAMES, DATA.name):
        assert name in page.text
    assert not {"script", "b", "i"} & {tag for tag, _ in page.tags}
    assert "<script" not in html


def test_every_image_is_complete_and_described(page: Page) -> None:
    images = [image for card in page.cards.values() for image in card.images]
    assert len(images) >= 8
    for image in images:
        data = content(image["src"])
        assert data.startswith(b"\x89PNG") or b"<svg" in data[:1000]
        assert int(image["width"]) > 100 < int(image["height"])
    alts = [image["alt"] for image in images]
    assert len(set(alts)) == len(alts)
    assert min(map(len, alts)) > 40
    said = [alt for alt in alts if re.search(r"\d", alt)]
    assert said == alts


def test_the_page_is_valid(html: str, page: Page) -> None:
    assert html.startswith("<!DOCTYPE html>\n")
    tags = dict(page.tags)
    assert tags["html"]["lang"] == "en"
    assert page.headings == ["h1", *["h2"] * len(page.cards)]
    assert all(card.title and card.text for card in page.cards.values())
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for _, attributes in page.tags:
        assert attributes.get("aria-labelledby", ids[0]) in ids
    assert "@media print" in page.style
    assert len(html) < 2e6


@pytest.mark.parametrize(("ink", "paper"), [("ink", "paper"), ("soft", "paper"), ("soft", "card"), ("accent", "paper")])
def test_text_has_enough_contrast(ink: str, paper: str, page: Page) -> None:
    """WCAG 2.1 requires this contrast of text (success criterion 1.4.3)."""

    def luminance(name: str) -> float:
        found = re.search(rf"--{name}: #(\w{{6}})", page.style)
        assert found
        parts = np.array([int(found[1][i : i + 2], 16) for i in (0, 2, 4)]) / 255
        linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, light = sorted((luminance(ink), luminance(paper)))
    assert (light + 0.05) / (dark + 0.05) >= 4.5


@pytest.mark.usefixtures("undrawn")
def test_text_in_pictures_is_not_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text has at least 9 points in pictures 4.2 inches wide. The tests in a browser rely on this size."""
    from matplotlib.text import Text

    sizes: dict[str, float] = {}

    def measured(figure: Any, alt: str, kind: str = "svg") -> Any:
        figure.draw_without_rendering()  # lays out the text
        texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
        assert figure.get_figwidth() <= 4.2
        assert len(texts) > 1
        sizes[alt] = min(text.get_fontsize() for text in texts)
        return picture(figure, alt, kind)

    for cards in (answers, confidence, network_cards):
        monkeypatch.setattr(cards, "picture", measured)
    rendered(trained(DATA, 70, 24, 3, activation="relu", cost="cross_entropy", epochs=1), DATA)
    assert len(sizes) == 9
    assert min(sizes.values()) >= 9


def test_the_same_run_gives_the_same_bytes(run: Run, html: str) -> None:
    assert report.render(run, DATA, backend="numpy") == html


# -- networks and data of all kinds -----------------------------------------------------------------------------


def test_a_report_of_data_without_pictures() -> None:
    page = rendered(trained(table_data(), 5, 2), table_data())
    assert list(page.cards) == [
        *("network", "learning", "confusion", "importance", "mistakes", "dependence", "inputs", "calibration"),
        *("settings", "machine"),
    ]
    assert page.cards["mistakes"].rows[0] == ["row", "is", "says", "sure", *(f"input {k}" for k in range(1, 7))]
    assert not page.cards["mistakes"].images


@pytest.mark.usefixtures("undrawn")
def test_a_report_of_two_classes_on_one_output() -> None:
    data = table_data()
    run = trained(data, 5, 1)
    page = rendered(run, data)
    a = run.network.forward(data.x_test, backend="numpy")[:, 0]
    wrong = (a >= 0.5) != data.y_test
    assert page.cards["mistakes"].rows[1][3] == f"{np.maximum(a, 1 - a)[wrong].max():.1%}"
    assert [row[0] for row in page.cards["confusion"].rows[1:]] == ["0", "1"]
    assert "if the number is at least a half" in page.cards["network"].text


def test_a_regression_has_no_classes() -> None:
    data = picture_data("numbers")
    run = trained(data, 4, 3, output="identity", epochs=2)
    page = rendered(run, data)
    assert set(page.cards) == {"network", "learning", "values", "errors", "weights", "settings", "machine"}
    assert "test accuracy" not in page.figures
    assert page.figures["test cost"] == f"{run.network.cost(data.x_test, data.y_test, backend='numpy'):.4g}"
    assert page.cards["learning"].facts["test R2 in the end"] == f"{run.history['validation_r2'][-1]:.3f}"


@pytest.mark.usefixtures("undrawn")
def test_a_report_of_dense_targets() -> None:
    data = table_data()
    y, y_test = (part[:, :2].astype(np.float32) for part in (data.x_train, data.x_test))
    data = dataclasses.replace(data, y_train=y, y_test=y_test, class_names=())
    assert "test cost" in rendered(trained(data, 4, 2, output="identity"), data).figures


def test_a_report_of_many_classes() -> None:
    data = table_data(classes=35, n=420)
    page = rendered(trained(data, 20, 35, activation="relu", cost="cross_entropy"), data)
    assert len(page.cards["confusion"].rows) == 36


@pytest.mark.usefixtures("undrawn")
def test_a_report_of_more_outputs_than_classes() -> None:
    data = table_data()
    page = rendered(trained(data, 4), data)
    assert page.cards["confusion"].rows[4] == ["3", "0", "-", *page.cards["confusion"].rows[4][3:]]


def test_unusable_runs_and_data_are_errors(run: Run) -> None:
    with pytest.raises(
        TypeError, match=r"a Run, a Trainer, a Network, an estimator .* Pipeline that ends in one, not int"
    ):
        report.render(5, DATA)
    with pytest.raises(TypeError, match="y_test is missing"):
        report.render(run, DATA.x_test)
    with pytest.raises(TypeError, match="y_test must be left out"):
        report.render(run, DATA, DATA.y_test)


def test_names_of_any_letters_and_lengths(tmp_path: Path) -> None:
    """Neither letters that the pictures' font lacks nor names too long for a picture cause a warning or a crash."""
    names = ("日本語 \t", "a" * 300, "$x_", "b\udcff", "", "c\n" * 40)
    data = dataclasses.replace(DATA, class_names=names)
    report.write(tmp_path / "x.html", fastnet.Network([64, 6], seed=0), data, backend="numpy")
    page = Page((tmp_path / "x.html").read_text("utf-8"))
    assert [row[0] for row in page.cards["confusion"].rows[1:]] == [name.replace("\udcff", "?") for name in names]


@pytest.mark.usefixtures("undrawn")
def test_a_report_without_mistakes() -> None:
    x = np.repeat(np.eye(2, dtype=np.float32), 20, axis=0)
    data = Dataset("easy", x, x.argmax(1), x, x.argmax(1), None, ("a", "b"))
    page = rendered(trained(data, 2, epochs=50), data)
    assert page.figures["test accuracy"] == "100.0%"
    assert "The network made no mistakes on 40 test examples" in page.cards["mistakes"].text
    assert "mistake:" not in page.cards["confusion"].text
    assert "mistakes:" not in page.cards["confusion"].text


@pytest.mark.usefixtures("undrawn")
def test_a_report_of_one_test_example() -> None:
    data = table_data()
    data = dataclasses.replace(data, x_test=data.x_test[:1], y_test=data.y_test[:1])
    page = rendered(trained(data, 2), data)
    assert "too few" in page.cards["calibration"].text


@pytest.mark.usefixtures("undrawn")
def test_a_report_of_a_network_or_a_trainer() -> None:
    network = fastnet.Network([64, 4, 3], seed=0)
    page = rendered(network, DATA)
    assert not {"learning", "settings", "machine"} & set(page.cards)
    assert "no curves of the training. The settings and the time" in page.cards["left-out"].text
    assert "learned from" not in page.text
    assert "training time" not in page.figures
    trainer = fastnet.Trainer(network, backend="numpy")
    assert "learning" not in rendered(trainer, DATA).cards
    trainer.fit(DATA.x_train, DATA.y_train, epochs=1)
    page = rendered(trainer, DATA)
    assert "learned from 240 examples" in page.text
    assert page.cards["settings"].facts["epochs"] == "1"


@pytest.mark.usefixtures("undrawn")
def test_the_report_says_if_data_are_other_or_changed() -> None:
    data = table_data()
    run = trained(data, 3, 2)
    scored = run.network.evaluate(data.x_test, data.y_test)._asdict()
    known = dataclasses.replace(run, record={**run.record, "test": scored})
    assert "changed" not in rendered(known, data).text
    changed = dataclasses.replace(data, x_test=-data.x_test)
    page = rendered(known, changed)
    assert f"the test cost was {scored['cost']:.4g} then" in page.text
    page = rendered(known, dataclasses.replace(changed, name="other"))
    assert "have changed" not in page.text
    assert page.cards["settings"].facts["tested here on"] == "other"
    assert "learned from" not in page.text


def test_unusable_data_are_refused(run: Run) -> None:
    words = "the network takes 64 inputs and distinguishes 3 classes, but table has 6 inputs"
    with pytest.raises(ValueError, match=words):
        report.render(run, table_data())
    with pytest.raises(DataError, match="has no test examples"):
        report.render(run, dataclasses.replace(DATA, x_test=DATA.x_test[:0], y_test=DATA.y_test[:0]))
