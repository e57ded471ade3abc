"""What lists and comparisons show, decided without a server: tables, and whatever hypothesis thinks of."""

import hashlib
import math
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard import dashboard
from runyard.api.direction import Direction
from runyard.api.records import MADE_TAG, SWEEP, RunStatus
from runyard.audit import Evidence
from runyard.dashboard import noise
from runyard.dashboard.answers import Column, Figure, Kind
from runyard.dashboard.api import drawn
from runyard.dashboard.artifacts import Table
from runyard.dashboard.auditing import WEEK, Auditor, Subject, TooManyAudits, by_week
from runyard.dashboard.comparing import Question, compare, labels, pareto
from runyard.dashboard.runs import MOST_RUNS, Numbers, Runs, small
from runyard.dashboard.selecting import Choice, WrongChoice, choose, in_order
from runyard.history import History, LoggedRun

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
FINISHED, FAILED = RunStatus.FINISHED, RunStatus.FAILED
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


def run(number: int, name: str = "", status: RunStatus = FINISHED, **metrics: float) -> LoggedRun:
    begun = FIRST + timedelta(minutes=number)
    return LoggedRun(
        f"{number:032x}", name or f"run-{number}", "e", status, begun, begun + timedelta(1), metrics=metrics
    )


def names(runs: list[LoggedRun]) -> list[str]:
    return [found.name for found in runs]


@pytest.mark.parametrize(
    ("sort", "descending", "expected"),
    [
        ("metrics.auc", True, ["run-1", "run-3", "run-0", "run-4", "run-2"]),
        ("metrics.auc", False, ["run-0", "run-3", "run-1", "run-4", "run-2"]),
        ("started", True, ["run-4", "run-3", "run-2", "run-1", "run-0"]),
        ("name", False, ["run-0", "run-1", "run-2", "run-3", "run-4"]),
    ],
)
def test_what_has_no_value_comes_last_whichever_way_is_sorted(sort: str, descending: bool, expected: list[str]) -> None:  # noqa: FBT001
    runs = [run(0, auc=0.1), run(1, auc=0.9), run(2), run(3, auc=0.5), run(4, auc=math.nan)]
    assert names(in_order(runs, sort, descending=descending)) == expected


def test_parameters_are_sorted_as_numbers_where_they_are_some() -> None:
    values = ["10", "9", "deep", "1e2", "nan"]
    runs = Runs.of(
        [LoggedRun(**{**vars(run(place)), "params": {"p": value}}) for place, value in enumerate(values)], FIRST
    )
    found = choose(runs, Choice(sort="params.p", descending=False))
    assert [each.params["p"] for each in found.runs] == ["9", "10", "1e2", "deep", "nan"]
    assert (found.params, found.varying) == (("p",), 1)


def test_nothing_to_sort_by_is_said() -> None:
    with pytest.raises(WrongChoice, match=r'"colour" is nothing to sort by: give started, took'):
        choose(Runs.of([], FIRST), Choice(sort="colour"))


@given(st.lists(st.dictionaries(st.sampled_from("abc"), NUMBERS), max_size=12), st.booleans())
def test_sorting_loses_nobody_and_is_in_order(found: list[dict[str, float]], descending: bool) -> None:  # noqa: FBT001
    runs = [replace(run(place), metrics=metrics) for place, metrics in enumerate(found)]
    ordered = in_order(runs, "metrics.a", descending=descending)
    assert sorted(names(ordered)) == sorted(names(runs))
    values = [each.metrics["a"] for each in ordered if not math.isnan(each.metrics.get("a", math.nan))]
    assert values == sorted(values, reverse=descending)


@given(st.dictionaries(st.text(max_size=5), NUMBERS))
def test_metrics_kept_in_memory_are_what_they_were(metrics: dict[str, float]) -> None:
    kept = Numbers(metrics)
    assert {name: repr(value) for name, value in kept.items()} == {name: repr(value) for name, value in metrics.items()}
    assert "not there" not in kept


def test_what_is_kept_of_a_run_is_small() -> None:
    long = LoggedRun(
        **{
            **vars(run(1, "n" * 10_000, auc=0.5)),
            "params": {"p": "v" * 10_000},
            "tags": {"mlflow.note.content": "x" * 10_000, "mlflow.user": "ada", "t": "y" * 10_000},
        }
    )
    kept = small(long)
    assert len(kept.name) == len(kept.params["p"]) == len(kept.tags["t"]) == 300
    assert set(kept.tags) == {"mlflow.user", "t"}


def test_long_values_that_differ_at_their_end_differ() -> None:
    texts = [f"{'v' * length}{end}" for length in (299, 300, 900) for end in ("a", "b", "\ud800", "")]
    runs = [small(replace(run(number), params={"p": text})) for number, text in enumerate(texts)]
    assert len({found.params["p"] for found in runs}) == len(texts)
    assert compare(runs[-2:], Question()).varying == 1
    assert compare([runs[-1], runs[-1]], Question()).varying == 0
    same = replace(runs[-1], id="f" * 32)
    assert compare([runs[-1], same], Question()).varying == 0


@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize("length", [0, 299, 300, 301, 900])
def test_a_condition_names_a_value_as_long_as_it_is(quote: str, length: int) -> None:
    text = "v" * length
    other = text[:-1] + "w"
    held = [small(replace(run(number), params={"p": each})) for number, each in enumerate([text, other])]
    found = choose(Runs.of(held, FIRST), Choice(where=f"params.`p` == {quote}{text}{quote}"))
    assert found.runs == [held[0]]
    side = compare(held, Question(where=f"params.p != {quote}{text}{quote}"))
    assert set(side.left_out) == {held[0].id}


def test_of_very_many_runs_the_newest_are_kept() -> None:
    runs = Runs.of((run(number) for number in range(MOST_RUNS + 5)), FIRST)
    assert (len(runs.every), runs.every[0].name, runs.has_more) == (MOST_RUNS, f"run-{MOST_RUNS + 4}", True)


def test_the_best_has_finished_has_the_metric_and_satisfies_the_condition() -> None:
    runs = [
        run(0, "good", auc=0.8, recall=0.95),
        run(1, "better", auc=0.9, recall=0.5),
        run(2, "crashed", FAILED, auc=0.99, recall=0.99),
        run(3, "without"),
        run(4, "odd", auc=math.nan, recall=1),
    ]
    found = compare(runs, Question("auc", where="metrics.recall >= 0.9"))
    assert found.best is not None
    assert found.best.name == "good"
    assert found.left_out == {
        runs[1].id: "metrics.recall >= 0.9 does not hold: recall is 0.5",
        runs[2].id: "it is failed",
        runs[3].id: "it has no auc",
        runs[4].id: "it has no auc",
    }
    assert found.says == "good: auc 0.8, the highest of 1"
    assert compare(runs, Question("auc", Direction.LOWEST)).best == runs[0]
    # What crashed wins by nothing.
    assert compare(runs, Question("auc")).winners["auc"] == {runs[1].id}


def test_the_run_above_a_sweeps_trials_is_never_the_best() -> None:
    above = replace(run(0, "sweep", auc=0.9), tags={MADE_TAG: SWEEP})
    trial = run(1, "trial", auc=0.8)
    found = compare([above, trial], Question("auc"))
    assert (found.best, found.winners["auc"]) == (trial, frozenset())
    assert found.left_out == {above.id: "it stands above a sweep's trials, and has the best one's value"}


def test_who_cannot_be_the_best_keeps_nobody_out() -> None:
    runs = [run(number, auc=1 - number / 1000, recall=float(number >= 120)) for number in range(150)]
    found = compare(runs, Question("auc", where="metrics.recall >= 0.9"))
    assert found.best == runs[120]
    assert (found.counting, len(found.runs), found.of) == (30, 100, 150)
    assert found.runs[:30] == runs[120:]
    assert found.winners["auc"] == {runs[120].id}
    assert found.says == "run-120: auc 0.88, the highest of 30"
    assert set(found.left_out) == {each.id for each in runs[:70]}


def test_a_run_that_was_asked_for_by_its_id_is_there_however_bad() -> None:
    runs = [run(number, auc=1 - number / 1000) for number in range(150)]
    found = compare(runs, Question("auc"), keep=[runs[149].id])
    assert found.runs == [*runs[:99], runs[149]]


def test_what_the_machine_did_decides_nothing() -> None:
    busy = {"system/cpu_utilization_percentage": 99.0}
    runs = [
        LoggedRun(**{**vars(run(0)), "metrics": {**busy, "val_auc": 0.7}}),
        LoggedRun(**{**vars(run(1)), "metrics": {**busy, "val_auc": 0.8}}),
        LoggedRun(**{**vars(run(2, status=FAILED)), "metrics": {**busy, "loss": 0.1}}),
        LoggedRun(**{**vars(run(3, status=FAILED)), "metrics": {**busy, "loss": 0.2}}),
        LoggedRun(**{**vars(run(4, status=FAILED)), "metrics": {**busy, "loss": 0.3}}),
    ]
    found = compare(runs, Question())
    assert (found.metric, found.best) == ("val_auc", runs[1])


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b\n1,x\n", [(1.0, "x")]),
        ("a,b\n", []),
        ("group,rate\n20_29,1e-3\n", [("20_29", 0.001)]),
        ("", None),
        ("\n", None),
        ("a,b\n1\n", None),
        ("a,b\n\n\n", None),
        ("a\n" + "1\n" * 200_001, None),
    ],
)
def test_a_table_is_as_wide_as_its_head_and_has_an_end(text: str, rows: list[Any] | None) -> None:
    if rows is None:
        with pytest.raises(ValueError, match=r"table|length|cells"):
            Table.read(text.encode())
    else:
        assert list(Table.read(text.encode()).rows) == rows


def test_week_by_week_a_repetition_repeats_what_was_before_and_a_tree_is_of_one_week() -> None:
    same = {"tags": {"runyard.dev/fingerprint": "sha256:a"}}
    runs = [LoggedRun(**{**vars(run(60 * 24 * 7 * week)), **same}) for week in range(3)]
    # A parent's last child began when the next week had.
    parent = LoggedRun(**{**vars(run(60 * 24 * 7 * 2 - 1)), **same})
    child = {**vars(run(60 * 24 * 7 * 2 + 1)), "tags": {"mlflow.parentRunId": parent.id}}
    evidence = Evidence([*runs, parent, LoggedRun(**child)], [], {}, {}, [])
    weeks = by_week(evidence, None, FIRST + 3 * WEEK)
    assert [(week.report["distinct"].count, week.report["distinct"].of) for week in weeks] == [(1, 1), (0, 2), (0, 1)]
    assert [week.report.runs for week in weeks] == [1, 3, 1]


def test_audits_that_are_wanted_wait_only_to_some_number() -> None:
    begun = threading.Event()

    class Slow(History):
        def pages(self, *_: Any, **__: Any) -> Any:
            assert begun.wait(60)
            return iter(())

    auditor = Auditor(Slow("sqlite://"), lambda _: "")
    for days in range(1, 7):
        assert auditor.get(Subject(None, days)).is_going_on
    with pytest.raises(TooManyAudits, match="6 other audits are wanted first"):
        auditor.get(Subject(None, 7))
    # One that is wanted already is told of as before.
    assert auditor.get(Subject(None, 1)).is_going_on
    auditor.close()
    begun.set()


def test_of_many_runs_the_best_are_compared() -> None:
    found = compare([run(number, loss=number) for number in range(150)], Question())
    assert (len(found.runs), found.of, found.metric, found.direction) == (100, 150, "loss", Direction.LOWEST)
    assert found.runs[0].name == "run-0"


@pytest.mark.parametrize(
    ("runs", "says"),
    [
        ([], "There are no runs to compare."),
        ([run(0)], "These runs have no metric in common to compare them by."),
        ([run(0, status=FAILED, auc=1)], "None of 1 runs can be the best by auc."),
    ],
)
def test_what_cannot_be_compared_is_said(runs: list[LoggedRun], says: str) -> None:
    assert compare(runs, Question()).says == says


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 10**6)), unique_by=lambda one: one[1]))
def test_no_two_runs_are_called_alike(found: list[tuple[str, int]]) -> None:
    runs = [run(number, name) for name, number in found]
    assert len(set(labels(runs).values())) == len(runs)


POINTS = st.dictionaries(st.text(max_size=3), st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12)


@given(POINTS, st.sampled_from(Direction), st.sampled_from(Direction))
def test_the_front_is_what_no_other_beats(points: dict[str, tuple[int, int]], x: Direction, y: Direction) -> None:
    def beats(one: tuple[int, int], other: tuple[int, int]) -> bool:
        worse = x.is_better(other[0], one[0]) or y.is_better(other[1], one[1])
        return not worse and one != other

    expected = {name for name, point in points.items() if not any(beats(other, point) for other in points.values())}
    assert pareto({name: (float(a), float(b)) for name, (a, b) in points.items()}, x, y) == expected


def test_noise_is_nadeau_and_bengios() -> None:
    # s² of the folds is 0.001, times 1/5 + 1/4.
    found = noise.estimate([0.76, 0.80, 0.84, 0.80, 0.80])
    assert found is not None
    assert found.mean == pytest.approx(0.8)
    assert found.folds == 5
    assert found.error == pytest.approx(math.sqrt(0.0008 * 0.45))
    # Student's t, 97.5 %, with four degrees of freedom: any table of it.
    assert found.high - found.mean == pytest.approx(2.776 * found.error, rel=1e-3)
    assert found.mean - found.low == pytest.approx(2.776 * found.error, rel=1e-3)


@pytest.mark.parametrize(
    ("one", "other", "is_inside"),
    [
        # Equal errors of five folds each have eight degrees of freedom: 2.306 times the error of the difference.
        ((0.80, 0.02, 5), (0.80 + 2.30 * 0.02 * math.sqrt(2), 0.02, 5), True),
        ((0.80, 0.02, 5), (0.80 + 2.31 * 0.02 * math.sqrt(2), 0.02, 5), False),
        # A run without spread leaves the four of the other one: 2.776.
        ((0.80, 0.00, 5), (0.80 + 2.77 * 0.02, 0.02, 5), True),
        ((0.80, 0.00, 5), (0.80 - 2.78 * 0.02, 0.02, 5), False),
        # Two folds say little, a hundred much: 4.303 and 1.972.
        ((0.80, 0.02, 2), (0.80 + 4.30 * 0.02 * math.sqrt(2), 0.02, 2), True),
        ((0.80, 0.02, 100), (0.80 + 1.98 * 0.02 * math.sqrt(2), 0.02, 100), False),
        ((0.80, 0.00, 5), (0.80, 0.00, 5), True),
        ((0.80, 0.00, 5), (0.81, 0.00, 5), False),
        ((0.80, 1e-160, 5), (0.81, 0.00, 5), False),
    ],
)
def test_a_difference_is_noise_as_far_as_students_t_says(
    one: tuple[float, float, int],
    other: tuple[float, float, int],
    is_inside: bool,  # noqa: FBT001
) -> None:
    assert noise.is_inside(noise.Estimate(*one), noise.Estimate(*other)) is is_inside
    assert noise.is_inside(noise.Estimate(*other), noise.Estimate(*one)) is is_inside


@pytest.mark.parametrize("scores", [[], [0.5], [0.5, math.nan], [0.5, math.inf]])
def test_what_has_no_spread_says_nothing(scores: list[float]) -> None:
    assert noise.estimate(scores) is None


@pytest.mark.parametrize(
    ("cell", "written"), [("=1+1", "'=1+1"), ("@x", "'@x"), ("-Infinity", "-Infinity"), (-1.5, "-1.5"), (None, "")]
)
def test_a_spreadsheet_runs_nothing(cell: Any, written: str) -> None:
    figure = Figure(name="f", title="", says="", kind=Kind.LINES, columns=[Column(name="c", title="")], rows=[[cell]])
    assert figure.csv() == f"c\n{written}\n" if written else '""\n'


def test_the_library_of_charts_is_the_one_that_was_published() -> None:
    # dist/echarts.esm.min.mjs of the npm package echarts 6.1.0, whose licence is beside it.
    vendor = Path(dashboard.__file__).parent / "static" / "vendor"
    digest = hashlib.sha256((vendor / "echarts.js").read_bytes()).hexdigest()
    assert digest == "28515f26aa57f87eb1e4ed4eb446927eaf329b5f5e02b4bfd4b0264fea40d1da"
    assert "Apache License" in (vendor / "echarts.LICENSE").read_text()


def test_a_file_is_called_as_its_figure_in_any_alphabet() -> None:
    figure = Figure(name="fairness_年齢", title="", says="", kind=Kind.BARS, columns=[], rows=[])
    answer = drawn(figure, "csv")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''fairness_%E5%B9%B4%E9%BD%A2.csv"
