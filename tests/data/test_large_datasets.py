"""Large data sets: which rows are held out, the sample, and the standardization of rows that arrive in blocks."""

from __future__ import annotations

import numpy as np
import pytest

import fastnet
from fastnet.data import large_datasets
from fastnet.data.large_datasets import large_dataset, part_of, split_reader
from fastnet.data.sources.arrays import ArrayReader
from fastnet.data.sources.joined import JoinedReader
from fastnet.data.table_datasets import Reading
from fastnet.training.standardize import Spread, Standardization, StandardizedReader


def reader(n: int, block_rows: int) -> JoinedReader:
    return JoinedReader([ArrayReader(np.arange(n)[:, None], np.arange(n))], block_rows)


@pytest.mark.parametrize(("n", "block", "share"), [(5, 1, 0.2), (999, 1, 0.1), (54_321, 100, 0.2), (5000, 3000, 0.25)])
def test_each_row_is_in_one_part(n, block, share):
    parts = split_reader(reader(n, block), share)
    rows = [part.read(0, len(part)).x.ravel() for part in parts]
    assert sorted(np.concatenate(rows).tolist()) == list(range(n))
    assert abs(len(rows[1]) - share * n) <= max(1, n // 20)
    groups = rows[0][: len(rows[0]) // block * block].reshape(-1, block)
    if parts[0].block_rows > 1:  # row groups stay whole
        np.testing.assert_array_equal(groups, groups[:, :1] + np.arange(block))
        np.testing.assert_array_equal(groups[:, 0] % block, 0)
    assert (parts[0].block_rows > 1) == (block == 100)
    assert len(split_reader(reader(n, block), 0)[1]) == 0


@pytest.mark.parametrize(
    ("n", "block", "parts"), [(5, 1, 3), (999, 1, 4), (54_321, 100, 2), (54_321, 100, 64), (5000, 3000, 2)]
)
def test_processes_share_the_rows(n, block, parts):
    readers = [part_of(reader(n, block), part, parts) for part in range(parts)]
    rows = [part.read(0, len(part)).x.ravel() for part in readers]
    assert sorted(np.concatenate(rows).tolist()) == list(range(n))
    assert max(map(len, rows)) - min(map(len, rows)) <= max(1, n // (20 * parts))
    assert all(part[-1] >= n * 0.8 for part in rows if len(part) > 20)  # rows from the whole set
    whole = n // (20 * parts) >= block > 1
    assert [part.block_rows for part in readers] == [block if whole else 1] * parts
    for part in rows if whole else ():  # row groups stay whole
        np.testing.assert_array_equal(part[: len(part) // block * block].reshape(-1, block)[:, 0] % block, 0)


def test_spread_of_blocks_is_that_of_all_rows():
    rng = np.random.default_rng()
    x = rng.normal(size=(5000, 4)) * [1, 1e6, 1e-6, 0] + [0, 1e9, 5, 7.1]
    cuts = np.sort(rng.choice(4999, 20, replace=False)) + 1
    found, wanted = Spread.of_blocks(np.split(x, cuts)), Spread.of(x)
    np.testing.assert_allclose(found.means, wanted.means, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.deviations, wanted.deviations, rtol=1e-9)
    assert found.deviations[3] == 0
    rows = ArrayReader(x, x[:, :1])
    standard = Standardization.of_reader(rows, inputs=True, targets=True)
    block = StandardizedReader(rows, standard, np.dtype("f4")).read(10, 20)
    assert block.x.dtype == np.float32
    np.testing.assert_allclose(block.x, wanted.standardized(x)[10:20], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(block.y, wanted.standardized(x)[10:20, :1], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("has_schema", [True, False])
def test_a_large_set_has_a_sample_in_memory(tmp_path, monkeypatch, has_schema):
    x, y = np.arange(24_000.0).reshape(8000, 3), np.arange(8000) % 3
    for k in range(8):
        np.savez(tmp_path / f"{k}.npz", x=x[k * 1000 : (k + 1) * 1000], y=y[k * 1000 : (k + 1) * 1000])
    if has_schema:
        np.savez(tmp_path / "x.npz", x=x, y=y)
        fastnet.data.convert(tmp_path / "x.npz", tmp_path / "shards", rows_per_shard=900)
    path = tmp_path / "shards" if has_schema else tmp_path
    assert large_dataset(path, Reading(0.2)) is None
    monkeypatch.setattr(large_datasets, "LARGE", 1000)
    monkeypatch.setattr(large_datasets, "_SAMPLE", 1000)
    data = large_dataset(path, Reading(0.2))
    assert (data.n_train, data.n_test) == (6400, 1600)
    assert (len(data.x_train), len(data.x_test)) == (1000, 1000)
    assert (data.class_names, data.task, data.is_held_out) == (("0", "1", "2"), "classification", True)
    for part, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        np.testing.assert_array_equal(part[:, 0] // 3 % 3, labels)
        assert set(labels.tolist()) == {0, 1, 2}
        assert np.ptp(part) > 20_000  # from everywhere
