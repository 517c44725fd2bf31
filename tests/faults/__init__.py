"""Planted faults. Each patch here breaks one thing, and a test must fail for it: `python -m tests.faults`."""
