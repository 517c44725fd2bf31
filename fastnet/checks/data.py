"""Checks of examples, labels, targets and parameters. Not here: sparse examples (sparse_rows.py)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.checks.frames import frame_values, is_category, is_frame, library_of, numbers_of
from fastnet.checks.sparse_rows import (
    converted,
    is_scipy_sparse,
    not_finite,
    numbers,
    refuse_overflow,
    shape_of_examples,
    sparse_inputs,
)
from fastnet.checks.unconverted import AnyRows, UnconvertedRows, kernel_rows, stays_unconverted
from fastnet.checks.values import given
from fastnet.kernels import contract as c
from fastnet.kernels.formulas import ACTIVATIONS

Array = NDArray[Any]
# Targets may lie this far outside the range of the outputs: rounding puts data scaled to 0..1 up to 1e-7 above 1.
ROUNDING = 1e-6
BYTES = np.dtype(np.uint8)
SUM_SIZE = 1 << 17  # a longer array is summed: one long call in place of many that make threads wait for the GIL
DOT_SIZE = 10_000  # a BLAS may start threads for the dot product of longer vectors
NO_WEIGHTS = np.empty(0)  # stands for weights of 1
MIN_WEIGHT, MAX_WEIGHT = 1e-30, 1e30  # float32 holds these numbers and their inverses


def lazy_inputs(
    x: object,
    n_in: int,
    dtype: np.dtype[Any],
    name: str = "x",
    *,
    byte_scale: float = c.PIXEL_SCALE,
    finite: bool = True,
) -> AnyRows:
    """Return x as a C-contiguous array (n, n_in) of uint8 or dtype. x is copied only if it needs a conversion.

    Images (n, rows, columns) are flattened. Dense bytes stay bytes: the kernels multiply them by the network's byte
    scale. A scipy.sparse matrix or array of any format becomes SparseRows; its bytes are multiplied by `byte_scale`.
    Other numbers and bools of any width are converted. A large array may become UnconvertedRows. `finite` says whether
    to refuse nan and infinity in dense floats.
    """
    if type(x) is np.ndarray and x.flags.c_contiguous and x.flags.aligned:
        rows = x.view()  # the user may change the shape of x at any time
        has_shape = rows.ndim == 2 and rows.shape[1] == n_in and rows.shape[0] > 0
        if has_shape and (rows.dtype == BYTES or (rows.dtype == dtype and (not finite or is_finite(rows)))):
            return rows  # what the checks below would return
    if isinstance(x, c.SparseRows) or is_scipy_sparse(x):
        return sparse_inputs(x, n_in, dtype, name, byte_scale)
    array = frame_values(x, dtype, name) if is_frame(x) else _array(x, name)
    shape_of_examples(array.shape, n_in, name, f"{name}[None]")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array).reshape(len(array), n_in)
    numbers(array.dtype, name)
    if stays_unconverted(array, dtype):
        if array.dtype.kind == "f" and finite:
            refuse_overflow(_finite(array, name), dtype, name)
        return UnconvertedRows(array.reshape(len(array), n_in), dtype)
    found = converted(array, dtype, name)
    return (_finite(found, name) if finite else found).reshape(len(array), n_in)


def inputs(
    x: object,
    n_in: int,
    dtype: np.dtype[Any],
    name: str = "x",
    *,
    byte_scale: float = c.PIXEL_SCALE,
    finite: bool = True,
) -> c.Rows:
    """Return x as `lazy_inputs` does, but convert arrays of any size."""
    return kernel_rows(lazy_inputs(x, n_in, dtype, name, byte_scale=byte_scale, finite=finite))


def dense_inputs(x: object, n_in: int, dtype: np.dtype[Any], name: str) -> Array:
    """Return x as `inputs` does, but refuse sparse examples."""
    if isinstance(x, c.SparseRows) or is_scipy_sparse(x):
        raise ValueError(f"{name} is sparse, but its pixels are needed one by one: use {name}.toarray()")
    found = inputs(x, n_in, dtype, name)
    assert not isinstance(found, c.SparseRows)
    return found


def outputs(
    y: object, n: int, n_out: int, output: str, cost: str, task: str, dtype: np.dtype[Any], name: str = "y"
) -> Array:
    """Return y as class labels int64 (n,), or as targets (n, n_out) of dtype. Both are C-contiguous.

    For a network with one output, y (n,) holds targets: 0 and 1 for two classes, or the values of a regression.
    """
    if type(y) is np.ndarray and y.dtype == np.int64 and y.shape == (n,) and n_out > 1 and task != "multilabel":
        labels = y.copy()
        numbers_of_labels = labels.view(np.uint64)  # a negative label is a large number here
        # argmax takes half as long as max on few numbers.
        if labels.shape == (n,) and numbers_of_labels.item(numbers_of_labels.argmax()) < n_out:
            return labels  # what the checks below would return
    array = _array(y, name, _numbering(y, name))
    if array.ndim == 0 or len(array) != n:
        raise ValueError(f"{name} has shape {array.shape}; expected one entry for each of {n} examples")
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} has dtype {array.dtype}; expected whole-number class labels from 0 to {n_out - 1}, or targets of "
            f"shape (n, {n_out}): {_numbering(y, name)}"
        )
    if array.ndim == 1 and n_out > 1:
        if task == "multilabel":
            raise ValueError(
                f"{name} has shape {array.shape}; with task='multilabel' each example has {n_out} labels of 0 or 1: "
                f"give an array ({n}, {n_out}), or use task='classification' for one class for each example"
            )
        return _labels(array.copy(), n_out, name)
    if array.shape not in ((n, n_out), (n,)):
        hint = f": use numpy.ravel({name})" if array.shape == (n, 1) else ""
        raise ValueError(f"{name} has shape {array.shape}; expected labels ({n},) or targets ({n}, {n_out}){hint}")
    targets = _finite(converted(array, dtype, name), name)
    _in_range(targets, output, name, _numbering(y, name) if task == "classification" and n_out == 1 else "")
    if task == "classification" and n_out > 1:
        _one_class_each(targets, name)
    if output == "softmax" and cost == "cross_entropy":
        sums = targets.sum(axis=1, dtype=np.float64)
        worst = int(np.argmax(np.abs(sums - 1)))
        if abs(sums[worst] - 1) > 1e-3:
            raise ValueError(
                f"{name}[{worst}] sums to {sums[worst]:g}; targets of a softmax are probabilities, whose sum is 1"
            )
    return targets.reshape(n, n_out)


def _numbering(y: object, name: str) -> str:
    """Return the advice how to make class labels from 0 of text or categories."""
    name = name.split()[-1]  # a fit calls validation data "validation y"
    is_pandas_category = is_category(y) and library_of(y, "Series") == "pandas"
    code = f"{name}.cat.codes" if is_pandas_category else f"np.unique({name}, return_inverse=True)[1]"
    return f"number your classes from 0 with {code}"


def _in_range(targets: Array, output: str, name: str, classes_advice: str) -> None:
    """Refuse targets outside the range of the output activation: no output could reach them.

    `classes_advice` says how to make class labels for a classifier with one output; "" for other networks.
    """
    low, high = ACTIVATIONS[output].low, ACTIVATIONS[output].high
    from_, to = low - ROUNDING, high + ROUNDING
    if targets.min() >= from_ and targets.max() <= to:
        return
    bad = _first((targets < from_) | (targets > to))
    wanted = f"from {low:g} to {high:g}" if high < np.inf else f"of {low:g} or more"
    advice = "scale them, or use output='identity' with cost='squared_error'"
    if classes_advice:
        advice = f"{classes_advice}; more than two classes need an output each; values need task='regression'"
    raise ValueError(f"{_entry(name, bad)} is {targets[bad]:.7g}; {output} outputs need targets {wanted}: {advice}")


def _one_class_each(targets: Array, name: str) -> None:
    """Refuse targets (n, n_out) that name several classes for one example, or none."""
    n_classes = np.count_nonzero(targets > 0.5, axis=1)
    row = int(n_classes.argmax())
    found = f"{n_classes[row]} entries above 0.5" if n_classes[row] > 1 else ""
    if not found:
        largest = targets.max(axis=1)
        row = int(largest.argmin())
        found = "no entry above 0" if largest[row] <= 0 else ""
    if found:
        raise ValueError(
            f"{name}[{row}] has {found}, but task='classification' means one class for each example: make the network "
            "with task='multilabel' if an example may have any number of labels, or with task='regression' for values"
        )


def _labels(array: Array, n_out: int, name: str) -> Array:
    """Return checked int64 labels. Kernels index by labels, so `array` must be a copy that no user can change."""
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # inf % 1 is nan
            fractions = np.flatnonzero(~(array % 1 == 0))
        if fractions.size:
            raise ValueError(
                f"{name}[{fractions[0]}] is {array[fractions[0]]}; class labels are whole numbers from 0 to "
                f"{n_out - 1}: correct them, or give targets of shape (n, {n_out})"
            )
        raise ValueError(
            f"{name} holds floats of shape {array.shape}; class labels are whole numbers: use {name}.astype(np.int64), "
            f"or give targets of shape (n, {n_out})"
        )
    bad = np.flatnonzero((array < 0) | (array >= n_out))
    if bad.size:
        from_one = array.min() == 1 and array.max() == n_out
        advice = f"use {name} - 1" if from_one else "number the classes from 0, or give the network more outputs"
        raise ValueError(
            f"{name}[{bad[0]}] is {array[bad[0]]}; the network has {n_out} outputs, so labels are from 0 to "
            f"{n_out - 1}: {advice}"
        )
    return array.astype(np.int64, copy=False)


def classes(y: object, n: int, name: str = "y") -> tuple[Array, int]:
    """Return y as int64 class labels (n,), and the number of classes: one more than the largest label."""
    array = _array(y, name, _numbering(y, name)).copy()
    if array.shape != (n,) or array.dtype.kind not in "biu":
        raise ValueError(
            f"{name} has shape {array.shape} and dtype {array.dtype}; expected ({n},) whole-number class labels from 0"
        )
    n_out = int(array.max()) + 1
    return _labels(array, n_out, name), n_out


def parameters(held: Array, shape: tuple[int, ...], dtype: np.dtype[Any], trained: bool) -> Array:
    """Return the array `network.parameters` if no user changed its shape, dtype or order.

    If `trained` is true, the array must be writeable too.
    """
    if held.shape != shape or held.dtype != dtype or not held.flags.c_contiguous:
        raise ValueError(
            f"network.parameters was changed in place to {held.dtype} {held.shape}; the network made it as {dtype} "
            f"{shape}: set its shape and dtype back, and reshape a view or a copy instead"
        )
    if trained and not held.flags.writeable:
        raise ValueError(
            "network.parameters is read-only, and training changes it in place: set network.parameters.flags.writeable "
            "= True, or train network.copy()"
        )
    return held


def new_parameters(values: object, n: int) -> Array:
    """Return an array of n numbers, which may be nan or infinite."""
    array = _array(values, "parameters")
    if array.shape != (n,) or array.dtype.kind not in "biuf":
        raise ValueError(f"parameters has shape {array.shape} and dtype {array.dtype}; expected ({n},) numbers")
    return array


def weights(values: object, n: int, name: str = "sample_weight") -> NDArray[np.float64]:
    """Return the weights of n examples as C-contiguous float64 (n,). The result is empty if every weight is 1.

    None stands for weights of 1. The weights are copied only if they need a conversion.
    """
    if values is None:
        return NO_WEIGHTS
    array = _array(values, name)
    if array.shape != (n,) or array.dtype.kind not in "biuf":
        hint = f": use numpy.ravel({name})" if array.shape == (n, 1) else ""
        raise ValueError(
            f"{name} has shape {array.shape} and dtype {array.dtype}; expected ({n},) numbers, one weight for each "
            f"example{hint}"
        )
    found = _finite(converted(array, np.dtype(np.float64), name), name)
    good = (found == 0) | ((found >= MIN_WEIGHT) & (found <= MAX_WEIGHT))
    if not good.all():
        bad = int(good.argmin())
        raise ValueError(f"{name}[{bad}] is {found[bad]:g}; a weight is 0, or from {MIN_WEIGHT:g} to {MAX_WEIGHT:g}")
    if not found.any():
        raise ValueError(f"{name} is zero everywhere; at least one example needs a weight above 0")
    return NO_WEIGHTS if (found == 1).all() else found


def vector(v: object, length: int, name: str) -> Array:
    """Return v itself, not a copy, if it is a one-dimensional array of this length."""
    if not isinstance(v, np.ndarray) or v.shape != (length,):
        shape = v.shape if isinstance(v, np.ndarray) else type(v).__name__
        raise ValueError(f"{name} must be an array of shape ({length},), not {shape}")
    return v


def _array(values: object, name: str, advice: str = "") -> Array:
    """Return the values as a new array object on the same memory. Users cannot change its shape and dtype.

    Arrays of Python objects that are numbers become arrays of numbers. `advice` says what to do with text.
    """
    if isinstance(values, c.SparseRows) or is_scipy_sparse(values):
        raise ValueError(f"{name} is sparse; only examples may be sparse: use {name}.toarray()")
    parts = values if isinstance(values, (list, tuple)) else [values]
    kinds = set(map(type, parts))  # a check of each type is faster than a check of each number
    if any(issubclass(kind, np.ma.MaskedArray) for kind in kinds) and any(map(np.ma.is_masked, parts)):
        raise ValueError(f"{name} has masked values, which a network would train on: fill or drop them first")
    try:
        array = np.asarray(values).view(np.ndarray)
    except (ValueError, TypeError) as error:
        if isinstance(values, (list, tuple)) and "inhomogeneous" in str(error):  # NumPy's word for uneven lengths
            raise ValueError(f"{name} has rows of different lengths; expected rows of one length") from None
        raise ValueError(f"{name} is not an array of numbers: {' '.join(str(error).split())}") from None
    if array.ndim == 0 and array.dtype.kind not in "biufc":
        hint = f": use {name}.collect()" if hasattr(values, "collect") else ""  # a LazyFrame of polars
        raise ValueError(f"{name} must be an array or a list of numbers, not {given(values)}{hint}")
    if array.dtype.kind in "OSUT":
        advice = advice or f"one-hot encode categories; convert text of digits with {name}.astype(float)"
        return numbers_of(array, name, advice)
    return array


def is_finite(array: Array) -> bool:
    """Whether all numbers of a C-contiguous array of float32 or float64 are finite."""
    flat = array.reshape(-1)
    if flat.size > SUM_SIZE:
        with np.errstate(over="ignore", invalid="ignore"):
            if math.isfinite(np.add.reduce(flat)):
                return True
    for start in range(0, flat.size, DOT_SIZE):
        part = flat[start : start + DOT_SIZE]
        # vdot gives no warnings. A square may overflow, so a sum that is not finite says nothing.
        if not math.isfinite(np.vdot(part, part)) and not np.isfinite(part).all():
            return False
    return True


def are_finite(rows: c.Rows) -> bool:
    """Whether rows that `lazy_inputs` did not look through are finite. Bytes are, and sparse rows were checked."""
    return isinstance(rows, c.SparseRows) or rows.dtype == BYTES or is_finite(rows)


def _finite(array: Array, name: str) -> Array:
    if array.dtype in (np.float32, np.float64) and array.flags.c_contiguous and is_finite(array):
        return array
    # If the array holds a nan, min and max are nan. min and max need no temporary array; isfinite(array) does.
    if not (np.isfinite(array.min()) and np.isfinite(array.max())):
        bad = _first(~np.isfinite(array))
        raise not_finite(_entry(name, bad), array[bad])
    return array


def _first(bad: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(np.argmax(bad), bad.shape))


def _entry(name: str, at: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, at))}]"
