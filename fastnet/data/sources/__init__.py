"""Data sets that are read a block of rows at a time: `fastnet.data.source` finds the reader for a path or an object."""

from fastnet.data.sources.opening import source

__all__ = ["source"]
