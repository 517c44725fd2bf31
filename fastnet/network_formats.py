"""The files and formats of a network, as methods of Network. Not here: the formats themselves."""

from __future__ import annotations

import os
from typing import Any, Self

from numpy.typing import NDArray

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

    def saved_arrays(self, parameters: Floats) -> dict[str, NDArray[Any]]:
        """Return the arrays of the file that `save` would write if the network had these parameters."""
        from fastnet import network_file

        return network_file.arrays_of(self, parameters, self._largest_input, self.schema)

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

    @classmethod
    def _made(
        cls, sizes: tuple[int, ...], parameters: Floats, settings: dict[str, Any], largest_input: float = 0.0
    ) -> Self:
        """Return a network with these parameters (n_parameters,). `settings` are keyword arguments of Network.

        `largest_input` is the largest absolute value of the floats that it was trained on; 0 if unknown.
        """
        raise NotImplementedError
