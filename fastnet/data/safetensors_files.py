"""Reads and writes safetensors files with the library safetensors, which is imported only when such a file is used."""

from __future__ import annotations

import json
from typing import BinaryIO

from fastnet.data.arrays import Array
from fastnet.data.files import PathLike, checked_path, reading
from fastnet.errors import DataError, require_extra
from fastnet.text import reason, shown

SUFFIX = ".safetensors"
_LENGTH = 8  # bytes at the start of a file that hold the length of its header, little-endian
START = _LENGTH + 1  # bytes that tell whether a file is of this format


def is_safetensors(start: bytes) -> bool:
    """Whether a file that begins with these `START` bytes is a safetensors file: its header is a JSON object."""
    return start[_LENGTH:] == b"{"


def wants_safetensors(path: PathLike) -> bool:
    """Whether a path names a safetensors file to write. Raises MissingLibraryError if the library is missing then."""
    wanted = checked_path("path", path).lower().endswith(SUFFIX)
    if wanted:
        _require(path)
    return wanted


def _require(path: PathLike) -> None:
    require_extra("safetensors.numpy", f"{shown(path)} is a safetensors file, which needs safetensors", "safetensors")


def read_safetensors(path: PathLike) -> tuple[dict[str, str], dict[str, Array]]:
    """Read the metadata and the tensors of a safetensors file.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    metadata : dict of str to str
        The texts of the header's `__metadata__`; {} if it has none.
    tensors : dict of str to array
        The tensors by name, read-only.

    Raises
    ------
    DataError
        The file cannot be read, is not a valid safetensors file, or has a tensor of a dtype that NumPy lacks.
    MissingLibraryError
        This machine lacks safetensors.
    """
    _require(path)
    from safetensors import SafetensorError
    from safetensors.numpy import load

    with reading(path) as (file, _):
        content = file.read()
        try:
            tensors = load(content)  # checks the header first: its length, the shapes, and that no two tensors overlap
        except KeyError as error:
            raise DataError(f"{shown(path)} has a tensor of type {error.args[0]!a:.20}: save it as float32") from error
        except SafetensorError as error:
            raise DataError(
                f"{shown(path)} is not a valid safetensors file ({reason(error)}): get a fresh copy"
            ) from error
        header = json.loads(content[_LENGTH : _LENGTH + int.from_bytes(content[:_LENGTH], "little")])
    return header.get("__metadata__") or {}, tensors


def write_safetensors(file: BinaryIO, tensors: dict[str, Array], metadata: dict[str, str]) -> None:
    """Write C-contiguous tensors and the metadata. Call `wants_safetensors` before the file is opened."""
    from safetensors.numpy import save

    file.write(save(tensors, metadata))
