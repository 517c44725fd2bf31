"""The program of the page about many machines runs under mpiexec."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mpi_cases import mpiexec, needs_mpi

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "many-machines.md"


@needs_mpi
@pytest.mark.skipif(not PAGE.is_file(), reason="docs/ is not beside tests/")
def test_the_program_trains_one_network_on_two_processes(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the program needs the extra sklearn")
    program = re.search(r"^```python\n(# train\.py\n.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    assert program
    (tmp_path / "train.py").write_text(program[1])
    done = mpiexec(2, "train.py", cwd=tmp_path)
    assert done.status == 0, done.err
    assert re.fullmatch(r"9\d% correct, averages: (gradients|parameters) of 2 processes.*\n", done.out)
    assert (tmp_path / "digits.npz").is_file()
