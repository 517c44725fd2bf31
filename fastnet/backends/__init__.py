"""The kernel backends: list them, choose one, register your own.

`available` lists the backends and says why a backend is missing. `resolve` says which backend a call would use.
`use_backend` changes this choice. `register` adds a backend of your own.
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
