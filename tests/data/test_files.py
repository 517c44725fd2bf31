"""The reader of pictures, the reader of files of any kind, and the atomic writer."""

from __future__ import annotations

import gzip
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from data_cases import GOOD, READERS, idx, refused, saved

from fastnet.data import pictures
from fastnet.data.arrays import read_idx
from fastnet.data.files import atomic_write
from fastnet.data.formats import read_array
from fastnet.errors import DataError

# ---- pictures, any

PIXELS = np.arange(16, dtype=np.uint8).reshape(4, 4) * 17


def test_picture_is_read_resized_and_inverted(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow (extra: cli)")
    image.fromarray(PIXELS).save(tmp_path / "x.png")
    read = pictures.read_picture(tmp_path / "x.png", (4, 4))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, PIXELS.ravel())
    inverted = pictures.read_picture(tmp_path / "x.png", (4, 4), invert=True)
    np.testing.assert_array_equal(inverted, 255 - PIXELS.ravel())
    np.testing.assert_array_equal(read_array(tmp_path / "x.png"), PIXELS)
    small = pictures.read_picture(tmp_path / "x.png", (2, 2)).reshape(2, 2).astype(int)
    assert (np.diff(small, axis=0) > 0).all()
    assert (np.diff(small, axis=1) > 0).all()
    assert pictures.read_picture(tmp_path / "x.png", (8, 8)).shape == (64,)
    refused(lambda: pictures.read_picture(tmp_path / "x.png", (4, 5)), "4 rows and 4 columns", "4 x 5")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_picture_of_any_8_bit_kind_is_read(tmp_path, mode):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow (extra: cli)")
    image.fromarray(np.full((4, 4), 255, np.uint8)).convert(mode).save(tmp_path / "x.png")
    assert pictures.read_picture(tmp_path / "x.png", (4, 4)).tolist() == [255] * 16


def test_a_transparent_picture_gets_the_given_background(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow (extra: cli)")
    image.new("RGBA", (4, 4), (90, 90, 90, 0)).save(tmp_path / "x.png")
    for invert in (False, True):
        assert not pictures.read_picture(tmp_path / "x.png", (4, 4), invert=invert).any()


def test_an_unusable_picture_is_refused(tmp_path, write):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow (extra: cli)")
    path = tmp_path / "x.png"
    refused(lambda: pictures.read_picture(write("y.png", b"no picture"), (4, 4)), "y.png", peak=8 << 20)
    image.fromarray(np.zeros((4, 4), np.uint16)).save(path)
    refused(lambda: pictures.read_picture(path, (4, 4)), "8-bit")
    image.fromarray(PIXELS).save(path)
    path.write_bytes(path.read_bytes()[:50])
    refused(lambda: pictures.read_picture(path, (4, 4)), "x.png")
    image.new("1", (20_000, 20_000)).save(path)  # more pixels than Pillow's own limit
    refused(lambda: pictures.read_picture(path, (4, 4)), "x.png")
    image.new("1", (5_000, 5_000)).save(path)
    refused(lambda: pictures.read_picture(path, (4, 4)), "5000 x 5000")


def test_a_picture_that_announces_gigabytes_is_refused_at_little_cost(tmp_path, write):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow (extra: cli)")
    image.new("L", (4, 4)).save(tmp_path / "x.png")
    whole = (tmp_path / "x.png").read_bytes()
    at = whole.index(b"IDAT")
    path = write("y.png", whole[: at - 4] + b"\x7f\xff\xff\xffIDATxx")
    refused(lambda: pictures.read_picture(path, (4, 4)), "y.png")


def test_the_error_names_missing_pillow(monkeypatch, write):
    monkeypatch.setitem(sys.modules, "PIL", None)
    path = write("x.png", b"\x89PNG")
    refused(lambda: pictures.read_picture(path, (4, 4)), 'python -m pip install "fastnet-mlp[cli]"')


def test_read_array_detects_the_format_from_the_content(tmp_path, write):
    np.savez(tmp_path / "one.npz", x=PIXELS)
    np.savez(tmp_path / "two.npz", x=PIXELS, y=PIXELS)
    np.testing.assert_array_equal(read_array(tmp_path / "one.npz"), PIXELS)
    np.testing.assert_array_equal(read_array(write("any", idx(PIXELS))), PIXELS)
    np.testing.assert_array_equal(read_array(write("any", gzip.compress(idx(PIXELS)))), PIXELS)
    np.testing.assert_array_equal(read_array(write("any", saved(PIXELS))), PIXELS)
    refused(lambda: read_array(tmp_path / "two.npz"), "2 arrays (x, y)")
    refused(lambda: read_array(write("x.pkl", b"\x80\x04.")), "no known format")


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_unreadable_files_are_refused(tmp_path, read):
    refused(lambda: read(tmp_path / "none"), "there is no file", "none")
    refused(lambda: read(tmp_path), "is a folder")
    refused(lambda: read("a\0b"), "null byte")
    refused(lambda: read(tmp_path / "two\nlines"), "there is no file")
    refused(lambda: read("x" * 5000))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        refused(lambda: read(tmp_path / "pipe"), "not a regular file")
        refused(lambda: read("/dev/zero"), "not a regular file")
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        (tmp_path / "locked").touch(mode=0)
        refused(lambda: read(tmp_path / "locked"), "permissions")


def test_missing_permission_is_one_clear_error(write, monkeypatch):
    path = write("x", GOOD)
    monkeypatch.setattr("builtins.open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "no")))
    with pytest.raises(DataError, match="check its permissions"):
        read_idx(path)


# ---- writing


def test_atomic_write_replaces_a_file(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with atomic_write(path) as file:
        file.write(b"new")
        assert Path(file.name).parent == tmp_path
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["x"]


def test_atomic_write_gives_a_new_file_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    with atomic_write(tmp_path / "x"):
        pass
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_failed_atomic_write_leaves_no_trace(tmp_path, error):
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def write_and_fail() -> None:
        with atomic_write(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(DataError if error is OSError else error):
        write_and_fail()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_failed_rename_leaves_no_trace(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(DataError, match="No space left"), atomic_write(tmp_path / "x") as file:
        file.write(b"new")
    assert os.listdir(tmp_path) == []


def test_atomic_write_follows_a_link_and_refuses_other_than_files(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    (tmp_path / "link").symlink_to("x")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "x").read_bytes() == b"new"
    # The test uses a pipe, not /dev/null: if the check were broken and root ran the test, /dev/null would be replaced.
    os.mkfifo(tmp_path / "pipe")
    none = tmp_path / "none"
    for unfit, words in (
        (tmp_path, "not a regular file"),
        (none / "x", f"the folder {none} does not exist: make it first"),
        (tmp_path / "pipe", "not a regular file"),
    ):
        with pytest.raises(DataError, match=f"cannot write .*{words}"), atomic_write(unfit) as file:
            file.write(b"new")
