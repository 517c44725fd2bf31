"""A backend of one's own in one file: all that fastnet asks of one, in plain NumPy, held to fastnet's own.

Run: python examples/my_backend.py (a second). It prints how far its gradient and its parameters after an epoch are from
those of backend="numpy", and what an epoch took. After `import my_backend` a program can name it as any other:
Trainer(..., backend="mine"), use_backend("mine"), FASTNET_BACKEND=mine.

fastnet.kernels.contract says what each function is given. This one is written to be read: it allocates as it goes,
leaves the workspace alone, sees a batch as a whole, however large, and has no dropout.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import fastnet
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Floats, Ints, Predictor, Rows, TrainCall

# For each activation: a of the weighted sums z, and d cost / d z of a and g = d cost / d a.
ACTIVATIONS: dict[int, Any] = {
    c.SIGMOID: (lambda z: 1 / (1 + np.exp(-z)), lambda a, g: g * a * (1 - a)),
    c.RELU: (lambda z: np.maximum(z, 0), lambda a, g: g * (a > 0)),
    c.TANH: (np.tanh, lambda a, g: g * (1 - a * a)),
    c.LEAKY_RELU: (lambda z: np.maximum(z, c.LEAKY_SLOPE * z), lambda a, g: g * np.maximum(np.sign(a), c.LEAKY_SLOPE)),
    c.IDENTITY: (lambda z: z, lambda a, g: g),
    c.SOFTMAX: (
        lambda z: np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True)),
        lambda a, g: a * (g - (g * a).sum(axis=1, keepdims=True)),
    ),
}


def dense(x: Rows, rows: Ints, dtype: np.dtype[Any]) -> Floats:
    """Those rows of x as numbers: bytes stand for value / 255; sparse rows get their zeros back."""
    if not isinstance(x, c.SparseRows):
        return np.divide(x[rows], 255 if x.dtype == np.uint8 else 1, dtype=dtype)
    found = np.zeros((len(rows), x.n_in), dtype)
    for line, row in zip(found, rows, strict=True):
        entries = slice(x.starts[row], x.starts[row + 1])
        line[x.indices[entries]] = x.values[entries]
    return found


def views(layer: Ints, flat: Floats) -> tuple[Floats, Floats]:
    """The weights (n_out, n_in) and biases (n_out,) of a layer in a flat vector."""
    n_in, n_out, w, b = layer[[c.N_IN, c.N_OUT, c.WEIGHTS, c.BIASES]]
    return flat[w : w + n_out * n_in].reshape(n_out, n_in), flat[b : b + n_out]


@np.errstate(all="ignore")  # what is too large for a number is told by fastnet, from the cost
def forward(net: Ints, params: Floats, x: Floats) -> tuple[list[Floats], Floats]:
    """The inputs and every layer's activations, and the last layer's weighted sums."""
    activations = [x]
    for layer in net:
        weights, biases = views(layer, params)
        z = activations[-1] @ weights.T + biases
        activations.append(ACTIVATIONS[layer[c.ACTIVATION]][0](z))
    return activations, z


@np.errstate(all="ignore")
def passes(net: Ints, params: Floats, x: Floats, y: Any) -> tuple[float, Floats, int]:
    """The mean cost, its gradient, and how many examples are classified right."""
    activations, z = forward(net, params, x)
    a, last = activations[-1], net[-1]
    target = y if y.ndim == 2 else np.eye(a.shape[1], dtype=a.dtype)[y]
    if last[c.COST] == c.SQUARED_ERROR:
        cost, delta = ((a - target) ** 2).sum(), ACTIVATIONS[last[c.ACTIVATION]][1](a, 2 * (a - target))
    elif last[c.ACTIVATION] == c.SOFTMAX:  # the logarithms from z, since a may have rounded to 0
        cost, delta = (target * (np.logaddexp.reduce(z, axis=1, keepdims=True) - z)).sum(), a - target
    else:
        cost, delta = (np.logaddexp(0, z) - target * z).sum(), a - target
    gradient = np.empty_like(params)
    delta /= len(x)
    for level in reversed(range(len(net))):
        below, (weights, biases) = activations[level], views(net[level], gradient)
        weights[...], biases[...] = delta.T @ below, delta.sum(axis=0)
        if level:
            delta = ACTIVATIONS[net[level - 1, c.ACTIVATION]][1](below, delta @ views(net[level], params)[0])
    same = (z >= 0) == (target >= 0.5) if z.shape[1] == 1 else z.argmax(axis=1) == target.argmax(axis=1)
    return float(cost) / len(x), gradient, int(np.count_nonzero(same))


@np.errstate(all="ignore")
def update(net: Ints, params: Floats, grad: Floats, state: Floats, o: list[float], rate: float, count: int) -> None:
    """One step of the optimiser, the count-th: gradient descent, momentum or Adam."""
    if (norm := float(np.linalg.norm(grad.astype(np.float64)))) > o[c.CLIP_NORM] > 0:
        grad *= o[c.CLIP_NORM] / norm
    for layer in net:
        views(layer, grad)[0][...] += o[c.WEIGHT_DECAY] * views(layer, params)[0]
    if o[c.KIND] == c.MOMENTUM:
        state[0] = o[c.BETA1] * state[0] + grad
        grad = grad + o[c.BETA1] * state[0] if o[c.NESTEROV] else state[0]
    elif o[c.KIND] == c.ADAM:
        state[0] += (1 - o[c.BETA1]) * (grad - state[0])
        state[1] += (1 - o[c.BETA2]) * (grad**2 - state[1])
        mean, square = state[0] / (1 - o[c.BETA1] ** count), state[1] / (1 - o[c.BETA2] ** count)
        grad = mean / (np.sqrt(square) + o[c.EPSILON])
    params -= rate * grad


class MyBackend:
    """The contract: what fastnet looks for in a backend, in these words."""

    MAX_THREADS = 1  # threads that share a call of train
    COMPRESSION_PAYS = False  # sparse rows are no quicker here

    def predict(self, net: Ints, params: Floats, x: Rows, out: Floats, work: Floats) -> None:
        out[...] = forward(net, params, dense(x, np.arange(len(x)), out.dtype))[0][-1]

    def predictor(self, net: Ints, params: Floats, rows: int, x_dtype: np.dtype[Any], work: Floats) -> Predictor:
        now = params.copy()
        return lambda x, out: self.predict(net, now, x, out, work)

    def gradient(self, net: Ints, params: Floats, x: Rows, y: Any, grad: Floats, work: Floats) -> float:
        cost, grad[...], _ = passes(net, params, dense(x, np.arange(len(x)), params.dtype), y)
        return cost

    def train(self, call: TrainCall) -> float:
        net, params, batch_size, progress = call.net, call.params, call.batch_size, call.progress
        if net[:, c.DROP].any():
            raise NotImplementedError("my_backend.py has no dropout: train without it, or choose another backend")
        total, progress[c.STEPS], progress[c.CORRECT] = 0.0, 0, 0
        for k, rate in enumerate(call.rates.tolist()):  # Python's floats: NumPy's would make float32 float64
            rows = call.order[k * batch_size : (k + 1) * batch_size]
            cost, gradient, right = passes(net, params, dense(call.x, rows, params.dtype), call.y[rows])
            if progress[c.STOP] or not np.isfinite(cost):
                break
            update(net, params, gradient, call.state, call.optimizer.tolist(), rate, call.step + k + 1)
            progress[c.STEPS], progress[c.CORRECT] = k + 1, progress[c.CORRECT] + right
            total += cost * len(rows)
        return total

    compress = staticmethod(fastnet.backends.get("numpy").compress)  # what one would not write again is borrowed


fastnet.backends.register("mine", MyBackend())


def agreement(mine: Floats, reference: Floats) -> str:
    return f"up to {abs(reference).max():.2g}, largest difference {abs(mine - reference).max():.1e}"


def main() -> None:
    data = fastnet.data.load("mnist-5k")
    x, y = data.x_train, data.y_train
    start = fastnet.Network([784, 16, 16, 10], seed=0)
    print("gradient:", agreement(start.gradient(x, y, backend="mine"), start.gradient(x, y, backend="numpy")))
    trained = {}
    for name in ("mine", "numpy"):
        trained[name] = start.copy()
        trainer = fastnet.Trainer(trained[name], learning_rate=1.5, batch_size=10, backend=name, seed=0)
        epoch = trainer.fit(x, y).epochs[-1]
        print(f"{name:5}: one epoch in {epoch.seconds:.3f} s, cost {epoch.cost:.6f}, accuracy {epoch.accuracy:.2%}")
    print("parameters:", agreement(trained["mine"].parameters, trained["numpy"].parameters))


if __name__ == "__main__":
    try:
        main()
    except fastnet.FastnetError as error:  # no data set: the message says what to do
        sys.exit(str(error))
