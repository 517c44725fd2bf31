"""The suite `users`: every case has data that fit its network, is verified, and is compared with the best peer."""

from __future__ import annotations

import json
import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_cases import error_of, small, some_images, untimed  # noqa: F401  # fixtures are found by name

from fastnet import backends, cli
from fastnet.bench import cases, peers, users
from fastnet.bench.cases import CASES, Case
from fastnet.bench.contenders import Timing
from fastnet.bench.pages import markers
from fastnet.bench.peers import PEERS
from fastnet.bench.run import SECTION
from fastnet.bench.workloads import VerificationError
from fastnet.network import Network

NAMES = [info.name for info in backends.available() if info.available]
TINY = next(case for case in CASES if case.title == "small table, batch 16")
CALL = next(case for case in CASES if case.title.endswith("784-16-16-10, 8 rows"))


@pytest.fixture
def two_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure only two cases, and only NumPy's peers."""
    monkeypatch.setattr(cases, "CASES", (TINY, CALL))
    monkeypatch.setattr(peers, "missing", lambda name: "" if PEERS[name].family == "numpy" else "not here: pip it")


# -- the cases ----------------------------------------------------------------------------------------------------


def test_there_are_cases_of_every_kind() -> None:
    assert len([case for case in CASES if case.trains]) >= 16
    assert len({case.title for case in CASES}) == len(CASES)
    calls = {(case.threads, case.workload.sizes, case.data, case.call_rows) for case in CASES if not case.trains}
    few = [(1, rows) for rows in (1, 8, 64, 1_024)] + [(2, rows) for rows in (1_024, 2_048)]
    networks = [(784, 16, 16, 10), (784, 128, 64, 10), (784, 512, 512, 10)]
    assert calls == {(t, sizes, data, n) for t, n in few for sizes in networks for data in (cases.grey, cases.columns)}
    assert {case.dtype for case in CASES} == {"float32", "float64"}
    assert {case.workload.optimizer for case in CASES} == {"sgd", "momentum", "adam"}
    assert any(not case.workload.has_labels for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_the_data_of_a_case_fit_its_network(case: Case, tmp_path: Path) -> None:
    if case.data is cases.text:
        pytest.importorskip("scipy", reason="needs the extra bench")
    data = case.written(some_images(600), str(tmp_path), quick=True)
    n_in, n_out = case.workload.sizes[0], case.workload.sizes[-1]
    for x, y in ((data.x, data.y), (data.x_test, data.y_test)):
        assert x.shape == (len(y), n_in)
        if case.workload.has_labels:
            assert y.shape == (len(y),)
            assert 0 <= y.min() <= y.max() < n_out
        else:
            assert y.shape == (len(y), n_out)
    assert len(data.y_test) >= case.call_rows
    described = json.loads((tmp_path / "case.json").read_text())
    assert described["workload"]["batch_size"] == case.workload.batch_size
    assert len(data.y) >= min(2 * case.workload.batch_size, case.rows)


def test_the_text_has_a_hundred_words_a_row() -> None:
    pytest.importorskip("scipy", reason="needs the extra bench")
    case = next(case for case in CASES if case.data is cases.text)
    data = cases.text(some_images(10), case.workload, 50)
    entries = np.diff(data.x.indptr)
    assert 60 < entries.mean() <= entries.max() <= cases.ENTRIES


# -- the measurement ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small", "two_cases")
def test_installed_peers_are_measured_without_being_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("\n".join(markers(SECTION)))
    command = ["bench", "--suite", "users", "--quick", "--rounds", "2", "--write", str(page)]
    assert cli.main([*command, "--json", str(tmp_path / "users.json")]) == 0
    captured = capsys.readouterr()
    assert "left out: jax: not here: pip it" in captured.err
    figures = json.loads((tmp_path / "users.json").read_text())
    assert {record["case"] for record in figures["users"]} == {TINY.title, CALL.title}
    own = set(NAMES) - {"numpy"} or {"numpy"}
    for record in figures["users"]:
        assert set(record["seconds"]) == own | {"numpy-tuned", "numpy-idiomatic"}
        theirs = {name: record["median_seconds"][name] for name in ("numpy-tuned", "numpy-idiomatic")}
        assert record["best_peer"] == min(theirs, key=theirs.__getitem__)
        for name in own:
            ratios = np.divide(record["seconds"][name], record["seconds"][record["best_peer"]])
            assert record["over_best_peer"][name] == pytest.approx(np.median(ratios))
    text = page.read_text()
    assert "## Workloads of users" in text
    assert f"| {TINY.title} |" in text


def a_record(title: str, ratio: float, best: str = "jax") -> dict[str, Any]:
    return {
        "case": title,
        "what": "4-8-3",
        "rows": 10,
        "best_peer": best,
        "median_seconds": {"cython": ratio, "jax": 1.0},
        "over_best_peer": {"cython": ratio},
    }


def test_the_worst_row_comes_first_also_where_fastnet_loses() -> None:
    records = [a_record("won", 0.5), a_record("alone", math.nan, ""), a_record("lost", 1.3)]
    section = users.section(records, 3, {"jax: it does not read CSR matrices": ["text in CSR"]}, ["jax"])
    assert [row[0] for row in section.rows] == ["lost", "won", "alone"]
    assert section.rows[0][-1] == "1.30"
    assert section.rows[-1][-1] == "-"
    assert "left out: jax: it does not read CSR matrices: text in CSR" in section.items


def test_the_best_peer_has_the_smallest_median() -> None:
    data = TINY.data(some_images(1), TINY.workload, 20)
    timings = {"cython": Timing([1, 3, 8]), "jax": Timing([2, 2, 9]), "keras": Timing([1, 4, 4])}
    record = users.record(TINY, data, timings, {"jax": None, "keras": None})
    assert record["best_peer"] == "jax"
    assert record["over_best_peer"] == {"cython": pytest.approx(8 / 9)}


@pytest.mark.usefixtures("small", "two_cases")
def test_wrong_calls_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = CALL.data(some_images(100), CALL.workload, 64)
    right = users.Setup(NAMES[0])

    class Wrong:
        def forward(self, x: Any) -> Any:
            return np.full((len(x), 10), 0.1)

    monkeypatch.setattr(Network, "compile", lambda self, **options: Wrong())
    with pytest.raises(VerificationError, match=r"inference, digits, 784-16-16-10, 8 rows, .*: the output is wr"):
        users.own_turn(CALL, data, right, ExitStack())


def test_calls_with_two_threads_are_compared_only_with_peers_that_have_threads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    case = next(case for case in CASES if case.threads == 2)
    data = case.written(some_images(100), str(tmp_path), quick=True)
    assert json.loads((tmp_path / "case.json").read_text())["threads"] == 2
    assert users.cannot("jax", case, data) == "it is measured on one thread only"
    assert not users.cannot("onnxruntime", case, data)
    asked: list[dict[str, Any]] = []
    compiled = Network.compile

    def compile_(self: Network, **options: Any) -> Any:
        asked.append(options)
        return compiled(self, **options)

    monkeypatch.setattr(Network, "compile", compile_)
    monkeypatch.setattr(users, "QUIET", 0)
    for name in NAMES:
        assert users.own_turn(case, data, users.Setup(name), ExitStack())() > 0
    most = [users.max_threads(name) for name in NAMES]
    assert [o["threads"] for o in asked] == [min(2, n) for n in most]
    assert {o["max_batch"] for o in asked} == {cases.PART_ROWS}


@pytest.mark.usefixtures("small", "untimed")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--case", "text"], "--case chooses cases of the suite users or of --compare: add users to --suite"),
        (["--case", "nothing", "--suite", "users"], "no case has the words nothing; there are: digits as bytes, W1;"),
        (["--case", "text", "--case", "nothing", "--suite", "users"], "no case has the words nothing; there are:"),
        (["--case", " ", "--suite", "users"], "--case needs words of a title, not an empty text"),
        (["--suite", "users", "--threads", "2"], "the suite users has its own cases: leave out --threads"),
        (["--suite", "users", "--dtype", "float64"], "leave out --dtype"),
    ],
)
def test_impossible_options_are_errors(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in error_of(capsys, options)
