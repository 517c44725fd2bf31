"""The cases of the suite `users`: networks, data and batch sizes that stand for what people train and call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastnet.bench.peers.process import write_case
from fastnet.bench.workloads import SEED, WORKLOADS, Array, Images, Workload
from fastnet.errors import DataError
from fastnet.names import OptimizerName

TEST_ROWS = 2_048  # the rows that calls of inference take in turn
PIXEL_MEAN, PIXEL_SPREAD = 0.1307, 0.3081  # of MNIST
COLUMNS, ENTRIES = 10_000, 100  # of the text
CALLS = {1: 300, 8: 200, 64: 100, 1_024: 10}  # rows of a call of inference: calls in a turn
PART_ROWS = 256  # with several threads
CALLS_IN_THREADS = {1_024: 10, 2_048: 5}


@dataclass(frozen=True)
class Data:
    """The rows of a case. Labels (n,), or for a regression float64 targets (n, n_out)."""

    x: Any  # an array or a CSR matrix
    y: Array
    x_test: Any
    y_test: Array


@dataclass(frozen=True)
class Case:
    """A training for `epochs` epochs of `rows` examples, or calls on `call_rows` rows each."""

    title: str
    workload: Workload
    data: Callable[[Images, Workload, int], Data]  # (images, workload, number of rows) -> rows
    rows: int
    dtype: str = "float32"
    epochs: int = 1
    call_rows: int = 0  # 0: training
    calls: int = 0
    threads: int = 1  # of a call of inference

    @property
    def part_rows(self) -> int:
        """The rows of a call that a thread of a predictor computes at a time."""
        return PART_ROWS if self.threads > 1 else max(self.call_rows, 1)

    @property
    def trains(self) -> bool:
        return not self.call_rows

    def written(self, images: Images, folder: str, quick: bool) -> Data:
        """The data of the case, which this method also writes to a folder for other processes."""
        least = 2 * self.workload.batch_size
        rows = min(max(self.rows // 10, least), self.rows) if quick else self.rows
        data = self.data(images, self.workload, rows)
        write_case(folder, self.workload, self.dtype, vars(data), self.threads)
        return data


# -- the data -----------------------------------------------------------------------------------------------------


def pixels(images: Images, workload: Workload, rows: int) -> Data:
    """Images as bytes."""
    there = np.arange(TEST_ROWS) % len(images.y_test)  # mnist-5k has fewer
    return Data(images.x[:rows], images.y[:rows], images.x_test[there], images.y_test[there])


def grey(images: Images, workload: Workload, rows: int) -> Data:
    """Images as floats from 0 to 1."""
    data = pixels(images, workload, rows)
    x, x_test = (np.divide(x, 255, dtype=np.float32) for x in (data.x, data.x_test))
    return Data(x, data.y, x_test, data.y_test)


def scaled(images: Images, workload: Workload, rows: int) -> Data:
    """Images whose pixels have mean 0 and standard deviation 1, as in PyTorch's examples: no pixel is zero."""
    data = grey(images, workload, rows)
    x, x_test = ((x - np.float32(PIXEL_MEAN)) / np.float32(PIXEL_SPREAD) for x in (data.x, data.x_test))
    return Data(x, data.y, x_test, data.y_test)


def columns(images: Images, workload: Workload, rows: int) -> Data:
    """Columns of normal numbers. A linear function of the columns gives the targets, so that a network can learn."""
    rng = np.random.default_rng(SEED)
    n_in, n_out = workload.sizes[0], workload.sizes[-1]
    x = rng.standard_normal((rows + TEST_ROWS, n_in)).astype(np.float32)
    scores = x @ rng.standard_normal((n_in, n_out)) / np.sqrt(n_in)
    y: Array = scores.argmax(1) if workload.has_labels else scores
    return Data(x[:rows], y[:rows], x[rows:], y[rows:])


def text(images: Images, workload: Workload, rows: int) -> Data:
    """Rows of word weights as a CSR matrix. The words of a text are more often words of its class."""
    try:
        from scipy.sparse import csr_matrix
    except ImportError as error:
        raise DataError(f"sparse input needs SciPy ({error}): python -m pip install scipy") from None
    rng = np.random.default_rng(SEED)
    count, n_out = rows + TEST_ROWS, workload.sizes[-1]
    y = rng.integers(0, n_out, count)
    common = (COLUMNS * rng.random((count, ENTRIES)) ** 2).astype(np.int64)  # low columns are frequent words
    own = common // n_out * n_out + y[:, None]
    words = np.minimum(np.where(rng.random(common.shape) < 0.3, own, common), COLUMNS - 1)
    values = rng.uniform(0.05, 0.3, common.shape).astype(np.float32)
    x = csr_matrix((values.ravel(), words.ravel(), np.arange(count + 1) * ENTRIES), shape=(count, COLUMNS))
    x.sum_duplicates()
    return Data(x[:rows], y[:rows], x[rows:], y[rows:])


# -- the cases ----------------------------------------------------------------------------------------------------


def _classes(name: str, sizes: tuple[int, ...], batch: int, optimizer: OptimizerName, rate: float) -> Workload:
    return Workload(name, sizes, "relu", "softmax", "cross_entropy", batch, rate, optimizer)


def _values(name: str, sizes: tuple[int, ...], batch: int, optimizer: OptimizerName, rate: float) -> Workload:
    return Workload(name, sizes, "relu", "identity", "squared_error", batch, rate, optimizer)


def _inference() -> list[Case]:
    """Calls of three networks on few and many rows: digits, of which most inputs are 0, and floats without zeros."""
    found = []
    for threads, sizes in ((1, CALLS), (2, CALLS_IN_THREADS)):
        for network in (_W1, _W5, _W6):
            for kind, data in (("digits", grey), ("dense floats", columns)):
                for rows, calls in sizes.items():
                    who = f"inference, {f'{threads} threads, ' * (threads > 1)}{kind}, {network.layers}"
                    title = f"{who}, {rows:,} row{'s' * (rows > 1)}"
                    found.append(Case(title, network, data, network.batch_size, "float32", 1, rows, calls, threads))
    return found


_W1, _W3, _W5, _W6 = WORKLOADS.values()
_MIDDLE, _WIDE = (784, 128, 64, 10), (100, 256, 256, 256, 256, 10)
CASES = (
    Case("digits as bytes, W1", _W1, pixels, 6_400),
    Case("digits as bytes, W3", _W3, pixels, 12_800),
    Case("digits as bytes, W5", _W5, pixels, 12_800),
    Case("digits as bytes, W6", _W6, pixels, 6_400),
    Case("digits as floats, Adam", _classes("floats", _MIDDLE, 64, "adam", 1e-3), grey, 12_800),
    Case("digits as scaled floats, middle", _classes("scaled", _MIDDLE, 64, "sgd", 0.01), scaled, 12_800),
    Case("digits as scaled floats, wide", _classes("wide", _W6.sizes, 128, "sgd", 0.01), scaled, 6_400),
    Case("digits in float64", _classes("float64", _MIDDLE, 64, "sgd", 0.1), grey, 6_400, "float64"),
    Case("text in CSR", _classes("text", (COLUMNS, 64, 20), 32, "adam", 1e-3), text, 3_200),
    Case("small table, batch 16", _classes("small", (4, 8, 3), 16, "adam", 1e-3), columns, 8_000),
    Case("small table, batch 150", _classes("flat", (4, 100, 3), 150, "adam", 1e-3), columns, 15_000),
    Case("small table in float64", _classes("flat", (4, 100, 3), 150, "adam", 1e-3), columns, 15_000, "float64"),
    Case("30 columns, batch 200", _classes("columns", (30, 100, 2), 200, "adam", 1e-3), columns, 20_000),
    Case("30 columns in float64", _classes("columns", (30, 100, 2), 200, "adam", 1e-3), columns, 20_000, "float64"),
    Case("tiny data, a fit of 100 epochs", _classes("tiny", (4, 10, 3), 32, "adam", 1e-3), columns, 150, epochs=100),
    Case("regression", _values("regression", (13, 64, 64, 1), 32, "adam", 1e-3), columns, 6_400),
    Case("many classes", _classes("classes", (128, 256, 256, 1_000), 256, "momentum", 0.01), columns, 2_560),
    Case("deep and narrow", _classes("deep", (20, *[32] * 6, 5), 32, "adam", 1e-3), columns, 6_400),
    Case("batch 1", _values("single", (10, 10, 1), 1, "sgd", 1e-2), columns, 1_000),
    Case("wide dense, momentum", _classes("dense", _WIDE, 512, "momentum", 0.01), columns, 5_120),
    Case("wide dense, Adam", _classes("dense", _WIDE, 512, "adam", 1e-4), columns, 5_120),
    *_inference(),
)


def selected(words: Sequence[str]) -> list[Case]:
    """The cases whose titles contain one of the words; all without words."""
    return [case for case in CASES if not words or any(word.lower() in case.title.lower() for word in words)]


def case_folder(folder: str, number: int) -> str:
    return str(Path(folder, f"case{number}"))
