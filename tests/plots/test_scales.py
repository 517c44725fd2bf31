"""The ticks of axes are exact and short."""

from __future__ import annotations

import pytest

pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")

from matplotlib.figure import Figure

from fastnet.plots.scales import number_ticks


@pytest.mark.parametrize(
    ("places", "texts"),
    [
        ([0, 0.05, 0.1], ["0.00", "0.05", "0.10"]),
        ([1995, 2000, 2005], ["1995", "2000", "2005"]),
        ([-50_000, 0, 5e4], ["\N{MINUS SIGN}50k", "0", "50k"]),
        ([12_500, 15_000], ["12.5k", "15.0k"]),
        ([1e6, 3e6], ["1M", "3M"]),
        ([0, 1.5e11], ["0", "1.5e+11"]),
        ([0, 2e-5], ["0", "2e\N{MINUS SIGN}05"]),
    ],
)
def test_numbers_of_any_size_are_short(places: list[float], texts: list[str]) -> None:
    axes = Figure().add_subplot()
    axes.set_xlim(min(places), max(places))
    axes.set_xticks(places)
    number_ticks(axes.xaxis)
    assert [label.get_text() for label in axes.get_xticklabels()] == texts
    assert axes.xaxis.get_offset_text().get_text() == ""
