"""The solver lbfgs: SciPy's L-BFGS-B over the gradient kernel."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from fastnet.backends.forward import share_forward
from fastnet.checks import kernel_rows
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Backend, Floats, Ints, SparseRows
from fastnet.network import Network
from fastnet.training.inputs import Examples


class Minimum(NamedTuple):
    """What the solver found. `problem` says why it stopped early, or is empty."""

    loss: float
    n_iterations: int
    problem: str


class Objective:
    """The loss over all examples as a function of the parameters in scikit-learn's order, and its gradient.

    scikit-learn's order is the weights of all layers, each as (n_in, n_out), then the biases of all layers. The
    function writes the parameters to the network.
    """

    def __init__(self, network: Network, kernels: Backend, examples: Examples, alpha: float, cost_divisor: int) -> None:
        self._kernels, self._layers, self._x = kernels, network.layers, kernel_rows(examples.x)
        self._parameters = network.kernel_parameters(trained=True)
        self._order = _packing_order(network)
        self._n_weights = network.n_parameters - sum(network.sizes[1:])
        self._alpha, self._cost_divisor = alpha, cost_divisor
        self._y, self._weights = examples.y, examples.weights
        x, weights = self._x, examples.weights
        self._smallest_cost = math.inf
        self._weight_sum = float(weights.sum()) if weights.size else len(x)
        self._gradient: Floats = c.aligned_empty(network.n_parameters, network.dtype)
        plan = c.plan(network.layers, len(x), 0, network.dtype.itemsize, sparse=isinstance(x, SparseRows))
        self._work = c.aligned_empty(plan.size, network.dtype)

    def start(self) -> NDArray[np.float64]:
        """Return the network's parameters in scikit-learn's order."""
        return self._parameters[self._order].astype(np.float64)

    def write(self, packed: NDArray[np.float64]) -> None:
        """Write parameters in scikit-learn's order to the network."""
        self._parameters[self._order] = packed

    def __call__(self, packed: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        self.write(packed)
        cost = self._kernels.gradient(
            self._layers, self._parameters, self._x, self._y, self._weights, self._gradient, self._work
        )
        gradient = self._gradient[self._order].astype(np.float64)
        w = packed[: self._n_weights]
        gradient[: self._n_weights] += self._alpha / self._weight_sum * w
        if cost > self._smallest_cost and self._layers[-1, c.ACTIVATION] == c.SIGMOID:
            cost = self._rounded_cost()
        self._smallest_cost = min(self._smallest_cost, cost)
        return cost / self._cost_divisor + 0.5 * self._alpha * float(w.dot(w)) / self._weight_sum, gradient

    def _rounded_cost(self) -> float:
        """Return the cross-entropy of sigmoid outputs as scikit-learn computes it, from 1 - a with a rounded a.

        After too long a step, many outputs are close to 1 where 0 is right, and the rounding error of 1 - a makes the
        cost differ from the kernel's by up to 1e-3. The solver computes the next step from this cost.
        """
        y, weights = self._y, self._weights
        a = np.empty(y.shape, self._parameters.dtype)
        share_forward(self._kernels, self._layers, self._parameters, self._x, out=a)
        smallest = np.finfo(a.dtype).eps
        costs = -y * np.log(np.maximum(a, smallest)) - (1 - y) * np.log(np.maximum(1 - a, smallest))
        return float(np.average(costs, axis=0, weights=weights if weights.size else None).sum())


def solve(objective: Objective, *, tol: float, max_iter: int, max_fun: int, verbose: bool) -> Minimum:
    """Minimise the objective. The network gets the parameters of the minimum."""
    done = 0

    def report(intermediate_result: Any) -> None:
        nonlocal done
        done += 1
        print(f"Iteration {done}, loss = {intermediate_result.fun:.8f}")

    found = minimize(
        objective,
        objective.start(),
        method="L-BFGS-B",
        jac=True,
        callback=report if verbose else None,
        options={"maxfun": max_fun, "maxiter": max_iter, "gtol": tol},
    )
    objective.write(found.x)
    n_iterations = min(int(found.nit), max_iter)
    problem = (
        "" if found.status == 0 else f"lbfgs failed to converge after {n_iterations} iteration(s) ({found.message})"
    )
    return Minimum(float(found.fun), n_iterations, problem)


def _packing_order(network: Network) -> Ints:
    """Return the place in `network.parameters` of each parameter in scikit-learn's order."""
    places = network.views(np.arange(network.n_parameters))
    return np.concatenate([w.T.ravel() for w in places.weights] + list(places.biases))
