"""Benchmarks. `fastnet bench` runs run.py; `python -m pytest bench` runs test_kernels.py with pytest-benchmark."""
