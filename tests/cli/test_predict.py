"""`fastnet predict`: the classes and outputs of arrays and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_cases import error, pictures, record

import fastnet
from fastnet import cli


def idx(x: np.ndarray) -> bytes:
    return bytes([0, 0, 8, x.ndim]) + b"".join(n.to_bytes(4, "big") for n in x.shape) + x.tobytes()


def test_predict_classifies_arrays(model: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, _ = pictures(5, 2)
    np.save(folder / "some.npy", x)
    np.savez(folder / "floats.npz", x=x.reshape(5, -1).astype(np.float32) / 255)
    (folder / "some-idx3-ubyte").write_bytes(idx(x))
    np.save(folder / "one.npy", x[3])
    np.save(folder / "flat.npy", x[4].ravel())
    np.save(folder / "dark.npy", ~x)
    outputs = fastnet.Network.load(model).forward(x)
    for name in ("some.npy", "floats.npz", "some-idx3-ubyte"):
        found = record(capsys, "predict", "--model", model, folder / name)["predictions"]
        assert [p["class"] for p in found] == [0, 1, 2, 0, 1]
        assert [p["index"] for p in found] == [0, 1, 2, 3, 4]
        np.testing.assert_allclose([p["outputs"] for p in found], outputs, atol=1e-6)
    found = record(capsys, "predict", "--model", model, folder / "one.npy", folder / "flat.npy")["predictions"]
    assert [(Path(p["file"]).name, p["class"]) for p in found] == [("one.npy", 0), ("flat.npy", 1)]
    found = record(capsys, "predict", "--model", model, "--invert", folder / "dark.npy")["predictions"]
    np.testing.assert_allclose([p["outputs"] for p in found], outputs, atol=1e-6)

    assert cli.main(["predict", "--model", model, str(folder / "some.npy")]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["example", "class", "0", "1", "2"]
    assert lines[1].split()[0].endswith("some.npy[1]")
    assert lines[1].split()[1:] == ["1", *(f"{a:.3f}" for a in outputs[1])]


def test_predict_refuses_unusable_inputs(model: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(folder / "wide.npy", np.zeros((5, 9), np.uint8))
    np.save(folder / "floats.npy", np.zeros((5, 64), np.float32))
    (folder / "numbers.csv").write_text("1,2,3\n")
    predict = ["predict", "--model", model]
    assert "the network takes 64 inputs" in error(capsys, *predict, folder / "wide.npy")
    assert "--invert is for 8-bit pixels" in error(capsys, *predict, "--invert", folder / "floats.npy")
    assert "save it as NPY" in error(capsys, *predict, folder / "numbers.csv")
    wrong = error(capsys, "predict", "--model", folder / "numbers.csv", folder / "wide.npy")
    assert "numbers.csv is not a network that fastnet saved: it is not an NPZ file; give a file that" in wrong
    assert "no file" in error(capsys, *predict, folder / "missing.npy")
    assert "no file" in error(capsys, *predict, folder / "missing.png")
    assert "FILE" in error(capsys, *predict)
    np.save(folder / "nan.npy", np.full((2, 64), np.nan, np.float32))
    assert f"{folder / 'nan.npy'}[0, 0] is nan" in error(capsys, *predict, folder / "nan.npy")


def test_predict_classifies_pictures(model: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow (extra: cli)")
    x, y = pictures(3, 2)
    for k in range(3):
        image.fromarray(x[k]).save(folder / f"{k}.png")
        image.fromarray(~x[k]).resize((32, 32)).save(folder / f"dark{k}.png")
    light = record(capsys, "predict", "--model", model, *(folder / f"{k}.png" for k in range(3)))
    assert [p["class"] for p in light["predictions"]] == y.tolist()
    outputs = fastnet.Network.load(model).forward(x)
    np.testing.assert_allclose([p["outputs"] for p in light["predictions"]], outputs, atol=1e-6)
    dark = record(capsys, "predict", "--model", model, "--invert", *(folder / f"dark{k}.png" for k in range(3)))
    assert [p["class"] for p in dark["predictions"]] == y.tolist()


def test_predict_takes_pictures_of_the_right_shape(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow (extra: cli)")
    fastnet.Network([15, 2], seed=0).save(folder / "model.npz")
    image.fromarray(np.zeros((3, 5), np.uint8)).save(folder / "a.png")
    predict = ["predict", "--model", folder / "model.npz", folder / "a.png"]
    assert "15 inputs are not the pixels of a square image: give --image-shape" in error(capsys, *predict)
    assert "has 16 pixels, but there are 15 inputs" in error(capsys, *predict, "--image-shape", "4x4")
    assert "5 rows" not in error(capsys, *predict, "--image-shape", "5x3")
    assert "expected rows and columns" in error(capsys, *predict, "--image-shape", "15")
    assert len(record(capsys, *predict, "--image-shape", "3x5")["predictions"]) == 1


def test_predict_prints_the_outputs_of_a_regression(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = fastnet.Network([4, 2], output="identity", seed=0)
    network.save(folder / "model.npz")
    x = np.array([[100, 0, 0, 1], [0, 1, 2, 3]], np.float32)
    np.save(folder / "x.npy", x)
    found = record(capsys, "predict", "--model", folder / "model.npz", folder / "x.npy")["predictions"]
    assert [p["class"] for p in found] == [None, None]
    np.testing.assert_array_equal([p["outputs"] for p in found], network.forward(x))
    assert cli.main(["predict", "--model", str(folder / "model.npz"), str(folder / "x.npy")]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["example", "0", "1"]
