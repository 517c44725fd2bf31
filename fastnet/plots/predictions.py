"""The picture of a regression: what the network predicts against the truth, and its errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnet import checks
from fastnet.names import BackendName
from fastnet.network import Network
from fastnet.plots import style
from fastnet.plots.scales import number_ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEW = 500  # points of fewer examples are opaque enough to see each of them
MAX_LETTERS = 36  # of the target's name


@style.picture
def predictions(
    network: Network,
    x: Any,
    y: Any,
    *,
    output: int = 0,
    backend: BackendName | None = None,
    width: float = style.COLUMN,
) -> Figure:
    """Draw the predictions of a regression against the truth, and below them the errors against the predictions.

    A point is an example. Points on the diagonal are predicted exactly. An error is the truth minus the prediction.

    Parameters
    ----------
    network : Network
        A regression network.
    x : array_like or sparse matrix, shape (n, n_in)
        Examples.
    y : array_like, shape (n,) or (n, n_out)
        Targets.
    output : int
        The output that is drawn, from 0.
    backend : str, optional
        The backend that computes the outputs.
    width : float
        The width in inches.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        `network` is no network.
    ValueError
        The network is no regression network, or the data do not fit.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> x = np.random.default_rng(0).random((50, 4))
    >>> network = fastnet.Network([4, 1], output="identity", seed=0)
    >>> figure = predictions(network, x, x.sum(axis=1))
    """
    checks.instance("network", network, Network)
    if network.task != "regression":
        raise ValueError(f"network has the task {network.task}; expected a regression: for classes, draw confusion")
    output = checks.position("output", output, network.sizes[-1])
    predicted = network.forward(x, backend=backend)[:, output]
    truth = network.check_targets(y, len(predicted))
    truth = truth[:, output] if truth.ndim == 2 else truth == output  # labels stand for targets of 0 and 1
    figure = style.figure(width, 1.55 * width)
    above, below = figure.subplots(2, 1, height_ratios=(3, 2), sharex=True)
    points = {"color": style.BLUE, "linestyle": "", "marker": "o", "markersize": 3.5, "markeredgewidth": 0}
    points |= {"alpha": 0.6 if len(truth) <= FEW else 0.25, "rasterized": True}
    above.plot(predicted, truth, **points)
    ends = [min(predicted.min(), truth.min()), max(predicted.max(), truth.max())]
    above.plot(ends, ends, color=style.BLACK, linewidth=1)
    below.plot(predicted, truth - predicted, **points)
    below.axhline(0, color=style.BLACK, linewidth=1)
    name = network.schema.target if network.schema is not None and network.sizes[-1] == 1 else ""
    if name:
        above.set_title(style.shortened(name, MAX_LETTERS))
    above.set_ylabel("true value")
    below.set_ylabel("error (true - predicted)")
    below.set_xlabel("predicted value")
    for axes in (above, below):
        axes.grid()
        number_ticks(axes.yaxis)
        axes.set_axisbelow(True)
    number_ticks(below.xaxis)
    return figure
