"""The picture of what excites neurons: real images, and images made by gradient ascent.

Not here: the neurons' weights (weights.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.insight.excitation import ExcitingImages, IdealInputs
from fastnet.insight.task import full_scale
from fastnet.plots import pixels, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_NEURONS = 10  # more neurons are not drawn
SHOWN = 6  # images of each neuron


@style.picture
def excitation(
    found: ExcitingImages, ideal: IdealInputs, images: Any, *, image_shape: tuple[int, int] | None = None
) -> Figure:
    """Draw the images that excite each of at most 10 neurons: real images, their mean, and the image made by ascent.

    The number below an image is the neuron's weighted sum.

    Parameters
    ----------
    found : ExcitingImages
        The result of `insight.exciting_images`.
    ideal : IdealInputs
        The result of `insight.ideal_inputs` for the same layer. Its first 10 neurons are drawn.
    images : array_like, shape (n, n_in)
        The images that `found` was chosen from.
    image_shape : tuple of int, optional
        Rows and columns of the images. By default they are square.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        `found` or `ideal` is no result of fastnet.insight.
    ValueError
        The shape does not fit, or `found` and `ideal` are of different layers.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> network, images = fastnet.Network([9, 5, 3], seed=0), np.random.default_rng(0).random((20, 9))
    >>> found = fastnet.insight.exciting_images(network, images, 1, k=2)
    >>> figure = excitation(found, fastnet.insight.ideal_inputs(network, 1, steps=5), images)
    """
    checks.instance("found", found, ExcitingImages, "fastnet.insight")
    checks.instance("ideal", ideal, IdealInputs, "fastnet.insight")
    if found.layer != ideal.layer:
        raise ValueError(
            f"`found` is for layer {found.layer}, but `ideal` is for layer {ideal.layer}: give results of one layer"
        )
    shape = checks.image_shape(image_shape, found.mean.shape[1])
    neurons = ideal.neurons[:MAX_NEURONS]
    shown = min(SHOWN, found.indices.shape[1])
    pictures = np.asarray(images)
    bright = full_scale(pictures)
    figure = style.figure(7, (0.74 * shape[0] / shape[1] + 0.25) * len(neurons) + 0.4)
    grid = figure.add_gridspec(len(neurons), shown + 2)
    axes = grid.subplots(squeeze=False)
    title = "most exciting images, and weighted sums"
    if len(neurons) < len(ideal.neurons):
        title += f": {len(neurons)} of {len(ideal.neurons)} neurons"
    pixels.heading(figure, grid[:, :shown], title)
    pixels.heading(figure, grid[:, shown], f"mean of {found.indices.shape[1]}")
    pixels.heading(figure, grid[:, shown + 1], "by ascent")
    for row, neuron, made, made_sum in zip(axes, neurons, ideal.images, ideal.sums, strict=False):
        chosen = pictures[found.indices[neuron, :shown]].reshape(shown, -1)
        for one, image, total in zip(row, chosen, found.sums[neuron], strict=False):
            pixels.show(one, image, shape, cmap=style.INK, vmin=0, vmax=bright)
            one.set_xlabel(f"{total:.1f}", fontsize=style.SMALL, labelpad=1)
        pixels.show(row[-2], found.mean[neuron], shape, cmap=style.INK, vmin=0, vmax=1)
        pixels.show(row[-1], made, shape, cmap=style.INK, vmin=0, vmax=1)
        row[-1].set_xlabel(f"{made_sum:.1f}", fontsize=style.SMALL, labelpad=1)
        row[0].set_ylabel(f"neuron {neuron}", fontsize=style.SMALL)
    return figure
