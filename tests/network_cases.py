"""A network with random parameters, and a check that a call is refused, for the tests of networks."""

from __future__ import annotations

from typing import Any

import pytest

from fastnet import Network


def random_network(sizes: list[int], **arguments: Any) -> Network:
    """Return a network with nonzero biases, so that a misplaced bias changes the results."""
    return Network(sizes, init="normal", seed=1, **arguments)


def refused(call: Any, *words: str) -> None:
    """Check that a call raises a one-line ValueError or TypeError with all the words."""
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == [], message
