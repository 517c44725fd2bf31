"""The report of a training run: one HTML file that holds all it shows, to be read anywhere, without a network.

    >>> fastnet.report.write("report.html", trainer, data)

Needs the extra `plot`, and `insight` for the temperature. What it says is put together in content.py, how it looks is
said in page.html and page.css; the figures are those of fastnet.insight, the pictures those of fastnet.plots.
"""

from __future__ import annotations

from pathlib import Path

from fastnet.data import Dataset
from fastnet.data.files import PathLike, atomic_write
from fastnet.errors import DataError, require_extra
from fastnet.network import Network
from fastnet.plots import style
from fastnet.training.runs import Run, check_data
from fastnet.training.trainer import Trainer

__all__ = ["Run", "check", "render", "write"]


def check() -> None:
    """Raises FastnetError where no report can be made, saying what to install."""
    style.check()
    require_extra("jinja2", "reports need Jinja2", "plot")
    require_extra("scipy", "reports need SciPy", "insight")


def render(run: Run | Trainer | Network, data: Dataset, *, backend: str | None = None) -> str:
    """The report as the text of an HTML file: of a run, of a trainer after its training, or of a network alone.

    The test examples of `data` are what the network is judged by. backend: what its answers are computed with. Nothing
    is trained, and nothing changed.

    Raises TypeError for other things, ValueError for data that the network does not take, DataError for data without
    test examples, FastnetError where an extra is missing.
    """
    check()
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from fastnet.report.content import page

    if isinstance(run, Trainer):
        run = Run.of(run)
    elif isinstance(run, Network):
        run = Run(run)
    if not isinstance(run, Run):
        raise TypeError(f"a report is made of a Run, a Trainer or a Network, not of {type(run).__name__}")
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a Dataset, as datasets.load returns it, not {type(data).__name__}")
    check_data("the network", run.network, data)
    if not len(data.x_test):
        raise DataError(f"{data.name} has no test examples, by which the report judges the network: hold some out")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(page=page(run, data, backend)) + "\n"


def write(path: PathLike, run: Run | Trainer | Network, data: Dataset, *, backend: str | None = None) -> None:
    """Writes what `render` returns to a file, wholly or not at all. Raises DataError where that is impossible."""
    text = render(run, data, backend=backend)
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "replace"))  # half a letter in a name is no reason to lose the report
