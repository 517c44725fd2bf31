"""`python -m fastnet.bench.dtypes`: the times of an update in both dtypes. The largest ratio comes first."""

from __future__ import annotations

import pytest

from fastnet.bench import dtypes


def test_the_largest_ratio_comes_first(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Times in microseconds of made-up cases."""
    monkeypatch.setattr(dtypes, "CASES", (((4, 8, 3), 16, "sgd"), ((4, 100, 3), 150, "adam")))
    times = {(4, 8, 3): [0.5, 0.75], (4, 100, 3): [10.0, 19.0]}
    monkeypatch.setattr(dtypes, "measure", lambda sizes, *_: times[sizes])
    assert dtypes.rows_of("numpy", 1) == [
        ["4-100-3", "150", "adam", "10", "19", "1.90"],
        ["4-8-3", "16", "sgd", "0.5", "0.75", "1.50"],
    ]
    assert dtypes.main(["--backend", "numpy"]) == 0
    assert "float64 / float32" in capsys.readouterr().out


def test_an_update_takes_time_in_both_dtypes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtypes, "TURN", 1.0)
    assert dtypes.updates((4, 8, 3), 16) == 4
    found = dtypes.measure((4, 8, 3), 16, "adam", "numpy", rounds=1)
    assert len(found) == len(dtypes.DTYPES)
    assert all(0.1 < time < 1e5 for time in found)
