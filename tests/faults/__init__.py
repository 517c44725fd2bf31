"""Planted faults. Each patch here breaks one thing, and the test suite must notice: `python -m tests.faults`."""
