"""Renders the report of a training run as one HTML file that loads no other file."""

from __future__ import annotations

from pathlib import Path

from fastnet.data import Dataset
from fastnet.data.files import PathLike, atomic_write
from fastnet.errors import DataError, require_extra
from fastnet.names import BackendName
from fastnet.network import Network
from fastnet.plots import style
from fastnet.training.runs import Run, check_data
from fastnet.training.trainer import Trainer


def check() -> None:
    """Check that the extras of a report are installed.

    Raises
    ------
    FastnetError
        Matplotlib, Jinja2 or SciPy is missing. The message says what to install.
    """
    style.check()
    require_extra("jinja2", "reports need Jinja2", "plot")
    require_extra("scipy", "reports need SciPy", "insight")


def render(run: Run | Trainer | Network, data: Dataset, *, backend: BackendName | None = None) -> str:
    """Render the report of a training run as HTML.

    The test examples judge the network. Nothing is trained, and nothing changes.

    Parameters
    ----------
    run : Run, Trainer or Network
        A run, a trainer after its training, or a network alone.
    data : Dataset
        The data set, as `fastnet.data.load` returns it.
    backend : str, optional
        The backend that computes the answers. By default fastnet chooses one.

    Returns
    -------
    str
        The text of an HTML file.

    Raises
    ------
    TypeError
        `run` or `data` has another type.
    ValueError
        The network does not fit the data.
    DataError
        The data set has no test examples.
    FastnetError
        An extra is missing.
    """
    check()
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from fastnet.report.content import page

    if isinstance(run, Trainer):
        run = Run.of(run)
    elif isinstance(run, Network):
        run = Run(run)
    if not isinstance(run, Run):
        raise TypeError(f"run must be a Run, a Trainer or a Network, not {type(run).__name__}")
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a Dataset, as fastnet.data.load returns it, not {type(data).__name__}")
    check_data("the network", run.network, data)
    if not len(data.x_test):
        raise DataError(
            f"{data.name} has no test examples, and the report needs them to judge the network: hold some examples out"
        )
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(page=page(run, data, backend)) + "\n"


def write(path: PathLike, run: Run | Trainer | Network, data: Dataset, *, backend: BackendName | None = None) -> None:
    """Write the report of a training run to an HTML file. An existing file stays until the new one is complete.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    run, data, backend
        As for `render`. All errors of `render` can occur here too.

    Raises
    ------
    DataError
        The file cannot be written.

    Examples
    --------
    >>> fastnet.report.write("report.html", trainer, data)  # it writes a file  # doctest: +SKIP
    """
    text = render(run, data, backend=backend)
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "replace"))  # "?" replaces an invalid character in a name
