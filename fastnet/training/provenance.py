"""What a run was made with: the software, the machine, the backend and the data, as records for files."""

from __future__ import annotations

import datetime
import os
import platform
from typing import Any

import numpy as np

from fastnet import backends
from fastnet.backends.threads import usable_cores
from fastnet.data import Dataset
from fastnet.training.hashing import hash_of
from fastnet.version import __version__

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def now() -> str:
    """Return the date and time of this place, such as 2026-03-01T12:00:00+01:00."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def software() -> dict[str, str]:
    """Return the versions that a training depends on. `describe_backend` adds that of the kernels."""
    return {"fastnet": __version__, "numpy": np.__version__, "python": platform.python_version()}


def hardware() -> dict[str, Any]:
    """Return the processor and the number of its cores."""
    from fastnet.backends import machine  # imported here: only a run that is written needs it

    return {"processor": machine.processor(), "cores": os.cpu_count()}


def describe_machine() -> dict[str, Any]:
    """Return the machine, and how many of its cores this process may use."""
    return {**hardware(), "usable_cores": usable_cores(), "system": platform.platform()}


def describe_backend(choice: backends.Choice) -> dict[str, str]:
    """Return the backend, the version and the instruction set of its kernels, and why it was chosen."""
    found = backends.describe(choice.name)
    return {
        "name": choice.name,
        "reason": choice.reason,
        "version": found.version,
        "instruction_set": found.instruction_set,
    }


def describe_data(data: Dataset) -> dict[str, Any]:
    """Return the shapes and dtypes of a data set's arrays, and a hash of everything that a training reads.

    The hash covers the names of the inputs and classes, and the shapes, dtypes and bytes of the arrays. Of a
    `LargeDataset` it covers the sample in its arrays, and the numbers of rows.

    Examples
    --------
    >>> import fastnet
    >>> describe_data(fastnet.data.load("digits"))["x_train"]
    'uint8 (1438, 64)'
    """
    shapes = {name: f"{(array := getattr(data, name)).dtype} {array.shape}" for name in ARRAYS}
    shapes |= {"train": f"{data.n_train} rows", "test": f"{data.n_test} rows"}
    names = repr((shapes, data.feature_names, data.class_names, data.task))
    return {"hash": hash_of(*(getattr(data, name) for name in ARRAYS), text=names).hex(), **shapes}
