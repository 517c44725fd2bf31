"""The notebooks of examples/ run in a kernel of Jupyter, and show what their text promises."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
if not EXAMPLES.is_dir():
    pytest.skip("examples/ is not beside tests/", allow_module_level=True)
for package in ("ipykernel", "pandas", "sklearn", "matplotlib"):
    pytest.importorskip(package, reason="the extra `dev` has what the notebooks need")
nbclient = pytest.importorskip("nbclient", reason="the extra `dev` has Jupyter's kernel")


def test_the_notebook_of_a_table_goes_from_the_frame_to_the_report(tmp_path: Path) -> None:
    import nbformat  # a dependency of nbclient

    notebook = nbformat.read(EXAMPLES / "table.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # the outputs of a past run would become stale
    client = nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3")
    client.execute(cwd=tmp_path)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert Counter(output.output_type for output in outputs).keys() == {"stream", "execute_result"}  # no warning
    (printed,) = (output.text for output in outputs if output.output_type == "stream")
    found = re.fullmatch(r"([\d.]+)% of 45 test wines are right\n", printed)
    assert found is not None
    assert float(found[1]) > 90
    shown = Counter(kind for output in outputs for kind in output.get("data", ()))
    assert (shown["image/png"], shown["text/html"]) == (3, 3)
    assert "wine" in (tmp_path / "wine.html").read_text("utf-8")
