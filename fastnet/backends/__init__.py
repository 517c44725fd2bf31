"""The kernel backends: list them, choose one, register your own.

`available` lists the backends. `resolve` says which backend a call would use. `use_backend` chooses another backend.
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
