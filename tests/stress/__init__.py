"""Stress tests: one program a danger, each with random cases, run by `python -m tests.stress NAME --count N --seed S`.

`harness.py` runs the cases and reduces those that fail; `corpus/` keeps what once failed, and tests/test_stress.py runs
it. A program is a module of this package with a class that `harness.Danger` describes.
"""

import sys
from pathlib import Path

# The programs use the oracle and the cases of the ordinary tests, which stand in the folder above.
if str(Path(__file__).parents[1]) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parents[1]))
