"""Standardizes the columns of a table for the training, and folds this step into the trained network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c
from fastnet.network import Network
from fastnet.source import Block, Reader

Array = NDArray[np.float64]
# A column whose deviation is smaller than this share of its mean counts as constant: its differences are rounding
# errors. A network in float64 keeps four digits of every other column.
MIN_SHARE = 1e-12
# The folded network stays in float32 if its outputs change by at most this much, in deviations of the target. The
# change grows in proportion to mean / deviation of the columns: about 3e-5 at 100, 3e-4 at 1,000.
MAX_CHANGE = 1e-4
_BLOCK = 1 << 14  # rows of a reader that are looked at together


class Spread(NamedTuple):
    """The mean and the standard deviation of each column, both float64 (n_columns,). A deviation of 0: constant."""

    means: Array
    deviations: Array

    @classmethod
    def of(cls, columns: NDArray[Any]) -> Spread:
        """Return the spread of columns (n, n_columns), one after the other: float64 copies of all take much memory."""
        found = np.array([_mean_and_deviation(_numbers(column)) for column in columns.T])
        return cls(found[:, 0].copy(), found[:, 1].copy())

    @classmethod
    def of_blocks(cls, blocks: Iterable[NDArray[Any]]) -> Spread:
        """Return the spread of columns that arrive in blocks of rows (Chan, Golub and LeVeque 1983)."""
        n, means, squares = 0, np.empty(0), np.empty(0)
        for block in blocks:
            found = np.array([_mean_and_deviation(_numbers(column), 0.0) for column in block.T])
            count, shift = len(block), found[:, 0] - means if n else np.zeros(len(found))
            means = means + shift * (count / (n + count)) if n else found[:, 0].copy()
            own = found[:, 1] ** 2 * count
            squares = squares + own + shift**2 * (n * count / (n + count)) if n else own
            n += count
        deviations = np.sqrt(squares / n)
        return cls(means, np.where(deviations > MIN_SHARE * np.abs(means), deviations, 0.0))

    @property
    def factors(self) -> Array:
        """What standardizing multiplies a difference from the mean by. A constant column gets 0."""
        return np.divide(1, self.deviations, out=np.zeros_like(self.deviations), where=self.deviations > 0)

    def standardized(self, columns: NDArray[Any]) -> Array:
        """Return columns with mean 0 and standard deviation 1. A constant column becomes 0, whatever it holds."""
        found: Array = columns - self.means
        found *= self.factors
        return found


class StandardizedReader:
    """The rows of a reader after a `Standardization`, in the dtype of a network.

    Parameters
    ----------
    reader : Reader
        The raw rows.
    standard : Standardization
        The step.
    dtype : dtype
        The dtype of the network. Bytes that are not standardized stay bytes.
    """

    def __init__(self, reader: Reader, standard: Standardization, dtype: np.dtype[Any]) -> None:
        self._reader, self._standard, self._dtype = reader, standard, dtype
        self.block_rows = getattr(reader, "block_rows", 1)

    def __len__(self) -> int:
        return len(self._reader)

    def read(self, start: int, stop: int) -> Block:
        """Return consecutive rows."""
        x, y = self._reader.read(start, stop)
        rows = self._standard.rows(x.reshape(len(x), -1))
        rows = rows if rows.dtype == np.uint8 else rows.astype(self._dtype)
        return Block(rows, self._standard.outputs(np.asarray(y)))


class Standardization(NamedTuple):
    """The step before a training on standardized columns.

    Attributes
    ----------
    inputs, targets : Spread or None
        The spread of the training rows and of their targets. None: they stay as they are.
    """

    inputs: Spread | None
    targets: Spread | None = None

    @classmethod
    def of(cls, x: NDArray[Any] | None, y: NDArray[Any] | None = None) -> Standardization:
        """Return the standardization of training rows x (n, n_in) and of targets y (n, n_out), where they are given."""
        return cls(None if x is None else Spread.of(x), None if y is None else Spread.of(y))

    @classmethod
    def of_reader(cls, reader: Reader, inputs: bool, targets: bool) -> Standardization:
        """Return the standardization of all rows of a reader, which are read once for each of the two."""

        def blocks(part: int) -> Iterator[NDArray[Any]]:
            for start in range(0, len(reader), _BLOCK):
                block = np.asarray(reader.read(start, min(start + _BLOCK, len(reader)))[part])
                yield block.reshape(len(block), -1)

        return cls(Spread.of_blocks(blocks(0)) if inputs else None, Spread.of_blocks(blocks(1)) if targets else None)

    def rows(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return standardized rows (n, n_in), float64, or x if the inputs stay as they are."""
        return x if self.inputs is None else self.inputs.standardized(_numbers(x))

    def outputs(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return standardized targets (n, n_out), float64, or y if the targets stay as they are."""
        return y if self.targets is None else self.targets.standardized(y)

    def folded(self, network: Network, x: NDArray[Any]) -> Network:
        """Return the network that gives for raw rows what `network` gives for standardized rows.

        It is another network, unless there is nothing to standardize. The weights are computed in float64. The result
        has the dtype of `network`, unless float32 would change the outputs by more than MAX_CHANGE for some row of x.
        Then it has float64.

        Parameters
        ----------
        network : Network
            A network that was trained on standardized rows. If the targets are standardized, its outputs need the
            activation "identity".
        x : array (n, n_in)
            Raw rows to compare the two dtypes on.
        """
        if self.inputs is self.targets is None:
            return network
        exact = self._fold(network.astype(np.float64))
        exact.note_inputs(0.0 if x.dtype == np.uint8 else float(np.abs(x).max()), anew=True)
        if network.dtype == exact.dtype:
            return exact
        with np.errstate(over="ignore", invalid="ignore"):  # numbers beyond float32 become infinite
            narrow = exact.astype(network.dtype)
            is_finite = np.isfinite(narrow.parameters).all() and np.isfinite(x.astype(network.dtype)).all()
        return narrow if is_finite and self._change(exact, narrow, x) <= MAX_CHANGE else exact

    def _fold(self, network: Network) -> Network:
        """Change the first and the last layer of a network of float64, and return it."""
        weights, biases = network.weights, network.biases
        if self.inputs is not None:
            weights[0][...] *= self.inputs.factors
            biases[0][...] -= weights[0] @ self.inputs.means
        if self.targets is not None:
            weights[-1][...] *= self.targets.deviations[:, None]
            biases[-1][...] = biases[-1] * self.targets.deviations + self.targets.means
        return network

    def _change(self, exact: Network, narrow: Network, x: NDArray[Any]) -> float:
        """Return the largest difference between the outputs of the two networks, in deviations of the target.

        Targets that are not standardized have no known deviation. Differences are then relative to outputs above 1.
        """
        outputs = exact.forward(x)
        change = np.abs(outputs - narrow.forward(x))
        units = 1 / np.maximum(np.abs(outputs), 1) if self.targets is None else self.targets.factors
        return float((change * units).max())


def _numbers(x: NDArray[Any]) -> NDArray[Any]:
    """Return rows as a network reads them: a byte of 255 stands for 1."""
    return x * c.PIXEL_SCALE if x.dtype == np.uint8 else x


def _mean_and_deviation(column: NDArray[Any], min_share: float = MIN_SHARE) -> tuple[float, float]:
    """Return the mean and the standard deviation of one column. A deviation below a share of the mean becomes 0."""
    differences = column - column[0].astype(np.float64)  # exactly 0 in a constant column
    largest = float(np.abs(differences).max())
    if largest == 0:
        return float(column[0]), 0.0
    differences /= largest  # the squares of large and of tiny numbers leave float64
    mean, deviation = column[0] + largest * differences.mean(), largest * differences.std()
    return float(mean), float(deviation) if deviation > min_share * abs(mean) else 0.0
