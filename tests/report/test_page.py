"""The report in a browser on a desktop and on phones is complete, fits the width, is readable and makes no requests."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_cases import SCREENS, show
from PIL import Image
from report_cases import picture_data, table_data, trained

from fastnet import report

READABLE = 12.0  # smallest size of text outside pictures, in CSS pixels
READABLE_IN_PICTURES = 9.0  # smallest size of text in pictures on each screen, in CSS pixels
SMALLEST_POINTS = 9  # smallest size of text in the report's pictures
DPI = 110


@pytest.fixture(scope="module", params=["pictures", "table"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    data = picture_data() if request.param == "pictures" else table_data(35, 630)
    report.write(path, trained(data, 16, max(data.y_train) + 1), data, backend="numpy")
    return path


@pytest.mark.parametrize("screen", SCREENS)
def test_the_page_on_a_screen(screen: str, browser: Any, page: Path, tmp_path: Path) -> None:
    show(browser, page, screen)
    assert browser.get_log("browser") == []

    wide, seen = browser.execute_script(
        "const d = document.documentElement; return [Math.max(d.scrollWidth, document.body.scrollWidth), d.clientWidth]"
    )
    assert seen == SCREENS[screen][0]
    assert wide <= seen
    over = browser.execute_script(
        "return [...document.querySelectorAll('body *')].filter(e => !e.closest('.scrolls') && "
        "e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80))"
    )
    assert over == []

    images = browser.execute_script(
        "return [...document.images].map(i => [i.complete, i.naturalWidth, i.clientWidth, +i.getAttribute('width'), "
        "i.clientWidth / i.clientHeight * i.getAttribute('height') / i.getAttribute('width')])"
    )
    assert len(images) >= 5
    for complete, natural, shown, full, distortion in images:
        assert complete
        assert natural > 0
        assert distortion == pytest.approx(1, abs=0.02)
        letters = SMALLEST_POINTS / 72 * DPI * shown / full
        assert letters >= READABLE_IN_PICTURES

    sizes = browser.execute_script(
        "const w = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];"
        "while (w.nextNode()) if (w.currentNode.data.trim())"
        "  found.push(parseFloat(getComputedStyle(w.currentNode.parentElement).fontSize));"
        "return found"
    )
    assert len(sizes) > 50
    assert min(sizes) >= READABLE

    columns = browser.execute_script(
        "return new Set([...document.querySelectorAll('section')].map(s => s.getBoundingClientRect().left)).size"
    )
    assert columns == (2 if screen == "desktop" else 1)

    height = browser.execute_script("return document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": seen, "height": height, "scale": 1}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    path = tmp_path / f"{screen}.png"
    path.write_bytes(base64.b64decode(shot["data"]))
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert len(pixels) == height * SCREENS[screen][2]
    bands = np.array_split(pixels, 8)  # the whole page is drawn, not only its first screen
    assert min(len(np.unique(band[::5, ::5].reshape(-1, 3), axis=0)) for band in bands) > 30


def test_the_page_on_paper(browser: Any, page: Path) -> None:
    """The print has two columns. Nothing crosses the edge of a card, and no card is cut. Pages hold several cards."""
    try:
        show(browser, page, "desktop")
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        metrics = {"width": 718, "height": 1047, "deviceScaleFactor": 1, "mobile": False}  # A4 without its margins
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        over, hidden, columns, cut = browser.execute_script(
            "const all = [...document.querySelectorAll('section')];"
            "return [all.filter(s => s.scrollWidth > s.clientWidth).map(s => s.id),"
            " [...document.querySelectorAll('.scrolls')].filter(e => e.scrollHeight > e.clientHeight + 1).length,"
            " new Set(all.map(s => s.getBoundingClientRect().left)).size,"
            " all.filter(s => getComputedStyle(s).breakInside != 'avoid').length]"
        )
        assert (over, hidden, columns, cut) == ([], 0, 2, 0)
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    paper = {"paperWidth": 8.27, "paperHeight": 11.69}
    pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", paper)["data"])
    assert 2 <= pdf.count(b"/Type /Page\n") <= 6


def test_the_page_makes_no_requests(browser: Any, page: Path) -> None:
    show(browser, page, "desktop")
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert page.as_uri() in asked  # the log is of this page
    assert [url for url in asked - {page.as_uri()} if not url.startswith("data:")] == []
    timing = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [url for url in timing if not url.startswith("data:")] == []


def test_a_page_with_a_request_is_noticed(browser: Any, page: Path, tmp_path: Path) -> None:
    """The checks above can fail: the page's policy refuses a remote image, and the browser's log reports this."""
    html = page.read_text("utf-8").replace("</main>", '<img src="https://example.invalid/x.png" alt="x"></main>')
    other = tmp_path / "asks.html"
    other.write_text(html, "utf-8")
    show(browser, other, "desktop")
    told = " ".join(entry["message"] for entry in browser.get_log("browser"))
    assert "Content Security Policy" in told
    natural = browser.execute_script("return [...document.images].at(-1).naturalWidth")
    assert natural == 0


def test_the_page_prints_to_pdf(browser: Any, page: Path) -> None:
    show(browser, page, "desktop")
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert printed.startswith(b"%PDF")
    assert len(printed) > 10_000
