"""PyTorch is a second, independent oracle: equal initial parameters, batches and rates must give equal results.

PyTorch takes 200 steps with its own costs, autograd and optimisers. One call of `train` takes the same steps.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import backend_calls as bc
import comparisons as cmp
import kernel_cases as kc
import naive
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch, the second oracle, is not installed (extra: peers)")
functional = torch.nn.functional

# The limit is relative to the largest parameter after 200 steps. In float32 the runs drift apart with every step.
TOLERANCE = {"float32": 2e-4, "float64": 1e-11}
STEPS, BATCH, ROWS = 200, 6, 40
HIDDEN = {
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "leaky_relu": functional.leaky_relu,  # its negative slope is 0.01 by default
    "identity": lambda z: z,
}
OUTPUT = HIDDEN | {"softmax": lambda z: torch.softmax(z, 1), "exponential": torch.exp}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Let PyTorch use one thread, which is faster for tiny networks. Restore the setting for other tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def torch_costs(net: naive.Net, z: Any, y: Any) -> Any:
    """Return the cost of each example of a batch from the last layer's weighted sums."""
    if net.cost == "cross_entropy" and net.activations[-1] == "softmax":
        return functional.cross_entropy(z, y, reduction="none")  # takes labels and distributions
    target = functional.one_hot(y, z.shape[1]).to(z.dtype) if y.ndim == 1 else y
    if net.cost == "cross_entropy":
        return functional.binary_cross_entropy_with_logits(z, target, reduction="none").sum(1)
    if net.cost == "poisson":  # PyTorch leaves out the terms without z
        constant = torch.special.xlogy(target, target) - target
        return (functional.poisson_nll_loss(z, target, reduction="none") + constant).sum(1)
    a = OUTPUT[net.activations[-1]](z)
    costs = {
        "squared_error": lambda: (a - target).square(),
        "half_squared_error": lambda: functional.mse_loss(a, target, reduction="none") / 2,
        "absolute_error": lambda: functional.l1_loss(a, target, reduction="none"),
        "huber": lambda: functional.huber_loss(a, target, reduction="none", delta=net.number),
        "quantile": lambda: torch.maximum(net.number * (target - a), (net.number - 1) * (target - a)),
    }
    return costs[net.cost]().sum(1)


def torch_optimizer(rule: naive.Rule, weights: list[Any], biases: list[Any]) -> Any:
    groups = [{"params": weights, "weight_decay": rule.weight_decay}, {"params": biases, "weight_decay": 0.0}]
    if rule.kind == "adam":
        return torch.optim.Adam(groups, betas=(rule.beta1, rule.beta2), eps=rule.epsilon)
    return torch.optim.SGD(groups, lr=0.1, momentum=rule.beta1, nesterov=rule.nesterov)


def set_rates(optimizer: Any, rule: naive.Rule, rate: float, number: int, weight: float) -> None:
    """Set the learning rate, and what stands for the rule's penalty and for its plain epsilon at update `number`."""
    for group in optimizer.param_groups:
        group["lr"] = rate
        if rule.plain_epsilon and rule.kind == "adam":
            group["eps"] = rule.epsilon / (1 - rule.beta2**number) ** 0.5
    optimizer.param_groups[0]["weight_decay"] = rule.weight_decay + rule.penalty / weight


def clip(parameters: list[Any], limit: float) -> None:
    """Clip by hand. clip_grad_norm_ divides by the norm plus 1e-6, an error larger than TOLERANCE in float64."""
    norm = torch.sqrt(sum(p.grad.square().sum() for p in parameters))
    if limit and norm > limit:
        for p in parameters:
            p.grad.mul_(limit / norm)


def problem(
    hidden: str, output: tuple[str, str], dtype: str, inputs: str, targets: str, weights: str
) -> tuple[kc.Case, kc.Array, kc.Array]:
    """Return a case, an order with a smaller last batch, and the rates."""
    k = kc.case((5, 7, 6, 3), hidden, output, ROWS, dtype, inputs, targets, 8, weights=weights)
    order = np.random.default_rng(9).integers(0, ROWS, STEPS * BATCH - 2)
    return k, order, 0.1 / (1 + 0.01 * np.arange(STEPS))


@functools.cache  # the result does not depend on the backend
def torch_training(
    hidden: str, output: tuple[str, str], rule: naive.Rule, dtype: str, inputs: str, targets: str, weighted: str
) -> tuple[kc.Array, float]:
    """Train with PyTorch and return the parameters and the summed cost."""
    k, order, rates = problem(hidden, output, dtype, inputs, targets, weighted)
    each = torch.from_numpy(k.weights if k.weights.size else np.ones(ROWS)).to(getattr(torch, dtype))
    x, y = torch.from_numpy(k.x), torch.from_numpy(k.y)
    x = x.to(getattr(torch, dtype)) / 255 if inputs == "bytes" else x
    weights, biases = [], []
    for n_in, n_out, _, at, biases_at in k.naive.layers():
        weights.append(torch.tensor(k.params[at:biases_at].reshape(n_out, n_in), requires_grad=True))
        biases.append(torch.tensor(k.params[biases_at : biases_at + n_out], requires_grad=True))
    optimizer, total = torch_optimizer(rule, weights, biases), 0.0
    for number, rate in enumerate(rates.tolist()):
        rows = torch.from_numpy(order[number * BATCH : (number + 1) * BATCH])
        z = functional.linear(x[rows], weights[0], biases[0])
        for w, b in zip(weights[1:], biases[1:], strict=True):
            z = functional.linear(HIDDEN[hidden](z), w, b)
        cost, weight = each[rows] @ torch_costs(k.naive, z, y[rows]), float(each[rows].sum())
        optimizer.zero_grad()
        (cost / weight).backward()
        clip(weights + biases, rule.clip_norm)
        set_rates(optimizer, rule, rate, number + 1, weight)
        optimizer.step()
        total += float(cost.detach())
    layers = zip(weights, biases, strict=True)
    return np.concatenate([p.detach().numpy().ravel() for layer in layers for p in layer]), total


def assert_same_training(
    backend: Any,
    hidden: str,
    output: tuple[str, str],
    rule: naive.Rule,
    dtype: str,
    inputs: str = "floats",
    targets: str = "vectors",
    weights: str = "none",
) -> None:
    expected, total = torch_training(hidden, output, rule, dtype, inputs, targets, weights)
    k, order, rates = problem(hidden, output, dtype, inputs, targets, weights)
    assert np.abs(expected - k.params).max() > 0.05  # the training moved the parameters
    found = bc.train(backend, k, order, BATCH, rule, rates)
    assert found.steps == STEPS
    cmp.assert_close(found.params, expected, TOLERANCE[dtype])
    assert found.cost == pytest.approx(total, rel=TOLERANCE[dtype])


@kc.pairs("backend", "rule", "extra", "dtype", "weights")
def test_every_optimizer_trains_like_torch(backend: Any, rule: str, extra: str, dtype: str, weights: str) -> None:
    optimizer = bc.rule(rule, extra)
    assert_same_training(backend, "tanh", ("softmax", "cross_entropy"), optimizer, dtype, weights=weights)


def test_adam_with_torch_s_defaults(backend: Any) -> None:
    """The test uses float64, because with an epsilon of 1e-8 float32 would be too inaccurate."""
    rule = naive.Rule("adam", 0.9, 0.999, 1e-8)
    assert_same_training(backend, "tanh", ("sigmoid", "squared_error"), rule, "float64")


@kc.pairs("backend", "hidden", "output", "dtype", "weights")
def test_every_activation_and_cost_trains_like_torch(
    backend: Any, hidden: str, output: tuple[str, str], dtype: str, weights: str
) -> None:
    rule = replace(kc.RULES["momentum"], beta1=0.5, weight_decay=0.01, clip_norm=0.5)
    assert_same_training(backend, hidden, output, rule, dtype, weights=weights)


@kc.pairs("backend", "dtype", "inputs", output=[*kc.OUTPUTS[:1], *kc.OUTPUTS[-3:]])
def test_bytes_and_labels_train_like_torch(backend: Any, output: tuple[str, str], inputs: str, dtype: str) -> None:
    assert_same_training(backend, "sigmoid", output, naive.Rule(), dtype, inputs, "labels")
