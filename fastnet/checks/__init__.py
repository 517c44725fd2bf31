"""What rejects arguments: once, at the boundary, in the user's words.

Each function returns its argument in the form the library works with, or raises ValueError or TypeError that says
what was wrong, what was expected and what to do. What only one function could ask of its own arguments, such as that
two of them are of one length, it asks itself. Files are rejected by their readers (files.py, datasets.py).
"""

from fastnet.checks.data import classes, dense_inputs, inputs, outputs, parameters, vector
from fastnet.checks.settings import (
    backend,
    backend_name,
    classifier,
    dropout,
    factors,
    hidden_activations,
    image_shape,
    input_dtype,
    layer_sizes,
    one_thread,
    output_and_cost,
    rates,
    real_dtype,
    result,
    rows_and_columns,
    same_sizes,
    sparse,
    threads,
)
from fastnet.checks.sparse_rows import is_scipy_sparse
from fastnet.checks.values import (
    flag,
    generator,
    instance,
    name_of,
    number,
    position,
    seeds,
    whole_number,
    whole_numbers,
)

__all__ = [
    "backend",
    "backend_name",
    "classes",
    "classifier",
    "dense_inputs",
    "dropout",
    "factors",
    "flag",
    "generator",
    "hidden_activations",
    "image_shape",
    "input_dtype",
    "inputs",
    "instance",
    "is_scipy_sparse",
    "layer_sizes",
    "name_of",
    "number",
    "one_thread",
    "output_and_cost",
    "outputs",
    "parameters",
    "position",
    "rates",
    "real_dtype",
    "result",
    "rows_and_columns",
    "same_sizes",
    "seeds",
    "sparse",
    "threads",
    "vector",
    "whole_number",
    "whole_numbers",
]
