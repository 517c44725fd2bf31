"""Spaces: what a search draws from them or lists, and what it refuses."""

from __future__ import annotations

import pickle
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet import Adam, Cosine, Huber
from fastnet.search import OMIT, integers, loguniform, uniform
from fastnet.search.space import Distribution, checked_spaces, drawn, grid, is_condition, text_of

LIMITS = st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)).filter(lambda pair: pair[0] < pair[1])


@settings(max_examples=50)
@given(LIMITS, st.sampled_from([loguniform, uniform, integers]), st.integers(0, 2**64), st.integers(0, 10**6))
def test_a_setting_depends_on_the_seed_and_its_number_only(limits: Any, make: Any, seed: int, number: int) -> None:
    space = {"hidden": [(4,), (8,)], "learning_rate": make(*limits), "optimizer": ["sgd", "adam"]}
    found = drawn([space, {"hidden": (3,)}], seed, number)
    assert drawn([space, {"hidden": (3,)}], seed, number) == found
    if "learning_rate" in found:
        assert limits[0] <= found["learning_rate"] <= limits[1]
        assert type(found["learning_rate"]) is (int if make is integers else float)


def test_distributions_spread_their_numbers_as_they_say() -> None:
    for distribution, share in ((loguniform(1e-4, 1), 1e-2), (uniform(2.0, 4.0), 3.0), (integers(1, 4), 2)):
        numbers = [drawn([{"learning_rate": distribution}], 5, k)["learning_rate"] for k in range(400)]
        assert 0.4 < np.mean(np.array(numbers) <= share) < 0.6
    assert {drawn([{"batch_size": integers(1, 3)}], 0, k)["batch_size"] for k in range(50)} == {1, 2, 3}
    assert loguniform(1, 2).is_log
    assert not uniform(1, 2).is_log


def test_distributions_of_scipy_are_drawn_as_plain_numbers() -> None:
    stats = pytest.importorskip("scipy.stats", reason="SciPy is an extra")
    space = {"learning_rate": stats.loguniform(1e-3, 1e-1), "batch_size": stats.randint(4, 9)}
    found = drawn([space], 0, 0)
    assert [type(found[name]) for name in space] == [float, int]
    assert found == drawn([space], 0, 0)
    assert text_of(space) == "{learning_rate: loguniform(0.001, 0.1), batch_size: randint(4, 9)}"


def test_a_grid_is_the_product_of_the_candidates() -> None:
    space = {"hidden": [(4,), (8, 8)], "optimizer": ["sgd", "adam"], "seed of all": 1}
    del space["seed of all"]
    space["activation"] = "tanh"
    found = grid([space, {"learning_rate": [0.1]}])
    wanted = [
        {"hidden": hidden, "optimizer": optimizer, "activation": "tanh"}
        for hidden, optimizer in product(space["hidden"], space["optimizer"])
    ]
    assert found == [*wanted, {"learning_rate": 0.1}]


def test_a_function_is_a_condition_on_the_parameters_before_it() -> None:
    space = {
        "optimizer": ["sgd", "adam"],
        "learning_rate": lambda setting: [0.1, 1.0] if setting["optimizer"] == "sgd" else 0.001,
        "clip_norm": lambda setting: OMIT if setting["learning_rate"] < 1 else 5.0,
    }
    wanted = [
        {"optimizer": "sgd", "learning_rate": 0.1},
        {"optimizer": "sgd", "learning_rate": 1.0, "clip_norm": 5.0},
        {"optimizer": "adam", "learning_rate": 0.001},
    ]
    assert grid([space]) == wanted
    assert all(drawn([space], 0, k) in wanted for k in range(20))


@pytest.mark.parametrize("value", [Adam(), Cosine(), Huber(1.0), "adam", (4, 4), np.float32, uniform(0, 1)])
def test_objects_of_fastnet_are_values_and_no_conditions(value: Any) -> None:
    assert not is_condition(value)


def test_pickles_and_texts_are_the_same_in_each_process() -> None:
    assert pickle.loads(pickle.dumps(OMIT)) is OMIT
    assert text_of([OMIT, (1,), {"a": object()}]) == "[OMIT, (1,), {a: <object object>}]"
    assert text_of(test_pickles_and_texts_are_the_same_in_each_process).startswith("function ")
    assert eval(repr(loguniform(1, 2)), {"loguniform": loguniform}) == loguniform(1, 2)


@pytest.mark.parametrize(
    ("space", "method", "words"),
    [
        ({"learnin_rate": [1]}, "random", "did you mean 'learning_rate'"),
        ({"hidden": []}, "random", "hidden is an empty list"),
        ([], "random", "space is an empty list"),
        ("adam", "random", "space must be a mapping"),
        ([{}, 3], "random", "a list of spaces must hold mappings"),
        ({"learning_rate": loguniform(1, 2)}, "grid", "which method='grid' cannot list"),
        ({"epochs": [1, 2]}, "halving", "leave out epochs"),
    ],
)
def test_bad_spaces_are_refused(space: Any, method: str, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        checked_spaces(space, method)


@pytest.mark.parametrize("result", [[], uniform(0, 1)])
def test_a_condition_that_a_grid_cannot_list_is_refused(result: Any) -> None:
    with pytest.raises(ValueError, match="the function for learning_rate returned"):
        grid([{"learning_rate": lambda setting: result}])


def test_a_grid_of_too_many_settings_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 100,000 settings"):
        grid([{"hidden": list(range(1, 400)), "batch_size": list(range(1, 400))}])


@pytest.mark.parametrize(
    ("make", "limits", "words"),
    [
        (loguniform, (0, 1), "low must be more than 0"),
        (loguniform, (2, 1), "high must be more than 2"),
        (uniform, (1, 1), "high must be more than 1"),
        (uniform, (1, float("inf")), "high must be finite"),
        (integers, (1.5, 2), "low must be a whole number"),
        (integers, (3, 3), "high must be at least 4"),
    ],
)
def test_bad_limits_are_refused(make: Any, limits: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        make(*limits)
    assert isinstance(integers(1, 2), Distribution)
