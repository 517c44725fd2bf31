"""Ensemble.to_onnx: one valid file, with which onnxruntime computes what the ensemble computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="runs the files (extra: dev)")

import onnx
from export import onnx_matrix
from network_cases import refused
from pairwise import cover

from fastnet import Ensemble
from fastnet.data import Schema
from fastnet.errors import FastnetError
from fastnet.export import onnx_graph

_, FORMULAS, _, N_OUT, _, X_DTYPES = onnx_matrix.AXES
KINDS = [*{(output, task): (output, cost, task) for output, cost, task in FORMULAS}.values()]  # one cost is enough
DTYPES = (("float32",), ("float64",), ("float32", "float64"))
WORST = {"float32": 1e-5, "float64": 1e-6}  # a member of float32 rounds its outputs in either library


def ensemble(formula: Any, n_out: int, dtypes: Any, n: int = 3) -> Ensemble:
    """Return an ensemble of different hidden layers, which take the same inputs."""
    members = []
    for k in range(n):
        case = ("relu", "tanh", "leaky_relu")[k % 3], formula, k % 3, n_out, dtypes[k % len(dtypes)], None
        drawn = onnx_matrix.network(case, k)
        sizes = [6, *drawn.sizes[1:]]
        options = {"output": formula[0], "cost": formula[1], "task": formula[2], "activation": case[0]}
        members.append(type(drawn)(sizes, **options, seed=k, dtype=case[4]))
    return Ensemble(members)


def test_onnxruntime_computes_the_same_outputs_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "ensemble.onnx"
    for formula, n_out, dtypes, x_dtype in cover(KINDS, N_OUT, DTYPES, X_DTYPES):
        made = ensemble(formula, n_out, dtypes)
        made.to_onnx(path, x_dtype=x_dtype)
        onnx.checker.check_model(path, full_check=True)
        rng = np.random.default_rng(n_out)
        x = rng.standard_normal((50, 6)).astype(x_dtype or made.dtype)
        if x_dtype == "uint8":
            x = rng.integers(0, 256, (50, 6), dtype=np.uint8)
        found, expected = onnx_matrix.run(path, x), made.forward(x)
        outputs = found["values" if made.task == "regression" else "probabilities"]
        assert (outputs.shape, outputs.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(outputs, expected, atol=WORST[made.dtype.name], rtol=WORST[made.dtype.name])
        if made.task != "regression":
            np.testing.assert_array_equal(found["labels"], made.predict(x))


def test_the_file_says_what_it_holds(tmp_path: Path) -> None:
    path, made = tmp_path / "ensemble.onnx", ensemble(("softmax", "cross_entropy", "classification"), 3, ["float32"], 5)
    made.schema = Schema(class_names=("a", "b", "c"))
    made.to_onnx(path)
    facts = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert (facts["task"], facts["cost"], facts["members"]) == ("classification", "cross_entropy", "5")
    assert json.loads(facts["schema"])["class_names"] == ["a", "b", "c"]


def test_ensembles_that_onnx_cannot_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ensemble(("softmax", "cross_entropy", "classification"), 3, ["float32"], 2)
    refused(lambda: made.to_onnx(tmp_path / "a.onnx", x_dtype="int32"), "x_dtype", "uint8")
    monkeypatch.setattr(onnx_graph, "MAX_BYTES", made.n_parameters * 4 - 1)
    refused(lambda: made.to_onnx(tmp_path / "a.onnx"), "an ONNX file holds at most", "fewer")
    monkeypatch.undo()
    with pytest.raises(FastnetError, match="missing"):
        made.to_onnx(tmp_path / "missing" / "a.onnx")
    assert list(tmp_path.iterdir()) == []
