"""Long lines, thinned without what is high or low in them being lost."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.dashboard.answers import Cell, Column, Figure, Kind, number
from runyard.dashboard.thinning import MOST_POINTS, in_words, places, thinned


@given(st.lists(st.floats(), max_size=120), st.integers(5, 40))
def test_a_line_keeps_its_ends_its_extremes_and_its_holes(values: list[float], most: int) -> None:
    kept = places(values, most)
    assert len(kept) == min(len(values), most) or len(values) > most >= len(kept)
    assert kept == sorted(set(kept))
    assert kept[:1] + kept[-1:] == [*range(len(values))][:1] + [*range(len(values))][-1:]
    numbers = [value for value in values if not math.isnan(value)]
    shown = [values[place] for place in kept if not math.isnan(values[place])]
    if numbers:
        assert (min(shown), max(shown)) == (min(numbers), max(numbers))
    assert (len(shown) < len(kept)) is (len(numbers) < len(values))


def test_each_part_keeps_its_own_lowest_and_highest() -> None:
    values = np.random.default_rng(0).normal(size=100_000)
    kept = places(values.tolist())
    assert len(kept) == MOST_POINTS
    # As NumPy cuts what is between the ends: into 249 parts.
    expected = {0, len(values) - 1}
    edges = 1 + np.arange(250) * (len(values) - 2) // 249
    for start, end in pairwise(edges):
        expected |= {int(start + values[start:end].argmin()), int(start + values[start:end].argmax())}
    assert kept == sorted(expected)


@pytest.mark.parametrize("place", [1, 17, 5_000, 99_998])
@pytest.mark.parametrize("spike", [1e9, -1e9, math.inf, -math.inf, math.nan])
def test_one_value_that_is_like_no_other_is_drawn(place: int, spike: float) -> None:
    values = [0.5] * 100_000
    values[place] = spike
    kept = places(values)
    assert place in kept
    assert len(kept) <= MOST_POINTS


def figure(*lines: tuple[str, list[float]], kind: Kind = Kind.LINES) -> Figure:
    columns = [Column(name=name, title=name) for name in ("run", "name", "x", "y")]
    rows: list[list[Cell]] = [
        ["r", name, float(place), number(value)] for name, values in lines for place, value in enumerate(values)
    ]
    return Figure(name="f", title="F", says="S.", kind=kind, columns=columns, rows=rows, x="x", y="y", series="name")


def test_each_line_of_a_figure_is_thinned_by_itself() -> None:
    values = [float(value) for value in np.random.default_rng(1).normal(size=3_000)]
    whole = figure(("long", values), ("short", [1.0, 2.0, math.nan]))
    found = thinned(whole)
    assert found.left_out == 2_500
    assert found.says == f"S. {in_words()}"
    assert found.rows == [*(whole.rows[place] for place in places(values)), *whole.rows[-3:]]
    assert thinned(whole) == found, "the same each time"
    assert len(thinned(whole.model_copy(update={"series": ""})).rows) < MOST_POINTS, "one line, with a hole"
    assert whole.csv().count("\n") == 3_004


def test_what_is_short_or_no_line_stays_as_it_is() -> None:
    for each in (figure(("short", [1.0] * 500)), figure(("bars", [1.0] * 2_000), kind=Kind.BARS), figure()):
        assert thinned(each) is each


def test_of_very_many_lines_each_has_fewer_points_and_the_last_are_left_out() -> None:
    hundred = figure(*((str(line), [float(value) for value in range(200)]) for line in range(100)))
    found = thinned(hundred)
    assert len(found.rows) == 100 * 120
    assert found.says == f"S. {in_words(120)}"
    crowd = thinned(figure(*((str(line), [0.0, 1.0]) for line in range(5_000))))
    assert (len(crowd.rows), crowd.left_out) == (2_400, 7_600)
    assert crowd.says.endswith(" Of 5,000 lines the first 1,200 are drawn.")
