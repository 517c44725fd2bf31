"""Changes while `fit` runs: of the data, the parameters and the trainer, by a callback or by another thread.

Each kind of change is a function in one of the modules imported below. The function asserts a promise of
docs/promises.md.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import warnings
from collections.abc import Iterator

import numpy as np

import fastnet

from . import changes_by_callbacks, changes_of_data, changes_of_objects, fits
from .disturbances import KINDS
from .harness import Case, Danger

MODULES = (changes_of_data, changes_of_objects, changes_by_callbacks)  # importing these modules fills KINDS


class Program(Danger):
    seconds = 120.0  # longer than any wait in a case, because the error of the wait says more

    def draw(self, rng: np.random.Generator) -> Case:
        name = str(rng.choice(list(KINDS)))
        case = {"kind": name, "what": str(rng.choice(KINDS[name][1])), "by": str(rng.choice(["callback", "thread"]))}
        # `at` is an update; if negative, it counts from the end.
        return case | fits.draw(rng) | {"at": int(rng.integers(-10, 30))}

    def check(self, case: Case) -> str:
        fit, interval = fits.Fit(case), sys.getswitchinterval()
        # A fork would share guarded arrays with its parent.
        guards = contextlib.nullcontext() if case["kind"] == "forks" else fits.guarded()
        sys.setswitchinterval(1e-4)
        try:
            with guards, warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.filterwarnings("ignore", "Setting the (shape|dtype)", DeprecationWarning)
                warnings.filterwarnings("ignore", "the network does not learn", UserWarning)  # the labels are random
                how = KINDS[case["kind"]][0](fit, case)
        finally:
            sys.setswitchinterval(interval)
        return f"{case['kind']}: {how}"

    def simpler(self, case: Case) -> Iterator[Case]:
        plain = {"by": "callback", "backend": "numpy", "dtype": "float32", "optimizer": "sgd", "inputs": "floats"}
        yield from ({**case, key: value} for key, value in plain.items() if case[key] != value)
        yield from super().simpler(case)

    def prepare(self) -> None:
        for backend, dtype in itertools.product(fits.BACKENDS, ("float32", "float64")):
            fastnet.warmup(backend, dtype=dtype)
