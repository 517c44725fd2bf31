"""The kernel backends: list them, choose one, register your own.

`available` lists them, `resolve` says which one a call would use, `use_backend` and `register` change that.
"""

from fastnet.backends.selection import (
    ENVIRONMENT,
    NAMES,
    BackendInfo,
    Choice,
    available,
    describe,
    get,
    register,
    resolve,
    use_backend,
)

__all__ = [
    "ENVIRONMENT",
    "NAMES",
    "BackendInfo",
    "Choice",
    "available",
    "describe",
    "get",
    "register",
    "resolve",
    "use_backend",
]
