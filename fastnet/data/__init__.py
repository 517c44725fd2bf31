"""Data sets by name, and the user's own files."""

from fastnet.data.datasets import Dataset, SetInfo, cache_dir, describe, load, locate, names

__all__ = ["Dataset", "SetInfo", "cache_dir", "describe", "load", "locate", "names"]
