"""Long lines, as they are drawn: no picture has room for a hundred thousand points, and nothing high or low is lost.

A line keeps its first and its last point, and of each of as many equal parts as there is room for, in the order of its
points, the lowest and the highest one, and the first that is no number, which leaves a hole in it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from runyard.dashboard.answers import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runyard.dashboard.answers import Cell, Figure

# Nearly a point for each pixel that a chart is wide.
MOST_POINTS = 500
# As many as can be told apart, with all of their points.
_MOST_ROWS = 24 * MOST_POINTS
_FEWEST_POINTS = 10
_MOST_LINES = _MOST_ROWS // _FEWEST_POINTS


def places(values: Sequence[float], most: int = MOST_POINTS) -> list[int]:
    """Return the places of those of a line's values that are drawn, in order: all where there are no more than that.

    Args:
        values: of a line's points, in their order.
        most: how many at the most, five or more.

    >>> places([0, 1, 2, 9, 3, 4, -7, 5, 6], 6)
    [0, 1, 3, 6, 7, 8]
    """
    if len(values) <= most:
        return list(range(len(values)))
    has_holes = any(map(math.isnan, values))
    parts = _parts(most, holes=has_holes)
    kept = {0, len(values) - 1}
    within = len(values) - 2
    for part in range(parts):
        there = range(1 + part * within // parts, 1 + (part + 1) * within // parts)
        numbers = [place for place in there if not math.isnan(values[place])] if has_holes else there
        if numbers:
            kept |= {min(numbers, key=values.__getitem__), max(numbers, key=values.__getitem__)}
        if len(numbers) < len(there):
            kept.add(next(place for place in there if math.isnan(values[place])))
    return sorted(kept)


def thinned(figure: Figure) -> Figure:
    """Return a figure as it is drawn: of long lines what `places` says, and of more lines than 1,200 the first."""
    if figure.kind is not Kind.LINES:
        return figure
    names = [column.name for column in figure.columns]
    up = names.index(figure.y)
    apart = names.index(figure.series) if figure.series else None
    lines: dict[Cell, list[int]] = {}
    for place, row in enumerate(figure.rows):
        lines.setdefault(None if apart is None else row[apart], []).append(place)
    drawn = list(lines.values())[:_MOST_LINES]
    most = min(MOST_POINTS, _MOST_ROWS // max(len(drawn), 1))
    kept = sorted(line[at] for line in drawn for at in places([_value(figure.rows[row][up]) for row in line], most))
    if len(kept) == len(figure.rows):
        return figure
    cut = f" Of {len(lines):,} lines the first {_MOST_LINES:,} are drawn." if len(lines) > _MOST_LINES else ""
    return figure.model_copy(
        update={
            "rows": [figure.rows[place] for place in kept],
            "left_out": figure.left_out + len(figure.rows) - len(kept),
            "says": f"{figure.says} {in_words(most)}{cut}",
        }
    )


def in_words(most: int = MOST_POINTS) -> str:
    """Say what of long lines is drawn."""
    return (
        f"Thinned: of lines of more than {most} points the first and the last are drawn, and the lowest and the "
        f"highest of each of up to {_parts(most, holes=False)} equal parts."
    )


def _parts(most: int, *, holes: bool) -> int:
    return (most - 2) // (3 if holes else 2)


def _value(cell: Cell) -> float:
    try:
        return math.nan if cell is None else float(cell)
    except ValueError:
        return math.nan
