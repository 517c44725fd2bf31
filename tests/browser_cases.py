"""Headless Chromium for the tests of pages.

A test file that imports this module is skipped on a machine without Chromium, or fails with FASTNET_REQUIRE_BROWSER=1.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest

REQUIRED = os.environ.get("FASTNET_REQUIRE_BROWSER") == "1"


def lacking(reason: str) -> NoReturn:
    """Skip this file, or fail if the run must not skip it."""
    if REQUIRED:
        raise RuntimeError(f"FASTNET_REQUIRE_BROWSER=1, but {reason}")
    pytest.skip(reason, allow_module_level=True)


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
if CHROMIUM is None or DRIVER is None:
    lacking("there is no Chromium with its chromedriver: on Debian, apt-get install chromium chromium-driver")
try:
    for package in ("jinja2", "matplotlib", "scipy", "PIL"):  # a report needs the first three
        importlib.import_module(package)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
except ImportError as error:
    lacking(f"the extras dev, plot and insight are wanted ({error})")

# The width and height in CSS pixels, the dots for each of them, and whether the screen is that of a phone.
SCREENS = {"desktop": (1280, 900, 1, False), "phone": (390, 844, 2, True), "small phone": (360, 640, 2, True)}
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)


def start(profile: Path) -> Any:
    """Start the browser with a new profile in this folder. The caller ends it with quit()."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Chromium cannot run with a sanitizer's library.
    own = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    service = Service(DRIVER, log_output=subprocess.DEVNULL, env=own)
    return webdriver.Chrome(options=options, service=service)


def show(browser: Any, page: Path, screen: str, scheme: str = "light") -> None:
    """Open the page on a screen, with the colour scheme that the reader prefers."""
    width, height, scale, mobile = SCREENS[screen]
    metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
    for log in ("browser", "performance"):
        browser.get_log(log)  # reading the log empties it
    browser.get(page.as_uri())
