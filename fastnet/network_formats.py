"""The files and formats of a network, as methods of Network. Not here: the formats themselves."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from fastnet.architecture import Architecture, Floats


class NetworkFormats(Architecture):
    """The part of a network that files and other libraries see. `Network` adds the computation."""

    _buffer: Floats
    _largest_input: float

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to an .npz file, without pickle. An existing file stays until the new one is complete.

        Raises DataError if the file cannot be written.
        """
        from fastnet import network_file  # imported here, since it imports fastnet.data, a lazy package

        network_file.write(path, self, self._buffer, self._largest_input, self.schema)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the network that `save` wrote.

        On a subclass, `load` returns an object of the subclass. As with pickle, its `__init__` is not called. Raises
        DataError if the file is missing or damaged, or was not written by `save`.
        """
        from fastnet import network_file

        with network_file.opened(path) as saved:
            network = cls._made(saved.sizes, saved.parameters, saved.settings, saved.largest_input)
            network.schema = saved.schema
        return network

    def to_onnx(self, path: str | os.PathLike[str], *, x_dtype: DTypeLike | None = None) -> None:
        """Write the network as an ONNX file (opset 17). An existing file stays until the new one is complete.

        The input `x` has any number of rows. The outputs have the dtype of the network:

        - Classification: `probabilities` (n, n_out), and `labels`, int64 (n,).
        - Multilabel: `probabilities` (n, n_out), and `labels`, int64 (n, n_out), of 0 and 1.
        - Regression: `values` (n, n_out).

        They are what `forward` and `predict` return. The metadata of the file hold the task, the cost and the schema.

        Parameters
        ----------
        path : str or os.PathLike
            The file.
        x_dtype : str or dtype, optional
            The dtype of the input: "float32", "float64" or "uint8". A byte v stands for v * byte_scale. None: the dtype
            of the network.

        Raises
        ------
        FastnetError
            The package onnx is missing (extra `onnx`).
        DataError
            The file cannot be written.
        ValueError
            x_dtype is another dtype, or the parameters take 2 GiB or more.

        Examples
        --------
        >>> import fastnet
        >>> fastnet.Network([4, 8, 3], seed=0).to_onnx("iris.onnx")
        """
        from fastnet.export import onnx_graph  # imported here, so that `import fastnet` stays light

        onnx_graph.write_network(path, self, self._buffer, x_dtype)
        if x_dtype is not None:
            self.warn_of_bytes(np.empty(0, x_dtype))

    def warn_of_bytes(self, *forms: object) -> None:
        """Warn once of bytes, if the network was trained on much larger floats."""
        raise NotImplementedError

    @classmethod
    def _made(
        cls, sizes: tuple[int, ...], parameters: Floats, settings: dict[str, Any], largest_input: float = 0.0
    ) -> Self:
        """Return a network with these parameters (n_parameters,). `settings` are keyword arguments of Network.

        `largest_input` is the largest absolute value of the floats that it was trained on; 0 if unknown.
        """
        raise NotImplementedError
