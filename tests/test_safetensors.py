"""Networks in safetensors files: fastnet and PyTorch read each other's, and damaged files are refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from network_cases import random_network
from pairwise import cover

from fastnet import DataError, FastnetError, Network
from fastnet.data import Schema

safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed (extra: safetensors)")

HIDDEN = ("relu", "tanh", "sigmoid", "leaky_relu", "identity")
OUTPUTS = ("softmax", "sigmoid", "identity", "tanh", "relu")
COVER = cover(HIDDEN, HIDDEN, OUTPUTS, ("float32", "float64"), (0, 1, 2))


def saved(folder: Path, network: Network) -> Path:
    path = folder / "a.SafeTensors"  # the suffix counts in any case
    network.save(path)
    return path


@pytest.mark.parametrize(("first", "second", "output", "dtype", "depth"), COVER)
def test_fastnet_and_torch_read_the_same_file(
    first: Any, second: Any, output: Any, dtype: str, depth: int, tmp_path: Path
) -> None:
    sizes, activations = [4, 5, 3, 2][-2 - depth :], [first, second][:depth]
    network = random_network(sizes, activation=activations, output=output, dtype=dtype)
    path = saved(tmp_path, network)
    loaded = Network.load(path)
    assert repr(loaded) == repr(network)
    assert loaded.layers.tobytes() == network.layers.tobytes()
    assert loaded.parameters.tobytes() == network.parameters.tobytes()

    torch = pytest.importorskip("torch", reason="PyTorch, which reads the file too, is not installed (extra: peers)")
    from safetensors.torch import load_file, save_file

    named = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid}
    named |= {"leaky_relu": torch.nn.LeakyReLU, "softmax": lambda: torch.nn.Softmax(1)}
    modules: list[Any] = []
    for n_in, n_out, name in zip(sizes, sizes[1:], [*activations, output], strict=False):
        modules += [torch.nn.Linear(n_in, n_out), *([named[name]()] if name != "identity" else [])]
    theirs = torch.nn.Sequential(*modules).to(getattr(torch, dtype))
    assert network.to_torch().state_dict().keys() == theirs.state_dict().keys()
    theirs.load_state_dict(load_file(path))  # strict: each name and each shape must fit
    x = np.random.default_rng(0).normal(size=(7, sizes[0])).astype(dtype)
    with torch.no_grad():
        np.testing.assert_allclose(theirs(torch.from_numpy(x)).numpy(), network.forward(x), rtol=0, atol=1e-5)

    save_file(theirs.state_dict(), path, {"fastnet": about_of(path)})
    assert Network.load(path).parameters.tobytes() == network.parameters.tobytes()


def test_all_settings_are_saved(tmp_path: Path) -> None:
    network = Network([3, 2], cost="huber", output="identity", task="regression", byte_scale=0.5)
    network.note_inputs(7.5)
    network.schema = Schema(class_names=("a", "b"), pixels=True)
    network.save(tmp_path / "a.npz")
    loaded = Network.load(saved(tmp_path, network))
    assert loaded.schema == network.schema
    loaded.save(tmp_path / "b.npz")
    assert (tmp_path / "b.npz").read_bytes() == (tmp_path / "a.npz").read_bytes()


def about_of(path: Path) -> str:
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    found = header["__metadata__"]["fastnet"]
    assert isinstance(found, str)
    return found


def refused(path: Path, *words: str) -> None:
    with pytest.raises(DataError) as caught:
        Network.load(path)
    message = str(caught.value)
    assert message.isprintable()
    assert [word for word in (str(path), *words) if word not in message] == [], message


def test_a_file_without_settings_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors.save({"0.weight": np.ones((2, 3), np.float32), "0.bias": np.ones(2, np.float32)}))
    refused(path, "says nothing about its network", "Network.from_torch")


W, B = np.ones((2, 3), np.float32), np.ones(2, np.float32)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"0.weight": W}, "it holds the tensors 0.weight, not 0.weight, 0.bias"),
        ({"0.weight": W, "0.bias": B, "2.bias": B}, "it holds the tensors 0.bias, 0.weight, 2.bias, not"),
        ({"0.weight": W.T.copy(), "0.bias": B}, "its tensor 0.weight has shape (3, 2), not (2, 3)"),
        ({"0.weight": W, "0.bias": B.astype(float)}, "its tensors have different dtypes"),
        ({"0.weight": W.astype(float), "0.bias": B.astype(float)}, "float64, not (8,) float32"),
        ({"parameters": np.ones(8, np.float32)}, "it holds the tensors parameters, not"),
    ],
)
def test_tensors_that_do_not_fit_the_settings_are_refused(tensors: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = saved(tmp_path, Network([3, 2]))
    path.write_bytes(safetensors.save(tensors, {"fastnet": about_of(path)}))
    refused(path, words)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, Network([3, 2]))
    whole = path.read_bytes()
    header = whole[8 : 8 + int.from_bytes(whole[:8], "little")]
    for content in (
        (1 << 60).to_bytes(8, "little") + whole[8:],
        whole[:-1],
        whole + b"\0",
        whole[:8] + header.replace(b"[8,32]", b"[4,28]") + whole[8 + len(header) :],  # overlaps the other tensor
        whole[:8] + header.replace(b"[2,3]", b"[-6] ") + whole[8 + len(header) :],
        whole[:8] + header.replace(b'"F32"', b'"F99"') + whole[8 + len(header) :],
        whole[:8] + b"{" * len(header) + whole[8 + len(header) :],
    ):
        assert content != whole
        path.write_bytes(content)
        refused(path)
    path.write_bytes(safetensors.save({"0.weight": W}, {"fastnet": "[" * 100_000}))
    refused(path)


def test_the_error_names_the_missing_library_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, Network([3, 2]))
    before = path.read_bytes()
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for call in (Network.load, Network([3, 2]).save):
        with pytest.raises(FastnetError, match=r'python -m pip install "fastnet-mlp\[safetensors\]"'):
            call(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("name", "method"), [("net.onnx", "to_onnx"), ("NET.C", "to_c")])
def test_the_name_of_another_format_is_refused(name: str, method: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"a name that ends in \.npz or \.safetensors, or use Network\.{method}$"):
        Network([3, 2]).save(tmp_path / name)
    assert [*tmp_path.iterdir()] == []
