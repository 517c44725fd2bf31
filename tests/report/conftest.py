"""The browser of the report's tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from browser_cases import start  # not above: this import may skip the file that wants the browser

    driver = start(tmp_path_factory.mktemp("chromium"))
    try:
        yield driver
    finally:
        driver.quit()
