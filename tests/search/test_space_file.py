"""read_space: a TOML file means the same space as the Python that it stands for, and errors name file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastnet.errors import DataError
from fastnet.search import integers, loguniform, read_space, uniform
from fastnet.search.space import NAMES, Distribution, drawn
from fastnet.training.toml_text import toml_text

FILE = """\
[space]
hidden = [
    [16],      # one layer
    [32, 16],
    [],
]
learning_rate = {loguniform = [1e-4, 1e-1]}
dropout = {uniform = [0, 0.5]}
batch_size = {integers = [8, 64]}
optimizer = ["adam", "sgd"]
activation = "relu"
shuffle = true
"""
SPACE = {
    "hidden": [(16,), (32, 16), ()],
    "learning_rate": loguniform(1e-4, 1e-1),
    "dropout": uniform(0, 0.5),
    "batch_size": integers(8, 64),
    "optimizer": ["adam", "sgd"],
    "activation": "relu",
    "shuffle": True,
}


def read(folder: Path, text: str) -> list[dict[str, Any]]:
    (folder / "space.toml").write_text(text, "utf-8")
    return read_space(folder / "space.toml")


def test_a_file_and_python_mean_the_same_space(tmp_path: Path) -> None:
    found = read(tmp_path, FILE)
    assert found == [SPACE]
    assert [drawn(found, 3, k) for k in range(20)] == [drawn([SPACE], 3, k) for k in range(20)]


def test_several_tables_are_alternatives(tmp_path: Path) -> None:
    text = '[[space]]\noptimizer = "sgd"\n[[space]]\noptimizer = "adam"\n[space.learning_rate]\nuniform = [0.1, 1]\n'
    assert read(tmp_path, text) == [{"optimizer": "sgd"}, {"optimizer": "adam", "learning_rate": uniform(0.1, 1)}]


SCALARS = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(max_size=5))
DISTRIBUTIONS = st.one_of(
    st.builds(uniform, st.floats(-9, 0), st.floats(1, 9)),
    st.builds(loguniform, st.floats(1e-9, 1), st.floats(2, 9)),
    st.builds(integers, st.integers(-9, 0), st.integers(1, 9)),
)
CANDIDATES = st.lists(st.one_of(SCALARS, st.lists(SCALARS, max_size=3).map(tuple)), min_size=1, max_size=3)
PARAMETERS = st.dictionaries(
    st.sampled_from([name for name in NAMES if name != "hidden"]),
    st.one_of(SCALARS, DISTRIBUTIONS, CANDIDATES),
    min_size=1,
    max_size=5,
)


@given(PARAMETERS)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_space_can_be_written_as_a_file(tmp_path: Path, space: dict[str, Any]) -> None:
    def written(value: Any) -> Any:
        return {value.kind: [value.low, value.high]} if isinstance(value, Distribution) else value

    assert read(tmp_path, toml_text({"space": {name: written(value) for name, value in space.items()}})) == [space]


REFUSED = {
    "": r"no table \[space\]",
    "[space]": "at least one parameter",
    "space = 3": "must be a table",
    "lr = 1\n[space]\ndropout = 0.1": "lr is no part of a space",
    "[space\n": "is no TOML file",
    "[space]\ndropout = 1\n\nlearning_rat = 1": "line 4: unknown parameter 'learning_rat'.* you mean 'learning_rate'",
    "[[space]]\ndropout = 0.1\n[[space]]\nlr = 1": "line 4: unknown parameter 'lr'",
    "[space]\nhidden = [32, 16]": r"line 2: hidden lists candidates.* write \[\[32, 16\]\]",
    "[space]\ndropout = []": "line 2: dropout is an empty list",
    "[space]\ndropout = [[[1]]]": r"line 2: dropout cannot be \[\[1\]\]",
    "[space]\ndropout = 2020-01-01": "line 2: dropout cannot be 2020-01-01",
    "[space]\ndropout = {}": "line 2: dropout must have one distribution in its braces, not 0",
    "[space]\ndropout = {lognormal = [1, 2]}": "unknown distribution 'lognormal'.* did you mean 'loguniform'",
    "[space]\ndropout = {uniform = 1}": "line 2: dropout has uniform of 1: give the lowest and the highest number",
    "[space]\ndropout = {uniform = [true, 1]}": "dropout has uniform of",
    "[space]\ndropout = {loguniform = [0, 1]}": r"dropout = \{loguniform = \[0, 1\]\}: low must be more than 0",
    "[space]\nbatch_size = {integers = [8, 8]}": "high must be at least 9, not 8",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_space_is_refused_with_its_place(text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"space\.toml.*{REFUSED[text]}"):
        read(tmp_path, text)
