"""Writes and reads a network's settings and parameters as an NPZ or a safetensors file, without pickle.

Both formats hold the same description of the network as JSON text. An NPZ file holds all parameters in one array. A
safetensors file holds a tensor for the weights and one for the biases of each layer.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.architecture import Architecture
from fastnet.costs import with_number
from fastnet.data.arrays import npz_places, read_npz, write_npz
from fastnet.data.files import atomic_write, checked_path, reading
from fastnet.data.safetensors_files import (
    START,
    is_safetensors,
    read_safetensors,
    wants_safetensors,
    write_safetensors,
)
from fastnet.data.schema import Schema
from fastnet.errors import DataError
from fastnet.kernels import contract as c
from fastnet.text import listed, number, reason, shown

# For each format, the names of Network's arguments in the file. The last format is the one that `write` writes.
# A file of the first format has no task and no byte scale. Its network gets the task that its outputs imply. A file of
# the third format may have a schema.
SETTINGS = {
    "fastnet network 1": ("activation", "output", "cost"),
    "fastnet network 2": ("activation", "output", "cost", "cost_number", "task", "byte_scale"),
    "fastnet network 3": ("activation", "output", "cost", "cost_number", "task", "byte_scale"),
}
FORMAT = [*SETTINGS][-1]
ENSEMBLE = "fastnet ensemble 1"  # the format of a file of several networks
MAX_MEMBERS = 1000  # the table of contents of a file with more would be too long to be read
ABOUT, PARAMETERS = "about", "parameters"  # the arrays of an NPZ file: the description, and all parameters
METADATA = "fastnet"  # the key of the description in the metadata of a safetensors file
NOT_DESCRIBED = "its JSON text does not describe a network"


_EXPORTS = {".onnx": "to_onnx", ".c": "to_c"}  # the methods for formats that `load` does not read


class Saved(NamedTuple):
    """The content of a file."""

    sizes: tuple[int, ...]  # the layers' widths
    settings: dict[str, Any]  # keyword arguments of Network
    parameters: NDArray[Any]  # (n_parameters,)
    largest_input: float  # the largest absolute value of the floats that the network was trained on; 0 if unknown
    schema: Schema | None  # what the inputs and outputs mean, if known


def is_safetensors_name(path: str | os.PathLike[str]) -> bool:
    """Whether `write` writes a safetensors file at this path, not an NPZ file.

    Raises
    ------
    DataError
        The name is that of another format.
    MissingLibraryError
        The file is a safetensors file, and this machine lacks safetensors.
    """
    suffix = os.path.splitext(checked_path("path", path))[1].lower()
    if suffix in _EXPORTS:
        raise DataError(
            f"a network is not saved as {shown(path)}: give a name that ends in .npz or .safetensors, or use "
            f"Network.{_EXPORTS[suffix]}"
        )
    return wants_safetensors(path)


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
    DataError, MissingLibraryError
        The file cannot be written, or as `is_safetensors_name` says.
    """
    about = json.dumps(_described(network, parameters, largest_input, schema))
    as_safetensors = is_safetensors_name(path)
    with atomic_write(path) as file:
        if as_safetensors:
            write_safetensors(file, _tensors(network, parameters), {METADATA: about})
        else:
            write_npz(file, **_arrays(about, parameters))


def arrays_of(
    network: Architecture, parameters: NDArray[Any], largest_input: float, schema: Schema | None
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a network's NPZ file by name."""
    return _arrays(json.dumps(_described(network, parameters, largest_input, schema)), parameters)


def write_ensemble(path: str | os.PathLike[str], members: Sequence[dict[str, NDArray[Any]]]) -> None:
    """Write the file of several networks. An existing file is replaced only when the new file is complete.

    Parameters
    ----------
    path : path
        The file.
    members : sequence of dict
        What `arrays_of` returns for each network.

    Raises
    ------
    DataError
        The file cannot be written, or its name is that of another format.
    """
    suffix = os.path.splitext(checked_path("path", path))[1].lower()
    if suffix in (*_EXPORTS, ".safetensors"):
        other = ", or use Ensemble.to_onnx" if suffix == ".onnx" else ""
        raise DataError(f"an ensemble is not saved as {shown(path)}: give a name that ends in .npz{other}")
    about = json.dumps({"format": ENSEMBLE, "members": len(members)})
    arrays = {_member(k, name): array for k, one in enumerate(members) for name, array in one.items()}
    with atomic_write(path) as file:
        write_npz(file, **{ABOUT: np.array(about)}, **arrays)


def _member(k: int, name: str) -> str:
    """Return the name that an array of network k has in the file of an ensemble."""
    return f"member_{k}.{name}"


def holds_ensemble(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is that of an ensemble, not of one network. The file may be damaged.

    Raises
    ------
    DataError
        The file is missing, or is a damaged zip file.
    """
    checked_path("path", path)
    with reading(path) as (file, _):
        start = file.read(START)
    return start[:2] == b"PK" and _member(0, ABOUT) in npz_places(path)


def _arrays(about: str, parameters: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {ABOUT: np.array(about), PARAMETERS: parameters}


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Saved]:
    """Read a network's file and yield its content. Build the network in the `with` block.

    The content of the file, not its name, says whether it is an NPZ or a safetensors file.

    Raises
    ------
    DataError
        The file is missing, is damaged or holds no network, or the block raised TypeError or ValueError.
    MissingLibraryError
        The file is a safetensors file, and this machine lacks safetensors.
    """
    checked_path("path", path)
    with _refused(path, "a network", "Network.save or fastnet train --save"):
        yield _saved(*_read(path))


@contextlib.contextmanager
def opened_ensemble(path: str | os.PathLike[str]) -> Iterator[list[Saved]]:
    """Read the file of an ensemble and yield the content of each network. Build the ensemble in the `with` block.

    Raises
    ------
    DataError
        The file is missing, is damaged or holds no ensemble, or the block raised TypeError or ValueError.
    """
    checked_path("path", path)
    with _refused(path, "an ensemble", "Ensemble.save"):
        if not holds_ensemble(path):
            _read(path)
            raise DataError(f"{shown(path)} is a single network: read it with fastnet.Network.load")
        arrays = read_npz(path)
        if ABOUT not in arrays:
            raise ValueError(f"it has no array {ABOUT}")
        about = json.loads(str(arrays[ABOUT][()]))
        if not isinstance(about, dict) or about.get("format") != ENSEMBLE:
            raise ValueError(f"its format is not {ENSEMBLE!r}")
        n = checks.whole_number("members", about.get("members"), 1, MAX_MEMBERS)
        for name in (_member(k, name) for k in range(n) for name in (ABOUT, PARAMETERS)):
            if name not in arrays:
                raise ValueError(f"it has no array {name}")
        parts = ({name: arrays[_member(k, name)] for name in (ABOUT, PARAMETERS)} for k in range(n))
        yield [_saved(str(part[ABOUT][()]), part) for part in parts]


@contextlib.contextmanager
def _refused(path: str | os.PathLike[str], what: str, writers: str) -> Iterator[None]:
    """Say of a file whose content is wrong what it is not, and what writes one."""
    try:
        yield
    except DataError:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(
            f"{shown(path)} is not {what} that fastnet saved: {reason(error)}; give a file that {writers} wrote"
        ) from error


def _saved(text: str, arrays: dict[str, NDArray[Any]]) -> Saved:
    """Return what a description and arrays say about a network. Raises TypeError or ValueError where they are wrong."""
    about = json.loads(text)
    if not isinstance(about, dict) or "format" not in about:
        raise ValueError(NOT_DESCRIBED)
    if about["format"] not in [*SETTINGS]:
        raise ValueError(f"its format is {about['format']!r}, not {FORMAT!r}")
    names = SETTINGS[about["format"]]
    if not about.keys() >= {"sizes", "dtype", *names}:
        raise ValueError(NOT_DESCRIBED)
    sizes = checks.layer_sizes(about["sizes"])
    settings = {name: about[name] for name in names}
    hidden = checks.hidden_activations(settings["activation"], len(sizes) - 2)
    parameters = _vector(arrays, sizes, (*hidden, settings["output"]))
    n_parameters = c.count_parameters(sizes)
    if parameters.shape != (n_parameters,) or parameters.dtype != about["dtype"]:
        raise ValueError(
            f"it holds parameters {parameters.shape} {parameters.dtype}, not ({n_parameters},) {about['dtype']}"
        )
    settings["cost"] = with_number(settings["cost"], settings.pop("cost_number", None))
    largest_input = checks.number("largest_input", about.get("largest_input", 0), minimum=0)
    schema = about.get("schema")
    return Saved(sizes, settings, parameters, largest_input, None if schema is None else Schema.from_dict(schema))


def _read(path: str | os.PathLike[str]) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return the description of the network in a file, and the arrays of the file. Raises ValueError without both."""
    with reading(path) as (file, _):
        start = file.read(START)
    if start[:2] == b"PK":  # an NPZ file is a zip file
        arrays = read_npz(path)
        if _member(0, ABOUT) in arrays:
            raise DataError(f"{shown(path)} is an ensemble of several networks: read it with fastnet.Ensemble.load")
        if absent := [name for name in (ABOUT, PARAMETERS) if name not in arrays]:
            raise ValueError(f"it has no array {' and no '.join(absent)}")
        return str(arrays[ABOUT][()]), arrays
    if not is_safetensors(start):
        raise ValueError("it is neither an NPZ file nor a safetensors file")
    metadata, arrays = read_safetensors(path)
    if METADATA not in metadata:
        raise DataError(
            f"{shown(path)} says nothing about its network, such as the activations: load its tensors into a "
            "torch.nn.Sequential, and give that to Network.from_torch"
        )
    return metadata[METADATA], arrays


def _described(
    network: Architecture, parameters: NDArray[Any], largest_input: float, schema: Schema | None
) -> dict[str, Any]:
    """Return what a file says about a network, as values that JSON can hold."""
    *hidden, output = network.activations_by_layer
    return {
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


def _tensor_names(activations: Sequence[object]) -> list[tuple[str, str]]:
    """Return the names of each layer's weights and biases in a `torch.nn.Sequential` of Linear and activation modules.

    The names begin with the position of the Linear module. The activation "identity" has no module.
    """
    names, position = [], 0
    for activation in activations:
        names.append((f"{position}.weight", f"{position}.bias"))
        position += 1 if activation == "identity" else 2
    return names


def _tensors(network: Architecture, parameters: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return views of the parameters by the names of a safetensors file."""
    weights, biases = network.views(parameters)
    names = _tensor_names(network.activations_by_layer)
    layers = zip(names, zip(weights, biases, strict=True), strict=True)
    return {name: array for pair, arrays in layers for name, array in zip(pair, arrays, strict=True)}


def _vector(arrays: dict[str, NDArray[Any]], sizes: Sequence[int], activations: Sequence[object]) -> NDArray[Any]:
    """Return the parameters of all layers in one array. Raises ValueError if the tensors do not fit the sizes."""
    if ABOUT in arrays:  # an NPZ file
        return arrays[PARAMETERS]
    shapes: dict[str, tuple[int, ...]] = {}
    for (weight, bias), n_in, n_out in zip(_tensor_names(activations), sizes, sizes[1:], strict=False):
        shapes |= {weight: (n_out, n_in), bias: (n_out,)}
    if arrays.keys() != shapes.keys():
        raise ValueError(f"it holds the tensors {listed(sorted(arrays))}, not {listed(shapes)}")
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"its tensor {name} has shape {arrays[name].shape}, not {shape}")
    if len({tensor.dtype for tensor in arrays.values()}) > 1:
        raise ValueError("its tensors have different dtypes")
    return np.concatenate([arrays[name].ravel() for name in shapes])
