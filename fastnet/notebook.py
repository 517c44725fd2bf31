"""The HTML that a notebook shows for a network, a history, a trainer or an estimator: a table and a small curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 240, 60  # of the curve, in pixels
MAX_POINTS = 200  # of a line: more are not visible in a small curve
COLOURS = ("#0072B2", "#D55E00")  # blue and vermilion of Okabe and Ito, which colour-blind people can tell apart
DASHES = ("", "4 2")  # the second line is dashed


def card(
    title: str,
    facts: Mapping[str, str],
    rows: Sequence[Sequence[str]] = (),
    curves: Mapping[str, Sequence[float]] | None = None,
) -> str:
    """Return a title, a line for each fact, a table and a curve as HTML.

    Parameters
    ----------
    title : str
        The title.
    facts : mapping of str to str
        Names and values.
    rows : sequence of sequences of str
        The table. The first row is its head.
    curves : mapping of str to sequence of float
        At most two lines of the curve by name, one number for each epoch. Numbers that are not finite are left out.

    Returns
    -------
    str
        All texts are escaped, so that names from a file cannot change the page.

    Examples
    --------
    >>> card("Network", {"parameters": "5"})
    '<div><strong>Network</strong><br>parameters: 5</div>'
    """
    lines = [f"<strong>{_escaped(title)}</strong>"]
    lines += [f"{_escaped(name)}: {_escaped(value)}" for name, value in facts.items()]
    table = ""
    if rows:
        head, *body = rows
        table = "<table><thead>" + _row(head, "th") + "</thead><tbody>"
        table += "".join(_row(row, "td") for row in body) + "</tbody></table>"
    return f"<div>{'<br>'.join(lines)}{table}{_picture(curves or {})}</div>"


def _row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{_escaped(cell)}</{tag}>" for cell in cells) + "</tr>"


def _picture(curves: Mapping[str, Sequence[float]]) -> str:
    """Draw the curves on common axes, with their smallest and largest numbers in words."""
    points = {name: [(k, y) for k, y in enumerate(line) if math.isfinite(y)] for name, line in curves.items()}
    points = {name: line for name, line in points.items() if len(line) > 1}
    if not points:
        return ""
    values = [y for line in points.values() for _, y in line]
    low, high = min(values), max(values)
    last = max(line[-1][0] for line in points.values())
    drawn, legend = [], []
    for (name, line), colour, dash in zip(points.items(), COLOURS, DASHES, strict=False):
        step = -(-len(line) // MAX_POINTS)
        kept = [*line[:-1:step], line[-1]]
        places = " ".join(
            f"{2 + (WIDTH - 4) * k / last:.1f},{HEIGHT - 2 - (HEIGHT - 4) * _share(y, low, high):.1f}" for k, y in kept
        )
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        drawn.append(f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.5"{dashes}/>')
        legend.append(f'<span style="color:{colour}">{"- -" if dash else "—"}</span> {_escaped(name)}')
    text = _escaped(f"{' and '.join(points)} in {last + 1:,} epochs, between {low:.4g} and {high:.4g}")
    return (
        f'<br><svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text}">'
        f"{''.join(drawn)}</svg><br><small>{', '.join(legend)}, between {low:.4g} and {high:.4g}</small>"
    )


def _share(value: float, low: float, high: float) -> float:
    """The height of a value as a share of the picture. A line of equal numbers lies in the middle."""
    return (value - low) / (high - low) if high > low else 0.5


def _escaped(text: str) -> str:
    from html import escape  # imported here: its table of entities would delay `import fastnet`

    return escape(text)
