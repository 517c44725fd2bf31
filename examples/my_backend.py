"""A backend of your own in one file of plain NumPy, compared with fastnet's own NumPy backend.

Run: python examples/my_backend.py (a second)
"""

# fastnet.kernels.contract describes the arguments of each function of a backend. This backend is kept simple: it
# allocates, ignores the workspace, computes a batch as a whole and has no dropout. After `import my_backend`, fastnet
# accepts its name: Trainer(..., backend="mine"), use_backend("mine"), FASTNET_BACKEND=mine.

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import fastnet
from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.kernels.contract import Floats, Ints, PreparedPredict, Rows, TrainCall


def dense(net: Ints, x: Rows, rows: Ints, dtype: np.dtype[Any]) -> Floats:
    """Returns the chosen rows of x as floats. Bytes are multiplied by the network's scale. Sparse rows become dense."""
    if not isinstance(x, c.SparseRows):
        return np.multiply(x[rows], c.number(net[0, c.BYTE_SCALE]) if x.dtype == np.uint8 else 1, dtype=dtype)
    found = np.zeros((len(rows), x.n_in), dtype)
    for line, row in zip(found, rows, strict=True):
        entries = slice(x.starts[row], x.starts[row + 1])
        line[x.indices[entries]] = x.values[entries]
    return found


def views(layer: Ints, vector: Floats) -> tuple[Floats, Floats]:
    """Returns the weights (n_out, n_in) and biases (n_out, 1) of a layer, as views of a vector of parameters."""
    n_in, n_out, w, b = layer[[c.N_IN, c.N_OUT, c.WEIGHTS, c.BIASES]]
    return vector[w : w + n_out * n_in].reshape(n_out, n_in), vector[b : b + n_out, None]


@np.errstate(all="ignore")  # no warnings of NumPy: fastnet checks the cost and reports infinite numbers
def forward(net: Ints, params: Floats, x: Floats) -> tuple[list[Floats], Floats]:
    """Returns the inputs and each layer's activations, all (neurons, examples), and the last layer's weighted sums."""
    activations = [x.T]
    for layer in net:
        weights, biases = views(layer, params)
        z = weights @ activations[-1] + biases
        activations.append(formulas.BY_CODE[layer[c.ACTIVATION]].function(z))
    return activations, z


@np.errstate(all="ignore")
def backward(net: Ints, params: Floats, x: Floats, y: Any, weights: Floats) -> tuple[formulas.Sums, Floats]:
    """Returns what a report needs, and the gradient of the mean cost. Each example has a weight."""
    activations, z = forward(net, params, x)
    target = formulas.targets(y, np.empty_like(z))
    pair = formulas.pair_of(net)  # the formulas of output and cost
    error, total = activations[-1] - target, weights.sum()
    score, labels = (np.zeros(1) if part is None else part for part in formulas.scores(net[-1, c.TASK], z, error, y))
    cost = pair.cost(z, target, error, weights.astype(z.dtype))
    sums = formulas.Sums(cost, total, (weights * score).sum(), (weights * labels).sum())
    share = (weights / total if total else weights).astype(z.dtype)
    delta = pair.delta(activations[-1], error) * share  # the derivative of the mean cost with respect to z
    gradient = np.empty_like(params)
    for level in reversed(range(len(net))):
        below, (weights, biases) = activations[level], views(net[level], gradient)
        weights[...], biases[...] = delta @ below.T, delta.sum(axis=1, keepdims=True)
        if level:
            derivative = formulas.BY_CODE[net[level - 1, c.ACTIVATION]].derivative
            assert derivative is not None  # only a softmax has none, and no hidden layer has a softmax
            delta = views(net[level], params)[0].T @ delta * derivative(below)
    return sums, gradient


@np.errstate(all="ignore")
def update(
    net: Ints, params: Floats, grad: Floats, state: Floats, o: list[float], decay: float, rate: float, t: int
) -> None:
    """Makes update number t of the parameters, by gradient descent, momentum or Adam: see formulas.UPDATES."""
    if (norm := float(np.linalg.norm(grad.astype(np.float64)))) > o[c.CLIP_NORM] > 0:
        grad *= o[c.CLIP_NORM] / norm
    for layer in net:
        views(layer, grad)[0][...] += decay * views(layer, params)[0]
    if o[c.KIND] == c.MOMENTUM:
        state[0] = o[c.BETA1] * state[0] + grad
        grad = grad + o[c.BETA1] * state[0] if o[c.NESTEROV] else state[0]
    elif o[c.KIND] == c.ADAM:
        state[0] += (1 - o[c.BETA1]) * (grad - state[0])
        state[1] += (1 - o[c.BETA2]) * (grad**2 - state[1])
        mean, root = state[0] / (1 - o[c.BETA1] ** t), (1 - o[c.BETA2] ** t) ** 0.5
        epsilon = o[c.EPSILON] / root if o[c.PLAIN_EPSILON] else o[c.EPSILON]
        grad = mean / (np.sqrt(state[1]) / root + epsilon)
    params -= rate * grad


class MyBackend:
    """The functions and constants that every backend must have."""

    MAX_THREADS = 1  # the largest number of threads that share a call of train
    COMPRESSION_PAYS = False  # sparse rows are not faster here

    def predict(self, net: Ints, params: Floats, x: Rows, out: Floats, work: Floats) -> None:
        """Write the outputs of x to `out`."""
        out[...] = forward(net, params, dense(net, x, np.arange(len(x)), out.dtype))[0][-1].T

    def predictor(self, net: Ints, params: Floats, rows: int, x_dtype: np.dtype[Any], work: Floats) -> PreparedPredict:
        """Returns a function that predicts with the current parameters."""
        now = params.copy()
        return lambda x, out: self.predict(net, now, x, out, work)

    def gradient(
        self, net: Ints, params: Floats, x: Rows, y: Any, weights: Floats, grad: Floats, work: Floats
    ) -> float:
        """Write the gradient to `grad`, and return the mean cost."""
        inputs = dense(net, x, np.arange(len(x)), params.dtype)
        sums, grad[...] = backward(net, params, inputs, y, weights if weights.size else np.ones(len(x)))
        return sums.cost / sums.weight

    def train(self, call: TrainCall) -> float:
        """Make an update for each batch of the order, and return the summed cost of the batches."""
        net, params, o = call.net, call.params, call.optimizer.tolist()
        each = call.weights if call.weights.size else np.ones(len(call.x))
        if net[:, c.DROP].any():
            raise NotImplementedError("my_backend.py has no dropout: train without it, or choose another backend")
        call.progress[c.STEPS] = 0
        batches = c.batches(len(call.order), call.batch_size, call.epoch_rows)
        for k, (batch, rate) in enumerate(
            zip(batches, call.rates.tolist(), strict=True)
        ):  # floats do not widen float32
            rows = call.order[batch]
            inputs = dense(net, call.x, rows, params.dtype)
            sums, gradient = backward(net, params, inputs, call.y[rows], each[rows])
            if call.progress[c.STOP] or not np.isfinite(sums.cost):
                break
            squares = sum(float((views(layer, params)[0].astype(np.float64) ** 2).sum()) for layer in net)
            call.report[k] = sums.cost, sums.weight, o[c.PENALTY] / 2 * squares, sums.score, sums.labels
            decay = o[c.WEIGHT_DECAY] + (o[c.PENALTY] / sums.weight if sums.weight else 0)
            update(net, params, gradient, call.state, o, decay, rate, call.step + k + 1)
            call.progress[c.STEPS] = k + 1
        return float(call.report[: call.progress[c.STEPS], c.COST_SUM].sum())

    compress = staticmethod(fastnet.backends.get("numpy").compress)  # the NumPy backend's function, unchanged


fastnet.backends.register("mine", MyBackend())


def agreement(mine: Floats, reference: Floats) -> str:
    return f"up to {abs(reference).max():.2g}, largest difference {abs(mine - reference).max():.1e}"


def main() -> None:
    data = fastnet.data.load("mnist-5k")
    x, y = data.x_train, data.y_train
    start = fastnet.Network([784, 16, 16, 10], activation="sigmoid", cost="squared_error", seed=0)
    print("gradient:", agreement(start.gradient(x, y, backend="mine"), start.gradient(x, y, backend="numpy")))
    trained = {}
    for name in ("mine", "numpy"):
        trained[name] = start.copy()
        settings: dict[str, Any] = {"learning_rate": 1.5, "batch_size": 10, "backend": name, "seed": 0}
        trainer = fastnet.Trainer(trained[name], optimizer="sgd", **settings)
        epoch = trainer.fit(x, y, epochs=1).epochs[-1]
        print(f"{name:5}: one epoch in {epoch.seconds:.3f} s, cost {epoch.cost:.6f}, accuracy {epoch.accuracy:.2%}")
    print("parameters:", agreement(trained["mine"].parameters, trained["numpy"].parameters))


if __name__ == "__main__":
    try:
        main()
    except fastnet.FastnetError as error:  # the data set is missing: the message says what to do
        sys.exit(str(error))
