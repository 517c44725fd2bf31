"""`fastnet bench --compare OLD`: where versions are found, what is verified, and what the table shows.

The other version of most tests is this one, imported from a copy of its folder.
"""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from bench_cases import error_of, small, some_images, untimed  # noqa: F401  # fixtures are found by name

import fastnet
from fastnet import cli
from fastnet.bench import compare
from fastnet.bench.cases import CASES
from fastnet.bench.compare import NEW, OLD, Process, Version, VersionError, version_at
from fastnet.bench.compare_worker import Worker
from fastnet.bench.contenders import Timing

COMMAND = ["bench", "--backend", "numpy", "--rounds", "2", "--quick", "--case", "iris", "--case", "10 rows"]
assert fastnet.__file__ is not None
PACKAGE = Path(fastnet.__file__).parent


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a copy of fastnet that computes the same, but calls itself 0.0.1."""
    folder = tmp_path_factory.mktemp("old")
    ignored = shutil.ignore_patterns("__pycache__", "bench", "*.so", "report", "explore")
    shutil.copytree(PACKAGE, folder / "fastnet", ignore=ignored)
    (folder / "fastnet" / "version.py").write_text('"""The version."""\n\n__version__ = "0.0.1"\n')
    return folder


def changed(old: Path, folder: Path, file: str, before: str, after: str) -> Path:
    """Return a copy of the folder with one change in a file of fastnet."""
    shutil.copytree(old, folder, dirs_exist_ok=True)
    path = folder / "fastnet" / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    return folder


# -- the versions -------------------------------------------------------------------------------------------------


def test_a_version_is_a_folder_a_python_or_a_wheel(old: Path, tmp_path: Path) -> None:
    with version_at(str(old)) as version:
        assert version == Version(sys.executable, str(old))
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.symlink_to(sys.executable)
    for path in (tmp_path, python):
        with version_at(str(path)) as version:
            assert version == Version(str(python))  # the link itself: its place tells Python the environment
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.writestr("fastnet/__init__.py", "")
    with version_at(str(tmp_path / "a.whl")) as version:
        assert Path(version.folder, "fastnet", "__init__.py").exists()
    assert not Path(version.folder).exists()


@pytest.mark.usefixtures("small", "untimed")
def test_a_path_without_a_version_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (str(tmp_path), str(tmp_path / "none"), ""):
        said = error_of(capsys, ["--compare", path])
        assert "is no version of fastnet: give a folder that holds fastnet/" in said
        assert f"--compare {path}" in said


@pytest.mark.usefixtures("small", "untimed")
def test_this_version_itself_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    said = error_of(capsys, ["--backend", "numpy", "--compare", str(PACKAGE.parent)])
    assert "is this version itself" in said


@pytest.mark.usefixtures("small", "untimed")
def test_a_version_without_the_backend_is_an_error(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not any(info.name == "cython" and info.available for info in fastnet.backends.available()):
        pytest.skip("the Cython backend is missing here")
    said = error_of(capsys, ["--backend", "cython", "--compare", str(old)])
    assert f"the old version, {old / 'fastnet'}, has no backend cython: build it" in said


def test_a_version_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "fastnet").mkdir()
    (tmp_path / "fastnet" / "__init__.py").write_text("raise ImportError('no numpy in this version')")
    with pytest.raises(VersionError, match="old version ended with status 1: ImportError: no numpy in this version"):
        Process(OLD, Version(sys.executable, str(tmp_path)))
    with pytest.raises(VersionError, match="cannot start the old version's /no/python"):
        Process(OLD, Version("/no/python"))


def test_a_program_that_is_no_python_is_an_error(tmp_path: Path) -> None:
    program = tmp_path / "program"
    for prints, problem in (("hello", "is no Python with fastnet"), ("", "ended with status 0: it printed no error")):
        program.write_text(f"#!/bin/sh\nprintf '{prints}'\n")
        program.chmod(0o755)
        with pytest.raises(VersionError, match=f"the process of the old version {problem}"):
            Process(OLD, Version(str(program)))


# -- the comparison -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_both_versions_are_in_the_table_and_the_json(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "compare.json"
    assert cli.main([*COMMAND, "--compare", str(old), "--json", str(path), "--case", "8 rows"]) == 0
    figures = json.loads(path.read_text())
    assert figures["machine"]["old"] == f"fastnet 0.0.1 at {old / 'fastnet'}"
    assert figures["machine"]["new"].startswith(f"fastnet {fastnet.__version__} at ")
    kinds = {record["kind"] for record in figures["compare"]}
    assert kinds == {"fit", "further", "partial_fit", "cost", "gradient", "predictor"}
    for record in figures["compare"]:
        assert len(record["old_seconds"]) == len(record["new_seconds"]) == 2
    text = capsys.readouterr().out
    assert "Two versions" in text
    assert "iris, each further epoch" in text
    assert "Geometric mean of new / old: numpy" in text


@pytest.mark.usefixtures("small", "untimed")
@pytest.mark.parametrize(
    ("file", "before", "after", "case"),
    [
        ("training/optimizers.py", "beta1: float = 0.9", "beta1: float = 0.8", "iris, a fit of one epoch, old"),
        ("network.py", "math.sqrt(formulas", "1.001 * math.sqrt(formulas", "iris, a fit of one epoch, old, numpy"),
    ],
)
def test_a_version_that_computes_something_else_is_not_timed(
    file: str, before: str, after: str, case: str, old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = changed(old, tmp_path / "wrong", file, before, after)
    said = error_of(capsys, [*COMMAND[1:6], "--case", "iris", "--compare", str(wrong)])
    assert case in said
    assert "the change of the parameters is wrong" in said


@pytest.mark.usefixtures("small")
def test_a_case_that_a_version_cannot_do_is_left_out(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking = changed(old, tmp_path / "lacking", "training/trainer.py", "def partial_fit(", "def other_fit(")
    assert cli.main([*COMMAND, "--compare", str(lacking), "--json", "-"]) == 0
    captured = capsys.readouterr()
    assert "partial_fit of 10 rows, 784-16-16-10 is left out: the old version fails: AttributeError" in captured.err
    assert "partial_fit" not in {record["kind"] for record in json.loads(captured.out)["compare"]}


@pytest.mark.usefixtures("small", "untimed")
@pytest.mark.parametrize(
    "option",
    [
        *("--all", "--workload=W1", "--write=page.md", "--peer=program", "--scaling", "--suite=users"),
        *("--dtype=float64", "--input=float32", "--sparse=no"),
    ],
)
def test_options_that_do_not_apply_are_errors(
    option: str, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("page.md").write_text("a page")
    said = error_of(capsys, ["--compare", str(old), option])
    assert f"leave out {option.partition('=')[0]}" in said


def test_ratios_are_those_of_the_rounds() -> None:
    each = next(each for each in compare.compared() if each.title == "W1")
    timings = {
        (OLD, "numpy"): Timing([2, 4, 8]),
        (NEW, "numpy"): Timing([1, 4, 2]),
        ("JAX", "jax"): Timing([1, 1, 1]),
    }
    (record,) = compare._records(each, timings, ["numpy"], ["jax"])
    assert record["new_over_old"] == [0.5, 1, 0.25]
    assert record["old_over_peer"] == {"jax": 4}
    assert record["new_over_peer"] == {"jax": 2}
    section = compare._section([record], 3, ["jax"])
    assert section.rows == [("W1", "numpy", "4000", "2000", "0.50", "0.25 to 1", "4.00", "2.00")]
    assert "Geometric mean of new / old: numpy 0.500." in section.note


def test_every_kind_of_case_has_the_result_of_the_reference() -> None:
    """The reference of a kind is not the start of the network, so that a version that does nothing is found."""
    for each in {each.kind: each for each in compare.compared()}.values():
        data = each.case.data(some_images(100), each.case.workload, 40)
        rows = each.case.call_rows or 20
        assert np.linalg.norm(compare.expected(each, data, rows)) > 0


def test_predictors_use_the_threads_of_the_case(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The process of a version asks for them. An old version has the same arguments."""
    case = next(case for case in CASES if case.threads == 2)
    case.written(some_images(100), str(tmp_path), quick=True)
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(fastnet.Network, "compile", lambda self, **given: asked.append(given))
    Worker().load(folder=str(tmp_path), **compare.settings_of(compare.Compared(case, "predictor"), "cython", 1))
    assert (asked[0]["threads"], asked[0]["max_batch"]) == (2, case.part_rows)
