"""Groups at other thresholds, read from what anybody may have logged, and drawn; without a server."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api.records import RunStatus
from runyard.dashboard import thresholds
from runyard.dashboard.artifacts import Cell, Table
from runyard.dashboard.thresholds import NotLogged, Rate
from runyard.history import LoggedRun

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = ("group", "threshold", "own", "score", "count", *(rate.value for rate in Rate))


def run(number: int) -> LoggedRun:
    return LoggedRun(f"{number:032x}", f"run-{number}", "e", RunStatus.FINISHED, FIRST, FIRST + timedelta(1))


def table(*groups: tuple[str, float, Sequence[float | None]], score: str = "probability", own: int | None = 1) -> Table:
    """Return a table of three thresholds: of each group its name, its rows, and a rate that it has of everything."""
    return Table(
        COLUMNS,
        tuple(
            (name, at, float(place == own), score, count, *(4 * [rates[place]]))
            for name, count, rates in groups
            for place, at in enumerate((0.0, 0.5, 1.0))
        ),
    )


TWO = table(("f", 30.0, [1.0, 0.4, 0.0]), ("m", 20.0, [1.0, 0.75, 0.5]))


def sides(*tables: Table | None) -> thresholds.Sides:
    runs = [run(number) for number in range(len(tables))]
    return thresholds.beside("sex", {each.id: each.name for each in runs}, list(zip(runs, tables, strict=True)))


def test_the_gap_is_that_of_the_groups_furthest_apart() -> None:
    three = table(("a", 5.0, [1.0, 0.4, None]), ("b", 5.0, [1.0, 0.9, None]), ("c", 5.0, [1.0, 0.6, 0.5]))
    logged = thresholds.read(three)
    gap = logged.gap(Rate.SELECTION, 1)
    assert gap
    assert (gap.low_group, gap.low, gap.high_group, gap.high, gap.width) == ("a", 0.4, "b", 0.9, 0.5)
    assert logged.gap(Rate.SELECTION, 2) is None, "one group alone has the rate"
    assert (logged.thresholds, logged.own, dict(logged.counts)) == ((0.0, 0.5, 1.0), 1, {"a": 5, "b": 5, "c": 5})


@pytest.mark.parametrize(
    ("asked", "nearest"), [(None, 1), (0.4, 1), (0.1, 0), (0.25, 0), (0.76, 2), (5.0, 2), (-1e300, 0)]
)
def test_the_nearest_threshold_that_was_logged_is_taken(asked: float | None, nearest: int) -> None:
    assert thresholds.read(TWO).nearest(asked) == nearest


def test_a_figure_marks_the_models_own_threshold_and_the_one_that_is_chosen() -> None:
    figure = thresholds.rates(sides(TWO), Rate.SELECTION, 0.9)
    assert [column.name for column in figure.columns][2:] == ["group", "count", "threshold", "rate", "own", "chosen"]
    assert [row[1:] for row in figure.rows] == [
        ["f", "f", 30, 0.0, 1.0, 0, 0],
        ["f", "f", 30, 0.5, 0.4, 1, 0],
        ["f", "f", 30, 1.0, 0.0, 0, 1],
        ["m", "m", 20, 0.0, 1.0, 0, 0],
        ["m", "m", 20, 0.5, 0.75, 1, 0],
        ["m", "m", 20, 1.0, 0.5, 0, 1],
    ]
    assert (figure.mark, figure.chosen) == ("own", "chosen")
    own = thresholds.rates(sides(TWO), Rate.SELECTION, None)
    assert (own.chosen, len(own.columns)) == ("", 7)


def test_gaps_of_two_runs_are_beside_each_other() -> None:
    found = sides(TWO, table(("f", 30.0, [1.0, 0.5, 0.0]), ("m", 20.0, [1.0, 0.55, None])))
    assert [row[1:6] for row in thresholds.gaps(found, Rate.SELECTION, None).rows] == [
        ["run-0", 0.0, 0.0, "f", "m"],
        ["run-0", 0.5, 0.35, "f", "m"],
        ["run-0", 1.0, 0.5, "f", "m"],
        ["run-1", 0.0, 0.0, "f", "m"],
        ["run-1", 0.5, pytest.approx(0.05), "f", "m"],
        ["run-1", 1.0, None, None, None],
    ]
    at = thresholds.at_threshold(found, 0.5, 0.1)
    assert [(row[1], row[3], row[-1]) for row in at.rows] == [
        *(("run-0", rate.words, 1) for rate in Rate),
        *(("run-1", rate.words, 0) for rate in Rate),
    ]
    assert at.says == "At the threshold logged nearest to 0.5 4 of 8 gaps are wider than 0.1."


def test_thresholds_of_another_score_are_not_drawn_beside() -> None:
    decision = table(("f", 3.0, [1.0, 0.5, 0.0]), score="decision")
    found = sides(decision, TWO, TWO, None)
    assert [side.name for side in found.sides] == ["run-1", "run-2"]
    assert found.says == (
        "2 of 4 runs are drawn. The thresholds of run-0 are not of a probability, as those of the others are. run-3 "
        "has no table thresholds_sex.csv, or none that can be read: `runyard.evaluation.log(model, (X_test, y_test), "
        'groups={"sex": …})` logs it, for two classes and a model with scores.'
    )


def test_where_nothing_was_logged_it_says_how_to() -> None:
    found = sides(None, None)
    for figure in (
        thresholds.rates(found, Rate.ACCURACY, None),
        thresholds.gaps(found, Rate.ACCURACY, 0.5),
        thresholds.at_threshold(found, None, 0.1),
    ):
        assert figure.rows == []
        assert figure.empty.startswith(
            "run-0, run-1 have no table thresholds_sex.csv, or none that can be read: `runyard"
        )


def test_a_model_whose_own_threshold_is_not_known_needs_one_that_is_chosen() -> None:
    found = sides(table(("f", 30.0, [1.0, 0.4, 0.0]), ("m", 20.0, [1.0, 0.75, 0.5]), own=None))
    assert thresholds.at_threshold(found, None, 0.1).empty == "No model's own threshold is known: choose one."
    assert len(thresholds.at_threshold(found, 0.5, 0.1).rows) == len(Rate)
    assert not any(row[6] for row in thresholds.rates(found, Rate.ACCURACY, None).rows)


def test_of_very_many_groups_the_largest_are_drawn_and_the_csv_has_all() -> None:
    many = table(*((f"g{number:02}", float(number + 1), [1.0, 0.5, 0.0]) for number in range(50)))
    figure = thresholds.rates(sides(many, many), Rate.ACCURACY, None)
    assert sorted({str(row[2]) for row in figure.rows}) == [f"g{number}" for number in range(38, 50)]
    assert len({row[1] for row in figure.rows}) == thresholds.MOST_LINES
    assert figure.says.endswith("Of 50 groups the 12 largest are drawn.")
    assert len(thresholds.rates(sides(many, many), Rate.ACCURACY, None, None).rows) == 2 * 50 * 3


def changed(column: str, value: Cell, row: int = 0) -> Table:
    place = COLUMNS.index(column)
    rows = [list(cells) for cells in TWO.rows]
    rows[row][place] = value
    return replace(TWO, rows=tuple(map(tuple, rows)))


@pytest.mark.parametrize(
    ("logged", "says"),
    [
        (Table(("group",), ()), "it has not one column threshold"),
        (Table(COLUMNS, ()), "its score is not probability or decision throughout"),
        (Table((*COLUMNS, "own"), ()), "it has not one column own"),
        (changed("score", "<script>alert(1)</script>"), "its score is not probability or decision throughout"),
        (changed("threshold", "<b>"), "a threshold is no number"),
        (changed("threshold", float("nan")), "a threshold is no number"),
        (changed("threshold", None), "a threshold is no number"),
        (changed("threshold", 0.7), "its thresholds are not in order"),
        (changed("threshold", 0.1, row=4), "its groups have not the same thresholds"),
        (changed("group", "f", row=4), "its thresholds are not in order"),
        (changed("own", 1.0, row=3), "its groups have not the same thresholds"),
        (changed("count", -1.0), "a count is not one of a group's rows"),
        (changed("count", 1e300), "a count is not one of a group's rows"),
        (changed("count", "many"), "a count is not one of a group's rows"),
        (changed("selection_rate", 7.0), "a rate is not from 0 to 1"),
        (changed("accuracy", float("nan")), "a rate is not from 0 to 1"),
        (changed("true_positive_rate", "high"), "a rate is not from 0 to 1"),
        (
            table(*((str(number), 1.0, [1.0, 1.0, 1.0]) for number in range(51))),
            "it has 51 groups, and 50 are the most",
        ),
        (
            Table(COLUMNS, tuple(("f", float(at), 0.0, "decision", 1.0, *(4 * [0.5])) for at in range(103))),
            "it has 103 thresholds of a group, and 102 are the most",
        ),
    ],
)
def test_what_no_evaluation_logs_is_told_in_words(logged: Table, says: str) -> None:
    with pytest.raises(NotLogged, match=says):
        thresholds.read(logged)
    found = sides(logged, TWO)
    assert [side.name for side in found.sides] == ["run-1"]
    assert found.told == [f"The table thresholds_sex.csv of run-0 is none that an evaluation logs: {says}."]


def test_groups_with_names_that_are_very_long_stay_apart() -> None:
    found = thresholds.read(table(("x" * 5000, 1.0, [1.0, 1.0, 1.0]), ("x" * 5000 + "y", 1.0, [1.0, 1.0, 1.0])))
    assert [len(group) for group in found.counts] == [100, 100]


CELLS = st.none() | st.floats() | st.sampled_from([0.0, 0.5, 1.0]) | st.text(max_size=3)


@given(st.lists(st.tuples(*(len(COLUMNS) * [CELLS])), max_size=4), st.sampled_from(["probability", 1.0]))
def test_whatever_is_in_a_table_it_is_read_or_refused(rows: list[tuple[Cell, ...]], score: Cell) -> None:
    place = COLUMNS.index("score")
    logged = Table(COLUMNS, tuple((*row[:place], score, *row[place + 1 :]) for row in rows))
    figure = thresholds.rates(sides(logged), Rate.SELECTION, 0.5)
    assert bool(figure.rows) != bool(figure.empty)
    assert all(row[5] is None or 0 <= float(str(row[5])) <= 1 for row in figure.rows)
