"""Figures of runs side by side, decided without a server."""

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from runyard.api.records import RunStatus
from runyard.dashboard import fairness, figures
from runyard.dashboard.artifacts import Artifacts, Table
from runyard.dashboard.comparing import Question, compare
from runyard.dashboard.reads import Reads
from runyard.history import History, LoggedRun

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


LABELS = ["1000001", "1000002", "007", "7", "1.10", "1.1", "nan", "20_29", "", "yes"]


@pytest.mark.parametrize("name", ["roc_curve", "pr_curve", "calibration"])
def test_classes_are_called_as_they_are_written(name: str) -> None:
    _, x, y, _ = figures.CURVES[name]
    logged = read(name, f"class,{x},{y}", *(f"{label},0.5,0.5" for label in LABELS))
    drawn = figures.curve(name, {run(0).id: "run-0"}, [(run(0), logged)]).rows
    assert [row[2] for row in drawn] == LABELS
    assert len({row[1] for row in drawn}) == len(LABELS)


def test_a_confusion_matrix_calls_the_true_class_as_the_predicted_one() -> None:
    logged = read("confusion_matrix", "true,1000001,007", "1000001,3,1", "007,0,4")
    drawn = figures.confusion({run(0).id: "run-0"}, [(run(0), logged)]).rows
    assert [tuple(row[2:5]) for row in drawn] == [
        ("1000001", "1000001", 3.0),
        ("1000001", "007", 1.0),
        ("007", "1000001", 0.0),
        ("007", "007", 4.0),
    ]


def test_a_matrix_of_very_many_classes_is_no_picture() -> None:
    many = Table(("true", "0"), tuple((str(number), 1.0) for number in range(101)))
    few = Table(("true", "0", "1"), (("0", 3.0, 1.0), ("1", 0.0, 4.0)))
    labels = {each.id: each.name for each in (run(0), run(1))}
    both = figures.confusion(labels, [(run(0), many), (run(1), few)])
    assert {row[1] for row in both.rows} == {"run-1"}
    assert both.says.endswith("1 of 2 runs have it. 1 of more than 100 classes is not drawn.")
    assert figures.confusion(labels, [(run(0), many)]).empty == "1 of more than 100 classes is not drawn."


def test_groups_and_features_are_called_as_they_are_written() -> None:
    groups = read("fairness_age", "group,count,accuracy", "1000001,3000000,0.5", "1000002,7,0.25")
    found = fairness.by_group("age", {run(0).id: "run-0"}, [(run(0), groups)])
    assert [row[2] for row in found.rows] == ["1000001", "1000002"]
    features = read("permutation_importance", "feature,importance,std", "1000001,0.5,0", "1000002,0.25,0")
    drawn = figures.importance("permutation_importance", {run(0).id: "run-0"}, [(run(0), features)])
    assert [row[3] for row in drawn.rows] == ["1000001", "1000002"]


def read(name: str, *lines: str) -> Table:
    """A table as it was logged with a run that has ended."""

    class Kept:
        def content(self, _run: LoggedRun, path: str, _most_bytes: int) -> bytes:
            assert path == f"evaluation/{name}.csv"
            return "\n".join(lines).encode()

    [found] = Artifacts(cast("History", Kept()), Reads("it", 60)).tables([run(0)], name)
    assert found
    return found


def own(kind: str | None, **importances: float) -> Table:
    rows = [(name, value, kind) if kind else (name, value) for name, value in importances.items()]
    return Table(("feature", "importance", "kind")[: 3 if kind else 2], tuple(rows))


def test_kinds_of_importance_are_drawn_apart() -> None:
    impurity, size = "mean decrease in impurity", "mean size of coefficients"
    tables = [
        (run(0), own(impurity, a=0.75, b=0.25)),
        (run(1), own(size, a=12.0, b=1e6)),
        (run(2), own(impurity, a=0.5, b=0.5)),
        (run(3), own(None, a=1.0)),
        (run(4), None),
    ]
    figure = figures.importance("feature_importance", {each.id: each.name for each, _ in tables}, tables)
    assert figure.panels == "kind"
    assert [row[1:] for row in figure.rows] == [
        ["run-0", impurity, "a", 0.75],
        ["run-0", impurity, "b", 0.25],
        ["run-2", impurity, "a", 0.5],
        ["run-2", impurity, "b", 0.5],
        ["run-1", size, "b", 1e6],
        ["run-1", size, "a", 12.0],
        ["run-3", "of a kind that was not logged", "a", 1.0],
    ]
    assert figure.says == (
        "How much each feature matters by 3 kinds of figures, each drawn by itself: mean decrease in impurity, mean "
        "size of coefficients, of a kind that was not logged; 4 of 5 runs have it."
    )


def test_of_several_kinds_the_features_that_matter_most_by_each_are_drawn() -> None:
    many = {f"f{number:02}": float(20 - number) for number in range(20)}
    tables = [(run(0), own("one", **many)), (run(1), own("other", **{name: -value for name, value in many.items()}))]
    both = figures.importance("feature_importance", {each.id: each.name for each, _ in tables}, tables)
    assert [row[3] for row in both.rows] == [f"f{number:02}" for number in range(6)] * 2
    assert both.says.endswith(
        "the 6 of 20 features that matter most by one; the 6 of 20 features that matter most by other."
    )
    alone = figures.importance("feature_importance", {run(0).id: "run-0"}, tables[:1])
    assert len(alone.rows) == 12
    assert alone.says == "How much each feature matters; the 12 of 20 features that matter most."
