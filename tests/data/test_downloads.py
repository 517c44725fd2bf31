"""Downloads from a mirror on this machine."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import io
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from data_cases import STEMS, check_small, put

import fastnet
from fastnet.data import downloads, named_sets
from fastnet.errors import DataError

# ---- a mirror on this machine


class Mirror:
    """A web server whose attributes make it fail. `cuts` is the number of answers that end halfway."""

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
    """Start two mirrors of the small set. Downloads try them in this order."""
    servers, states, threads = [], (Mirror(), Mirror()), []
    for state in states:
        state.content = {f"{stem}.gz": gzip.compress(data) for stem, data in small.items()}

        class Handler(http.server.BaseHTTPRequestHandler):
            mirror = state

            def do_GET(self) -> None:
                with contextlib.suppress(OSError):  # the client closed the connection
                    self.mirror.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threads.append(threading.Thread(target=server.serve_forever, args=(0.01,)))
        threads[-1].start()
        servers.append(server)
    urls = tuple(f"http://127.0.0.1:{server.server_port}/data/" for server in servers)
    monkeypatch.setattr(named_sets, "MIRRORS", {"mnist": urls})
    yield states
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


def test_download_is_verified_cached_and_reported(mirrors, small, cache):
    calls = []
    check_small(fastnet.data.load("mnist", progress=lambda *call: calls.append(call)), small)
    assert sorted(os.listdir(cache / "mnist")) == sorted(f"{stem}.gz" for stem in STEMS)
    assert [name for name, _ in mirrors[0].requests] == [f"{stem}.gz" for stem in STEMS]
    assert not mirrors[1].requests
    for name, content in mirrors[0].content.items():
        done = [call for call in calls if call[0] == name]
        assert done[-1] == (name, len(content), len(content))
        assert done == sorted(done)
    check_small(fastnet.data.load("mnist", download=False), small)
    assert len(mirrors[0].requests) == 4


def test_only_missing_files_are_downloaded(mirrors, small, cache, tmp_path):
    put(tmp_path / "mine" / "mnist", {STEMS[0]: small[STEMS[0]]}, packed=False)
    put(cache / "mnist", {STEMS[1]: small[STEMS[1]]})
    check_small(fastnet.data.load("mnist", data_dir=tmp_path / "mine"), small)
    assert [name for name, _ in mirrors[0].requests] == [f"{stem}.gz" for stem in STEMS[2:]]


@pytest.mark.parametrize("fault", ["404", "503", "rubbish", "other payload", "endless", "long", "down"])
def test_the_next_mirror_replaces_a_faulty_one(mirrors, small, cache, fault, monkeypatch):
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
        monkeypatch.setitem(named_sets.MIRRORS, "mnist", ("http://127.0.0.1:1/", named_sets.MIRRORS["mnist"][1]))
    check_small(fastnet.data.load("mnist"), small)
    assert (name, None) in second.requests
    if fault in ("404", "503"):
        assert len(first.requests) == 4  # the client does not retry after an empty answer
    assert sorted(os.listdir(cache / "mnist")) == sorted(f"{stem}.gz" for stem in STEMS)


@pytest.mark.parametrize("resumes", [True, False])
def test_a_cut_download_continues_or_starts_again(mirrors, small, resumes):
    first, second = mirrors
    first.cuts, first.resumes = 2, resumes
    check_small(fastnet.data.load("mnist"), small)
    ranges = [wanted for name, wanted in first.requests if name == f"{STEMS[0]}.gz"]
    assert not second.requests
    size = len(first.content[f"{STEMS[0]}.gz"])
    if resumes:
        assert ranges == [None, f"bytes={size // 2}-", f"bytes={size // 2 + (size - size // 2) // 2}-"]
    else:
        assert len(ranges) >= 2


def test_a_restarted_download_keeps_nothing_of_the_first_part(mirrors):
    name = f"{STEMS[0]}.gz"
    file = io.BytesIO(bytes(1 << 20))
    downloads.fetch(named_sets.MIRRORS["mnist"][0] + name, file, 1 << 20, None)
    assert file.getvalue() == mirrors[0].content[name]


def test_a_part_other_than_the_requested_one_is_not_used(mirrors, small):
    first, second = mirrors
    first.cuts, first.wrong_part = 1, True
    check_small(fastnet.data.load("mnist"), small)
    assert second.requests[0] == (f"{STEMS[0]}.gz", None)


def test_a_mirror_that_always_cuts_is_given_up(mirrors, small):
    first, second = mirrors
    first.cuts = 10**6
    check_small(fastnet.data.load("mnist"), small)
    assert len(first.requests) <= 4 * downloads.ATTEMPTS
    assert len(second.requests) == 4


def test_a_file_gets_its_name_only_after_verification(mirrors, cache, monkeypatch):
    seen = []

    def watch(path: os.PathLike[str], **options: object) -> object:
        seen.append({Path(path).name: os.listdir(cache / "mnist")})
        raise DataError("wrong")

    monkeypatch.setattr(named_sets, "read_idx", watch)
    with pytest.raises(DataError, match="cannot be downloaded"):
        fastnet.data.load("mnist")
    assert len(seen) == 2
    assert not any(name.endswith(".gz") for call in seen for names in call.values() for name in names)
    assert os.listdir(cache / "mnist") == []


def test_interrupted_download_leaves_nothing(mirrors, cache):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fastnet.data.load("mnist", progress=stop)
    assert os.listdir(cache / "mnist") == []


def test_simultaneous_downloads_do_not_disturb_each_other(mirrors, small, cache):
    with ThreadPoolExecutor(4) as pool:
        for data in pool.map(lambda _: fastnet.data.load("mnist"), range(4)):
            check_small(data, small)
    assert sorted(os.listdir(cache / "mnist")) == sorted(f"{stem}.gz" for stem in STEMS)


def test_no_connection_is_one_clear_error(small, monkeypatch, cache):
    put(cache / "mnist", {STEMS[3]: small[STEMS[3]]})
    monkeypatch.setitem(named_sets.MIRRORS, "mnist", ("http://127.0.0.1:1/a/", "http://127.0.0.1:1/b/"))
    with pytest.raises(DataError) as caught:
        fastnet.data.load("mnist")
    message = str(caught.value)
    assert message.startswith("mnist cannot be downloaded (http://127.0.0.1:1/a/")
    assert "http://127.0.0.1:1/b/" in message
    assert f"put {STEMS[0]}.gz, {STEMS[1]}.gz, {STEMS[2]}.gz into {cache / 'mnist'}" in message
    assert f"{STEMS[3]}.gz" not in message
    assert "\n" not in message
    with pytest.raises(DataError, match="may not be downloaded: put train-images"):
        fastnet.data.load("mnist", download=False)


def test_a_silent_server_is_given_up(small, monkeypatch):
    import socket

    monkeypatch.setattr(downloads, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        monkeypatch.setitem(named_sets.MIRRORS, "mnist", (url,))
        with pytest.raises(DataError, match="timed out"):
            fastnet.data.load("mnist")


def test_an_unwritable_cache_is_one_clear_error(mirrors, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FASTNET_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot make the folder.*FASTNET_CACHE"):
        fastnet.data.load("mnist")


def test_a_user_s_file_with_a_wrong_hash_is_refused_and_kept(mirrors, small, tmp_path, monkeypatch):
    wrong = {**small, STEMS[1]: small[STEMS[1]][:-1] + b"\7"}
    folder = put(tmp_path / "mine" / "mnist", wrong)
    before = (folder / f"{STEMS[1]}.gz").read_bytes()
    monkeypatch.setenv("FASTNET_DATA", str(tmp_path / "mine"))
    for data_dir in (None, tmp_path / "mine"):
        with pytest.raises(DataError, match=f"by the original {STEMS[1]} of mnist, or move it away") as caught:
            fastnet.data.load("mnist", data_dir=data_dir)
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
        fastnet.data.load("mnist", download=False)
    assert str(path) in str(caught.value)
    check_small(fastnet.data.load("mnist"), small)
    assert [name for name, _ in mirrors[0].requests] == [path.name]
    check_small(fastnet.data.load("mnist", download=False), small)
