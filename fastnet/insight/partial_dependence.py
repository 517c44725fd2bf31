"""Partial dependence: the mean output of a model against the values of one column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.errors import require_extra
from fastnet.insight.answers import all_outputs
from fastnet.insight.columns import (
    Columns,
    check_model,
    columns_of_network,
    columns_of_table,
    is_classifier,
    place_of,
)
from fastnet.names import BackendName
from fastnet.network import Network
from fastnet.text import numbered


@dataclass(frozen=True, eq=False)
class PartialDependence:
    """The mean output of a model against the values of one column.

    Attributes
    ----------
    name : str
        The name of the column.
    grid : ndarray of float64 or str, shape (n_grid,)
        The values of the column, or its levels if it is categorical.
    average : ndarray of float64, shape (n_grid, n_out)
        The mean output over all examples if the column has this value in all of them. It is the probability of each
        class, or the value of a regression.
    output_names : tuple of str
        The name of each output, such as the classes.
    measure : str
        "probability" or "value".
    """

    name: str
    grid: NDArray[Any]
    average: NDArray[np.float64]
    output_names: tuple[str, ...]
    measure: str

    @property
    def is_categorical(self) -> bool:
        """Whether the grid holds levels."""
        return self.grid.dtype.kind == "U"


def partial_dependence(
    model: Any,
    x: Any,
    column: str | int,
    *,
    grid: int = 50,
    feature_names: Sequence[str] | None = None,
    backend: BackendName | None = None,
) -> PartialDependence:
    """Compute the mean output of a model for values of one column, with all other columns as they are.

    The values reach from the 5th to the 95th percentile of the column. A column of fewer different values than `grid`
    has these values as its grid, and a categorical column its levels. `sklearn.inspection.partial_dependence` chooses
    the values and computes the means.

    Parameters
    ----------
    model : Network or estimator
        A network, or a fitted estimator of scikit-learn, such as `fastnet.sklearn.MLPRegressor` or a Pipeline.
    x : array_like or data frame, shape (n, n_in)
        Examples as the model takes them. For a network, bytes are multiplied by its `byte_scale`.
    column : str or int
        The name or the position (from 0) of the column. A categorical column of `network.schema` is one column.
    grid : int
        The number of values, 2 or more.
    feature_names : sequence of str, optional
        The names of the columns. By default the names in `network.schema`, those of the frame, or "input 1", "input 2"
        and so on.
    backend : str, optional
        The backend that computes the outputs of a network.

    Returns
    -------
    PartialDependence

    Raises
    ------
    TypeError
        `model` is neither a network nor an estimator.
    ValueError
        There is no such column, the data or the names do not fit, or x is sparse.
    MissingLibraryError
        scikit-learn is missing (the extra `sklearn`).

    Examples
    --------
    >>> x = np.random.default_rng(0).random((200, 2), np.float32)
    >>> network = fastnet.Network([2, 1], output="identity", seed=0)
    >>> network.weights[0][...] = [[3, 0]]
    >>> found = partial_dependence(network, x, "width", grid=3, feature_names=["width", "height"])
    >>> bool(np.allclose(found.average[:, 0], 3 * found.grid, atol=1e-6))
    True
    """
    check_model(model, backend)
    resolution = checks.whole_number("grid", grid, 2)
    require_extra("sklearn", "partial dependence needs scikit-learn", "sklearn")
    outputs: Callable[[Any], Any]
    if isinstance(model, Network):
        columns = columns_of_network(model, x, feature_names)
        if columns.x.dtype == np.uint8:  # the grid has values between two bytes
            columns = columns._replace(x=columns.x.astype(model.dtype) * model.dtype.type(model.byte_scale))
        outputs = partial(all_outputs, model, backend=backend)
        measure = "value" if model.task == "regression" else "probability"
    else:
        columns = columns_of_table(x, feature_names)
        outputs, measure = _outputs_of(model)
    k = place_of(columns, column)
    levels = columns.levels_of(k)
    points, average = _means(columns, k, levels, outputs, resolution)
    names = _output_names(model, average.shape[1])
    return PartialDependence(columns.names[k], np.array(levels) if levels else points, average, names, measure)


def _means(
    columns: Columns, k: int, levels: tuple[str, ...], outputs: Callable[[Any], Any], resolution: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the grid (n_grid,) of column k, the positions of its levels if it has some, and the means (n_grid, n_out).

    scikit-learn sees a table of this column only. The function `outputs` computes the outputs of all columns.
    """
    from scipy.stats.mstats import mquantiles
    from sklearn.inspection import partial_dependence
    from sklearn.utils import Tags, TargetTags

    class Outputs:
        """The model as a regression of several outputs on one column: what scikit-learn takes for an estimator."""

        def fit(self) -> None:
            raise NotImplementedError

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def __sklearn_tags__(self) -> Any:
            return Tags(estimator_type="regressor", target_tags=TargetTags(required=False))

        def predict(self, column: NDArray[np.float64]) -> Any:
            value = column.item(0)  # scikit-learn puts one value of the grid into all rows
            return np.asarray(outputs(columns.filled(k, levels[int(value)] if levels else value)), np.float64)

    found = np.arange(len(levels), dtype=np.float64) if levels else columns.numbers(k)
    if not found.size:
        raise ValueError(f"column {columns.names[k]!r} has no values")
    column = np.resize(found, (len(columns.x), 1))  # in place of missing values, the first values again
    reach = (0.05, 0.95)
    if np.allclose(*mquantiles(column, reach)):  # most rows have the same value
        reach = (0.0, 1.0)
    means = partial_dependence(
        Outputs(),
        column,
        [0],
        percentiles=reach,
        grid_resolution=resolution,
        custom_values={0: found} if levels else None,
    )
    return means["grid_values"][0], means["average"].T


def _outputs_of(model: Any) -> tuple[Callable[[Any], Any], str]:
    """Return a function that computes the outputs of an estimator, and what the outputs are."""
    if not is_classifier(model):
        return model.predict, "value"
    if not hasattr(model, "predict_proba"):
        raise TypeError(
            f"model must have probabilities, and {checks.given(model)} has no predict_proba: wrap it in "
            "sklearn.calibration.CalibratedClassifierCV"
        )
    return model.predict_proba, "probability"


def _output_names(model: Any, n: int) -> tuple[str, ...]:
    if not isinstance(model, Network):
        classes = getattr(model, "classes_", None)
        return _values(n) if classes is None else tuple(map(str, classes))
    schema = model.schema
    if schema is not None and len(schema.class_names) == n:
        return schema.class_names
    if schema is not None and schema.target and n == 1:
        return (schema.target,)
    return tuple(map(str, range(n))) if model.is_classifier else _values(n)


def _values(n: int) -> tuple[str, ...]:
    return ("output",) if n == 1 else numbered("output", n)
