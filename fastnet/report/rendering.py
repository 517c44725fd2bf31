"""Renders the report of a training run, a comparison of runs or a search as one HTML file that loads no other file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnet import checks
from fastnet.data.files import PathLike, atomic_write
from fastnet.errors import require_extra
from fastnet.names import BackendName
from fastnet.plots import style
from fastnet.training.comparison import Comparison

if TYPE_CHECKING:
    from fastnet.report.parts import Page
    from fastnet.search import SearchResult


def check() -> None:
    """Check that the extras of a report are installed.

    Raises
    ------
    MissingLibraryError
        Matplotlib, Jinja2 or SciPy is missing. The message says what to install.
    """
    check_page()
    require_extra("scipy", "reports need SciPy", "insight")


def check_page() -> None:
    """Raise MissingLibraryError if Matplotlib or Jinja2, which every page needs, is missing."""
    style.check()
    require_extra("jinja2", "reports need Jinja2", "plot")


def render(
    model: Any,
    x_test: Any,
    y_test: Any = None,
    *,
    feature_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    image_shape: tuple[int, int] | None = None,
    name: str | None = None,
    backend: BackendName | None = None,
) -> str:
    """Render the report of a training as HTML.

    The test examples judge the network. Nothing is trained, and nothing changes.

    Parameters
    ----------
    model : Run, Trainer, Network, estimator or Pipeline
        A run, a trainer after its training, or a network alone; a fitted `MLPClassifier` or `MLPRegressor` of
        fastnet.sklearn, a Pipeline of scikit-learn that ends in one, or a search such as GridSearchCV over one.
    x_test : array, data frame, scipy.sparse matrix or Dataset
        The test examples (n, columns) as the model takes them, or pictures (n, rows, columns). A frame of pandas or
        polars gives names to the columns. A network with a `schema` takes the frame as its table was. A `Dataset`, as
        `fastnet.data.load` returns it, has the targets and the names too.
    y_test : array, Series or data frame
        The targets (n,) or (n, n_out): the labels that the model was trained on, the names of the classes, 0 and 1 for
        each of several labels, or the values of a regression. The columns of a frame name the labels or the values.
        Leave it out for a Dataset.
    feature_names : sequence of str, optional
        The names of the columns of x_test. By default those of the network's schema, of the frame or of the estimator,
        or "input 1", "input 2" and so on.
    class_names : sequence of str, optional
        The names of the classes, of several labels, or of the values of a regression. By default those of the schema,
        of the estimator or of the columns of y_test.
    image_shape : tuple of int, optional
        Rows and columns, if the examples are pictures. By default rows of bytes that fill a square are pictures.
    name : str, optional
        The name of the data on the page.
    backend : str, optional
        The backend that computes the answers. By default fastnet chooses one.

    Returns
    -------
    str
        The text of an HTML file.

    Raises
    ------
    TypeError
        An argument has another type, or y_test is missing.
    ValueError
        The data or the names do not fit the network, or a label is none of the model's classes.
    DataError
        There are no test examples.
    MissingLibraryError
        An extra is missing.
    """
    check()
    from fastnet.report.arguments import subject
    from fastnet.report.content import page

    judged = subject(
        model,
        x_test,
        y_test,
        feature_names=feature_names,
        class_names=class_names,
        image_shape=image_shape,
        name=name,
        backend=backend,
    )
    return _html(page(judged))


def write(
    path: PathLike,
    model: Any,
    x_test: Any,
    y_test: Any = None,
    *,
    feature_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    image_shape: tuple[int, int] | None = None,
    name: str | None = None,
    backend: BackendName | None = None,
) -> None:
    """Write the report of a training to an HTML file. An existing file stays until the new one is complete.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    model, x_test, y_test, feature_names, class_names, image_shape, name, backend
        As for `render`. All errors of `render` can occur here too.

    Raises
    ------
    DataError
        The file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> trainer = fastnet.Trainer(fastnet.Network([4, 3], seed=0))
    >>> history = trainer.fit(x, y, epochs=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "report.html")
    ...     fastnet.report.write(path, trainer, x, y, class_names=["red", "green", "blue"])
    """
    text = render(
        model,
        x_test,
        y_test,
        feature_names=feature_names,
        class_names=class_names,
        image_shape=image_shape,
        name=name,
        backend=backend,
    )
    _write(path, text)


def write_comparison(path: PathLike, comparison: Comparison) -> None:
    """Write a comparison of runs to an HTML file, with their curves over one another.

    An existing file stays until the new one is complete. The page needs the extra `plot`.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    comparison : Comparison
        What `compare` returns.

    Raises
    ------
    DataError
        The file cannot be written.
    MissingLibraryError
        Matplotlib or Jinja2 is missing.

    Examples
    --------
    >>> import os, tempfile
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     runs = [os.path.join(folder, name) for name in ("small", "large")]
    ...     for run, width in zip(runs, (4, 16)):
    ...         trainer = fastnet.Trainer(fastnet.Network([4, width, 3], seed=0))
    ...         history = trainer.fit(x, y, epochs=3)
    ...         fastnet.report.Run.of(trainer).save(run)
    ...     comparison = fastnet.report.compare(runs)
    ...     fastnet.report.write_comparison(os.path.join(folder, "comparison.html"), comparison)
    """
    check_page()
    from fastnet.report.comparison import page

    _write(path, _html(page(comparison)))


def write_search(path: PathLike, found: SearchResult, name: str = "my data") -> None:
    """Write the results of a search to an HTML file: the best setting, its table and its pictures.

    An existing file stays until the new one is complete. The page needs the extra `plot`.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    found : SearchResult
        What `fastnet.search.search` returns.
    name : str
        The name of the data on the page.

    Raises
    ------
    TypeError
        `found` is no SearchResult.
    DataError
        The file cannot be written.
    MissingLibraryError
        Matplotlib or Jinja2 is missing.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastnet.search import search
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> found = search({"learning_rate": [0.01, 0.1]}, x, y, method="grid", seeds=2, budget=2, n_jobs=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fastnet.report.write_search(os.path.join(folder, "search.html"), found, "three classes")
    """
    check_page()
    from fastnet.report.search import page
    from fastnet.search import SearchResult

    checks.instance("found", found, SearchResult, "fastnet.search")
    _write(path, _html(page(found, name)))


def _html(page: Page) -> str:
    """Return the page as the text of an HTML file."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(page=page) + "\n"


def _write(path: PathLike, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "replace"))  # "?" replaces an invalid character in a name
