"""The state of a fitted estimator as plain values: arrays, dicts, tuples, numbers and texts.

pickle and joblib store any object. skops asks its user to trust each type in a file. With this state the only type that
is not trusted by default is the estimator's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from fastnet.costs import OBJECTS, name_and_number
from fastnet.kernels import contract as c
from fastnet.network import Network
from fastnet.sklearn.descent import Descent
from fastnet.sklearn.labels import Labels
from fastnet.sklearn.record import Record
from fastnet.text import reason
from fastnet.training.kernel_calls import OptimizerState


class Form(NamedTuple):
    """The two directions between an attribute and its plain form."""

    to_plain: Callable[[Any], dict[str, Any]]
    from_plain: Callable[[dict[str, Any]], Any]


def plain(state: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of an estimator with fastnet's objects as dicts."""
    return {
        name: FORMS[name].to_plain(value) if name in FORMS and value is not None else value
        for name, value in state.items()
    }


def restored(state: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of an estimator from `plain`. Objects, as in pickles of fastnet 0.2, stay as they are.

    Raises ValueError if the state is damaged.
    """
    try:
        found = {
            name: FORMS[name].from_plain(value) if name in FORMS and type(value) is dict else value
            for name, value in state.items()
        }
        if found.get("_descent") is not None:
            _check_optimizer(found["_descent"].state, found["network_"])
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"the state of the estimator is damaged ({reason(error)}): fit and save it again") from error
    return found


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _plain_network(network: Network) -> dict[str, Any]:
    schema = network.schema
    return network.__getstate__() | {"_schema": None if schema is None else schema.to_dict()}


def _network(state: dict[str, Any]) -> Network:
    from fastnet.data.schema import Schema  # imported here, since fastnet.data is a lazy package

    network, schema = Network.__new__(Network), state["_schema"]
    network.__setstate__(state | {"_schema": None})
    network.schema = None if schema is None else Schema.from_dict(schema)
    return network


def _plain_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    cost = arguments["cost"]
    return arguments if isinstance(cost, str) else arguments | {"cost": name_and_number(cost)}


def _arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    cost = arguments["cost"]
    return arguments | {"cost": OBJECTS[cost[0]](cost[1])} if isinstance(cost, tuple) else arguments


def _plain_descent(descent: Descent) -> dict[str, Any]:
    return _fields(descent) | {"state": _fields(descent.state)}


def _descent(state: dict[str, Any]) -> Descent:
    return Descent(**state | {"state": OptimizerState(**state["state"])})


def _check_optimizer(state: OptimizerState, network: Network) -> None:
    """Raise ValueError if the arrays of an optimiser do not fit the network. Kernels do not check them."""
    shapes = (c.OPTIMIZER_COLUMNS,), (c.SLOTS[int(state.settings[c.KIND])], network.n_parameters)
    dtypes = np.dtype(np.float64), network.dtype
    for array, shape, dtype in zip((state.settings, state.moments), shapes, dtypes, strict=True):
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(f"an array of its optimiser is {array.shape} {array.dtype}, not {shape} {dtype}")


FORMS = {
    "network_": Form(_plain_network, _network),
    "_labels": Form(_fields, lambda state: Labels(**state)),
    "_record": Form(_fields, lambda state: Record(**state)),
    "_descent": Form(_plain_descent, _descent),
    "_made_with": Form(_plain_arguments, _arguments),  # arguments of the network
}
