"""Benchmarks. `fastnet bench` is run.py; `python -m pytest bench` is test_kernels.py, for pytest-benchmark."""
