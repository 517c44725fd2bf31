"""The kernels: three interchangeable backends under one contract (contract.py). They import nothing else of fastnet."""
