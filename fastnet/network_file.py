"""Writes and reads a network's settings and parameters as an .npz file, without pickle."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.data.arrays import read_npz, write_npz
from fastnet.data.files import atomic_write
from fastnet.errors import DataError
from fastnet.kernels import contract as c
from fastnet.text import reason, shown

FORMAT = "fastnet network 1"
SETTINGS = ("activation", "output", "cost")  # the names of Network's arguments


class Saved(NamedTuple):
    """The content of a file: the layers' widths, keyword arguments of Network, and the parameters (n_parameters,)."""

    sizes: tuple[int, ...]
    settings: dict[str, Any]
    parameters: NDArray[Any]


def write(
    path: str | os.PathLike[str], sizes: Sequence[int], settings: Mapping[str, object], parameters: NDArray[Any]
) -> None:
    """Write a network's file. An existing file is replaced only when the new file is complete.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    about = {"format": FORMAT, "sizes": sizes, **settings, "dtype": parameters.dtype.name}
    with atomic_write(path) as file:
        write_npz(file, about=np.array(json.dumps(about)), parameters=parameters)


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Saved]:
    """Read a network's file and yield its content. Build the network in the `with` block.

    Raises
    ------
    DataError
        The file is missing, is damaged or holds no network, or the block raised TypeError or ValueError.
    """
    arrays = read_npz(path)
    try:
        if absent := [name for name in ("about", "parameters") if name not in arrays]:
            raise ValueError(f"it has no array {' and no '.join(absent)}")
        about = json.loads(str(arrays["about"][()]))
        if not isinstance(about, dict) or not about.keys() >= {"format", "sizes", "dtype", *SETTINGS}:
            raise ValueError("its array 'about' does not describe a network")
        if about["format"] != FORMAT:
            raise ValueError(f"its format is {about['format']!r}, not {FORMAT!r}")
        sizes = checks.layer_sizes(about["sizes"])
        parameters, n_parameters = arrays["parameters"], c.count_parameters(sizes)
        if parameters.shape != (n_parameters,) or parameters.dtype != about["dtype"]:
            raise ValueError(
                f"it holds parameters {parameters.shape} {parameters.dtype}, not ({n_parameters},) {about['dtype']}"
            )
        yield Saved(sizes, {name: about[name] for name in SETTINGS}, parameters)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{shown(path)} is not a network that fastnet saved: {reason(error)}") from error
