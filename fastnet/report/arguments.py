"""Makes the subject of a report of a user's arguments: a model, examples in memory or a data set, and names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.data import Dataset
from fastnet.data.schema import Schema
from fastnet.data.table_datasets import image_shape_of
from fastnet.errors import DataError
from fastnet.kernels.contract import SparseRows
from fastnet.kernels.formulas import n_classes
from fastnet.names import BackendName
from fastnet.network import Network
from fastnet.report.estimators import Estimated, estimated
from fastnet.report.subject import Columns, Examples, Subject
from fastnet.text import numbered
from fastnet.training.runs import Run, check_data
from fastnet.training.trainer import Trainer

NAME = "data in memory"
MAX_LISTED = 10  # classes that an error lists


def subject(
    model: Any,
    x_test: Any,
    y_test: Any,
    *,
    feature_names: Sequence[str] | None,
    class_names: Sequence[str] | None,
    image_shape: tuple[int, int] | None,
    name: str | None,
    backend: BackendName | None,
) -> Subject:
    """Return the subject of the report. `rendering.render` describes the arguments and the errors."""
    run, estimator = _run(model)
    network, data = run.network, None
    if isinstance(x_test, Dataset):
        if y_test is not None:
            raise TypeError("y_test must be left out if x_test is a Dataset, which has labels of its own")
        data, x_test, y_test = x_test, x_test.x_test, x_test.y_test
        check_data("the network", network, data)
        run = _with_schema(run, data.schema)
        network = run.network
    elif y_test is None:
        raise TypeError("y_test is missing: give the labels or targets of x_test")
    if not hasattr(x_test, "shape"):
        x_test = np.asarray(x_test) if estimator is not None else network.check_inputs(x_test, "x_test")
    name = data.name if data and name is None else NAME if name is None else checks.text("name", name)
    if not x_test.shape[:1] or not x_test.shape[0]:
        what = f"{name} has" if data else "x_test has"
        raise DataError(
            f"{what} no test examples, and the report needs them to judge the network: hold some examples out"
        )
    columns_of_y = checks.column_names(y_test) or _name_of(y_test)
    known = checks.texts("class_names", () if class_names is None else class_names) or _known_names(
        network, estimator, data, columns_of_y
    )
    n_out = n_classes(network.sizes[-1]) if network.is_classifier else network.sizes[-1]
    if len(known) > n_out:
        raise ValueError(f"class_names has {len(known)} names; the network has {n_out} classes, labels or values")
    rows = network.check_inputs(_inputs(network, estimator, x_test), "x_test")
    y = _dense(y_test)
    targets = network.check_targets(_codes(network, y, estimator, known), len(rows), "y_test")
    image_shape = _image_shape(image_shape, data, x_test, rows, network)
    examples = Examples(name, rows, targets, image_shape, known, len(data.x_train) if data else None)
    columns = _columns(network, estimator, x_test, y, examples, feature_names)
    return Subject(run, examples, columns, backend)


def _run(model: Any) -> tuple[Run, Estimated | None]:
    """Return the run of a model, and the estimator if the model is or has one."""
    if isinstance(model, Run):
        return model, None
    if isinstance(model, Trainer):
        return Run.of(model), None
    if isinstance(model, Network):
        return Run(model), None
    estimator = estimated(model)
    if estimator is None:
        raise TypeError(
            "model must be a Run, a Trainer, a Network, an estimator of fastnet.sklearn or a Pipeline that ends in "
            f"one, not {checks.given(model) if isinstance(model, type) else type(model).__name__}"
        )
    return estimator.run(), estimator


def _with_schema(run: Run, schema: Schema | None) -> Run:
    """Return the run with the data set's schema, if its network has none. The user's network stays as it is."""
    if schema is None or run.network.schema is not None or len(schema.feature_names) != run.network.sizes[0]:
        return run
    network = run.network.copy()
    network.schema = schema
    return Run(network, run.history, run.record, run.initial)


def _inputs(network: Network, estimator: Estimated | None, x: Any) -> Any:
    """Return the network's inputs. A schema reads a frame as it read the table of the training."""
    if estimator is not None:
        return estimator.inputs(x)
    if network.schema is not None and network.schema.columns and checks.is_frame(x):
        return network.schema.encode(x)
    return x


# -- names ---------------------------------------------------------------------------------------------------------


def _name_of(y: Any) -> list[str]:
    """Return the name of a Series, as a list."""
    named = getattr(y, "name", None)
    return [named] if isinstance(named, str) and named else []


def _known_names(
    network: Network, estimator: Estimated | None, data: Dataset | None, columns_of_y: list[str]
) -> tuple[str, ...]:
    """Return the known names of the classes, labels or outputs."""
    of_data = data.class_names if data else ()
    if network.is_classifier and estimator is not None and estimator.classes != list(range(len(of_data))):
        return tuple(map(str, estimator.classes))
    if network.schema is not None and network.schema.class_names:
        return network.schema.class_names
    if network.is_classifier or len(of_data) == network.sizes[-1]:
        return of_data
    if len(columns_of_y) == network.sizes[-1]:
        return tuple(columns_of_y)
    target = network.schema.target if network.schema is not None else ""
    return (target,) if target and network.sizes[-1] == 1 else ()


# -- labels and targets --------------------------------------------------------------------------------------------


def _dense(y: Any) -> NDArray[Any]:
    """Return labels or targets as an array, (n, 1) as (n,)."""
    array = y.toarray() if checks.is_scipy_sparse(y) else np.asarray(y)
    return array.ravel() if array.ndim == 2 and array.shape[1] == 1 else array


def _codes(network: Network, y: NDArray[Any], estimator: Estimated | None, names: Sequence[str]) -> Any:
    """Return labels of any kind as the numbers of the classes, and other targets as they are."""
    if not network.is_classifier:
        return y
    if estimator is not None:
        return _positions(y, estimator.classes)
    if names and y.dtype.kind in "OUT" and any(isinstance(label, str) for label in y.ravel().tolist()):
        return _positions(y, names)
    return y


def _positions(y: NDArray[Any], classes: Sequence[Any]) -> NDArray[np.int64]:
    """Return the position of each label among the classes."""
    if y.ndim != 1:
        raise ValueError(f"y_test has shape {y.shape}; expected one label for each example")
    places = {label: k for k, label in enumerate(classes)}
    found = np.array([places.get(label, -1) for label in y.tolist()], np.int64)
    if (found < 0).any():
        first = int(np.argmin(found))
        listed = ", ".join(repr(label) for label in classes[:MAX_LISTED]) + ", ..." * (len(classes) > MAX_LISTED)
        raise ValueError(
            f"y_test[{first}] is {y[first : first + 1].tolist()[0]!r:.80}, which is none of the {len(classes)} classes "
            f"of the model ({listed}): give the labels that it was trained on"
        )
    return found


# -- pictures and tables -------------------------------------------------------------------------------------------


def _image_shape(
    given: tuple[int, int] | None, data: Dataset | None, x_test: Any, rows: Any, network: Network
) -> tuple[int, int] | None:
    """Return rows and columns of pictures: as given, or those of the data set, of x (n, rows, columns) or of bytes."""
    shape: tuple[int, int] | None = None
    if given is not None:
        shape = checks.image_shape(given, network.sizes[0], "image_shape")
    elif data is not None:
        shape = data.image_shape
    elif len(x_test.shape) == 3:
        shape = int(x_test.shape[1]), int(x_test.shape[2])
    elif (network.schema is None or not network.schema.columns) and rows.dtype == np.uint8:
        shape = image_shape_of(network.sizes[0])
    if shape is not None and isinstance(rows, SparseRows):
        raise ValueError("x_test is sparse, but its pixels are needed one by one: use x_test.toarray()")
    return shape


def _columns(
    network: Network,
    estimator: Estimated | None,
    x: Any,
    y: NDArray[Any],
    examples: Examples,
    feature_names: Sequence[str] | None,
) -> Columns:
    """Return the columns of the examples as the user gave them."""
    schema = network.schema.columns if network.schema is not None else ()
    names: Sequence[str] = [column.name for column in schema] or checks.column_names(x) or []
    if estimator is not None:
        names = names or estimator.feature_names
    n = len(schema) or (x.shape[1] if len(x.shape) == 2 else network.sizes[0])
    if feature_names is not None:
        names = checks.texts("feature_names", feature_names, n, "columns of x_test")
    are_named = len(names) == n
    names = tuple(names) if are_named else numbered("input", n)
    if estimator is not None and estimator.before is not None:
        inputs = estimator.input_names(x, names)
        return Columns(names, inputs, are_named, estimator.model, x, y, _cells(x))
    if schema:
        renamed = Schema(tuple(column._replace(name=name) for column, name in zip(schema, names, strict=True)))
        inputs, cell = renamed.feature_names, _cells_of_schema(examples.x_test, renamed)
    else:
        inputs, cell = names, _cells(x)
    return Columns(names, inputs, are_named, network, examples.x_test, examples.y_test, cell)


def _cells(x: Any) -> Any:
    """Return a function that gives an entry of an array or a frame; None for sparse examples."""
    if checks.is_scipy_sparse(x) or isinstance(x, SparseRows):
        return None
    if hasattr(x, "iloc"):
        return lambda row, k: x.iloc[row, k]
    return lambda row, k: x[row, k]


def _cells_of_schema(x: Any, schema: Schema) -> Any:
    """Return a function that gives an entry of a table: a number, or the level of a categorical column."""
    if isinstance(x, SparseRows):
        return None
    widths = [max(1, len(column.levels)) for column in schema.columns]
    starts = np.cumsum([0, *widths])

    def cell(row: int, k: int) -> Any:
        entries = x[row, starts[k] : starts[k + 1]]
        levels = schema.columns[k].levels
        return levels[int(entries.argmax())] if levels else entries[0]

    return cell
