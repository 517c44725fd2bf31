"""`python -m fastnet.bench.tables`: the command line and scikit-learn on the same rows of a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastnet.bench import tables

pytest.importorskip("sklearn", reason="the tables come from the extra `sklearn`")


@pytest.mark.parametrize(("name", "least"), [("iris", 0.8), ("diabetes", 0.2)])
def test_both_learn_a_shuffled_copy(name: str, least: float, tmp_path: Path) -> None:
    table = tables.TABLES[name]()
    found = tables.compare(table, 0, tmp_path)
    assert found.rows == round(0.8 * len(table.targets))
    assert min(found.fastnet, found.sklearn) > least
    assert (found.sklearn_raw == found.sklearn) == (name == "iris")


def test_the_table_has_the_means_and_the_error_of_the_difference() -> None:
    scores = [tables.Scores(120, 0.9, 0.8, 0.8), tables.Scores(120, 0.8, 0.9, 0.9), tables.Scores(120, 1.0, 0.7, 0.7)]
    made = tables.section({"iris": scores, "diabetes": [s._replace(sklearn_raw=-1.0) for s in scores]})
    error = np.std([0.1, -0.1, 0.3], ddof=1) / np.sqrt(3)
    assert made.rows[0] == ("iris", "120", "0.900", "0.800", f"+0.100 ± {error:.3f}", "")
    assert made.rows[1][-1] == "-1.000"
    assert "over 3 shuffled copies" in made.note
