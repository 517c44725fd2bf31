"""Planted faults. Each patch in this folder breaks one thing, and a test must find it: `python -m tests.faults`."""
