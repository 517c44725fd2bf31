"""Saved networks load with the same bits, and hostile files are refused."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import name_of

import fastnet
from fastnet import DataError, Network

X = np.random.default_rng(0).random((6, 4), np.float32)


@pytest.fixture
def name(backend: Any) -> str:
    """Return the name of each backend of this machine."""
    return name_of(backend)


# -- files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_saved_network_loads_bit_for_bit(name: str, dtype: str, tmp_path: Path) -> None:
    net = Network(
        [4, 5, 3, 2],
        activation=["leaky_relu", "tanh"],
        output="softmax",
        cost="cross_entropy",
        init="normal",
        dtype=dtype,
    )
    path = tmp_path / "net of mine"  # save adds no suffix
    net.save(path)
    loaded = Network.load(str(path))
    assert [p.name for p in tmp_path.iterdir()] == ["net of mine"]
    assert repr(loaded) == repr(net)
    assert loaded.activations_by_layer == ("leaky_relu", "tanh", "softmax")
    assert loaded.parameters.tobytes() == net.parameters.tobytes()
    assert loaded.parameters.flags.writeable
    loaded.weights[0][0, 0] = 9
    assert loaded.parameters[0] == 9
    loaded.parameters[0] = net.parameters[0]
    assert loaded.forward(X, backend=name).tobytes() == net.forward(X, backend=name).tobytes()


def test_a_network_without_hidden_layers_is_saved_and_loaded(tmp_path: Path) -> None:
    net = Network([4, 1])
    net.save(tmp_path / "a.npz")
    assert Network.load(tmp_path / "a.npz").forward(X).tobytes() == net.forward(X).tobytes()


def test_no_pickle_is_written(tmp_path: Path) -> None:
    Network([4, 2]).save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert {"about", "parameters"} == set(arrays.files)
        assert json.loads(str(arrays["about"]))["sizes"] == [4, 2]


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    Network([4, 2], seed=0).save(path)
    before = path.read_bytes()

    def half(file: Any, **arrays: Any) -> None:
        file.write(before[:50])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(np, "savez", half)
        with pytest.raises(DataError, match="space"):
            Network([4, 3]).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    Network([4, 3], seed=1).save(path)
    assert Network.load(path).sizes == (4, 3)


def test_saving_to_an_impossible_path_is_one_clear_error(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "a.npz", tmp_path):
        with pytest.raises(DataError) as caught:
            Network([4, 2]).save(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


OLD: dict[str, Any] = {
    "format": "fastnet network 1",
    "sizes": [4, 3, 2],
    "activation": ["relu"],
    "output": "sigmoid",
    "cost": "squared_error",
    "dtype": "float32",
}
ABOUT = OLD | {"format": "fastnet network 3", "cost_number": 0.0, "task": "multilabel", "byte_scale": 0.5}
PARAMETERS = np.ones(4 * 3 + 3 + 3 * 2 + 2, np.float32)


def write(path: Path, about: Any = ABOUT, parameters: Any = PARAMETERS, **more: Any) -> Path:
    text = np.array(about if isinstance(about, str) else json.dumps(about))
    np.savez(path, about=text, parameters=parameters, **more)
    return path


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        (OLD, "relu, sigmoid, squared_error, 23 parameters"),
        (OLD | {"output": "tanh"}, "relu, tanh, squared_error, 23 parameters"),
        (ABOUT, "relu, sigmoid, squared_error, multilabel, byte_scale 0.5, 23 parameters"),
        (
            ABOUT | {"cost": "cross_entropy", "cost_number": 36.5},
            "relu, sigmoid, cross_entropy(limit=36.5), multilabel",
        ),
        (ABOUT | {"cost": "cross_entropy", "cost_number": None}, "relu, sigmoid, cross_entropy, multilabel"),
    ],
)
def test_files_have_the_documented_formats(about: dict[str, Any], expected: str, tmp_path: Path) -> None:
    assert expected in repr(Network.load(write(tmp_path / "a.npz", about)))
    net = Network.load(write(tmp_path / "old.npz", OLD))
    assert (net.task, net.byte_scale) == ("classification", 1 / 255)


def file_of_0_1() -> bytes:
    """Return the file that fastnet 0.1.0 wrote for a network 2-3-1 with the parameters -1, -0.75, ..., 2."""
    about = (
        '{"format": "fastnet network 1", "sizes": [2, 3, 1], "activation": ["tanh"], "output": "sigmoid", '
        '"cost": "squared_error", "dtype": "float32"}'
    )
    parameters = (np.arange(13, dtype="<f4") / 4 - 1).tobytes()
    members = {
        "about": (f"<U{len(about)}", "()", about.encode("utf-32-le")),
        "parameters": ("<f4", "(13,)", parameters),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, (descr, shape, content) in members.items():
            header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
            info = zipfile.ZipInfo(f"{name}.npy")
            info.create_system = 3  # Unix
            with archive.open(info, "w", force_zip64=True) as member:
                member.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + content)
    return buffer.getvalue()


def test_a_file_of_0_1_loads(tmp_path: Path) -> None:
    content = file_of_0_1()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:  # its headers depend on the version of Python
        members = b"".join(map(archive.read, archive.namelist()))
    assert hashlib.sha256(members).hexdigest() == "1b53730870f47713dc57629a6096e1d207c77b249459e1641a41a7020283b527"
    (tmp_path / "a.npz").write_bytes(content)
    network = Network.load(tmp_path / "a.npz")
    assert network.parameters.tolist() == [k / 4 - 1 for k in range(13)]
    outputs = network.forward([[0.5, -1], [2, 3]])
    np.testing.assert_allclose(outputs, [[0.9922951459884644], [0.7784054279327393]], rtol=1e-6)


@pytest.mark.parametrize("cost", [fastnet.Huber(0.5), "huber", fastnet.Quantile(0.9), "poisson", "cross_entropy"])
def test_cost_task_and_byte_scale_are_saved(cost: Any, tmp_path: Path) -> None:
    net = Network([4, 3], cost=cost, task="regression", byte_scale=1)
    net.save(tmp_path / "a.npz")
    loaded = Network.load(tmp_path / "a.npz")
    assert repr(loaded) == repr(net)
    assert loaded.layers.tobytes() == net.layers.tobytes()


@pytest.mark.parametrize(
    "change",
    [
        {"format": "fastnet network 4"},
        {"format": None},
        {"format": ["fastnet network 2"]},
        {"sizes": [4, 3]},
        {"sizes": [4, 3, 3]},
        {"sizes": [4, 2**40, 2]},
        {"sizes": [4, -3, 2]},
        {"sizes": [4, 3.0, 2]},
        {"sizes": [4, float("inf"), 2]},
        {"sizes": "432"},
        {"sizes": {"4": 3}},
        {"activation": ["evil"]},
        {"activation": ["relu", "relu"]},
        {"activation": ["softmax"]},
        {"activation": [["relu"]]},
        {"activation": 5},
        {"activation": None},
        {"output": "step"},
        {"output": ["sigmoid"]},
        {"cost": "cross"},
        {"cost": {}},
        {"output": "relu", "cost": "cross_entropy"},
        {"dtype": "float64"},
        {"dtype": "float16"},
        {"dtype": "O"},
        {"dtype": "f4,,"},
        {"dtype": None},
        {"dtype": 5},
        {"dtype": {"names": 1}},
        {"dtype": "f4\0"},
        {"cost": "x" * 5_000},
        {"cost": ["huber"]},
        {"cost_number": 2.0},
        {"cost_number": "0"},
        {"cost": "huber", "output": "identity", "task": "regression", "cost_number": -1.0},
        {"cost": "huber", "output": "identity", "task": "regression", "cost_number": [1.0]},
        {"task": "evil"},
        {"task": ["multilabel"]},
        {"task": "multilabel", "output": "softmax"},
        {"byte_scale": 0},
        {"byte_scale": "1"},
        {"byte_scale": float("inf")},
        {"byte_scale": None},
    ],
    ids=lambda change: str(change)[:60],
)
def test_a_file_that_contradicts_itself_is_not_loaded(change: dict[str, Any], tmp_path: Path) -> None:
    not_loaded(write(tmp_path / "a.npz", ABOUT | change))


@pytest.mark.parametrize("missing", ABOUT)
def test_a_file_that_lacks_a_field_is_not_loaded(missing: str, tmp_path: Path) -> None:
    for about in (OLD, ABOUT):
        if missing in about:
            not_loaded(write(tmp_path / "a.npz", {key: value for key, value in about.items() if key != missing}))


@pytest.mark.parametrize("about", ["", "null", "[]", "5", "{", '"about"', "NaN", "[" * 200_000, "9" * 10_000])
def test_hostile_json_is_not_loaded(about: str, tmp_path: Path) -> None:
    not_loaded(write(tmp_path / "a.npz", about))


@pytest.mark.parametrize(
    "parameters",
    [PARAMETERS[1:], PARAMETERS[None], PARAMETERS.astype(float), PARAMETERS.astype("U5"), PARAMETERS[:0]],
    ids=["short", "2-D", "float64", "text", "empty"],
)
def test_unusable_parameters_are_not_loaded(parameters: Any, tmp_path: Path) -> None:
    not_loaded(write(tmp_path / "a.npz", parameters=parameters))


def test_parameters_in_the_other_byte_order_are_loaded(tmp_path: Path) -> None:
    net = Network.load(write(tmp_path / "a.npz", parameters=PARAMETERS.astype(">f4")))
    assert net.parameters.tobytes() == PARAMETERS.tobytes()


def test_foreign_and_corrupt_files_are_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    Network([4, 3]).save(path)
    whole = path.read_bytes()
    not_loaded(tmp_path / "missing.npz")
    not_loaded(tmp_path)
    contents = {"empty": b"", "text": b"not a network", "cut": whole[:-30], "pickle": pickle.dumps({"a": 1})}
    flipped = bytearray(whole)
    flipped[whole.index(b"parameters.npy") + 200] ^= 0xFF
    contents["flipped"] = bytes(flipped)
    for content in contents.values():
        path.write_bytes(content)
        not_loaded(path)
    np.savez(path, weights=np.ones(3))
    not_loaded(path)
    np.savez(path, about=np.array({"a": 1}, object), parameters=PARAMETERS)
    not_loaded(path)
    np.savez(path, about=np.ones((2, 2)), parameters=PARAMETERS)
    not_loaded(path)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": np.zeros(3)}, "it has no array about and no parameters"),
        ({"about": np.array("{}")}, "it has no array parameters"),
        ({"about": np.array("{}"), "parameters": PARAMETERS}, "its JSON text does not describe a network"),
        ({"about": np.array("[1]"), "parameters": PARAMETERS}, "its JSON text does not describe a network"),
    ],
)
def test_the_error_names_what_a_file_lacks(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError) as caught:
        Network.load(path)
    assert str(caught.value).startswith(f"{path} is not a network that fastnet saved: {words}; give a file that")


def not_loaded(path: Path) -> None:
    with pytest.raises(DataError) as caught:
        Network.load(path)
    message = str(caught.value)
    assert str(path) in message
    assert message.isprintable()
    assert len(message) < 1000
    assert isinstance(caught.value, fastnet.FastnetError)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # raised when the archive is freed
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_the_error_that_ends_a_save_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("zipfile._ZipWriteFile", fail)  # zipfile then refuses to close the archive
    with pytest.raises(error):
        Network([2, 2]).save(tmp_path / "network.npz")
    assert list(tmp_path.iterdir()) == []
