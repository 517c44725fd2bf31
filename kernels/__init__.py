"""Compute kernels: three interchangeable backends under one contract (see contract.py).

Imports nothing from the rest of fastnet.
"""
