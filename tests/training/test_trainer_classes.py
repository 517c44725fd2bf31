"""Training, validation, evaluation and prediction choose the same classes and count the same answers as right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import name_of

from fastnet import Network, Trainer


@pytest.mark.parametrize("cost", ["squared_error", "cross_entropy"])
def test_outputs_that_round_to_1_are_classified_by_their_sums(backend: Any, cost: str) -> None:
    """For any x the weighted sums are 60, 80 and 70. All sigmoids round to 1, and the class is 1."""
    name = name_of(backend)
    net = Network([2, 3], output="sigmoid", cost=cost)
    net.parameters[:] = 0, 0, 0, 0, 0, 0, 60, 80, 70
    x, y = np.zeros((4, 2), np.float32), np.array([1, 1, 1, 0])
    assert (net.forward(x, backend=name) == 1).all()
    trainer = Trainer(net, optimizer="sgd", learning_rate=1e-30, batch_size=3, backend=name)
    epoch = trainer.fit(x, y, epochs=1, validation_data=(x, y)).epochs[-1]
    shares = epoch.accuracy, epoch.validation_accuracy, trainer.evaluate(x, y).accuracy
    assert shares == (0.75, 0.75, 0.75)
    assert net.predict(x, backend=name).tolist() == [1, 1, 1, 1]
