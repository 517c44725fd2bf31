"""The tests that docs/promises.md names exist."""

from __future__ import annotations

import re
from pathlib import Path

import comparisons as cmp
import pytest
from stress import harness

CHECKOUT = Path(__file__).parents[1]
PAGE = CHECKOUT / "docs" / "promises.md"


@pytest.fixture(scope="module")
def page() -> str:
    if not PAGE.exists():
        pytest.skip("docs/ is missing")
    return PAGE.read_text(encoding="utf-8")


def test_the_named_tests_exist(page: str) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page)
    assert len(named) > 15
    for file, test in named:
        source = (CHECKOUT / file).read_text(encoding="utf-8")
        assert not test or f"def {test}(" in source, f"{file}::{test}"


def test_the_page_names_every_stress_program(page: str) -> None:
    assert set(re.findall(r"stress\W+(?:program )?`(\w+)`", page)) == set(harness.NAMES)


def test_the_page_has_the_tolerances_of_the_tests(page: str) -> None:
    single, double = (f"{cmp.AGREEMENT[dtype]:g}" for dtype in ("float32", "float64"))
    assert f"by at most {single} in float32 and {double} in float64" in page


def test_every_promise_names_a_test_or_a_program(page: str) -> None:
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith(("| what", "| ---"))]
    assert len(rows) > 15
    for row in rows:
        assert re.search(r"tests/[\w/]+\.py::|stress `\w+`", row.split("|")[-2]), row
