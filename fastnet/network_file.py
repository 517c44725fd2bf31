"""Writes and reads a network's settings and parameters as an .npz file, without pickle."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.architecture import Architecture
from fastnet.costs import with_number
from fastnet.data.arrays import read_npz, write_npz
from fastnet.data.files import atomic_write, reading
from fastnet.data.schema import Schema
from fastnet.errors import DataError
from fastnet.kernels import contract as c
from fastnet.text import number, reason, shown

# For each format, the names of Network's arguments in the file. The last format is the one that `write` writes.
# A file of the first format has no task and no byte scale. Its network gets the task that its outputs imply. A file of
# the third format may have a schema.
SETTINGS = {
    "fastnet network 1": ("activation", "output", "cost"),
    "fastnet network 2": ("activation", "output", "cost", "cost_number", "task", "byte_scale"),
    "fastnet network 3": ("activation", "output", "cost", "cost_number", "task", "byte_scale"),
}
FORMAT = [*SETTINGS][-1]


class Saved(NamedTuple):
    """The content of a file."""

    sizes: tuple[int, ...]  # the layers' widths
    settings: dict[str, Any]  # keyword arguments of Network
    parameters: NDArray[Any]  # (n_parameters,)
    largest_input: float  # the largest absolute value of the floats that the network was trained on; 0 if unknown
    schema: Schema | None  # what the inputs and outputs mean, if known


def arrays_of(
    network: Architecture, parameters: NDArray[Any], largest_input: float, schema: Schema | None
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a network's file by name."""
    *hidden, output = network.activations_by_layer
    about = {
        "format": FORMAT,
        "sizes": network.sizes,
        "activation": hidden,
        "output": output,
        "cost": network.cost_name,
        "cost_number": number(network.cost_number),  # null for infinity, a default
        "task": network.task,
        "byte_scale": network.byte_scale,
        "dtype": parameters.dtype.name,
        "largest_input": largest_input,
        "schema": None if schema is None else schema.to_dict(),
    }
    return {"about": np.array(json.dumps(about)), "parameters": parameters}


def write(
    path: str | os.PathLike[str],
    network: Architecture,
    parameters: NDArray[Any],
    largest_input: float,
    schema: Schema | None,
) -> None:
    """Write a network's file. An existing file is replaced only when the new file is complete.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    arrays = arrays_of(network, parameters, largest_input, schema)
    with atomic_write(path) as file:
        write_npz(file, **arrays)


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Saved]:
    """Read a network's file and yield its content. Build the network in the `with` block.

    Raises
    ------
    DataError
        The file is missing, is damaged or holds no network, or the block raised TypeError or ValueError.
    """
    with reading(path) as (file, _):
        is_zip = file.read(2) == b"PK"  # an NPZ file is a zip file
    arrays = read_npz(path) if is_zip else {}
    try:
        if not is_zip:
            raise ValueError("it is not an NPZ file")
        if absent := [name for name in ("about", "parameters") if name not in arrays]:
            raise ValueError(f"it has no array {' and no '.join(absent)}")
        about = json.loads(str(arrays["about"][()]))
        if not isinstance(about, dict) or "format" not in about:
            raise ValueError("its array 'about' does not describe a network")
        if about["format"] not in [*SETTINGS]:
            raise ValueError(f"its format is {about['format']!r}, not {FORMAT!r}")
        names = SETTINGS[about["format"]]
        if not about.keys() >= {"sizes", "dtype", *names}:
            raise ValueError("its array 'about' does not describe a network")
        sizes = checks.layer_sizes(about["sizes"])
        parameters, n_parameters = arrays["parameters"], c.count_parameters(sizes)
        if parameters.shape != (n_parameters,) or parameters.dtype != about["dtype"]:
            raise ValueError(
                f"it holds parameters {parameters.shape} {parameters.dtype}, not ({n_parameters},) {about['dtype']}"
            )
        settings = {name: about[name] for name in names}
        settings["cost"] = with_number(settings["cost"], settings.pop("cost_number", None))
        largest_input = checks.number("largest_input", about.get("largest_input", 0), minimum=0)
        schema = about.get("schema")
        yield Saved(sizes, settings, parameters, largest_input, None if schema is None else Schema.from_dict(schema))
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(
            f"{shown(path)} is not a network that fastnet saved: {reason(error)}; give a file that Network.save or "
            "fastnet train --save wrote"
        ) from error
