"""The program of the page about many machines runs under mpiexec."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "many-machines.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="docs/ is not beside tests/")
def test_the_program_trains_one_network_on_two_processes(tmp_path: Path) -> None:
    for package in ("mpi4py", "sklearn"):
        pytest.importorskip(package, reason="the program needs the extras mpi and sklearn")
    if (mpiexec := shutil.which("mpiexec")) is None:
        pytest.skip("mpiexec is not installed")
    program = re.search(r"^```python\n(# train\.py\n.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    assert program
    (tmp_path / "train.py").write_text(program[1])
    command = [mpiexec, "-n", "2", sys.executable, "train.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"9\d% correct, averages: (gradients|parameters) of 2 processes.*\n", done.stdout)
    assert (tmp_path / "digits.npz").is_file()
