"""A network as a torch.nn.Sequential, and the parts of a network from one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.errors import MissingLibraryError

try:
    import torch
except ImportError as error:
    raise MissingLibraryError(f"this needs PyTorch ({error}): python -m pip install torch") from None

from fastnet.architecture import Architecture, Floats
from fastnet.export.parts import Layer, Parts, joined
from fastnet.kernels import contract as c
from fastnet.kernels.formulas import ACTIVATIONS


class Exponential(torch.nn.Module):
    """exp(z) of each input, which PyTorch has as a function but not as a module."""

    def forward(self, z: Any) -> Any:
        """Return exp(z), a tensor of the shape of z."""
        return torch.exp(z)


# For each activation, its module's class and the attributes that the module must have, which are also the arguments of
# the class. Identity has no module.
MODULES: dict[str, tuple[Any, dict[str, Any]]] = {
    "sigmoid": (torch.nn.Sigmoid, {}),
    "relu": (torch.nn.ReLU, {}),
    "tanh": (torch.nn.Tanh, {}),
    "leaky_relu": (torch.nn.LeakyReLU, {"negative_slope": c.LEAKY_SLOPE}),
    "softmax": (torch.nn.Softmax, {"dim": -1}),
    "exponential": (Exponential, {}),
}
NAMES = {kind: name for name, (kind, _) in MODULES.items()}
WITHOUT_EFFECT = (torch.nn.Identity, torch.nn.Dropout)  # on a prediction
READ = [torch.nn.Linear, *NAMES, *WITHOUT_EFFECT]


def to_torch(network: Architecture, parameters: Floats) -> Any:
    """Return a torch.nn.Sequential in evaluation mode with a copy of the parameters (n_parameters,)."""
    modules = []
    for w, b, activation in zip(*network.views(parameters), network.activations_by_layer, strict=True):
        # skip_init draws no initial weights, so that PyTorch's random numbers stay as they are.
        linear = torch.nn.utils.skip_init(torch.nn.Linear, *w.shape[::-1], dtype=getattr(torch, w.dtype.name))
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(w))
            linear.bias.copy_(torch.from_numpy(b))
        modules.append(linear)
        if activation != "identity":
            kind, arguments = MODULES[activation]
            modules.append(kind(**arguments))
    return torch.nn.Sequential(*modules).eval()


def from_torch(module: Any, output: str | None) -> Parts:
    """Return the parts of a network that computes the same as a module. The settings lack the cost and the task.

    `output` is the activation of the output layer if the module does not end with an activation; None is identity.

    Raises
    ------
    TypeError
        `module` is not a torch.nn.Module.
    ValueError
        A module is not understood, or is in a place that a network does not have.
    """
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, not {type(module).__name__}")
    layers: list[Layer] = []
    activations: list[str] = []
    place = ""  # of the last activation
    for name, leaf in _leaves(module, ""):
        if type(leaf) is torch.nn.Linear:
            if activations and activations[-1] in ACTIVATIONS and not ACTIVATIONS[activations[-1]].is_hidden:
                raise ValueError(f"{place} is not the last module: hidden layers cannot have this activation")
            layers.append(_layer(name, leaf))
            activations.append("")  # none so far
        elif type(leaf) in NAMES:
            if not layers or activations[-1]:
                raise ValueError(f"{name} does not follow a Linear: a network has one activation after each Linear")
            activations[-1], place = _activation(name, leaf), name
        elif type(leaf) is torch.nn.Flatten and not layers:
            if (leaf.start_dim, leaf.end_dim) != (1, -1):
                raise ValueError(f"{name} must have start_dim=1 and end_dim=-1: a network's inputs are rows")
        elif type(leaf) not in WITHOUT_EFFECT:
            raise ValueError(_refusal(name, leaf))
        _refuse_hooks(name, leaf)
    if not layers:
        raise ValueError("the module has no Linear: give a torch.nn.Sequential of Linear and activation modules")
    if activations[-1] and output not in (None, activations[-1]):
        raise ValueError(f"output={output!r} contradicts {place}, the last module: leave output out")
    *hidden, last = (activation or "identity" for activation in activations)
    settings = {"activation": hidden, "output": last if output is None else output}
    return joined(layers, settings)


def _leaves(module: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the modules in a Sequential and in the Sequentials inside, each with its place and class as text."""
    place = f"module {path or 0} ({type(module).__name__})"
    if type(module) is torch.nn.Sequential:
        _refuse_hooks(place, module)
        for name, child in module.named_children():
            yield from _leaves(child, f"{path}.{name}" if path else name)
    else:
        yield place, module


def _refuse_hooks(name: str, module: Any) -> None:
    if module._forward_hooks or module._forward_pre_hooks:
        raise ValueError(f"{name} has forward hooks, which a network would not call: remove them first")


def _layer(name: str, linear: Any) -> Layer:
    # A pruned or normalised Linear computes its weights from parameters of other names.
    odd = {key for key, _ in linear.named_parameters()} - {"weight", "bias"}
    if odd:
        raise ValueError(
            f"{name} computes its weights from {', '.join(sorted(odd))}: make them plain weights, such as with "
            "torch.nn.utils.remove_weight_norm or torch.nn.utils.prune.remove"
        )
    weights = _array(name, linear.weight)
    biases = np.zeros(len(weights), weights.dtype) if linear.bias is None else _array(name, linear.bias)
    return Layer(name, weights, biases)


def _array(name: str, tensor: Any) -> NDArray[Any]:
    if tensor.is_meta:
        raise ValueError(f"{name} is on the device meta, which holds no numbers: load its parameters first")
    if tensor.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name} holds {tensor.dtype}: convert it to float32 or float64, such as with module.float()")
    array: NDArray[Any] = tensor.detach().cpu().numpy()
    return array


def _activation(name: str, module: Any) -> str:
    activation = NAMES[type(module)]
    for attribute, expected in MODULES[activation][1].items():
        found = getattr(module, attribute)
        if found != expected and (attribute, found) != ("dim", 1):  # dimension 1 of rows is also the last one
            raise ValueError(f"{name} has {attribute}={found}: a network has only {attribute}={expected}")
    return activation


def _refusal(name: str, module: Any) -> str:
    if type(module) is torch.nn.Flatten:
        return f"{name} is not the first module: layers give rows, so remove it"
    if type(module) is torch.nn.LogSoftmax:
        return f"{name} gives logarithms: replace it by Softmax, or leave it out and give output='softmax'"
    known = ", ".join(kind.__name__ for kind in READ)
    return f"{name} is not understood: from_torch reads a Sequential of {known}, and Flatten as the first module"
