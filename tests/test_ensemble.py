"""Ensemble: the mean of its networks by every path, exact files, and one ONNX file that computes the same."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import kernel_cases as kc
import numpy as np
import pytest
from network_cases import refused
from pairwise import cover
from scipy import sparse
from scipy.special import logsumexp

import fastnet
from fastnet import DataError, Ensemble, Network
from fastnet.data import Column, Schema
from fastnet.network_file import MAX_MEMBERS

RNG = np.random.default_rng(0)
N = 40
INPUTS = ("floats", "doubles", "bytes", "sparse", "source")
KINDS = [*{(output, task): (output, cost, task) for output, cost, task in kc.FORMULAS}.values()]  # one cost is enough
CASES = cover(KINDS, (1, 3), (("float32",), ("float32", "float64"), ("float64",)), INPUTS, (1, 3))


def networks(output: Any, cost: Any, task: Any, n_out: int, dtypes: Any, n: int = 3) -> list[Network]:
    """Return networks with these outputs and different hidden layers."""
    width = max(n_out, 2) if output == "softmax" else n_out
    hidden = [(), (5,), (7, 3)]
    return [
        Network(
            [4, *hidden[k % 3], width],
            output=output,
            cost=cost,
            task=task,
            init="normal",
            seed=k,
            dtype=dtypes[k % len(dtypes)],
        )
        for k in range(n)
    ]


def inputs(kind: str) -> Any:
    rng = np.random.default_rng(1)
    if kind == "bytes":
        return rng.integers(0, 256, (N, 4), dtype=np.uint8)
    x = rng.standard_normal((N, 4)).astype(np.float32 if kind != "doubles" else np.float64)
    return sparse.csr_array(np.where(x > 0, x, 0)) if kind == "sparse" else x


def targets(net: Network) -> Any:
    rng, n_out = np.random.default_rng(2), net.sizes[-1]
    if net.is_classifier:
        return rng.integers(0, max(n_out, 2), N)
    if net.activations_by_layer[-1] == "softmax":
        return rng.dirichlet(np.ones(n_out), N)
    low = 0 if net.activations_by_layer[-1] in ("sigmoid", "relu", "exponential") else -1
    return rng.integers(0, 2, (N, n_out)) if net.task == "multilabel" else rng.uniform(low, 1, (N, n_out))


# -- computation -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_ensemble_computes_the_mean_of_its_networks(case: Any) -> None:
    formula, n_out, dtypes, kind, threads = case
    members, x = networks(*formula, n_out, dtypes), inputs(kind)
    y, ensemble = targets(members[0]), Ensemble(members)
    expected = np.mean([one.forward(x).astype(np.float64) for one in members], axis=0)
    given = fastnet.data.source((x, y)) if kind == "source" else x
    found = ensemble.forward(given, threads=threads)
    assert found.dtype == ensemble.dtype == max(dtypes)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    predicted = ensemble.predict(given, threads=threads)
    if ensemble.task == "regression":
        assert predicted.tobytes() == found.tobytes()
    elif ensemble.task == "multilabel" or expected.shape[1] == 1:
        labels = predicted if ensemble.task == "multilabel" else predicted[:, None]
        clear = abs(expected - 0.5) > 1e-6
        np.testing.assert_array_equal(labels[clear], (expected >= 0.5)[clear])
    else:
        clear = np.diff(np.sort(expected)[:, -2:])[:, 0] > 1e-6
        np.testing.assert_array_equal(predicted[clear], expected.argmax(1)[clear])
    scores = ensemble.evaluate(given, *([] if kind == "source" else [y]), threads=threads)
    if ensemble.task == "classification":
        assert scores.accuracy == np.mean(predicted == y)
    elif ensemble.task == "multilabel":
        assert scores.label_accuracy == np.mean(predicted == y)
    else:
        errors, distances = found - y, y - y.mean(axis=0)
        assert scores.r2 == pytest.approx(1 - (errors**2).sum() / (distances**2).sum(), rel=1e-4)


@pytest.mark.parametrize("formula", kc.FORMULAS, ids=str)
def test_equal_networks_are_an_ensemble_with_their_cost(formula: Any) -> None:
    net = networks(*formula, 3, ["float64"], 2)[1]
    x, y, weights = inputs("doubles"), targets(net), RNG.uniform(0, 2, N)
    found, expected = (one.evaluate(x, y, sample_weight=weights) for one in (Ensemble([net] * 3), net))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert Ensemble([net] * 3).cost(x, y) == pytest.approx(net.cost(x, y), rel=1e-9)


@pytest.mark.parametrize("scale", [1, 3000])
def test_the_cost_is_that_of_the_mean_probabilities_before_rounding(scale: int) -> None:
    """With the large scale, some probabilities are far below the smallest float64."""
    members = networks("softmax", "cross_entropy", "classification", 3, ["float64"])
    x, y, logarithms = inputs("doubles"), np.arange(N) % 3, []
    for one in members:
        one.parameters *= scale
        linear = Network(one.sizes, output="identity", dtype="float64")
        linear.parameters = one.parameters
        sums = linear.forward(x)
        logarithms.append((sums - logsumexp(sums, axis=1, keepdims=True))[np.arange(N), y])
    expected = -(logsumexp(logarithms, axis=0) - np.log(3))
    assert (expected.max() > 1000) == (scale > 1)
    assert Ensemble(members).cost(x, y) == pytest.approx(expected.mean())


def test_networks_with_several_costs_have_scores_and_no_cost() -> None:
    x, y = inputs("floats"), np.arange(N) % 3
    ensemble = Ensemble([Network([4, 3], seed=0), Network([4, 3], cost="squared_error", output="softmax", seed=1)])
    assert math.isnan(ensemble.evaluate(x, y).cost)
    assert ensemble.accuracy(x, y) == np.mean(ensemble.predict(x) == y)
    refused(lambda: ensemble.cost(x, y), "different costs (cross_entropy, squared_error)", "evaluate")


def test_results_are_written_into_given_arrays() -> None:
    ensemble, x = Ensemble(Network([4, 3], seed=k) for k in range(2)), inputs("floats")
    out, classes = np.empty((N, 3), np.float32), np.empty(N, np.int64)
    assert ensemble.forward(x, out=out) is out
    assert out.tobytes() == ensemble.forward(x).tobytes()
    assert ensemble.predict(x, out=classes) is classes
    refused(lambda: ensemble.forward(x, out=np.empty((N, 2), np.float32)), "out", "(40, 3)")


# -- members ---------------------------------------------------------------------------------------------------


def test_an_ensemble_is_a_sequence_of_the_networks_themselves() -> None:
    members = [Network([4, 5, 3], seed=0), Network([4, 3], seed=1, dtype="float64")]
    ensemble = Ensemble(members)
    assert (len(ensemble), [*ensemble], ensemble[1]) == (2, members, members[1])
    assert repr(ensemble) == "<Ensemble of 2 networks, 4 inputs, 3 outputs, classification, 58 parameters>"
    assert "4-5-3" in ensemble._repr_html_()
    before = ensemble.forward(inputs("floats"))
    members[0].parameters *= 2
    assert (before != ensemble.forward(inputs("floats"))).any()


def test_networks_that_do_not_fit_together_are_refused() -> None:
    one = Network([4, 3], seed=0)
    for other, words in (
        (Network([5, 3]), "the number of inputs (4 and 5)"),
        (Network([4, 2]), "the number of outputs (3 and 2)"),
        (Network([4, 3], task="multilabel"), "the task (classification and multilabel)"),
        (Network([4, 3], output="sigmoid"), "the output activation (softmax and sigmoid)"),
        (Network([4, 3], byte_scale=1), "the byte scale"),
    ):
        refused(lambda other=other: Ensemble([one, other]), "networks[0] and networks[1] differ in", words)
    refused(lambda: Ensemble([]), "1 to 1,000 networks, not 0")
    refused(lambda: Ensemble([one] * (MAX_MEMBERS + 1)), "not more")
    refused(lambda: Ensemble(itertools.repeat(one)), "not more")
    refused(lambda: Ensemble(None), "networks must be a list of networks, not None")
    refused(lambda: Ensemble(one), "write Ensemble([network])")
    refused(lambda: Ensemble([one, "b.npz"]), "networks[1] must be a fastnet.Network, not str")
    first, second = (Network([4, 3], seed=k) for k in range(2))
    first.schema, second.schema = (Schema(class_names=names) for names in (("a", "b", "c"), ("a", "c", "b")))
    refused(lambda: Ensemble([one, first, second]), "networks[1] and networks[2] have different schemas")


# -- files -----------------------------------------------------------------------------------------------------


def saved(path: Path) -> Ensemble:
    """Write a small ensemble of both dtypes, and return it."""
    ensemble = Ensemble([Network([4, 5, 3], activation="tanh", seed=0), Network([4, 3], seed=1, dtype="float64")])
    ensemble.schema = Schema(tuple(map(Column, "abcd")), "kind", ("x", "y", "z"))
    ensemble.save(path)
    return ensemble


def test_a_saved_ensemble_loads_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    ensemble = saved(path)
    found = Ensemble.load(path)
    assert [repr(one) for one in found] == [repr(one) for one in ensemble]
    assert [one.parameters.tobytes() for one in found] == [one.parameters.tobytes() for one in ensemble]
    assert found.schema == ensemble.schema
    assert found.forward(inputs("floats")).tobytes() == ensemble.forward(inputs("floats")).tobytes()


def test_files_of_networks_and_of_ensembles_are_told_apart(tmp_path: Path) -> None:
    saved(tmp_path / "a.npz")
    Network([4, 3]).save(tmp_path / "b.npz")
    with pytest.raises(DataError, match=r"is an ensemble of several networks: read it with fastnet.Ensemble.load"):
        Network.load(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"is a single network: read it with fastnet.Network.load"):
        Ensemble.load(tmp_path / "b.npz")
    (tmp_path / "b.npz").write_bytes(b"text")
    with pytest.raises(DataError, match=r"is not an ensemble that fastnet saved: .* that Ensemble.save wrote"):
        Ensemble.load(tmp_path / "b.npz")
    refused(lambda: Ensemble.load(None), "path must be a str or os.PathLike")
    for name in ("a.onnx", "a.c", "a.safetensors"):
        with pytest.raises(DataError, match=r"an ensemble is not saved as .*: give a name that ends in .npz"):
            Ensemble([Network([4, 3])]).save(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_hostile_files_are_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    saved(path)
    with np.load(path) as file:
        arrays = dict(file)

    def changed(**others: Any) -> dict[str, Any]:
        return {name: array for name, array in (arrays | others).items() if array is not None}

    def about(**entries: Any) -> Any:
        return np.array(json.dumps({"format": "fastnet ensemble 1", "members": 2} | entries))

    other = np.array(json.dumps(json.loads(str(arrays["member_1.about"])) | {"output": "sigmoid"}))
    for hostile in (
        changed(about=None),
        changed(about=np.array("not JSON")),
        changed(about=np.array("[" * 100_000)),
        changed(about=np.arange(3)),
        changed(about=about(format="fastnet ensemble 9")),
        changed(about=about(members=3)),
        changed(about=about(members=0)),
        changed(about=about(members=10**30)),
        changed(about=about(members="2")),
        changed(**{"member_1.about": None}),
        changed(**{"member_1.parameters": None}),
        changed(**{"member_1.parameters": np.zeros(3)}),
        changed(**{"member_1.about": np.array("{}")}),
        changed(**{"member_1.about": other}),
    ):
        np.savez(path, **hostile)
        with pytest.raises(DataError, match=r"a\.npz") as caught:
            Ensemble.load(path)
        assert "\n" not in str(caught.value)
    saved(path)
    content = path.read_bytes()
    for size in range(0, len(content), 97):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match=r"a\.npz"):
            Ensemble.load(path)
