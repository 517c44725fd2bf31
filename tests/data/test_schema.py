"""Schema: which parts it takes, and which networks take it."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import fastnet
from fastnet import Network
from fastnet.data import Column, Schema
from fastnet.errors import DataError

A, B = Column("a"), Column("b", ("x", "y"))


def test_lists_and_numpy_numbers_are_taken_as_tuples_and_floats(tmp_path):
    schema = Schema([Column("a", fill=np.float32(2)), Column("b", ["x", "y"])], "t", np.array(["no", "yes"]))
    assert schema == Schema((Column("a", (), 2.0), B), "t", ("no", "yes"))
    network = Network([3, 2], seed=0)
    network.schema = schema
    network.save(tmp_path / "n.npz")
    assert Network.load(tmp_path / "n.npz").schema == schema


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"columns": "ab"}, "columns must be a list of fastnet.data.Column, not 'ab'"),
        ({"columns": A}, "columns must be a list of fastnet.data.Column, not Column(name='a'"),
        ({"columns": ["a"]}, "a column must be a fastnet.data.Column, not str"),
        ({"columns": [Column(1)]}, "the name of a column must be a text, not 1"),
        ({"columns": [Column("a", "xy")]}, "levels must be a list of names, not 'xy'"),
        ({"columns": [Column("a", ("x", "x"))]}, "the levels of 'a' must have different names, not 'x' twice"),
        ({"columns": [Column("a", fill=np.nan)]}, "fill must be finite, not nan"),
        ({"columns": [A, B, A]}, "columns must have different names, not 'a' twice"),
        ({"target": None}, "target must be a text, not None"),
        ({"class_names": [0, 1]}, "class_names must hold names, not 0"),
        ({"class_names": ["no", "no"]}, "class_names must have different names, not 'no' twice"),
        ({"pixels": 1}, "pixels must be True or False, not 1"),
    ],
)
def test_wrong_parts_are_refused(parts, words):
    with pytest.raises((TypeError, ValueError), match=re.escape(words)):
        Schema(**parts)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"columns": []}, "schema must be a fastnet.data.Schema, not dict"),
        (Schema((A,)), "the schema describes 1 inputs, but the network has 3"),
        (Schema(class_names=("u", "v", "w")), "the schema names 3 classes, but the network has 2 classes"),
    ],
)
def test_a_network_refuses_a_schema_that_does_not_fit(schema, words):
    network = Network([3, 1], output="sigmoid", seed=0)  # one output for two classes
    network.schema = fitting = Schema((A, B), "t", ("no", "yes"))
    with pytest.raises((TypeError, ValueError), match=re.escape(words)):
        network.schema = schema
    assert network.schema is fitting
    network.schema = None


def test_a_file_whose_schema_does_not_fit_its_network_is_refused(tmp_path):
    path = tmp_path / "n.npz"
    network = Network([3, 2], seed=0)
    network.schema = Schema((A, B), "t", ("no", "yes"))
    network.save(path)
    with np.load(path) as file:
        about, parameters = json.loads(str(file["about"])), file["parameters"]
    about["schema"]["columns"].pop()
    np.savez(path, about=np.array(json.dumps(about)), parameters=parameters)
    with pytest.raises(DataError, match="not a network that fastnet saved: the schema describes 1 inputs, but the net"):
        fastnet.Network.load(path)
