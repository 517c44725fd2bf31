"""Loads data sets by name, and the user's own files: `fastnet.data.load("mnist")`."""

from fastnet.data.conversion import Converted, convert
from fastnet.data.dataset import Dataset
from fastnet.data.encoding import Column
from fastnet.data.loading import load
from fastnet.data.named_sets import SetInfo, cache_dir, describe, locate, names
from fastnet.data.schema import Schema
from fastnet.data.sources import source
from fastnet.data.user_files import read_inputs
from fastnet.source import Block, Reader, Source, Stream

__all__ = [
    "Block",
    "Column",
    "Converted",
    "Dataset",
    "Reader",
    "Schema",
    "SetInfo",
    "Source",
    "Stream",
    "cache_dir",
    "convert",
    "describe",
    "load",
    "locate",
    "names",
    "read_inputs",
    "source",
]
