"""The pairwise cover that the contract's tests use contains every pair of values and is small."""

from __future__ import annotations

from itertools import combinations, product

from hypothesis import given
from hypothesis import strategies as st
from pairwise import cover


@given(st.lists(st.integers(1, 6), min_size=2, max_size=6))
def test_every_pair_is_in_some_row(sizes: list[int]) -> None:
    axes = [[f"{axis}{i}" for i in range(size)] for axis, size in enumerate(sizes)]
    rows = cover(*axes)
    for a, b in combinations(range(len(axes)), 2):
        assert {(row[a], row[b]) for row in rows} == set(product(axes[a], axes[b]))
    assert len(set(rows)) == len(rows)
    assert rows == cover(*axes)


def test_a_cover_is_far_smaller_than_the_product() -> None:
    # The product has 5,120 rows.
    assert len(cover(range(5), range(8), range(4), range(4), range(2), range(2), range(2))) <= 48


def test_the_cover_of_one_axis_is_all_its_values() -> None:
    assert cover("abc") == [("a",), ("b",), ("c",)]


def test_an_axis_without_values_gives_no_rows() -> None:
    assert cover("abc", "", "de") == []
