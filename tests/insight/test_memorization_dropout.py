"""The effect of dropout on learning and memorising."""

from __future__ import annotations

from typing import Any

from conftest import name_of
from insight_cases import images, unseen

from fastnet.insight import MEMORIZER, memorization


# Epochs to fit 99% of 1,000 images with dropout 0.5 [without dropout], five seeds on each backend: true labels 10 to 12
# [8 to 9], shuffled labels 75 to 88 [30 to 34]. Test accuracy with true labels: 0.897 to 0.903 [0.885 to 0.900].
def test_dropout_slows_memorising_more_than_learning(backend: Any) -> None:
    recipe = MEMORIZER.but(trainer={"dropout": 0.5, "backend": name_of(backend)})
    learned = memorization(*images(1000), test=unseen(), recipe=recipe, seeds=range(3), stop=True)
    assert learned.epochs_to_fit.max() < 18
    assert learned.final_test.min() > 0.86
    memorised = memorization(*images(1000), corrupted=1.0, recipe=recipe.but(epochs=50), seeds=range(3), stop=True)
    assert not (memorised.epochs_to_fit <= 50).any()  # without dropout, 30 to 34 epochs are enough
    assert memorised.final_training.max() < 0.99
