"""`python -m fastnet.bench.rates`: the losses of suggested rates, on made-up and on real trainings."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet.bench import rates

pytest.importorskip("sklearn", reason="the sets of tables need the extra `sklearn`")


def test_a_loss_is_the_distance_to_the_best_rate_of_the_grid(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The made-up score falls by 0.1 for each decade between the rate and 0.1."""
    suggested = {100: 1.0, 101: 0.1}
    monkeypatch.setitem(rates.SETS, "iris", rates.SETS["iris"]._replace(rows=lambda seed: rates.Rows(*np.eye(4))))
    monkeypatch.setattr(rates, "network", lambda *_: None)
    monkeypatch.setattr(rates, "learning_rate_finder", lambda *_, seed, **__: _Suggests(suggested[seed]))
    monkeypatch.setattr(
        rates, "score", lambda case, kind, optimizer, rate, rows, seed: 1 - 0.1 * abs(np.log10(rate) + 1)
    )
    found = rates.measure("iris", rates.KINDS[0], "adam", 2)
    assert found["suggestions"] == [1.0, 0.1]
    assert (found["best_rate"], found["best_score"]) == (pytest.approx(0.1), 1.0)
    assert found["score"] == pytest.approx(0.95)
    assert found["loss"] == pytest.approx(0.05)
    assert found["loss_error"] == pytest.approx(0.05)
    assert rates.main(["--sets", "iris", "--seeds", "2", "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("| more than a point |") == 4  # two networks, two optimisers
    assert "0 of 4 trainings end within a point (0.01) of the best rate of the grid" in printed


class _Suggests:
    def __init__(self, suggestion: float) -> None:
        self.suggestion = suggestion


@pytest.mark.parametrize(("name", "least"), [("iris", 0.7), ("diabetes", 0.3)])
def test_a_training_at_a_good_rate_scores_well_and_one_that_diverges_scores_worst(name: str, least: float) -> None:
    case, relu = rates.SETS[name], rates.KINDS[1]
    rows = case.rows(0)
    assert len(rows.x_test) == pytest.approx(0.3 * (len(rows.x_train) + len(rows.x_test)), abs=1)
    np.testing.assert_allclose(rows.x_train.mean(0), 0, atol=1e-9)
    assert rates.score(case, relu, "adam", 0.003, rows, 0) > least
    assert rates.score(rates.SETS["diabetes"], relu, "sgd", 10.0, rates.SETS["diabetes"].rows(0), 0) == rates.WORST
