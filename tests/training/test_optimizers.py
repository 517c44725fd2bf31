"""Learning rate schedules follow plain formulas. Optimisers and schedules refuse wrong settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastnet import (
    Adam,
    Constant,
    Cosine,
    Exponential,
    GradientDescent,
    Momentum,
    Network,
    Schedule,
    Step,
    Trainer,
    checks,
)
from fastnet.kernels import contract as c
from fastnet.training.optimizers import OPTIMIZERS, encode
from fastnet.training.schedules import SCHEDULES, FromFunction

PER_EPOCH = 7
TIMES = [k / PER_EPOCH for k in range(12 * PER_EPOCH)]
HORIZON = (2.0, 10.0)


def cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(max(done, 0), 1)))


FORMULAS: dict[str, tuple[Schedule, Callable[[float], float]]] = {
    "base": (Schedule(), lambda t: 1),
    "constant": (Constant(), lambda t: 1),
    "step": (Step(every=3, factor=0.5), lambda t: 0.5 ** math.floor(t / 3 + 1e-9)),
    "step of less than an epoch": (Step(every=0.5), lambda t: 0.1 ** math.floor(t / 0.5 + 1e-9)),
    "exponential": (Exponential(factor=0.8), lambda t: 0.8**t),
    "cosine": (Cosine(epochs=8), lambda t: cosine(t / 8)),
    "cosine to a final rate": (Cosine(epochs=8, final=0.2), lambda t: 0.2 + 0.8 * cosine(t / 8)),
    "cosine of a fit": (Cosine(), lambda t: cosine((t - 2) / 8)),
    "warm-up": (Constant(warmup=2), lambda t: min((t + 1 / PER_EPOCH) / 2, 1)),
    "warm-up of part of an epoch": (Constant(warmup=0.3), lambda t: min((t + 1 / PER_EPOCH) / 0.3, 1)),
    "warm-up and exponential": (
        Exponential(warmup=2, factor=0.8),
        lambda t: min((t + 1 / PER_EPOCH) / 2, 1) * 0.8 ** max(t - 2, 0),
    ),
    "warm-up and step": (
        Step(warmup=1, every=3),
        lambda t: min(t + 1 / PER_EPOCH, 1) * 0.1 ** math.floor(max(t - 1, 0) / 3 + 1e-9),
    ),
    "warm-up and cosine": (
        Cosine(warmup=2, epochs=8),
        lambda t: min((t + 1 / PER_EPOCH) / 2, 1) * cosine((t - 2) / 6),
    ),
}


@pytest.mark.parametrize("case", FORMULAS)
def test_factors_equal_the_formula(case: str) -> None:
    schedule, formula = FORMULAS[case]
    expected = [formula(t) for t in TIMES]
    np.testing.assert_allclose(schedule.factors(0, len(TIMES), PER_EPOCH, HORIZON), expected, rtol=1e-12, atol=1e-15)
    epochs = [schedule.factors(epoch, PER_EPOCH, PER_EPOCH, HORIZON) for epoch in range(12)]
    np.testing.assert_allclose(np.concatenate(epochs), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("case", FORMULAS)
def test_factors_are_from_0_to_1(case: str) -> None:
    for per_epoch in (1, 3, 6000):
        for horizon in ((0.0, 0.0), (3.0, 3.0), (0.0, 1.0)):
            factors = FORMULAS[case][0].factors(0, 2 * per_epoch, per_epoch, horizon)
            assert factors.shape == (2 * per_epoch,)
            assert factors.dtype == np.float64
            assert ((factors >= 0) & (factors <= 1)).all()


@pytest.mark.parametrize("per_epoch", [1, 3, 7, 49, 6000])
def test_steps_fall_at_whole_epochs(per_epoch: int) -> None:
    """Time is a sum of shares of an epoch, one for each batch. Rounding in this sum must not move a step."""
    for epoch in range(60):
        factors = Step(every=3, factor=0.5).factors(epoch, per_epoch, per_epoch, (0, 60))
        assert set(factors) == {0.5 ** (epoch // 3)}
    often = Step(every=0.1, factor=0.5).factors(0, 30, 10, (0, 60))  # 0.3 / 0.1 is less than 3 in floats
    np.testing.assert_array_equal(often, 0.5 ** np.arange(30))


def rates_of(schedule: Any, *epochs: int) -> list[float]:
    """Return the learning rate of each epoch. An epoch has one update, and each number of epochs is a call of fit."""
    trainer = Trainer(
        Network([1, 1]), optimizer="sgd", learning_rate=1.0, schedule=schedule, batch_size=9, backend="numpy"
    )
    for n in epochs:
        trainer.fit(np.ones((4, 1), np.float32), np.ones(4), epochs=n)
    return list(trainer.history["learning_rate"])


def test_a_cosine_ends_with_its_epochs_or_with_the_fit() -> None:
    once = [cosine(k / 4) for k in range(4)]
    assert rates_of(Cosine(), 4, 4) == pytest.approx(once + once)  # the default starts again with each fit
    assert rates_of("cosine", 4) == pytest.approx(once)
    longer = [cosine(k / 8) for k in range(8)]
    assert rates_of(Cosine(epochs=8), 4, 4) == rates_of(Cosine(epochs=8), 8) == pytest.approx(longer)
    assert rates_of(Cosine(epochs=2, final=0.1), 4)[2:] == [0.1, 0.1]


def test_a_function_is_called_once_for_each_step() -> None:
    seen: list[int] = []

    def factor(step: int) -> float:
        seen.append(step)
        return 1 / (1 + step)

    assert rates_of(factor, 2, 1) == [1, 1 / 2, 1 / 3]
    assert seen == [0, 1, 2]


def test_values_that_are_no_factors_are_refused() -> None:
    assert FromFunction(function=lambda step: step).of_steps(3, 2).tolist() == [3, 4]
    for bad in (math.nan, math.inf, -0.1):
        factors = FromFunction(function=lambda step, bad=bad: bad if step == 4 else 1).of_steps(3, 2)
        with pytest.raises(ValueError, match="step 4"):
            checks.factors(factors, 2, 3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Schedule(warmup=-1), "warmup"),
        (lambda: Constant(warmup=math.nan), "warmup"),
        (lambda: Constant(warmup=math.inf), "warmup"),
        (lambda: Step(every=0), "every"),
        (lambda: Step(every=math.nan), "every"),
        (lambda: Step(factor=0), "factor"),
        (lambda: Step(factor=math.inf), "factor"),
        (lambda: Exponential(factor=-1), "factor"),
        (lambda: Exponential(factor=math.nan), "factor"),
        (lambda: Cosine(epochs=0), "epochs"),
        (lambda: Cosine(epochs=math.nan), "epochs"),
        (lambda: Cosine(warmup=5, epochs=5), "epochs"),
        (lambda: Cosine(final=1.5), "final"),
        (lambda: Cosine(final=-0.1), "final"),
        (lambda: Momentum(1), "momentum"),
        (lambda: Momentum(-0.1), "momentum"),
        (lambda: Momentum(math.nan), "momentum"),
        (lambda: Adam(beta1=1), "beta1"),
        (lambda: Adam(beta2=-1), "beta2"),
        (lambda: Adam(epsilon=0), "epsilon"),
        (lambda: Adam(epsilon=1e-40), "epsilon must be at least 1.2e-38, not 1e-40: the kernels flush"),
        (lambda: Adam(epsilon=math.nan), "epsilon"),
        (lambda: Adam(epsilon=math.inf), "epsilon"),
        (lambda: Momentum("0.9"), "momentum"),
        (lambda: Momentum(None), "momentum"),
        (lambda: Adam(epsilon="1e-8"), "epsilon"),
        (lambda: Step(every="10"), "every"),
        (lambda: Cosine(epochs="10"), "epochs"),
        (lambda: Exponential(factor=None), "factor"),
    ],
)
def test_impossible_numbers_are_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda: Exponential(0.9), {"factor": 0.9}),
        (lambda: Cosine(30), {"epochs": 30}),
        (lambda: Step(5), {"every": 5}),
    ],
    ids=["Exponential(0.9)", "Cosine(30)", "Step(5)"],
)
def test_a_positional_number_is_not_the_warm_up(make: Callable[[], Any], wanted: dict[str, Any]) -> None:
    """A positional number sets the most important setting of the class, or is refused."""
    try:
        schedule = make()
    except TypeError:
        return
    assert {name: getattr(schedule, name) for name in wanted} == wanted
    assert schedule.warmup == 0


def test_encode_writes_the_settings_to_their_columns() -> None:
    def encoded(*arguments: Any) -> dict[int, float]:
        vector = encode(*arguments)
        assert vector.dtype == np.float64
        assert vector.shape == (c.OPTIMIZER_COLUMNS,)
        return {column: value for column, value in enumerate(vector.tolist()) if value}

    assert encoded(GradientDescent(), 0, None) == {}
    assert encoded(GradientDescent(), 0.5, 2) == {c.WEIGHT_DECAY: 0.5, c.CLIP_NORM: 2}
    momentum = {c.KIND: c.MOMENTUM, c.BETA1: 0.8}
    assert encoded(Momentum(0.8), 0, None) == momentum
    assert encoded(Momentum(0.8, nesterov=True), 0, None) == momentum | {c.NESTEROV: 1}
    adam = {c.KIND: c.ADAM, c.BETA1: 0.5, c.BETA2: 0.75, c.EPSILON: 0.1, c.CLIP_NORM: 3}
    assert encoded(Adam(0.5, 0.75, 0.1), 0, 3) == adam


def test_names_give_the_default_settings() -> None:
    assert {name: make() for name, make in OPTIMIZERS.items()} == {
        "sgd": GradientDescent(),
        "momentum": Momentum(0.9),
        "nesterov": Momentum(0.9, nesterov=True),
        "adam": Adam(0.9, 0.999, 1e-8),
    }
    found = {name: make() for name, make in SCHEDULES.items()}
    assert found == {"constant": Constant(), "step": Step(), "cosine": Cosine(), "exponential": Exponential()}
