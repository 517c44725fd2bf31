"""`fastnet predict`: the classes and outputs of arrays and pictures."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from cli_cases import error, flowers, pictures, prices, record

import fastnet
from fastnet import cli
from fastnet.data import Column, Schema


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
    assert header.split() == ["row", "class", "0", "1", "2"]
    assert lines[1].split() == ["2", "1", *(f"{a:.3f}" for a in outputs[1])]
    assert cli.main(["predict", "--model", model, str(folder / "one.npy"), str(folder / "flat.npy")]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["file", "class", "0", "1", "2"]
    assert lines[1].split()[:2] == [str(folder / "flat.npy"), "1"]


def test_predict_refuses_unusable_inputs(model: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(folder / "wide.npy", np.zeros((5, 9), np.uint8))
    np.save(folder / "floats.npy", np.zeros((5, 64), np.float32))
    (folder / "numbers.csv").write_text("1,2,3\n4,5,6\n")
    predict = ["predict", "--model", model]
    assert "the network takes 64 inputs" in error(capsys, *predict, folder / "wide.npy")
    assert "--invert is for 8-bit pixels" in error(capsys, *predict, "--invert", folder / "floats.npy")
    assert "64" in error(capsys, *predict, folder / "numbers.csv")
    wrong = error(capsys, "predict", "--model", folder / "numbers.csv", folder / "wide.npy")
    assert "numbers.csv is not a network that fastnet saved: it is neither an NPZ file nor a safetensors" in wrong
    assert "no file" in error(capsys, *predict, folder / "missing.npy")
    assert "no file" in error(capsys, *predict, folder / "missing.png")
    assert "FILE" in error(capsys, *predict)
    np.save(folder / "nan.npy", np.full((2, 64), np.nan, np.float32))
    assert f"{folder / 'nan.npy'}, row 1, column 1, is nan" in error(capsys, *predict, folder / "nan.npy")


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
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["row", "value", "1", "value", "2"],
        *([str(k + 1), *(f"{a:.6g}" for a in row)] for k, row in enumerate(network.forward(x).tolist())),
    ]


def read(path: Path | str, separator: str = ",") -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter=separator))


def test_a_table_gets_labels_and_probabilities(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, model = flowers(folder)
    out = folder / "predictions.csv"
    found = record(capsys, "predict", "--model", model, table, "--out", out)
    header, *rows = read(out)
    own_header, *own = read(table)
    assert header == [*own_header, "predicted size", "probability large", "probability small"]
    assert [row[:3] for row in rows] == own  # the order of the rows, and the cells as they were written
    assert [row[3] for row in rows] == [row[2] for row in own]
    network = fastnet.Network.load(model)
    x = np.array([row[:2] for row in own], float)
    np.testing.assert_array_equal(np.array([row[4:] for row in rows], np.float32), network.forward(x))
    assert (found["task"], found["target"], found["columns"]) == ("classification", "size", ["length", "width"])
    assert found["class_names"] == ["large", "small"]
    assert [p["label"] for p in found["predictions"]] == [row[2] for row in own]
    assert [p["class"] for p in found["predictions"]] == [["large", "small"].index(row[2]) for row in own]

    assert cli.main(["predict", "--model", model, table]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["row", "size", "large", "small"]
    assert lines[1].split()[:2] == ["2", own[1][2]]
    assert lines[-1] == "... 20 more; --out writes all"
    assert len(lines) == 21
    short, _ = flowers(folder, 15)  # another table of the same name
    assert cli.main(["predict", "--model", model, short, short]) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    assert lines[14].split()[:2] == [short, "15"]
    assert lines[15].split()[:2] == [short, "1"]
    assert lines[20:] == ["... 10 more; --out writes all"]


def test_columns_are_found_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, model = flowers(folder)
    for name, separator in (("a.csv", ";"), ("b.tsv", "\t")):
        rows = [["width", "note", "length"], ["1", "x,y", "9"], ["2", 'with "', "1.50"]]
        with open(folder / name, "w", encoding="utf-8-sig", newline="") as file:
            csv.writer(file, delimiter=separator).writerows(rows)
        assert cli.main(["predict", "--model", model, str(folder / name), "--out", str(folder / "out.csv")]) == 0
        found = read(folder / "out.csv", separator)
        assert [row[:3] for row in found] == rows
        assert [row[3] for row in found] == ["predicted size", "large", "small"]
    # The output is a table, too. The names of new columns are free.
    assert cli.main(["predict", "--model", model, str(folder / "out.csv"), "--out", str(folder / "2.csv")]) == 0
    assert read(folder / "2.csv", "\t")[0][6:] == ["predicted size 2", "probability large 2", "probability small 2"]
    (folder / "short.csv").write_text("width,length of it\n1,2\n")
    assert "length" in error(capsys, "predict", "--model", model, folder / "short.csv")


def test_out_never_replaces_what_is_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, model = flowers(folder)
    before = Path(table).read_bytes(), Path(model).read_bytes()
    (folder / "link.csv").symlink_to(table)
    predict = ("predict", "--model", model, table, "--out")
    for path in (table, folder / "link.csv"):
        assert "would replace" in error(capsys, *predict, path)
    assert "would replace" in error(capsys, *predict, model)
    assert "ends in .csv" in error(capsys, *predict, folder / "x.json")
    assert "ends in .csv" in error(capsys, *predict, folder / "x.parquet")
    assert "cannot be written" in error(capsys, *predict, folder / "nowhere" / "x.csv")
    assert "one table" in error(capsys, "predict", "--model", model, table, table, "--out", folder / "x.csv")
    assert (Path(table).read_bytes(), Path(model).read_bytes()) == before
    assert not (folder / "x.csv").exists()


def test_a_regression_has_values(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, model = prices(folder)
    found = record(capsys, "predict", "--model", model, table, "--out", folder / "out.csv")
    header, *rows = read(folder / "out.csv")
    assert header == ["price", "rooms", "area", "predicted price"]
    assert [float(row[3]) for row in rows] == [float(row[0]) + 1 for row in rows]
    assert (found["task"], found["class_names"], found["output_names"]) == ("regression", [], ["price"])
    assert found["predictions"][0]["label"] is None
    assert cli.main(["predict", "--model", model, table]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()[:2]] == [["row", "price"], ["1", "51"]]


def test_two_classes_that_share_an_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, _ = flowers(folder)
    network = fastnet.Network([2, 1], seed=0)
    network.parameters = [-1, 0, 5]
    network.schema = Schema((Column("length"), Column("width")), "size", ("large", "small"))
    network.save(folder / "one.npz")
    assert cli.main(["predict", "--model", str(folder / "one.npz"), table, "--out", str(folder / "out.csv")]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["row", "size", "large", "small"]
    header, *rows = read(folder / "out.csv")
    assert header[3:] == ["predicted size", "probability large", "probability small"]
    assert [row[3] for row in rows] == [row[2] for row in rows]
    chances = np.array([row[4:] for row in rows], float)
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-6)
    assert [row[2] for row in rows] == [("large", "small")[k] for k in chances.argmax(1)]


def test_several_labels(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = fastnet.Network([2, 2], task="multilabel", seed=0)
    network.parameters = [1, 0, 0, 1, 0, 0]
    network.schema = Schema((Column("a"), Column("b")), "", ("urgent", "spam"))
    network.save(folder / "m.npz")
    (folder / "new.csv").write_text("a,b\n3,3\n-3,-3\n-3,3\n")
    found = record(capsys, "predict", "--model", folder / "m.npz", folder / "new.csv", "--out", folder / "out.csv")
    assert [p["label"] for p in found["predictions"]] == [["urgent", "spam"], [], ["spam"]]
    header, *rows = read(folder / "out.csv")
    assert header[2:] == ["predicted urgent", "predicted spam", "probability urgent", "probability spam"]
    assert [row[2:4] for row in rows] == [["1", "1"], ["0", "0"], ["0", "1"]]
    assert cli.main(["predict", "--model", str(folder / "m.npz"), str(folder / "new.csv")]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["1", "urgent,", "spam"]


def test_arrays_and_pictures_are_written_with_their_file(model: str, folder: Path) -> None:
    x, y = pictures(5, 2)
    np.save(folder / "some.npy", x)
    np.save(folder / "one.npy", x[3])
    files = [str(folder / "some.npy"), str(folder / "one.npy")]
    assert cli.main(["predict", "--model", model, *files, "--out", str(folder / "out.csv")]) == 0
    header, *rows = read(folder / "out.csv")
    assert header == ["file", "row", "predicted class", "probability 0", "probability 1", "probability 2"]
    assert [row[:3] for row in rows] == [
        *([files[0], str(k + 1), str(label)] for k, label in enumerate(y)),
        [files[1], "1", "0"],
    ]


def test_a_parquet_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra arrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra arrow")
    _, model = flowers(folder)
    own = {"note": ["a", None], "length": [9, 1], "width": [0.5, 0.25]}
    parquet.write_table(pyarrow.table(own), folder / "new.parquet")
    predict = ["predict", "--model", model, str(folder / "new.parquet"), "--out"]
    assert cli.main([*predict, str(folder / "out.parquet")]) == 0
    found = parquet.read_table(folder / "out.parquet").to_pydict()
    assert {name: found[name] for name in own} == own
    assert found["predicted size"] == ["large", "small"]
    assert found["probability large"][0] > 0.9 > found["probability large"][1]
    assert cli.main([*predict, str(folder / "out.csv")]) == 0
    assert [row[1:4] for row in read(folder / "out.csv")[1:]] == [["9", "0.5", "large"], ["1", "0.25", "small"]]


def test_a_network_gets_numbers_of_the_scale_that_it_knows(
    model: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, _ = pictures(12, 2)
    network = fastnet.Network.load(model)
    network.schema = Schema((), "", ("a", "b", "c"), pixels=True)
    network.save(model)
    predict = ["predict", "--model", model]
    # A text file holds pixels for this network, even if none of them is bright.
    dim = (x.reshape(12, -1) * 0.4).astype(np.uint8)
    assert dim.max() <= 120
    np.savetxt(folder / "dim.csv", dim, "%d", ",")
    found = record(capsys, *predict, folder / "dim.csv")["predictions"]
    np.testing.assert_allclose([p["outputs"] for p in found], network.forward(dim), atol=1e-6)
    np.save(folder / "floats.npy", x.astype(np.float32))
    said = error(capsys, *predict, folder / "floats.npy")
    assert "was trained on pixels" in said
    assert "float32 numbers up to" in said
    network.schema = Schema((), "", ("a", "b", "c"))
    network.save(model)
    np.save(folder / "bytes.npy", x)
    assert "was trained on numbers as they are" in error(capsys, *predict, folder / "bytes.npy")
    assert "leave out --pixels" in error(capsys, *predict, "--pixels", folder / "dim.csv")
    network.schema = None
    network.save(model)
    as_pixels = record(capsys, *predict, "--pixels", folder / "dim.csv")["predictions"]
    as_numbers = record(capsys, *predict, folder / "dim.csv")["predictions"]
    np.testing.assert_allclose([p["outputs"] for p in as_pixels], network.forward(dim), atol=1e-6)
    np.testing.assert_allclose([p["outputs"] for p in as_numbers], network.forward(dim.astype(float)), atol=1e-6)


def test_columns_without_names_get_names(folder: Path) -> None:
    fastnet.Network([2, 2], seed=0).save(folder / "m.npz")
    (folder / "new.csv").write_text("1,2\n\n3.50,4\n")
    assert (
        cli.main(["predict", "--model", str(folder / "m.npz"), str(folder / "new.csv"), "--out", str(folder / "o.csv")])
        == 0
    )
    header, *rows = read(folder / "o.csv")
    assert header == ["column 1", "column 2", "predicted class", "probability 0", "probability 1"]
    assert [row[:2] for row in rows] == [["1", "2"], ["3.50", "4"]]


def test_many_classes_show_the_probability_of_the_predicted_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = fastnet.Network([2, 12], seed=0)
    network.save(folder / "m.npz")
    x = np.array([[5, 1], [-4, 2]], np.float32)
    np.save(folder / "x.npy", x)
    assert cli.main(["predict", "--model", str(folder / "m.npz"), str(folder / "x.npy")]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["row", "class", "probability"]
    outputs = network.forward(x)
    assert [line.split() for line in lines] == [
        [str(k + 1), str(row.argmax()), f"{row.max():.3f}"] for k, row in enumerate(outputs)
    ]
