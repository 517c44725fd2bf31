"""A program for tests/test_stress.py that fails in each way that the harness distinguishes."""

from __future__ import annotations

import ctypes
import os
import time

import numpy as np

from .harness import Case, Danger, Unfit


class Program(Danger):
    def draw(self, rng: np.random.Generator) -> Case:
        n = int(rng.integers(50))
        return {"kind": "unfit" if n < 10 else "wrong", "n": n, "list": []}

    def check(self, case: Case) -> str:
        if case["kind"] == "unfit":
            raise Unfit
        if case["n"] > 50:
            if case["kind"] == "crash":
                ctypes.string_at(0)
            if case["kind"] == "hang":
                time.sleep(60)
            if case["kind"] == "environment":
                return os.environ["SAMPLE"]
            raise AssertionError("n is large")
        return "small"
