"""The TOML writer: what it writes, `tomllib` reads back."""

from __future__ import annotations

import math
import tomllib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastnet.training.toml_text import toml_text

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["", "\x00\x7f", '"""', "a.b", "\r\n", "é ü"]
)
SCALARS = TEXTS | st.booleans() | st.integers(-(2**200), 2**200) | st.floats()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=12
)


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal in type and in value, where nan equals nan and -0.0 differs from 0.0."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return type(a) is type(b) and a == b


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
@example({"a": {"b": {}, "c": 1, "d": {"e": [{"f": [1.5, math.inf, -math.inf, math.nan, 1e300, 5e-324]}]}}, "g": -0.0})
def test_what_is_written_is_read_back(tables: dict[str, Any]) -> None:
    assert same(tomllib.loads(toml_text(tables, {"": "head\ntwo", "a": "of a"})), tables)


def test_none_is_left_out_and_a_tuple_is_a_list() -> None:
    assert tomllib.loads(toml_text({"a": None, "b": {"c": (1, 2), "d": None, "e": [{"f": None}]}})) == {
        "b": {"c": [1, 2], "e": [{}]}
    }


def test_what_toml_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="not bytes"):
        toml_text({"a": b"x"})
    with pytest.raises(ValueError, match="surrogates"):
        toml_text({"a": "\udc80"})
