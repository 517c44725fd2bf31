"""The journal of a search: killed searches go on, finished trainings never run again, and damage is noticed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search_cases import X, Y, run, table

from fastnet import DataError
from fastnet.data.files import locked_folder
from fastnet.search import Record, Trial, uniform

CHILD = """
import os, sys
sys.path.insert(0, {tests!r})
from search_cases import run

def begun(trial):
    def note(trainer, epoch):
        with open({log!r}, "a") as file:
            print(trial.number, trial.replicate, epoch.epoch, file=file)
    return [note]

run(**{arguments!r}, callbacks=begun, folder={folder!r})
"""


def lines(folder: Path) -> list[bytes]:
    path = folder / "journal.jsonl"
    return path.read_bytes().splitlines() if path.exists() else []


def finished(folder: Path) -> dict[tuple[int, int], int]:
    """Return how many epochs of each training the whole lines have."""
    found: dict[tuple[int, int], int] = {}
    for line in lines(folder)[1:]:
        try:
            content = json.loads(line)["content"]
        except ValueError:  # the process was killed while it wrote
            continue
        key = content["number"], content["replicate"]
        found[key] = max(found.get(key, 0), content["epochs"])
    return found


@pytest.mark.parametrize("method", ["random", "halving"])
def test_a_search_that_is_killed_goes_on_and_repeats_nothing(tmp_path: Path, method: str) -> None:
    arguments: dict[str, Any] = {"method": method, "trials": 12, "budget": 9, "keep": 3}
    folder, log = tmp_path / "search", tmp_path / "log"
    code = CHILD.format(tests=str(Path(__file__).parents[1]), log=str(log), arguments=arguments, folder=str(folder))
    rng, kills = np.random.default_rng(), 0
    while kills < 3:
        before, first = finished(folder), len(lines(folder))
        log.write_text("")
        child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
        wanted = first + int(rng.integers(1, 8))
        while child.poll() is None and len(lines(folder)) < wanted:
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, 0.01)))
        child.send_signal(signal.SIGKILL)
        _, errors = child.communicate(timeout=60)
        assert child.returncode in (0, -signal.SIGKILL), errors.decode()
        kills += 1
        _check_log(log.read_text(), before)
        if child.returncode == 0:
            break
    before, begun = finished(folder), list[str]()

    def note(trial: Trial) -> list[Any]:
        return [lambda trainer, epoch: begun.append(f"{trial.number} {trial.replicate} {epoch.epoch}")]

    note.__module__, note.__qualname__ = "__main__", "begun"  # those of the child's function, which the journal has
    found = run(**arguments, folder=folder, callbacks=note)
    _check_log("\n".join(begun), before)
    assert table(found) == table(run(**arguments))
    keys = [json.loads(line)["content"] for line in lines(folder)[1:]]
    assert len({(one["number"], one["replicate"], one["rung"]) for one in keys}) == len(keys)
    assert len(list((folder / "networks").iterdir())) == 6
    assert not list((folder / "states").iterdir())


def _check_log(text: str, before: dict[tuple[int, int], int]) -> None:
    """Check that no epoch was trained that was finished before."""
    for line in text.splitlines():
        number, replicate, epoch = map(int, line.split())
        assert epoch > before.get((number, replicate), 0)


@pytest.mark.usefixtures("usual_sigint_handler")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_keeps_what_is_finished(tmp_path: Path, n_jobs: int) -> None:
    done: list[Record] = []

    def press(record: Record) -> None:
        done.append(record)
        if len(done) == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(folder=tmp_path, on_finished=press, n_jobs=n_jobs)
    assert len(finished(tmp_path)) == len(done) < 12
    before = [record.trial for record in done]
    done.clear()
    found = run(folder=tmp_path, on_finished=done.append)
    assert sorted(map(repr, before)) == sorted(repr(record.trial) for record in done[: len(before)])
    assert len(done) == 12
    assert table(found) == table(run())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trials": 7}, "trials is 6 there, and 7 here"),
        ({"budget": 7, "seed": 1}, "budget is 6 there, and 7 here; seed is 0 there, and 1 here"),
        ({"space": {"hidden": (4,)}}, "space is .* there, and .* here"),
        ({"metric": "cost"}, "metric is 'accuracy' there, and 'cost' here"),
        ({"validation": 3}, "validation is 0.2 there, and 3 here"),
        ({"x": X + 1}, "x differs .with other values"),
        ({"y": Y[::-1]}, "y differs .with other values"),
        ({"sample_weight": np.ones(120) * 2}, "sample weights differs"),
        ({"validation": (X, Y)}, "validation x differs .missing|validation is 0.2 there"),
    ],
)
def test_the_folder_of_another_search_is_refused(finished_search: Path, changes: Any, words: str) -> None:
    before = (finished_search / "journal.jsonl").read_bytes()
    with pytest.raises(DataError, match=f"holds another search: .*{words}.*give the same arguments"):
        run(folder=finished_search, **changes)
    assert (finished_search / "journal.jsonl").read_bytes() == before


@pytest.fixture(scope="module")
def finished_search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    run(folder=folder)
    return folder


def test_a_condition_that_changed_is_noticed(tmp_path: Path) -> None:
    def condition(low: float) -> Any:
        return lambda setting: uniform(low, 1)

    run(space={"learning_rate": condition(0.01)}, folder=tmp_path)
    with pytest.raises(DataError, match=r"line 2 of .* is damaged .its setting is"):
        run(space={"learning_rate": condition(0.02)}, folder=tmp_path)


@pytest.mark.parametrize("end", [1, 5, 40])
def test_a_torn_last_line_is_cut(finished_search: Path, tmp_path: Path, end: int) -> None:
    wanted = (finished_search / "journal.jsonl").read_bytes()
    (tmp_path / "journal.jsonl").write_bytes(wanted[:-end])
    for _ in range(2):  # the second call reads what the first one appended
        assert table(run(folder=tmp_path))[:12] == table(run())[:12]
    assert len(lines(tmp_path)) == 13


def test_a_damaged_journal_is_refused_or_gives_the_same_table(finished_search: Path, tmp_path: Path) -> None:
    """Change bytes at random. The checksum of each line finds the change."""
    whole = (finished_search / "journal.jsonl").read_bytes()
    wanted, rng, refused = table(run(folder=finished_search)), np.random.default_rng(0), 0
    for _ in range(60):
        damaged = bytearray(whole)
        kind = int(rng.integers(3))
        at = int(rng.integers(len(whole)))
        if kind == 0:
            damaged[at] = int(rng.integers(256))
        elif kind == 1:
            del damaged[at : at + int(rng.integers(1, 300))]
        else:
            damaged[at:at] = bytes(rng.integers(0, 256, int(rng.integers(1, 50)), np.uint8))
        (tmp_path / "journal.jsonl").write_bytes(damaged)
        try:
            found = table(run(folder=tmp_path))
        except DataError:
            assert (tmp_path / "journal.jsonl").read_bytes() == damaged
            refused += 1
        else:
            assert found[:12] == wanted[:12]
    assert refused > 40


def test_a_line_that_the_user_removed_is_written_again(tmp_path: Path) -> None:
    """As the message about a damaged line says. The states of earlier rungs are gone then."""
    arguments: dict[str, Any] = {"method": "halving", "trials": 9, "budget": 9, "keep": 3, "folder": tmp_path}
    wanted = table(run(**arguments))
    whole = (tmp_path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    for removed in range(1, len(whole)):
        (tmp_path / "journal.jsonl").write_bytes(b"".join(whole[:removed] + whole[removed + 1 :]))
        assert table(run(**arguments)) == wanted
        assert len(lines(tmp_path)) == len(whole)


@pytest.mark.parametrize(
    "content", [b"my notes", b"my notes\n", b"{}\n", b'{"crc32": 1, "content": 2}\n', b"[" * 9999 + b"\n"]
)
def test_a_file_of_the_user_is_never_lost(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal.jsonl").write_bytes(content)
    with pytest.raises(DataError, match="is not the journal of a search"):
        run(folder=tmp_path)
    assert (tmp_path / "journal.jsonl").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["journal.jsonl"]


def test_a_folder_is_for_one_search_at_a_time(tmp_path: Path) -> None:
    with locked_folder(tmp_path), pytest.raises(DataError, match="another training writes to"):
        run(folder=tmp_path)


def test_a_network_that_the_user_removed_is_missed_in_words(tmp_path: Path) -> None:
    run(folder=tmp_path)
    for path in (tmp_path / "networks").iterdir():
        path.unlink()
    found = run(folder=tmp_path)
    with pytest.raises(DataError, match=r"is not in the folder of the search any more: use refit\(\)"):
        _ = found.best
    assert table(found) == table(run())[:12]


def test_a_relative_folder_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(folder="search", on_finished=lambda record: os.chdir("/"))
    assert len(lines(tmp_path / "search")) == 13


def test_other_versions_give_a_warning(finished_search: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastnet.training.resuming.__version__", "9.9")
    with pytest.warns(UserWarning, match=r"goes on with fastnet 9\.9 in place of"):
        run(folder=finished_search)
