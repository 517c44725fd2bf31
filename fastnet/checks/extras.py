"""What is installed only with an extra: it is asked for here, where something needs it, and told how to get."""

from __future__ import annotations

from importlib import import_module

from fastnet.errors import FastnetError


def require(module: str, need: str, extra: str) -> None:
    """Imports a module of an extra. Raises FastnetError where it is missing: `need` says what needs it."""
    try:
        import_module(module)
    except ImportError as error:
        raise FastnetError(f'{need} ({error}): python -m pip install "fastnet-mlp[{extra}]"') from None
