"""Benchmarks: `fastnet bench` (run.py) for a table, `python -m pytest bench` (test_kernels.py) for pytest-benchmark."""
