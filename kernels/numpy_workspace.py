"""The arrays of the NumPy backend: the workspace of a call, cut into those of each layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.kernels.contract import Floats, Ints, Plan, Rows, SparseRows
from fastnet.kernels.numpy_sparse import Pieces, unpack
from fastnet.kernels.philox import Masks


class Layer:
    """A layer's parameters, and its arrays for the block of rows that is on its way through the network.

    Each column of `inputs` and of `a` is an example. The last column of the weights has the biases, and the last row of
    the inputs has ones. So one matrix product gives the weighted sums with the biases.
    """

    def __init__(self, code: int, below: Layer | None, weights: Floats, gradient: Floats, scratch: Floats) -> None:
        self.function = formulas.BY_CODE[code].function
        self.derivative = cast(formulas.Derivative, formulas.BY_CODE[code].derivative)  # every hidden layer has one
        self.below = below  # the layer whose activations are the inputs; None for the first layer
        self.weights = weights  # (n_out, n_in + 1)
        self.weights_t = weights[:, :-1].T  # (n_in, n_out)
        self.gradient = gradient  # (n_out, n_in + 1)
        self.scratch = scratch  # (n_out, n_in + 1)
        # The others wait for `lay_out`.
        self.inputs = weights[:0]  # (n_in + 1, rows)
        self.inputs_t = self.inputs.T  # (rows, n_in + 1)
        self.a = weights[:0]  # (n_out, rows): the activations, a view of the inputs of the next layer
        self.pieces: Pieces | None = None  # takes the place of the inputs where x is sparse and has many inputs
        self.masks: Masks | None = None  # with dropout
        self.masked_derivative: Floats | None = None  # (n_out, rows), with dropout: the derivative times the mask


class Workspace:
    """The workspace of a call, cut into arrays as `plan` says.

    Parameters, gradient and optimiser state are packed: a layer's weights and biases form one matrix.
    """

    def __init__(self, net: Ints, params: Floats, work: Floats, plan: Plan, x_dtype: Any, sparse: bool, slots: int = 0):
        self.net, self.work, self.nodes, self.x_dtype = net.tolist(), work, plan.nodes.tolist(), x_dtype
        self.max_rows = plan.rows  # of a block
        self.n_in, self.n_out = self.net[0][c.N_IN], self.net[-1][c.N_OUT]
        self.in_pieces = sparse and self.n_in > c.PIECE_INPUTS
        self.byte = np.full((), 1 / 255, work.dtype) if x_dtype == np.uint8 else None  # the input that a byte of 1 is
        n_params = sum(row[c.N_OUT] * (row[c.N_IN] + 1) for row in self.net)
        vectors = [work[k * plan.packed :][:n_params] for k in range(3 + slots)]
        self.params, self.gradient, self.scratch, *self.state = vectors
        self.layers: list[Layer] = []
        for row, *matrices in zip(self.net, *map(self.matrices, vectors[:3]), strict=True):
            self.layers.append(Layer(row[c.ACTIVATION], self.layers[-1] if self.layers else None, *matrices))
        self.pack(params, self.params)
        self.rows = 0  # of the block that the arrays are laid out for

    def matrices(self, packed: Floats) -> list[Floats]:
        """The matrix (n_out, n_in + 1) of each layer in a packed vector. For Pieces it is transposed in memory."""
        found, at = list[Floats](), 0
        for row in self.net:
            flat = packed[at : at + row[c.N_OUT] * (row[c.N_IN] + 1)]
            transposed = self.in_pieces and at == 0
            found.append(flat.reshape(-1, row[c.N_OUT]).T if transposed else flat.reshape(row[c.N_OUT], -1))
            at += len(flat)
        return found

    def pairs(self, flat: Floats, packed: Floats) -> Iterator[tuple[Floats, Floats]]:
        """Each layer's weights, then its biases: where they are in a flat vector, and where in a packed one."""
        for row, matrix in zip(self.net, self.matrices(packed), strict=True):
            n_in, n_out, w, b = row[c.N_IN], row[c.N_OUT], row[c.WEIGHTS], row[c.BIASES]
            yield flat[w : w + n_out * n_in].reshape(n_out, n_in), matrix[:, :-1]
            yield flat[b : b + n_out], matrix[:, -1]

    def pack(self, flat: Floats, packed: Floats) -> None:
        for source, target in self.pairs(flat, packed):
            target[...] = source

    def unpack(self, packed: Floats, flat: Floats) -> None:
        for target, source in self.pairs(flat, packed):
            target[...] = source

    def lay_out(self, rows: int) -> None:
        """Gives each layer its arrays for a block of so many rows."""

        def area(at: int, height: int) -> Floats:
            return self.work[at : at + height * rows].reshape(height, rows)

        top, n_in = self.nodes[0], 0 if self.in_pieces else self.n_in
        dense = area(top[c.SCRATCH_AT], c.PIECE_INPUTS if self.in_pieces else n_in).reshape(-1)
        inputs = area(top[c.ACTIVATIONS_AT], n_in + 1).reshape(rows, n_in + 1).T
        self.rows, self.inputs, self.features, self.ones = rows, inputs.T, inputs[:-1].T, inputs[-1]
        self.raw = dense.view(self.x_dtype)[: n_in * rows].reshape(rows, n_in)
        self.layers[0].pieces = Pieces(rows, dense, self.scratch) if self.in_pieces else None
        for layer, row, node in zip(self.layers, self.net, self.nodes[1:], strict=True):
            layer.inputs, layer.inputs_t = inputs, inputs.T
            inputs[-1] = 1
            inputs = area(node[c.ACTIVATIONS_AT], row[c.N_OUT] + 1)
            layer.a = inputs[:-1]
            layer.masks = Masks(row[c.DROP], row[c.DROP_KEY], row[c.N_OUT], rows) if row[c.DROP] else None

    def read(self, x: Rows, rows: Ints | slice, n: int) -> None:
        """Makes these n rows of x the inputs of the first layer."""
        if n != self.rows:
            self.lay_out(n)
        if isinstance(x, SparseRows):
            if (pieces := self.layers[0].pieces) is not None:
                pieces.read(x, rows)
            else:
                unpack(x, rows, self.features)
            return
        self.features[...] = x[rows] if isinstance(rows, slice) else x.take(rows, 0, self.raw, "clip")
        if self.byte is not None:  # the whole contiguous array takes a third of the time of all columns but the last
            np.multiply(self.inputs, self.byte, self.inputs)
            self.ones[...] = 1
