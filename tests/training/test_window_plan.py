"""The plan of windows: which rows of a source each window holds, and in which order an epoch trains on them."""

from __future__ import annotations

import numpy as np
import pytest
from pairwise import cover

from fastnet.training.window_plan import MIN_BLOCKS, Sizes, plan, sizes

CASES = cover([1, 2, 63, 1000, 4097], [1, 7, 64], [1, 10, 5000], [1, 5, 300], [False, True], [False, True])
DRAW = np.random.default_rng(0)
CASES += [
    (
        *(int(DRAW.integers(1, most)) for most in (5000, 100, 3000, 400)),
        bool(DRAW.integers(2)),
        bool(DRAW.integers(2)),
    )
    for _ in range(20)
]


def rows_of_windows(found: Sizes, shuffle: bool, is_exact: bool, seed: int) -> list[np.ndarray]:
    """Return the row numbers of each window in the order of the training."""
    epoch, windows = plan(found, shuffle, is_exact, np.random.default_rng(seed)), []
    for number in range(found.n_windows):
        window = np.full(len(found.rows_of(number)), -1)
        for rows, places in epoch.parts(number):
            assert (window[places] == -1).all()
            window[places] = np.arange(found.rows)[rows]
            assert len(places) <= found.block
        windows.append(window)
    return windows


@pytest.mark.parametrize(("n", "batch", "room", "preferred", "shuffle", "is_exact"), CASES)
def test_an_epoch_has_every_row_once_in_whole_batches(
    n: int, batch: int, room: int, preferred: int, shuffle: bool, is_exact: bool
) -> None:
    """`room` is the number of rows, beyond a batch, for which a window has memory."""
    row_bytes = 16
    found = sizes(n, row_bytes, (batch + room) * row_bytes, batch, preferred)
    windows = rows_of_windows(found, shuffle, is_exact, seed=1)
    order = np.concatenate(windows)
    assert sorted(order) == list(range(n))
    assert all(len(window) % batch == 0 for window in windows[:-1])
    assert max(map(len, windows)) <= min(batch + room, found.window)
    assert max(map(len, windows)) - min(map(len, windows)) < 2 * batch
    for row in range(0, n, batch):
        assert row in found.rows_of(found.window_of(row))
    if not shuffle:
        assert (order == np.arange(n)).all()
    for same, again in zip(windows, rows_of_windows(found, shuffle, is_exact, seed=1), strict=True):
        assert (same == again).all()
    if shuffle and n > 60:
        assert (order != np.concatenate(rows_of_windows(found, shuffle, is_exact, seed=2))).any()


@pytest.mark.parametrize(("n", "batch"), [(100_000, 10), (100_003, 50), (99_000, 500)])
def test_a_window_mixes_blocks_from_everywhere(n: int, batch: int) -> None:
    """Each window has about as many rows of each tenth of the data, in random order, and few pairs of neighbours."""
    found = sizes(n, 8, 8 * 10_000, batch, 1)
    assert found.window // found.block >= MIN_BLOCKS
    windows = rows_of_windows(found, True, False, seed=0)
    for window in windows:
        counts = np.bincount(window * 10 // n, minlength=10)
        assert 0.07 < counts.min() / len(window) <= counts.max() / len(window) < 0.13
        assert abs(np.corrcoef(window, np.arange(len(window)))[0, 1]) < 0.05
        assert np.count_nonzero(np.diff(window) == 1) < 20


def test_the_order_of_an_exact_plan_is_that_of_data_in_memory() -> None:
    order = np.random.default_rng(5).permutation(np.arange(1000))
    found = np.concatenate(rows_of_windows(sizes(1000, 8, 8 * 128, 32, 1), True, True, seed=5))
    assert (found == order).all()


def test_a_buffer_that_holds_no_batch_is_refused_with_the_size_it_needs() -> None:
    with pytest.raises(ValueError, match=r"at least 3,200 bytes") as caught:
        sizes(1000, 8, 8 * 199, 200, 1)
    assert "batch of 200 rows" in str(caught.value)
    assert sizes(1000, 8, 3200 // 2, 200, 1).window == 200
