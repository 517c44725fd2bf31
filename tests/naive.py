"""The scalar-loop oracle: a network and its optimisers, one example and one neuron at a time, slow on purpose.

The oracle imports neither NumPy nor fastnet, so it shares no error with a kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from naive_optimizers import Rule as Rule
from naive_optimizers import update as update

# A vector of parameters has the layers one after another: first a layer's weights (n_out, n_in), row by row, then its
# biases.
Vector = list[float]


@dataclass(frozen=True)
class Net:
    sizes: Sequence[int]  # the input's width, then each layer's
    activations: Sequence[str]  # the activation of each layer
    cost: str
    number: float = math.inf  # of the cost: the delta of huber, the q of quantile, or the limit of cross_entropy
    task: str = "classification"  # or "regression", "multilabel"
    # (threshold, key of the generator) of dropout for each hidden layer; empty without dropout
    drops: Sequence[tuple[int, int]] = ()

    def layers(self) -> list[tuple[int, int, str, int, int]]:
        """Return (n_in, n_out, activation, offset of the weights, offset of the biases) of each layer."""
        found, at = [], 0
        for n_in, n_out, activation in zip(self.sizes, self.sizes[1:], self.activations, strict=False):
            found.append((n_in, n_out, activation, at, at + n_in * n_out))
            at += n_in * n_out + n_out
        return found

    def is_weight(self) -> list[bool]:
        """Return a bool for each parameter: True for a weight, False for a bias."""
        kinds: list[bool] = []
        for n_in, n_out, _, _, _ in self.layers():
            kinds += [True] * (n_in * n_out) + [False] * n_out
        return kinds


def sigmoid(z: float) -> float:
    """1 / (1 + e^-z), without overflow for any finite z."""
    if z >= 0:
        return 1 / (1 + math.exp(-z))
    return math.exp(z) / (1 + math.exp(z))


def log_sigmoid(z: float) -> float:
    """log(sigmoid(z)), which stays finite where the sigmoid underflows."""
    return -math.log1p(math.exp(-z)) if z >= 0 else z - math.log1p(math.exp(z))


def log_softmax(z: Vector) -> Vector:
    top = max(z)
    log_sum = top + math.log(math.fsum(math.exp(value - top) for value in z))
    return [value - log_sum for value in z]


def activate(name: str, z: Vector) -> Vector:
    if name == "softmax":
        return [math.exp(value) for value in log_softmax(z)]
    scalar = {
        "sigmoid": sigmoid,
        "tanh": math.tanh,
        "relu": lambda v: max(v, 0.0),
        "leaky_relu": lambda v: v if v > 0 else 0.01 * v,
        "identity": lambda v: v,
        "exponential": math.exp,
    }[name]
    return [scalar(value) for value in z]


def derivative(name: str, z: float) -> float:
    """The derivative of an elementwise activation."""
    if name == "sigmoid":
        return sigmoid(z) * sigmoid(-z)
    if name == "tanh":
        tail = math.exp(-2 * abs(z))
        return 4 * tail / (1 + tail) ** 2  # 1 / cosh(z)^2
    if name == "relu":
        return 1.0 if z > 0 else 0.0
    if name == "leaky_relu":
        return 1.0 if z > 0 else 0.01
    if name == "identity":
        return 1.0
    if name == "exponential":
        return math.exp(z)
    raise ValueError(name)


# -- dropout ---------------------------------------------------------------------------------------------


def philox(counter: Sequence[int], key: Sequence[int]) -> list[int]:
    """Philox4x32-10 (Salmon et al. 2011): four 32-bit random numbers from a counter of four words and a key of two."""
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [second >> 32 ^ c[1] ^ k[0], second % 2**32, first >> 32 ^ c[3] ^ k[1], first % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def factors(net: Net, rows: int, update: int) -> list[list[Vector]]:
    """Return dropout's factors of the activations in an update, for each row of the batch and each hidden layer."""
    found = []
    for row in range(rows):
        layers = []
        for width, (threshold, key) in zip(net.sizes[1:-1], net.drops, strict=True):
            layer: Vector = []
            for j in range(width):
                word = philox((j // 4, row, update % 2**32, update // 2**32), (key % 2**32, key // 2**32 % 2**32))[
                    j % 4
                ]
                layer.append(0.0 if word < threshold else 1 / (1 - threshold / 2**32))
            layers.append(layer)
        found.append(layers)
    return found


def forward(
    net: Net, params: Sequence[float], x: Sequence[float], kept: Sequence[Vector] | None = None
) -> tuple[list[Vector], list[Vector]]:
    """Return the weighted sums z of every layer, and the activations. The first activations are the inputs.

    `kept` has dropout's factors of each hidden layer's activations.
    """
    sums: list[Vector] = []
    activations: list[Vector] = [list(x)]
    for n_in, n_out, name, weights, biases in net.layers():
        below = activations[-1]
        z = []
        for j in range(n_out):
            total = params[biases + j]
            for i in range(n_in):
                total += params[weights + j * n_in + i] * below[i]
            z.append(total)
        sums.append(z)
        activations.append(activate(name, z))
        if kept is not None and len(sums) <= len(kept):
            activations[-1] = [a * factor for a, factor in zip(activations[-1], kept[len(sums) - 1], strict=True)]
    return sums, activations


def predict(net: Net, params: Sequence[float], xs: Sequence[Sequence[float]]) -> list[Vector]:
    return [forward(net, params, x)[1][-1] for x in xs]


def output_cost(cost: str, number: float, a: float, target: float) -> float:
    """The cost of one output, for a cost that is a sum over the outputs."""
    error = a - target
    if cost == "squared_error":
        return error**2
    if cost == "half_squared_error":
        return error**2 / 2
    if cost == "absolute_error":
        return abs(error)
    if cost == "huber":
        return error**2 / 2 if abs(error) <= number else number * (abs(error) - number / 2)
    if cost == "quantile":
        return (1 - number) * error if error > 0 else -number * error
    raise ValueError(cost)


def output_cost_derivative(cost: str, number: float, a: float, target: float) -> float:
    """The derivative of output_cost with respect to the output, and 0 at a kink where the output equals the target."""
    error = a - target
    if cost == "squared_error":
        return 2 * error
    if cost == "half_squared_error":
        return error
    if cost == "huber":
        return error if abs(error) <= number else math.copysign(number, error)
    if cost in ("absolute_error", "quantile"):
        above, below = (1.0, -1.0) if cost == "absolute_error" else (1 - number, -number)
        return above if error > 0 else below if error < 0 else 0.0
    raise ValueError(cost)


def kinks(net: Net) -> list[float]:
    """The distances between output and target at which the derivative of the cost jumps or bends."""
    return {"absolute_error": [0.0], "quantile": [0.0], "huber": [net.number]}.get(net.cost, [])


def example_cost(net: Net, z: Vector, a: Vector, target: Sequence[float]) -> float:
    """The cost of one example, from the last layer's weighted sums and activations."""
    if net.cost == "poisson":  # 0 log 0 is 0
        return math.fsum(
            a_j - t_j + (t_j * (math.log(t_j) - z_j) if t_j else 0.0)
            for z_j, a_j, t_j in zip(z, a, target, strict=True)
        )
    if net.cost != "cross_entropy":
        return math.fsum(output_cost(net.cost, net.number, a_j, t_j) for a_j, t_j in zip(a, target, strict=True))
    if net.activations[-1] == "softmax":
        return math.fsum(t_j * min(-log_p, net.number) for t_j, log_p in zip(target, log_softmax(z), strict=True))
    if net.activations[-1] == "sigmoid":
        return math.fsum(
            t_j * min(-log_sigmoid(z_j), net.number) + (1 - t_j) * min(-log_sigmoid(-z_j), net.number)
            for t_j, z_j in zip(target, z, strict=True)
        )
    raise ValueError((net.activations[-1], net.cost))


def output_delta(net: Net, z: Vector, a: Vector, target: Sequence[float]) -> Vector:
    """The derivative of one example's cost with respect to each of the last layer's weighted sums.

    The derivative of cross_entropy ignores its limit.
    """
    n, name = len(z), net.activations[-1]
    delta = []
    if net.cost == "poisson":
        return [a[k] - target[k] for k in range(n)]
    if net.cost != "cross_entropy":
        by_output = [output_cost_derivative(net.cost, net.number, a[j], target[j]) for j in range(n)]
        for k in range(n):
            if name == "softmax":  # every output depends on every sum: da_j/dz_k = a_j ([j = k] - a_k)
                delta.append(math.fsum(by_output[j] * a[j] * ((j == k) - a[k]) for j in range(n)))
            else:
                delta.append(by_output[k] * derivative(name, z[k]))
        return delta
    for k in range(n):
        if name == "softmax":  # d(log p_j)/dz_k = [j = k] - p_k
            delta.append(-math.fsum(target[j] * ((j == k) - a[k]) for j in range(n)))
        else:  # d(log s(z))/dz = s(-z), d(log s(-z))/dz = -s(z)
            delta.append((1 - target[k]) * sigmoid(z[k]) - target[k] * sigmoid(-z[k]))
    return delta


def mean_cost(
    net: Net,
    params: Sequence[float],
    xs: Sequence[Sequence[float]],
    targets: Sequence[Sequence[float]],
    kept: Sequence[Sequence[Vector]] | None = None,
    weights: Sequence[float] | None = None,
) -> float:
    """The mean cost over the examples. None stands for weights of 1.

    `kept` has an entry for each example: the argument `kept` of forward.
    """
    weights = weights or [1.0] * len(xs)
    costs = []
    for row, (x, target) in enumerate(zip(xs, targets, strict=True)):
        sums, activations = forward(net, params, x, kept[row] if kept else None)
        costs.append(weights[row] * example_cost(net, sums[-1], activations[-1], target))
    return math.fsum(costs) / math.fsum(weights)


def gradient(
    net: Net,
    params: Sequence[float],
    xs: Sequence[Sequence[float]],
    targets: Sequence[Sequence[float]],
    kept: Sequence[Sequence[Vector]] | None = None,
    weights: Sequence[float] | None = None,
) -> tuple[float, Vector]:
    """The mean cost over the examples and its gradient, by the chain rule. Both are 0 if the weights sum to 0.

    `kept` and `weights` are the same as in mean_cost.
    """
    each = weights or [1.0] * len(xs)
    layers = net.layers()
    grad = [0.0] * len(params)
    costs = []
    for row, (x, target) in enumerate(zip(xs, targets, strict=True)):
        sums, activations = forward(net, params, x, kept[row] if kept else None)
        costs.append(each[row] * example_cost(net, sums[-1], activations[-1], target))
        delta = [each[row] * value for value in output_delta(net, sums[-1], activations[-1], target)]
        for level in reversed(range(len(layers))):
            n_in, n_out, _, weights, biases = layers[level]
            below = activations[level]
            for j in range(n_out):
                grad[biases + j] += delta[j]
                for i in range(n_in):
                    grad[weights + j * n_in + i] += delta[j] * below[i]
            if level > 0:
                name, z = net.activations[level - 1], sums[level - 1]
                back = []
                for i in range(n_in):
                    felt = 0.0
                    for j in range(n_out):
                        felt += params[weights + j * n_in + i] * delta[j]
                    factor = kept[row][level - 1][i] if kept else 1.0
                    back.append(felt * factor * derivative(name, z[i]))
                delta = back
    total = math.fsum(each) or math.inf
    return math.fsum(costs) / total, [value / total for value in grad]


# -- the meaning of data --------------------------------------------------------------------------------------


def numbers_of_bytes(row: Sequence[int], scale: float) -> Vector:
    """Return the inputs for a row of bytes: each byte times the network's scale."""
    return [byte * scale for byte in row]


def target_of(label: int, n_out: int) -> Vector:
    """Return the targets of a class label: 1 for the class, 0 for all others."""
    return [1.0 if j == label else 0.0 for j in range(n_out)]


def first_largest(values: Sequence[float]) -> int:
    best = 0
    for j in range(1, len(values)):
        if values[j] > values[best]:
            best = j
    return best


def class_of(sums: Sequence[float]) -> int:
    """Return the class of an example from the last layer's weighted sums."""
    return int(sums[0] >= 0) if len(sums) == 1 else first_largest(sums)


def correct(sums: Sequence[float], target: Sequence[float]) -> bool:
    """Return whether an example with these weighted sums of the last layer is classified right."""
    return class_of(sums) == (int(target[0] >= 0.5) if len(target) == 1 else first_largest(target))


# -- the report of a batch ----------------------------------------------------------------------------------------


def right_labels(sums: Sequence[float], target: Sequence[float]) -> int:
    """Return how many labels of a multilabel example are predicted correctly."""
    return sum((z >= 0) == (t >= 0.5) for z, t in zip(sums, target, strict=True))


def report(
    net: Net,
    params: Sequence[float],
    xs: Sequence[Sequence[float]],
    targets: Sequence[Sequence[float]],
    kept: Sequence[Sequence[Vector]] | None = None,
    weights: Sequence[float] | None = None,
    penalty: float = 0.0,
) -> Vector:
    """Return the report of a batch: the summed cost, the summed weights, the penalty, the score and the right labels.

    `kept` and `weights` are the same as in mean_cost. `penalty` is that of the rule.
    """
    weights = weights or [1.0] * len(xs)
    cost = score = labels = 0.0
    for row, (x, target) in enumerate(zip(xs, targets, strict=True)):
        sums, activations = forward(net, params, x, kept[row] if kept else None)
        z, a, weight = sums[-1], activations[-1], weights[row]
        cost += weight * example_cost(net, z, a, target)
        if net.task == "classification":
            score += weight * correct(z, target)
        elif net.task == "regression":
            score += weight * math.fsum((a_j - t_j) ** 2 for a_j, t_j in zip(a, target, strict=True))
        else:
            right = right_labels(z, target)
            score += weight * (right == len(z))
            labels += weight * right
    squares = math.fsum(w * w for w, is_weight in zip(params, net.is_weight(), strict=True) if is_weight)
    return [cost, math.fsum(weights), penalty / 2 * squares, score, labels]
