"""The report passes the accessibility checks of axe-core, in light and dark style, on a desktop and on a phone.

axe-core is the file axe.min.js of its npm package. The environment variable FASTNET_AXE gives its path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_cases import lacking, show
from report_cases import A_PNG, comparison, picture_data, searched, table_data, trained

from fastnet import report
from fastnet.data import Dataset
from fastnet.plots import style
from fastnet.report import Comparison, Run
from fastnet.search import SearchResult

if not os.environ.get("FASTNET_AXE"):
    lacking("FASTNET_AXE is not set: npm install axe-core, and give the path of its file axe.min.js")
AXE = Path(os.environ["FASTNET_AXE"]).read_text("utf-8")

SCREENS = [("desktop", "light"), ("desktop", "dark"), ("phone", "light"), ("phone", "dark")]


def digits() -> tuple[Run, Dataset]:
    data = picture_data()
    return trained(data, 16, 3), data


def table() -> tuple[Run, Dataset]:
    data = table_data(35, 630)
    return trained(data, 16, 35, activation="relu", cost="cross_entropy"), data


def few_examples() -> tuple[Run, Dataset]:
    data = table_data()
    return trained(data, 4, 2), data


def targets(y: Any, **network: Any) -> tuple[Run, Dataset]:
    x = np.random.default_rng(0).standard_normal((300, 6)).astype(np.float32)
    y = y(x).astype(np.float32)
    task = network.get("task", "regression")
    data = Dataset("targets", x[100:], y[100:], x[:100], y[:100], None, (), task=task)
    return trained(data, 8, y.shape[1], **network), data


def regression() -> tuple[Run, Dataset]:
    return targets(lambda x: x[:, :1] * 2 + 1, output="identity", cost="squared_error")


def multilabel() -> tuple[Run, Dataset]:
    return targets(lambda x: x[:, :3] > 0, output="sigmoid", cost="cross_entropy", task="multilabel")


@pytest.fixture(scope="module", params=[digits, table, few_examples, regression, multilabel, comparison, searched])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return undrawn(request.param, tmp_path_factory)


@pytest.fixture(scope="module")
def short_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return undrawn(few_examples, tmp_path_factory)


def undrawn(
    case: Callable[[], tuple[Run, Dataset] | Comparison | SearchResult], folders: pytest.TempPathFactory
) -> Path:
    """A page without drawings: axe-core reads no pictures, and Matplotlib takes most of the time of a report."""
    path = folders.mktemp("page") / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "rendered", lambda figure, kind="png", **options: A_PNG)
        found = case()
        if isinstance(found, Comparison):
            report.write_comparison(path, found)
        elif isinstance(found, SearchResult):
            report.write_search(path, found, "<i>bands</i>")
        else:
            report.write(path, *found, backend="numpy")
    return path


def checked(browser: Any) -> tuple[list[str], int]:
    """The findings of axe-core on the open page, one line each, and the number of texts with enough contrast."""
    browser.execute_script(AXE)
    found = browser.execute_async_script("axe.run().then(arguments[0])")
    findings = [
        f"{finding['impact']}: {finding['help']} ({finding['id']}): {node['html'][:100]}"
        for finding in found["violations"]
        for node in finding["nodes"]
    ]
    return findings, sum(len(rule["nodes"]) for rule in found["passes"] if rule["id"] == "color-contrast")


@pytest.mark.parametrize(("screen", "scheme"), SCREENS)
def test_axe_finds_nothing(screen: str, scheme: str, browser: Any, page: Path) -> None:
    show(browser, page, screen, scheme)
    findings, readable = checked(browser)
    assert findings == []
    assert readable > 30  # the check has seen the page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_notices_texts_of_low_contrast_and_pictures_without_words(
    scheme: str, browser: Any, short_page: Path, tmp_path: Path
) -> None:
    """The check above can fail, in each style."""
    text = short_page.read_text("utf-8")
    dark = text.index("prefers-color-scheme: dark")
    start = dark if scheme == "dark" else 0
    ground = re.compile(r"--card: (#\w+)").search(text, start)
    assert ground
    pale = re.sub(r"--soft: #\w+", f"--soft: {ground[1]}", text[start:], count=1)
    other = tmp_path / "pale.html"
    other.write_text(re.sub(r' alt="[^"]*"', "", text[:start] + pale, count=1), "utf-8")
    show(browser, other, "desktop", scheme)
    findings, _ = checked(browser)
    assert {line.split(":")[0] for line in findings} == {"serious", "critical"}
    assert {re.findall(r"\(([a-z-]+)\):", line)[0] for line in findings} == {"color-contrast", "image-alt"}


def test_the_style_follows_the_reader(browser: Any, short_page: Path) -> None:
    """The dark style is dark, all text on paper is black on white in both styles, and nothing moves."""
    ask = "const s = e => getComputedStyle(document.querySelector(e)); return [s('body').backgroundColor, s('p').color]"
    colours = (
        "const all = [...document.querySelectorAll('body, body *')].map(e => getComputedStyle(e));"
        "return [[...new Set(all.map(s => s.color))], [...new Set(all.map(s => s.backgroundColor))].sort()]"
    )
    seen = {}
    for scheme in ("light", "dark"):
        show(browser, short_page, "desktop", scheme)
        seen[scheme] = [np.mean([int(part) for part in re.findall(r"\d+", one)]) for one in browser.execute_script(ask)]
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": features})
        black, white, none = "rgb(0, 0, 0)", "rgb(255, 255, 255)", "rgba(0, 0, 0, 0)"
        assert browser.execute_script(colours) == [[black], [white, none]]
    assert seen["light"][0] > 200 > 100 > seen["light"][1]
    assert seen["dark"][0] < 50 < 150 < seen["dark"][1]
    moving = (
        "return [...document.querySelectorAll('*')].filter(e => getComputedStyle(e).transitionDuration != '0s'"
        " || getComputedStyle(e).animationName != 'none').length"
    )
    assert browser.execute_script(moving) == 0
