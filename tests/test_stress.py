"""The stress programs (tests/stress): each program runs, and the kept cases pass."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from stress import harness, races

KEPT = [(name, path) for name in harness.NAMES for path in harness.kept(name)]


@pytest.fixture(scope="module")
def workers() -> Iterator[dict[str, harness.Worker]]:
    """Workers of the programs by name. Tests share the workers, because starting one takes seconds."""
    started: dict[str, harness.Worker] = {}
    yield started
    for worker in started.values():
        worker.close()


@pytest.mark.parametrize(("name", "path"), KEPT, ids=[f"{name}-{path.stem}" for name, path in KEPT])
def test_cases_that_failed_earlier_pass(name: str, path: Path, workers: dict[str, harness.Worker]) -> None:
    program = harness.load(name)
    if reason := program.unable():
        pytest.skip(reason)
    if name not in workers:
        workers[name] = harness.Worker(name, program)  # kept cases failed in a worker, not in this process
    kind, words = workers[name].check(json.loads(path.read_text(encoding="utf-8"))["case"])
    assert kind == "right", words


@pytest.mark.parametrize("name", harness.NAMES)
def test_a_few_cases_of_each_program(name: str) -> None:
    if name == "races" and not races.BUILDS.exists():
        pytest.skip("compiling with ThreadSanitizer takes 25 s: run `python -m tests.stress races`, as .ci/run does")
    # A case of `leaks` has 100 rounds.
    report = harness.run(name, seed=1, count=1 if name == "leaks" else 3, keep=False)
    if report.unable:
        pytest.skip(report.unable)
    assert report.tried
    assert not report.failures, str(report)


class TestTheHarness:
    """The harness finds crashes, hangs and wrong answers, tells them apart, and reduces each case."""

    @pytest.mark.parametrize(
        ("kind", "words"), [("crash", "died of SIGSEGV"), ("hang", "no answer"), ("wrong", "Asser")]
    )
    def test_the_harness_finds_and_reduces_a_failure(self, kind: str, words: str) -> None:
        worker = harness.Worker("sample", program := harness.load("sample"))
        if kind == "hang":
            program.seconds = 0.3  # a case that answers takes a millisecond
        try:
            failed, why = worker.check({"kind": kind, "n": 53, "list": [1, 2, 3]})
            assert failed == "wrong"
            assert why.startswith(words)
            reduced, _ = harness._reduced(program, worker, {"kind": kind, "n": 53, "list": [1, 2, 3]}, why)
            assert reduced == {"kind": kind, "n": 51, "list": []}
            assert worker.check({"kind": kind, "n": 5, "list": []}) == ("right", "small")
        finally:
            worker.close()

    def test_meaningless_cases_are_not_counted_as_tried(self) -> None:
        report = harness.run("sample", seed=1, count=20)
        assert (report.tried, report.log.total(), report.failures) == (20, 20, [])
        assert report.unfit
        assert str(report).partition("\n")[0].endswith(f"0 failed; {report.unfit} more were meaningless")

    def test_a_program_that_cannot_run_here_says_why(self, monkeypatch: pytest.MonkeyPatch) -> None:
        program = harness.load("sample")
        monkeypatch.setattr(program, "unable", lambda: "there is no compiler")
        monkeypatch.setattr(harness, "load", lambda name: program)
        report = harness.run("sample", seed=1, count=3)
        assert (report.tried, str(report)) == (0, "sample: nothing was tried: there is no compiler")

    def test_a_program_may_choose_the_launcher_of_its_worker(self, monkeypatch: pytest.MonkeyPatch) -> None:
        program = harness.load("sample")
        monkeypatch.setattr(program, "launcher", lambda: ["env", "SAMPLE=chosen"])
        worker = harness.Worker("sample", program)
        try:
            assert worker.check({"kind": "environment", "n": 51}) == ("right", "chosen")
        finally:
            worker.close()
