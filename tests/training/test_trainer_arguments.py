"""Trainer: the arguments that it refuses."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
from trainer_cases import SCHEDULES, X, Y, bits, make

from fastnet import Adam, Callback, Cosine, Momentum, Network, Schedule, Trainer
from fastnet.training.averaging import Averaging

# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [*SCHEDULES.values(), "cosine", "exponential", "step", lambda step: 0.5])
def test_every_optimizer_trains_with_every_schedule(schedule: Any) -> None:
    for optimizer in ("sgd", "momentum", "nesterov", "adam", Momentum(0.5, nesterov=True), Adam(beta1=0.8)):
        trainer = make(optimizer=optimizer, schedule=schedule, learning_rate=0.01)
        history = trainer.fit(X, Y, epochs=3)
        assert history["cost"][-1] < history["cost"][0], optimizer


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.1), ("momentum", 0.01), ("nesterov", 0.01), ("adam", 0.001)])
def test_the_default_learning_rate_depends_on_the_optimiser(optimizer: str, rate: float) -> None:
    assert make(optimizer=optimizer, learning_rate=None).learning_rate == rate


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"optimizer": "adm"}, "optimizer 'adm' did you mean 'adam'"),
        ({"optimizer": 5}, "optimizer 5"),
        ({"optimizer": Momentum}, "optimizer object such as Adam(), not the class Momentum: write Momentum()"),
        ({"learning_rate": "0.1"}, "learning_rate number '0.1'"),
        ({"learning_rate": 10**400}, "learning_rate float can hold"),
        ({"learning_rate": -1}, "learning_rate -1"),
        ({"learning_rate": math.nan}, "learning_rate nan"),
        ({"learning_rate": math.inf}, "learning_rate inf"),
        ({"schedule": "cosin"}, "schedule 'cosin' did you mean 'cosine'"),
        ({"schedule": 5}, "schedule 5"),
        ({"schedule": Cosine}, "schedule object such as not the class Cosine: write Cosine()"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"batch_size": 1.5}, "batch_size 1.5"),
        ({"batch_size": True}, "batch_size True"),
        ({"batch_size": None}, "batch_size None"),
        ({"batch_size": "all"}, "batch_size whole number or 'auto', not 'all'"),
        ({"weight_decay": -1}, "weight_decay -1"),
        ({"weight_decay": None}, "weight_decay None"),
        ({"clip_norm": 0}, "clip_norm 0"),
        ({"clip_norm": "a"}, "clip_norm 'a'"),
        ({"dropout": "0.5"}, "dropout number '0.5'"),
        ({"dropout": None}, "dropout number None"),
        ({"dropout": True}, "dropout number True"),
        ({"dropout": 1}, "dropout from 0 to below 1"),
        ({"dropout": -0.1}, "dropout from 0 to below 1"),
        ({"dropout": math.nan}, "dropout finite nan"),
        ({"dropout": (0.5, 0.5)}, "dropout has length 2; expected length 1, one rate outputs never"),
        ({"dropout": ["a"]}, "dropout[0] number 'a'"),
        ({"dropout": [2]}, "dropout from 0 to below 1 2"),
        ({"network": Network([6, 3]), "dropout": 0.5}, "dropout=0.5 hidden layer none"),
        ({"network": Network([6, 3]), "dropout": [0.5]}, "dropout has length 1; expected length 0, one rate"),
        ({"shuffle": "no"}, "shuffle 'no'"),
        ({"seed": "a"}, "seed 'a'"),
        ({"seed": -1}, "seed -1"),
        ({"averaging": 16}, "averaging needs several processes: give a communicator too"),
        ({"communicator": 4}, "communicator MPI.COMM_WORLD 4"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        make(**arguments)
    assert "\n" not in str(caught.value)
    assert [word for word in words.split() if word not in str(caught.value)] == [], caught.value


class OneProcess:
    """The communicator of a process that is alone."""

    rank, size = 0, 1

    def Allreduce(self, sendbuf: Any, recvbuf: Any) -> None:
        recvbuf[...] = sendbuf

    def allgather(self, sendobj: Any) -> list[Any]:
        return [sendobj]

    def bcast(self, obj: Any, root: int = 0) -> Any:
        return obj


@pytest.mark.parametrize("averaging", ["often", 1.5, True, 0])
def test_an_impossible_averaging_is_refused(averaging: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="averaging must be"):
        make(communicator=OneProcess(), averaging=averaging)


def test_a_class_is_no_communicator_and_settings_of_numpy_become_plain() -> None:
    with pytest.raises(TypeError, match=r"communicator must be a communicator, such as .* not the class OneProcess"):
        make(communicator=OneProcess)
    assert repr(Averaging(np.int64(4), np.int64(1))) == "Averaging(every=4, warmup=1, state='average')"


def test_every_setting_is_a_documented_property() -> None:
    settings = {
        "optimizer": Adam(),
        "learning_rate": 0.5,
        "schedule": Cosine(),
        "batch_size": "auto",
        "weight_decay": 0.1,
        "clip_norm": 2.0,
        "dropout": (0.5,),
        "shuffle": False,
        "backend": "numpy",
        "threads": "auto",
        "communicator": OneProcess(),
        "averaging": Averaging(16, warmup=1),
    }
    network = Network([6, 5, 3])
    for more in ({"seed": 3, "sparse": "auto"}, {"seed": np.random.default_rng(0), "sparse": True}):
        given = {"network": network, **settings, **more}
        trainer = Trainer(**given)
        assert given.keys() == inspect.signature(Trainer).parameters.keys()
        assert {name: getattr(trainer, name) for name in given} == given
    assert all(inspect.getdoc(getattr(Trainer, name)) for name in given)
    assert "history : History" in str(inspect.getdoc(Trainer))


def test_objects_that_are_no_networks_are_refused() -> None:
    with pytest.raises(TypeError, match=r"network must be a fastnet\.Network, not list"):
        Trainer([784, 10])
    with pytest.raises(TypeError, match=r"not the class Network: write Network\(\)"):
        Trainer(Network)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"epochs": -1}, "epochs -1"),
        ({"epochs": 1.5}, "epochs 1.5"),
        ({"epochs": True}, "epochs True"),
        ({"validation_data": X}, "validation_data (x, y) not ndarray"),
        ({"validation_data": (X,)}, "validation_data (x, y) not tuple of length 1"),
        ({"validation_data": [X, Y, Y, Y]}, "validation_data (x, y, sample_weight), not list of length 4"),
        ({"validation_data": (X, Y, Y[:9])}, "validation sample_weight (9,) (53,)"),
        ({"validation_split": 1.0}, "validation_split from 0 to below 1"),
        ({"validation_split": 0.001}, "validation_split=0.001 of 53 examples holds out 0, none to validate on"),
        ({"validation_split": 0.999}, "validation_split=0.999 of 53 examples holds out 53, none to train on"),
        ({"validation_split": 0.5, "validation_data": (X, Y)}, "validation_data validation_split both"),
        ({"sample_weight": np.zeros(53)}, "sample_weight zero everywhere"),
        ({"class_weight": "even"}, "class_weight 'even' balanced"),
        ({"class_weight": [1, 2, 3]}, "class_weight 'balanced' mapping [1, 2, 3]"),
        ({"class_weight": {3: 1.0}}, "class_weight 3 classes 0 to 2"),
        ({"class_weight": {"a": 1.0}}, "label class_weight 'a'"),
        ({"class_weight": {0: -1.0}}, "class_weight[0] at least 0"),
        ({"class_weight": {0: 0, 1: 0, 2: 0}}, "sample_weight times class_weight is zero everywhere"),
        ({"callbacks": [Callback]}, "callback not the class Callback: write Callback()"),
        ({"validation_data": (X[:, :5], Y)}, "validation x (53, 5)"),
        ({"validation_data": (X[:0], Y[:0])}, "validation x empty"),
        ({"validation_data": (X, Y + 1)}, "validation y["),
        ({"x": X[:, :5]}, "x (53, 5) 6"),
        ({"y": Y[:9]}, "y (9,) 53"),
    ],
)
def test_impossible_fits_are_refused_and_change_nothing(arguments: dict[str, Any], words: str) -> None:
    trainer = make()
    before = bits(trainer)
    with pytest.raises((ValueError, TypeError)) as caught:
        trainer.fit(**{"x": X, "y": Y, "epochs": 1} | arguments)
    assert [word for word in words.split() if word not in str(caught.value)] == [], caught.value
    assert bits(trainer) == before
    assert len(trainer.fit(X, Y, epochs=1)) == 1


def test_the_number_of_epochs_must_be_given() -> None:
    with pytest.raises(TypeError, match="epochs"):
        make().fit(X, Y)


def test_a_new_learning_rate_is_checked() -> None:
    trainer = make()
    with pytest.raises(ValueError, match="learning_rate must be at least 0"):
        trainer.learning_rate = -1
    assert trainer.learning_rate == 0.1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_a_bad_factor_of_a_function_is_an_error(bad: float) -> None:
    with pytest.raises(ValueError, match=r"schedule gave .* at step 9"):
        make(schedule=lambda step: bad if step == 9 else 1.0).fit(X, Y, epochs=3)


class Own(Schedule):
    """A user's schedule, which may return wrong values."""

    def __init__(self, values: object) -> None:
        super().__init__()
        object.__setattr__(self, "values", values)

    def proper(self, time: Any, horizon: Any) -> Any:
        return self.values  # set by object.__setattr__, because the dataclass is frozen


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([0.5]), r"shape \(1,\); expected \(4,\)"),
        (np.array([1.0, 1.0, -1.0, 1.0]), "-1.0 at step 2"),
        (np.array([1.0, np.nan, 1.0, 1.0]), "nan at step 1"),
    ],
)
def test_factors_of_a_user_s_schedule_are_checked(values: Any, words: str) -> None:
    trainer = Trainer(Network([2, 2]), schedule=Own(values), batch_size=5)
    with pytest.raises(ValueError, match=words):
        trainer.fit(np.ones((20, 2)), np.zeros(20, int), epochs=1)
    assert trainer.steps == 0


def test_factors_may_have_any_float_dtype() -> None:
    trainer = Trainer(Network([2, 2]), schedule=Own(np.ones(4, np.float32)), batch_size=5)
    trainer.fit(np.ones((20, 2)), np.zeros(20, int), epochs=1)
    assert trainer.steps == 4


def test_the_network_of_a_trainer_cannot_be_replaced() -> None:
    trainer = Trainer(Network([4, 3]), optimizer="adam")
    with pytest.raises(AttributeError):
        trainer.network = Network([400, 400, 10])  # the refused assignment
