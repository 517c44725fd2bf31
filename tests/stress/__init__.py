"""Stress tests: one program per danger, each with random cases. Run `python -m tests.stress NAME --count N --seed S`.

`harness.py` runs the cases and reduces failing cases. `corpus/` keeps cases that failed earlier, and
tests/test_stress.py runs these. A program is a module of this package with a subclass of `harness.Danger`.
"""

import sys
from pathlib import Path

# The programs use the oracle and the cases of the ordinary tests, which are in the parent folder.
if str(Path(__file__).parents[1]) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parents[1]))
