"""What of a comparison's table is shown, decided without a server: tables, and whatever hypothesis thinks of."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api.records import OUTCOME_TAG, REASON_TAG, RunStatus
from runyard.dashboard.comparing import Comparison, Question, compare
from runyard.dashboard.narrowing import METRICS_SHOWN, Columns, Filter, narrow
from runyard.history import LoggedRun

FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def run(name: str, params: dict[str, str], metrics: dict[str, float], **more: str) -> LoggedRun:
    number = f"{sum(map(ord, name)):032x}"
    tags = {OUTCOME_TAG: more["outcome"], REASON_TAG: more["reason"]} if more else {}
    status = RunStatus.FAILED if more else RunStatus.FINISHED
    return LoggedRun(number, name, "e", status, FIRST, FIRST + timedelta(1), params, metrics, tags)


FOREST = run("Forest-a", {"model": "forest", "depth": "5", "seed": "0"}, {"auc": 0.91234, "recall": 0.8})
DEEP = run("Forest-b", {"model": "forest", "depth": "15", "seed": "0"}, {"auc": 0.91231, "recall": 0.8})
LOGISTIC = run("line", {"model": "logistic", "seed": "0"}, {"auc": 0.95, "recall": math.nan, "5": 1.0})
KILLED = run("gone", {"model": "forest", "depth": "7", "seed": "0"}, {}, outcome="Failed", reason="OOMKilled")


def compared() -> Comparison:
    return compare([FOREST, DEEP, LOGISTIC, KILLED], Question(metric="auc"))


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("", ["line", "Forest-a", "Forest-b", "gone"]),
        ("FOREST", ["Forest-a", "Forest-b", "gone"]),
        ("forest 15", ["Forest-b"]),
        ("depth=5", ["Forest-a", "Forest-b"]),
        ("Depth=5 forest-a", ["Forest-a"]),
        ("depth=", ["Forest-a", "Forest-b", "gone"]),
        ("depth=forest", []),
        ("nothing=5", []),
        ("oomkilled", ["gone"]),
        ("failed", ["gone"]),
        (LOGISTIC.id, ["line"]),
        # As it is on the page, not as it was logged.
        ("0.9123", ["Forest-a", "Forest-b"]),
        ("0.91234", []),
        ("recall=nan", ["line"]),
        ("depth", []),
    ],
)
def test_a_row_has_each_word(words: str, names: list[str]) -> None:
    assert [found.name for found in narrow(compared(), Filter(rows=words)).runs] == names


@pytest.mark.parametrize(
    ("wanted", "metrics", "params"),
    [
        (Filter(), ["auc", "recall", "5"], ["depth", "model"]),
        (Filter(show=Columns.ALL), ["auc", "recall", "5"], ["depth", "model", "seed"]),
        # A column that is searched for is shown, whether or not it differs.
        (Filter(columns="SEE au"), ["auc"], ["seed"]),
        (Filter(columns="see au", show=Columns.DIFFERING), ["auc"], []),
        (Filter(columns="nothing"), [], []),
        # Between the rows that are shown; digits that are not shown count.
        (Filter(rows="forest-", show=Columns.DIFFERING), ["auc"], ["depth"]),
        (Filter(rows="line", show=Columns.DIFFERING), [], []),
        # A row keeps its columns, whichever others are not shown.
        (Filter(rows="line"), ["auc", "recall", "5"], ["depth", "model"]),
    ],
)
def test_columns_are_those_asked_for(wanted: Filter, metrics: list[str], params: list[str]) -> None:
    table = narrow(compared(), wanted)
    assert (sorted(table.metrics), sorted(table.params)) == (sorted(metrics), sorted(params))
    assert table.of_columns == 6


def test_what_differs_is_said_of_the_rows_that_are_shown() -> None:
    assert narrow(compared(), Filter()).differing == {"depth", "model"}
    assert narrow(compared(), Filter(rows="forest-")).differing == {"depth"}
    assert narrow(compared(), Filter(rows="line")).differing == frozenset()


def test_no_number_is_as_good_as_another() -> None:
    both = [run(name, {}, {"loss": math.nan, "auc": 0.5}) for name in ("a", "b")]
    assert narrow(compare(both, Question()), Filter(show=Columns.DIFFERING)).metrics == []


def test_of_many_metrics_a_search_finds_all() -> None:
    many = [run(name, {}, {f"layer.{number}": float(number) for number in range(30)}) for name in ("a", "b")]
    found = compare(many, Question())
    assert len(narrow(found, Filter()).metrics) == METRICS_SHOWN
    assert narrow(found, Filter(columns="layer.29")).metrics == ["layer.29"]


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from(Columns))
def test_whatever_is_asked_a_table_is_a_part_of_the_whole_in_its_order(rows: str, columns: str, show: Columns) -> None:
    found = compared()
    table = narrow(found, Filter(rows, columns, show))
    for part, whole in ((table.runs, found.runs), (table.metrics, found.metrics), (table.params, found.params)):
        left = iter(whole)
        assert all(each in left for each in part)
    # One word more never shows a row more.
    assert {each.id for each in narrow(found, Filter(f"{rows} forest", columns, show)).runs} <= {
        r.id for r in table.runs
    }
