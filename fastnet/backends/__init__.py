"""The kernel backends: which one runs and why, the threads of a call, and compiling ahead."""

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
