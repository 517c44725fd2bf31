"""The files and formats of a network, as methods of Network. Not here: the formats themselves."""

from __future__ import annotations

import os
from typing import Any, Self

from fastnet.architecture import Architecture, Floats


class NetworkFormats(Architecture):
    """The part of a network that files and other libraries see. `Network` adds the computation."""

    _buffer: Floats
    _largest_input: float

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a file, without pickle. An existing file stays until the new one is complete.

        A name that ends in .safetensors gives a safetensors file (the extra `safetensors`). Its tensors have the names
        and shapes of the state of a `torch.nn.Sequential`. Any other name gives an NPZ file. docs/network-file.md
        describes both.

        Parameters
        ----------
        path : path
            The file.

        Raises
        ------
        DataError
            The file cannot be written.
        FastnetError
            The name ends in .safetensors, and this machine lacks safetensors.
        """
        from fastnet import network_file  # imported here, since it imports fastnet.data, a lazy package

        network_file.write(path, self, self._buffer, self._largest_input, self.schema)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the network that `save` wrote. The content of the file says which format it has.

        On a subclass, `load` returns an object of the subclass. As with pickle, its `__init__` is not called.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        Network
            The network, with the same bits in its parameters.

        Raises
        ------
        DataError
            The file is missing or damaged, or was not written by `save`.
        FastnetError
            The file is a safetensors file, and this machine lacks safetensors.
        """
        from fastnet import network_file

        with network_file.opened(path) as saved:
            network = cls._made(saved.sizes, saved.parameters, saved.settings, saved.largest_input)
            network.schema = saved.schema
        return network

    @classmethod
    def _made(
        cls, sizes: tuple[int, ...], parameters: Floats, settings: dict[str, Any], largest_input: float = 0.0
    ) -> Self:
        """Return a network with these parameters (n_parameters,). `settings` are keyword arguments of Network.

        `largest_input` is the largest absolute value of the floats that it was trained on; 0 if unknown.
        """
        raise NotImplementedError
