"""Scores as text: matrices fit a terminal and say which class is which."""

from __future__ import annotations

import numpy as np
import pytest

import fastnet
from fastnet.cli.scores import labels_text, matrix_text, values_text
from fastnet.insight import label_scores, value_scores

NAMES = ("Iris setosa of Gaspesia", "Iris versicolor of Gaspesia", "Iris virginica of Gaspesia", "ox")


def cells(line: str) -> list[str]:
    return [cell for cell in line.split("  ") if cell]


@pytest.mark.parametrize("n", [2, 3, 4])
def test_a_matrix_has_the_names_of_the_classes(n: int) -> None:
    counts = np.arange(n * n).reshape(n, n)
    title, head, *rows = matrix_text(counts, NAMES[:n]).splitlines()
    assert "row: the truth" in title
    assert max(map(len, (head, *rows))) <= 80
    assert len({len(row) for row in (head, *rows)}) == 1  # the last column ends where its head ends
    titles, heads = [cells(row)[0] for row in rows], [cell.strip() for cell in cells(head)[:-1]]
    for name, title, above in zip(NAMES[:n], titles, heads, strict=True):
        assert name.startswith(title.rstrip("…"))
        assert name.startswith(above.rstrip("…"))
    assert [cell.strip() for cell in cells(rows[1])[1:-1]] == [str(k) for k in counts[1]]


def test_names_that_would_be_equal_become_numbers() -> None:
    names = [f"a class with the number {k}" for k in range(12)]
    _, head, *rows = matrix_text(np.eye(12, dtype=int), names).splitlines()
    assert head.split() == [*map(str, range(12)), "recall"]
    assert rows[11].startswith("11 a class with the nu…")
    digits = matrix_text(np.eye(10, dtype=int), [*map(str, range(10))]).splitlines()
    assert digits[2].split() == ["0", "1", *"." * 9, "100.0%"]
    assert "--json" in matrix_text(np.eye(31, dtype=int), ["x"] * 31)


def test_labels_have_a_line_each() -> None:
    network = fastnet.Network([2, 2], task="multilabel", seed=0)
    network.parameters = [1, 0, 0, 1, 0, 0]
    found = label_scores(network, [[1, -1], [1, -1], [-1, -1]], [[1, 0], [0, 0], [1, 0]])
    assert [line.split() for line in labels_text(found, ["urgent", "spam"]).splitlines()] == [
        ["label", "precision", "recall", "F1", "support"],
        ["urgent", "50.0%", "50.0%", "50.0%", "2"],
        ["spam", "-", "-", "-", "0"],
    ]


def test_a_regression_is_shown_beside_the_mean() -> None:
    network = fastnet.Network([1, 1], task="regression", seed=0)
    network.parameters = [1, 0]
    lines = values_text(value_scores(network, [[0.0], [1.0], [2.0]], [0.0, 1.0, 5.0]), ["price"]).splitlines()
    assert lines[0].split() == ["R2", "RMSE", "MAE"]
    assert lines[1].split() == ["network", "0.357", "1.732", "1"]
    assert lines[2].split() == ["always", "the", "mean,", "2", "0.000", "2.16", "2"]
