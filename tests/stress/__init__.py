"""Stress tests: one program per danger. Run `python -m tests.stress NAME --count N --seed S`.

A program is a module with a subclass of harness.Danger. corpus/ keeps the cases that once failed.
"""

import sys
from pathlib import Path

# The programs import the oracle and the helpers of the ordinary tests from the parent folder.
if str(Path(__file__).parents[1]) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parents[1]))
