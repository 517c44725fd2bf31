"""The arrays of the NumPy backend: the workspace of a call, cut into the arrays of each layer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

import numpy as np

from fastnet.kernels import contract as c
from fastnet.kernels import formulas, philox
from fastnet.kernels.contract import Floats, Ints, Rows, SparseRows
from fastnet.kernels.numpy_sparse import Pieces, unpack


class Layer:
    """A layer's parameters, and its arrays for a block of rows.

    Each column of `inputs` and of `a` is an example. The last column of the weights holds the biases, and the last row
    of the inputs holds ones. So one matrix product computes the weighted sums with the biases.
    """

    # `Workspace.lay_out` sets these three.
    inputs: Floats  # (n_in + 1, rows)
    inputs_t: Floats  # (rows, n_in + 1)
    a: Floats  # (n_out, rows): the activations, a view of the inputs of the next layer

    def __init__(self, code: int, below: Layer | None, weights: Floats, gradient: Floats, scratch: Floats) -> None:
        self.function = formulas.BY_CODE[code].function
        self.derivative = cast(formulas.Derivative, formulas.BY_CODE[code].derivative)  # not None in hidden layers
        self.below = below  # the layer whose activations are the inputs; None for the first layer
        self.weights = weights  # (n_out, n_in + 1)
        self.weights_t = weights[:, :-1].T  # (n_in, n_out)
        self.gradient = gradient  # (n_out, n_in + 1)
        self.scratch = scratch  # (n_out, n_in + 1)
        self.pieces: Pieces | None = None  # replaces the inputs if x is sparse and has many inputs
        self.masks: Iterator[Floats] | None = None  # with dropout: the masks (n_out, rows) of the next blocks
        self.masked_derivative: Floats | None = None  # with dropout: the derivative times the mask, (n_out, rows)


class Workspace:
    """The workspace of a call, cut into arrays as contract.Plan says.

    Parameters, gradient and optimiser state are packed: the weights and biases of a layer form one matrix.
    """

    def __init__(self, net: Ints, params: Floats, work: Floats, rows: int, x: Rows, slots: int = 0) -> None:
        """Pack the parameters. A batch has at most `rows` rows of x; the optimiser has `slots` rows of state."""
        sparse = isinstance(x, SparseRows)
        plan = c.plan(net, rows, slots, params.itemsize, sparse=sparse)
        self.net, self.work, self.nodes, self.x_dtype = net.tolist(), work, plan.nodes.tolist(), x.dtype
        self.max_rows = plan.rows  # of a block
        self.n_in, self.n_out = self.net[0][c.N_IN], self.net[-1][c.N_OUT]
        self.in_pieces = sparse and self.n_in > c.PIECE_INPUTS
        # Arrays of shape (), for the reason given at formulas.ONE. A byte b stands for the input b * byte_scale.
        scale = c.number(self.net[0][c.BYTE_SCALE])
        self.byte_scale = np.full((), scale, work.dtype) if x.dtype == np.uint8 else None
        self.factor = np.empty((), work.dtype)  # multiplies the gradient
        n_params = params.size
        vectors = [work[k * plan.packed :][:n_params] for k in range(3 + slots)]
        self.params, self.gradient, self.scratch, *self.state = vectors
        self.layers: list[Layer] = []
        for row, *matrices in zip(self.net, *map(self.matrices, vectors[:3]), strict=True):
            self.layers.append(Layer(row[c.ACTIVATION], self.layers[-1] if self.layers else None, *matrices))
        self.pack(params, self.params)
        self.rows = 0  # of a block in the current layout of the arrays

    def matrices(self, packed: Floats) -> list[Floats]:
        """Views of a packed vector: the matrix (n_out, n_in + 1) of each layer.

        If `Pieces` is in use, the matrix of the first layer is a transposed view. The weights of one input are then
        contiguous.
        """
        found, at = list[Floats](), 0
        for row in self.net:
            flat = packed[at : at + row[c.N_OUT] * (row[c.N_IN] + 1)]
            transposed = self.in_pieces and at == 0
            found.append(flat.reshape(-1, row[c.N_OUT]).T if transposed else flat.reshape(row[c.N_OUT], -1))
            at += len(flat)
        return found

    def pairs(self, flat: Floats, packed: Floats) -> Iterator[tuple[Floats, Floats]]:
        """Yields pairs of views (flat, packed): one pair for the weights and one for the biases of each layer."""
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
        """Gives each layer its arrays for blocks of `rows` rows, unless the arrays have this size already."""
        if rows == self.rows:
            return
        self.rows = rows
        self._lay_out_examples(rows)
        inputs = self.examples.T
        for layer, row, node in zip(self.layers, self.net, self.nodes[1:], strict=True):
            layer.inputs, layer.inputs_t = inputs, inputs.T
            inputs = self._area(node[c.ACTIVATIONS_AT], (row[c.N_OUT] + 1, rows))
            inputs[-1] = 1
            layer.a = inputs[:-1]

    def _lay_out_examples(self, rows: int) -> None:
        """Makes the arrays that `read` fills. Each row of `examples` is an example, with a 1 at its end."""
        at, scratch_at = self.nodes[0][c.ACTIVATIONS_AT], self.nodes[0][c.SCRATCH_AT]
        n_in = self.n_in
        if self.in_pieces:
            self.layers[0].pieces = Pieces(rows, self._area(scratch_at, (rows * c.PIECE_INPUTS,)), self.scratch)
            n_in = 0  # `examples` is not used
        self.examples = self._area(at, (rows, n_in + 1))
        self.features, self.ones = self.examples[:, :-1], self.examples[:, -1]
        self.ones.fill(1)
        # Rows of x in the dtype of x, contiguous as `take` needs them. Bytes use a part of the area only.
        self.raw = self._area(scratch_at, (rows * n_in,)).view(self.x_dtype)[: rows * n_in].reshape(rows, n_in)

    def _area(self, at: int, shape: tuple[int, ...]) -> Floats:
        return self.work[at : at + math.prod(shape)].reshape(shape)

    def set_masks(self, updates: range, place: int) -> None:
        """Gives each layer with dropout the masks of the next blocks, one block for each of the updates.

        place: the place of a block's first row in its batch.
        """
        for layer, row in zip(self.layers, self.net, strict=True):
            if row[c.DROP]:
                shape = row[c.N_OUT], self.rows
                layer.masks = philox.masks(row[c.DROP], row[c.DROP_KEY], shape, updates, place, self.work.dtype)

    def read(self, x: Rows, rows: Ints | slice) -> None:
        """Makes these rows of x the inputs of the first layer. Call `lay_out` first."""
        if isinstance(x, SparseRows):
            if (pieces := self.layers[0].pieces) is not None:
                pieces.read(x, rows)
            else:
                unpack(x, rows, self.features)
            return
        # "clip" saves a copy: in its default mode "raise", `take` buffers the output. All row numbers are valid.
        self.features[...] = x[rows] if isinstance(rows, slice) else x.take(rows, 0, self.raw, "clip")
        if self.byte_scale is not None:
            # The ones are multiplied too: `features` alone is not contiguous and would take three times as long.
            np.multiply(self.examples, self.byte_scale, self.examples)
            self.ones.fill(1)
