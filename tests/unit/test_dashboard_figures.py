"""Figures of runs side by side, decided without a server."""

from datetime import UTC, datetime, timedelta

import pytest

from runyard.api.records import RunStatus
from runyard.dashboard import fairness, figures
from runyard.dashboard.artifacts import Table
from runyard.dashboard.comparing import Question, compare
from runyard.history import LoggedRun

FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def run(number: int, status: RunStatus = RunStatus.FINISHED, **metrics: float) -> LoggedRun:
    begun = FIRST + timedelta(minutes=number)
    return LoggedRun(f"{number:032x}", f"run-{number}", "e", status, begun, begun + timedelta(1), metrics=metrics)


def test_what_cannot_be_the_best_is_on_no_front() -> None:
    runs = [run(0, auc=0.8, loss=0.2), run(1, auc=0.7, loss=0.1), run(2, RunStatus.FAILED, auc=0.99, loss=0.01)]
    figure = figures.scatter(compare(runs, Question("auc")), "loss", "auc")
    assert {row[1]: row[4] for row in figure.rows} == {"run-0": 1, "run-1": 1, "run-2": 0}
    assert figure.says == (
        "2 of 2 runs that can be the best are beaten by none in both (lowest loss, highest auc): Pareto's front."
    )


def test_a_front_is_of_the_runs_that_are_shown() -> None:
    runs = [run(number, auc=number / 1000, loss=0.5) for number in range(150)]
    says = figures.scatter(compare(runs, Question("auc")), "loss", "auc").says
    assert says.startswith("1 of the 100 runs shown are beaten by none in both")


def folds_of(score: str, *values: float) -> Table:
    return Table(("fold", score), tuple((float(place), value) for place, value in enumerate(values, 1)))


def test_noise_is_of_one_score_against_the_best_that_counts() -> None:
    tables = [
        (run(0, auc=0.80), folds_of("accuracy", 0.80, 0.81, 0.80, 0.79, 0.80)),
        (run(1, auc=0.79), folds_of("accuracy", 0.81, 0.80, 0.79, 0.80, 0.81)),
        (run(2, auc=0.70), folds_of("accuracy", 0.60, 0.61, 0.60, 0.59, 0.60)),
        (run(3, RunStatus.FAILED, auc=0.99), folds_of("accuracy", 0.95, 0.96, 0.95, 0.94, 0.95)),
        (run(4, auc=0.60), folds_of("r2", 0.80, 0.81, 0.80, 0.79, 0.80)),
        (run(5, auc=0.50), None),
    ]
    found = compare([each for each, _ in tables], Question("auc"))
    figure = figures.folds(found, tables)
    assert [(row[1], row[6], row[7]) for row in figure.rows] == [
        ("run-0", "", 1),
        ("run-3", "better by more than chance", 0),
        ("run-1", "inside the noise", 0),
        ("run-2", "worse by more than chance", 0),
    ]
    assert figure.says == (
        "By cross-validated accuracy, of 3 other runs 1 differs from run-0 by no more than chance does: inside the "
        "noise (run-1); 1 is better by more than chance; 1 is worse by more than chance. Bars hold 95 % of what "
        "chance does (Student's t, Nadeau and Bengio). 1 with another score is not drawn."
    )


def test_a_score_of_which_less_is_better_is_read_so() -> None:
    tables = [
        (run(0, RunStatus.FINISHED), folds_of("rmse", 5.0, 5.1, 5.0, 4.9, 5.0)),
        (run(1, RunStatus.FINISHED), folds_of("rmse", 2.0, 2.1, 2.0, 1.9, 2.0)),
    ]
    figure = figures.folds(compare([each for each, _ in tables], Question()), tables)
    assert [(row[1], row[6]) for row in figure.rows] == [("run-1", ""), ("run-0", "worse by more than chance")]


def test_where_none_can_be_the_best_nothing_is_called_noise() -> None:
    tables = [(run(0, RunStatus.FAILED, auc=0.8), folds_of("r2", 0.8, 0.9)), (run(1, RunStatus.FAILED), None)]
    figure = figures.folds(compare([each for each, _ in tables], Question("auc")), tables)
    assert [(row[1], row[6], row[7]) for row in figure.rows] == [("run-0", "", 0)]
    assert figure.says.startswith("Mean R² over the folds.")


def test_only_gaps_of_rates_are_held_to_a_rate() -> None:
    measured = {
        "fairness.sex.accuracy_difference": 0.2,
        "fairness.sex.equalized_odds_difference": 0.05,
        "fairness.sex.mae_difference": 1250.0,
    }
    figure = fairness.gaps([run(0, RunStatus.FINISHED, **measured)], 0.1)
    assert [row[2:] for row in figure.rows] == [
        ["sex.accuracy_difference", 0.2, 1],
        ["sex.equalized_odds_difference", 0.05, 0],
        ["sex.mae_difference", 1250.0, None],
    ]
    assert figure.says == (
        "1 of 2 gaps of rates are wider than 0.1; 0 is no difference between groups. "
        "1 is not judged: no difference of rates."
    )


@pytest.mark.parametrize(
    ("columns", "says"),
    [(("group", "count", "accuracy"), "The smallest group is f, of 7 rows."), (("group", "x", "y"), "")],
)
def test_the_smallest_group_is_told_where_rows_were_counted(columns: tuple[str, ...], says: str) -> None:
    table = Table(columns, (("m", 93.0, 0.9), ("f", 7.0, 0.7)))
    figure = fairness.by_group("sex", {run(0).id: "run-0"}, [(run(0), table)])
    assert figure.says.partition("is left out.")[2].strip() == says
