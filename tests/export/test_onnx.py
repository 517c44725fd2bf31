"""Network.to_onnx: the file is valid, and onnxruntime computes what the network computes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="runs the files (extra: dev)")

import onnx
from export import onnx_matrix
from network_cases import random_network, refused
from pairwise import cover

from fastnet import Network
from fastnet.data import Column, Schema
from fastnet.errors import FastnetError
from fastnet.export import onnx_graph

WORST = {"float32": onnx_matrix.TOLERANCE, "float64": 1e-12}  # a float32 anywhere in a float64 graph makes 1e-8


@pytest.mark.parametrize("chosen", [onnx_matrix.cases(), onnx_matrix.drawn(60, 1)], ids=["cover", "drawn"])
def test_onnxruntime_computes_the_same_outputs_and_labels(chosen: list[tuple[Any, ...]], tmp_path: Path) -> None:
    for case, found in onnx_matrix.comparisons(chosen, tmp_path):
        assert found.worst <= WORST[case[4]], case
        assert found.labels_apart == 0, case


def test_large_weighted_sums_give_no_nan(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    for hidden, formulas, depth in cover(*onnx_matrix.AXES[:2], (0, 2)):
        net = onnx_matrix.network((hidden, formulas, depth, 3, "float32", None))
        net.to_onnx(path)
        x = onnx_matrix.inputs(net, None, 50, scale=1e6)
        outputs = next(iter(onnx_matrix.run(path, x).values()))
        with np.errstate(over="ignore"):  # exp(z) of a large z is infinite in the network too
            np.testing.assert_array_equal(np.isfinite(outputs), np.isfinite(net.forward(x)))
        assert not np.isnan(outputs).any()


@pytest.mark.parametrize(("n_out", "task"), [(3, "classification"), (1, "classification"), (2, "multilabel")])
def test_labels_of_equal_weighted_sums_are_those_of_predict(n_out: int, task: Any, tmp_path: Path) -> None:
    net, x = Network([2, n_out], task=task), np.ones((2, 2), np.float32)
    net.parameters[...] = 0
    net.to_onnx(tmp_path / "network.onnx")
    np.testing.assert_array_equal(onnx_matrix.run(tmp_path / "network.onnx", x)["labels"], net.predict(x))


def test_the_file_says_what_it_holds(tmp_path: Path) -> None:
    net, path = random_network([2, 3, 2]), tmp_path / "network.onnx"
    net.schema = Schema((Column("age"), Column("income")), "bought", ("no", "yes"))
    net.to_onnx(path, x_dtype=">f8")
    model = onnx.load(path)
    assert (model.opset_import[0].version, model.ir_version, model.producer_name) == (17, 8, "fastnet")
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert Schema.from_dict(json.loads(facts["schema"])) == net.schema
    assert (facts["task"], facts["cost"]) == ("classification", "cross_entropy")
    dimensions = model.graph.input[0].type.tensor_type.shape.dim
    assert (dimensions[0].dim_param, dimensions[1].dim_value) == ("n", 2)
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["x", "probabilities", "labels"]


def test_a_failed_export_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, path = random_network([2, 3]), tmp_path / "network.onnx"
    path.write_bytes(b"old")
    refused(lambda: net.to_onnx(path, x_dtype="int64"), "x_dtype", "uint8, float32 or float64", "int64")
    refused(lambda: net.to_onnx(tmp_path / "missing" / "network.onnx"), "cannot write", "missing")
    monkeypatch.setattr(onnx_graph, "MAX_BYTES", 35)  # the parameters take 36
    refused(lambda: net.to_onnx(path), "36 bytes", "at most 35")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(FastnetError, match=r'pip install "fastnet-mlp\[onnx\]"'):
        net.to_onnx(path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


def test_bytes_are_no_inputs_of_a_network_that_was_trained_on_large_floats(tmp_path: Path) -> None:
    net = random_network([2, 3])
    net.note_inputs(100.0)
    with pytest.warns(UserWarning, match="trained on floats as large as 100"):
        net.to_onnx(tmp_path / "network.onnx", x_dtype="uint8")
