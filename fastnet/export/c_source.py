"""A network as the source of one C99 file that needs math.h and nothing else."""

from __future__ import annotations

import itertools
import os
import re
import string
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.architecture import Architecture, Floats
from fastnet.backends.engine import choose
from fastnet.data.files import atomic_write
from fastnet.export import c_template
from fastnet.kernels import contract as c
from fastnet.version import __version__

PER_LINE = 8  # numbers
PLAIN = frozenset(string.ascii_letters + string.digits + " _.,:;=+()<>%#!&|'[]{}-")  # not * / and ?, for the comments
N_TESTED = 4  # rows of numbers in the self-test, and as many of bytes
TOLERANCE = {"float32": 1e-3, "float64": 1e-9}  # of the self-test: a wrong weight or activation changes more


def to_c(network: Architecture, parameters: Floats, path: str | os.PathLike[str] | None, name: str) -> str:
    """Return the source of the C file, and write it to `path` unless that is None.

    Raises
    ------
    ValueError
        `name` is not a name of C, or a parameter is not finite.
    DataError
        The file cannot be written.
    """
    if not isinstance(name, str) or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name):
        raise ValueError(f"name must be a letter, and then letters, digits and _, such as 'digits', not {name!r}")
    rows, byte_rows, outputs = _tests(network, parameters)
    if not np.isfinite(parameters).all() or np.isnan(outputs).any():
        raise ValueError(
            "a parameter of the network is not finite, or too large: train it with a smaller learning rate"
        )
    schema, real = network.schema, "float" if parameters.dtype == np.float32 else "double"
    names = schema.class_names if schema is not None else ()
    words: dict[str, Any] = {
        "version": __version__,
        "name": name,
        "NAME": name.upper(),
        "real": real,
        "f": "f" if real == "float" else "",
        "n_in": network.sizes[0],
        "n_out": network.sizes[-1],
        "max_width": max(network.sizes[1:-1], default=0),
        "byte_scale": _number(network.byte_scale, parameters.dtype),
        "leaky_slope": _number(c.LEAKY_SLOPE, parameters.dtype),
        "tolerance": _number(TOLERANCE[parameters.dtype.name], parameters.dtype),
        "n_tested": N_TESTED,
        "n_names": len(names),
        "class_names": ",\n        ".join(map(quoted, names)),
    }

    def filled(template: str, **more: str) -> str:
        return string.Template(template).substitute(words, **more)

    def array(kind: str, which: str, numbers: NDArray[Any]) -> str:
        return f"static const {kind} {name}_{which}[{numbers.size}] = {{\n{_listed(numbers)}\n}};\n"

    layers = zip(*network.views(parameters), strict=True)
    arrays = [array(real, f"w{k}", w.T) + array(real, f"b{k}", b) for k, (w, b) in enumerate(layers, 1)]
    used = [activation for activation in dict.fromkeys(network.activations_by_layer) if activation != "identity"]
    bodies = {activation: filled(c_template.BODIES[activation]) for activation in used}
    text = filled(
        c_template.FILE,
        about="\n".join(_about(network, names)),
        use=filled(c_template.PREDICT_USE[network.task]),
        declarations=filled(c_template.PREDICT_DECLARATIONS[network.task])
        + (filled(c_template.CLASS_NAME_DECLARATION) if names else ""),
        parameters="".join(arrays),
        activations="".join(filled(c_template.ACTIVATION, activation=key, body=bodies[key]) for key in used),
        layers="\n".join(_calls(network, name, real)),
        output=_activated(network.activations_by_layer[-1], name, "out", network.sizes[-1]),
        predict=filled(c_template.PREDICT[network.task]),
        class_name=filled(c_template.CLASS_NAME) if names else "",
        test_arrays=array(real, "test_x", rows)
        + array("unsigned char", "test_bytes", byte_rows)
        + array(real, "test_out", outputs),
    )
    if path is not None:
        with atomic_write(path) as file:
            file.write(text.encode("ascii"))
    return text


def quoted(text: str) -> str:
    """Return a text as a C string that may also stand in a comment: in UTF-8, other than plain characters in octal."""
    letters = (chr(byte) for byte in text.encode("utf-8", "surrogatepass"))
    return '"' + "".join(letter if letter in PLAIN else f"\\{ord(letter):03o}" for letter in letters) + '"'


def _about(network: Architecture, names: Iterable[str]) -> Iterator[str]:
    """Yield the lines of the comment that describe the network, its inputs and its outputs."""
    yield f" * Network: {network.description()}"
    yield f" * Task: {network.task}"
    inputs = network.schema.feature_names if network.schema is not None else ()
    yield from (f" * x[{k}] is {quoted(name)}" for k, name in enumerate(inputs))
    yield from (
        f" * {'Class' if network.is_classifier else 'Label'} {k} is {quoted(name)}" for k, name in enumerate(names)
    )


def _calls(network: Architecture, name: str, real: str) -> Iterator[str]:
    """Yield the lines that compute the weighted sums of the output layer. Layers write to two arrays in turns."""
    arrays = ("a", "b")[: len(network.sizes) - 2]
    if arrays:
        yield f"    {real} " + ", ".join(f"{key}[{name.upper()}_MAX_WIDTH]" for key in arrays) + ";"
    source = "x, bytes"
    for k, (n_in, n_out) in enumerate(itertools.pairwise(network.sizes), 1):
        is_last = k == len(network.sizes) - 1
        target = "sums" if is_last else arrays[(k - 1) % 2]
        yield f"    {name}_layer({source}, {n_in}, {name}_w{k}, {name}_b{k}, {target}, {n_out});"
        if not is_last:
            yield from _activated(network.activations_by_layer[k - 1], name, target, n_out).splitlines()
        source = f"{target}, 0"


def _activated(activation: str, name: str, array: str, n: int) -> str:
    """Return the line that applies an activation to an array, or "" for identity."""
    return f"    {name}_{activation}({array}, {n});\n" if activation != "identity" else ""


def _tests(network: Architecture, parameters: Floats) -> tuple[Floats, NDArray[np.uint8], Floats]:
    """Return rows of numbers, rows of bytes that stand for about 0 to 1, and the outputs for both."""
    rng, shape, engine = np.random.default_rng(0), (N_TESTED, network.sizes[0]), choose("numpy")
    rows = (rng.integers(-16, 17, shape) / 16).astype(parameters.dtype)  # so the numbers are short
    byte_rows = rng.integers(0, int(np.clip(1 / network.byte_scale, 1, 255)), shape, np.uint8, endpoint=True)
    found = [engine.forward(network.layers, parameters, x) for x in (rows, byte_rows)]
    return rows, byte_rows, np.concatenate(found)


def _number(value: float, dtype: np.dtype[Any]) -> str:
    return _listed(np.array([value], dtype)).strip()


def _listed(numbers: NDArray[Any]) -> str:
    """Return numbers as C constants, in lines. NumPy writes the digits that a number needs to be read back exactly."""
    ending = "f" if numbers.dtype == np.float32 else ""
    texts = [f"{text}{ending}" for text in numbers.astype(str).ravel().tolist()]
    lines = [", ".join(texts[k : k + PER_LINE]) for k in range(0, len(texts), PER_LINE)]
    return ",\n".join(f"    {line}" for line in lines).replace("inf", "HUGE_VAL").replace("HUGE_VALf", "HUGE_VALF")
