"""Streams: sources that can be read once, and whose length is unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from source_cases import BYTES, LABELS, N_IN, N_OUT, SMALL, Chunks, readers_running
from trainer_cases import Recorder

from fastnet import Constant, Cosine, Network, ProgressBar, Trainer
from fastnet.data import source
from fastnet.errors import DataError
from fastnet.source import Source

N = len(BYTES)


def stream(most: int = 50, buffer: Any = SMALL) -> Source:
    return source(Chunks(BYTES, LABELS, most), shuffle_buffer=buffer, name="the sensor")


def made(**options: Any) -> Trainer:
    return Trainer(Network([N_IN, 6, N_OUT], seed=0), **{"batch_size": 16, "seed": 1, "backend": "numpy"} | options)


@pytest.mark.parametrize("most", [1, 50, 5000])
@pytest.mark.parametrize("schedule", ["constant", lambda step: 1 / (1 + step)])
def test_a_stream_in_order_gives_the_bits_of_arrays(most: int, schedule: Any) -> None:
    trainers = [made(shuffle=False, schedule=schedule) for _ in range(2)]
    trainers[0].fit(stream(most), epochs=1)
    trainers[1].fit(BYTES, LABELS, epochs=1)
    assert trainers[0].network.parameters.tobytes() == trainers[1].network.parameters.tobytes()
    assert trainers[0].history["examples"] == trainers[1].history["examples"] == [N]
    assert not readers_running()


def test_a_stream_is_shuffled_within_its_buffer_whatever_its_chunks() -> None:
    """Windows have 288 rows: half the buffer, at 102 bytes for each row."""
    orders = []
    for most in (7, 400):
        seen = Recorder(every=1)
        made().fit(stream(most), epochs=1, callbacks=[seen, ProgressBar()])
        orders.append(np.concatenate([progress.rows for progress in seen.seen]))
        assert {progress.batches for progress in seen.seen} == {0}
    assert (orders[0] == orders[1]).all()
    for start in range(0, N, 288):
        window = orders[0][start : start + 288]
        assert sorted(window) == list(range(start, min(start + 288, N)))
        assert (window[:10] != np.arange(start, start + 10)).any()


def test_what_needs_a_length_or_a_second_pass_is_refused_in_words() -> None:
    for options, arguments, message in (
        ({}, {"epochs": 2}, r"^the sensor is a stream, which can be read once: use epochs=1, not 2"),
        ({"schedule": Cosine()}, {"epochs": 1}, "depends on the length of an epoch"),
        ({"schedule": Constant(warmup=1)}, {"epochs": 1}, "depends on the length of an epoch"),
        ({}, {"epochs": 1, "class_weight": "balanced"}, "give a mapping"),
        ({}, {"epochs": 1, "validation_data": stream()}, "validation data are read in each epoch"),
    ):
        with pytest.raises(ValueError, match=message):
            made(**options).fit(stream(), **arguments)
    with pytest.raises(ValueError, match="which can be read only once"):
        made().evaluate(stream())
    with pytest.raises(TypeError, match="whose length is unknown"):
        made().network.forward(stream())


def test_an_empty_stream_and_a_damaged_row_are_refused() -> None:
    with pytest.raises(DataError, match="the sensor is empty"):
        made().fit(source(Chunks(BYTES[:0], LABELS[:0], 5), name="the sensor"), epochs=1)
    y = LABELS.copy()
    y[701] = 9
    with pytest.raises(DataError, match=r"^row 701 of the sensor: y\[701\] is 9"):
        made().fit(source(Chunks(BYTES, y, 50), shuffle_buffer=SMALL, name="the sensor"), epochs=1)


def test_r2_of_a_stream_is_unknown() -> None:
    net = Network([N_IN, 1], task="regression", seed=0)
    data = source(Chunks(BYTES, BYTES[:, 0] / 255, 50), shuffle_buffer=SMALL)
    record = Trainer(net, seed=0).partial_fit(data)
    assert np.isnan(record.r2)
    assert record.cost > 0
