"""Network.to_torch computes what the network computes; Network.from_torch reads it back and refuses everything else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import export_cases
import numpy as np
import pytest
from conftest import python
from network_cases import refused

from fastnet import Network

torch = pytest.importorskip("torch", reason="PyTorch is not installed (python -m pip install torch)")
nn = torch.nn
prune = pytest.importorskip("torch.nn.utils.prune", reason="part of PyTorch")
DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("net", [*export_cases.covered(), *export_cases.drawn(20)], ids=Network.description)
def test_a_module_computes_what_the_network_computes_and_is_read_back_bit_for_bit(net: Network) -> None:
    module, x = net.to_torch(), export_cases.rows(net)
    found = module(torch.from_numpy(x)).detach().numpy()
    assert found.dtype == net.dtype
    np.testing.assert_allclose(found, net.forward(x), rtol=1e-5 if net.dtype == np.float32 else 1e-12, atol=1e-6)
    assert not module.training
    back = Network.from_torch(module, task=net.task)
    assert export_cases.has_the_same_bits(net, back)
    assert (back.task, back.cost_name) == (net.task, net.cost_name)


def test_the_keys_are_those_of_a_sequential_without_modules_for_identity() -> None:
    net = Network([4, 5, 3, 2], activation=["tanh", "identity"], output="identity")
    assert list(net.to_torch().state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias", "3.weight", "3.bias"]


@pytest.mark.parametrize("hidden", [["tanh", "identity", "relu"], ["identity", "leaky_relu", "identity"]], ids=str)
def test_a_saved_safetensors_file_fits_the_module(hidden: list[Any], tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch", reason="needs safetensors (extra: safetensors)")
    net, other = (Network([4, 5, 6, 3, 2], activation=hidden, seed=seed) for seed in (0, 1))
    net.save(tmp_path / "a.safetensors")
    module = other.to_torch()
    module.load_state_dict(safetensors.load_file(tmp_path / "a.safetensors"))
    assert export_cases.has_the_same_bits(Network.from_torch(module), net)


def test_no_memory_is_shared_and_no_random_number_is_drawn() -> None:
    net = Network([4, 3], seed=0)
    before, state = net.copy(), torch.random.get_rng_state()
    module = net.to_torch()
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.no_grad():
        module[0].weight += 1
        module[0].bias += 1
    assert export_cases.has_the_same_bits(net, before)
    back = Network.from_torch(module)
    back.parameters[:] = 0
    assert module[0].weight.abs().sum() > 0


def test_modules_without_effect_on_a_prediction_are_read() -> None:
    inner = nn.Sequential(nn.Linear(4, 5, bias=False), nn.Dropout(0.3), nn.ReLU())
    module = nn.Sequential(nn.Flatten(), nn.Identity(), inner, nn.Linear(5, 3), nn.Linear(3, 2), nn.Softmax(1))
    net = Network.from_torch(module.eval(), cost="squared_error", byte_scale=1)
    assert net.description() == "4-5-3-2 relu/identity, softmax, squared_error, byte_scale 1"
    assert not net.biases[0].any()
    x = export_cases.rows(net)
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach().numpy(), net.forward(x), atol=1e-6)


def test_a_module_that_ends_with_a_linear_is_a_regression_or_gets_an_output() -> None:
    module = nn.Sequential(nn.Linear(4, 3))
    assert Network.from_torch(module).task == "regression"
    assert Network.from_torch(nn.Linear(4, 3)).sizes == (4, 3)
    net = Network.from_torch(module, output="softmax")
    assert (net.task, net.cost_name) == ("classification", "cross_entropy")
    refused(lambda: Network.from_torch(module, task="classification"), "identity", "output='softmax'")
    refused(lambda: Network.from_torch(nn.Sequential(*module, nn.Sigmoid()), output="softmax"), "module 1 (Sigmoid)")


def after(module: Any) -> Any:
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 2), module))


def hooked(module: Any) -> Any:
    """Return a module whose outputs a hook doubles."""
    module.register_forward_hook(lambda module, inputs, output: 2 * output)
    return module


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: after(nn.GELU()), ["module 2.1 (GELU)", "LeakyReLU"]),
        (lambda: after(nn.LogSoftmax(1)), ["module 2.1 (LogSoftmax)", "output='softmax'"]),
        (lambda: after(nn.LeakyReLU(0.2)), ["module 2.1 (LeakyReLU)", "0.2", "0.01"]),
        (lambda: after(nn.Softmax(0)), ["module 2.1 (Softmax)", "dim=0"]),
        (lambda: after(nn.BatchNorm1d(2)), ["module 2.1 (BatchNorm1d)"]),
        (lambda: after(nn.Flatten()), ["module 2.1 (Flatten)"]),
        (lambda: after(nn.Linear(3, 2)), ["module 2.1 (Linear)", "4-3-2", "(2, 3)"]),
        (lambda: after(nn.Linear(2, 2).double()), ["module 2.1 (Linear)", "float64"]),
        (lambda: after(nn.Linear(2, 2).bfloat16()), ["module 2.1 (Linear)", "bfloat16"]),
        (lambda: after(nn.Linear(2, 2, device="meta")), ["module 2.1 (Linear)", "meta"]),
        (lambda: after(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))), ["ParametrizedLinear"]),
        (lambda: prune.l1_unstructured(nn.Linear(4, 3), "weight", 1), ["weight_orig"]),
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.Softmax(1), nn.Linear(3, 2)), ["module 1 (Softmax)"]),
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Tanh()), ["module 2 (Tanh)"]),
        (lambda: nn.Sequential(nn.ReLU(), nn.Linear(4, 3)), ["module 0 (ReLU)"]),
        (lambda: nn.Sequential(nn.Flatten(0), nn.Linear(4, 3)), ["module 0 (Flatten)"]),
        (lambda: after(hooked(nn.Linear(2, 2))), ["module 2.1 (Linear)", "hooks"]),
        (lambda: after(hooked(nn.Tanh())), ["module 2.1 (Tanh)", "hooks"]),
        (lambda: hooked(nn.Sequential(nn.Linear(4, 3))), ["module 0 (Sequential)", "hooks"]),
        (lambda: nn.Sequential(), ["no Linear"]),
        (lambda: {"0.weight": 1}, ["torch.nn.Module", "dict"]),
    ],
    ids=lambda case: case[0] if isinstance(case, list) else "",
)
def test_a_module_that_a_network_cannot_express_is_refused_by_place(make: Any, words: list[str]) -> None:
    module = make()
    refused(lambda: Network.from_torch(module), *words)


def test_a_missing_pytorch_is_one_clear_error() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; import fastnet\n"
        "try: fastnet.Network([3, 2]).to_torch()\n"
        "except ImportError as error: print(error, isinstance(error, fastnet.FastnetError))"
    )
    assert python(code).endswith("python -m pip install torch True\n")


@pytest.mark.skipif(not DOCS.is_dir(), reason="docs/ is not beside tests/")
def test_the_blocks_of_the_page_run_too(tmp_path: Path) -> None:
    """The page marks its blocks as not run, since the documentation is built without PyTorch."""
    sys.path.insert(0, str(DOCS / "_ext"))
    import live_pages

    text = (DOCS / "how-to" / "torch.md").read_text("utf-8")
    mark = "<!-- not run: PyTorch is not among the packages that build these pages -->\n\n"
    assert mark in text
    live_pages.run(text.replace(mark, ""), "torch", tmp_path)
