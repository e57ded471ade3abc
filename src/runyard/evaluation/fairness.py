"""How a model treats groups of people, with fairlearn's measures."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from fairlearn.metrics import (
    MetricFrame,
    count,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from sklearn import metrics

from runyard.errors import EvaluationImpossible
from runyard.evaluation import thresholds
from runyard.evaluation.examples import column, refuse_another_order
from runyard.evaluation.subject import Subject, Task

# More are not groups of people, and each would be too small to say anything of.
MOST_GROUPS = 50
# It becomes part of a metric's name and of a file's.
_NAME = re.compile(r"[\w.\- ]{1,100}")


@dataclass(frozen=True)
class Fairness:
    """What was found.

    Attributes:
        gaps: as metrics.
        tables: by the names of the artifacts: of each grouping its groups, and these by threshold.
        left_out: which gaps and tables there are not, and why.

    """

    gaps: dict[str, float]
    tables: dict[str, pd.DataFrame]
    left_out: dict[str, str]


def of(subject: Subject, groups: Mapping[str, pd.Series] | pd.DataFrame) -> Fairness:
    """Compare groups of the test rows.

    Args:
        subject: the model and its test rows.
        groups: by what rows are grouped, such as sex, and for each row its group.

    Returns:
        A table fairness_NAME for each grouping: group, count, and for two classes accuracy, precision,
        true_positive_rate, false_positive_rate and selection_rate (of the positive class), for more accuracy and
        balanced_accuracy, for a regressor mae and mean_error. For two classes a table thresholds_NAME as well, of what
        `thresholds.of` returns, where the model has scores. As gaps, between the two groups that are furthest apart:
        fairness.NAME.demographic_parity_difference and fairness.NAME.equalized_odds_difference (two classes; Hardt
        et al. 2016), and fairness.NAME.accuracy_difference or …mae_difference. A rate that is not defined for a
        group, as the true positive rate where nobody is positive, is NaN in its table and in no gap; a gap of a rate
        that is not defined for two groups is left out.

    Raises:
        EvaluationImpossible: a grouping has a name that no metric can have, not one group for each row of test in
            their order, or too many groups.

    """
    found = Fairness({}, {}, {})
    scores, own = None, None
    if subject.task is Task.BINARY and len(groups):
        scores = thresholds.scores(subject)
        own = thresholds.own(subject, scores) if scores else None
        if scores is None:
            found.left_out["thresholds"] = "the model has neither predict_proba nor a decision_function"
        elif own is None:
            found.left_out["own_threshold"] = "no threshold of the model's scores gives its predictions"
    for name, given in groups.items():
        members = _members(subject, name, given)
        frame = _frame(subject, members)
        by_group = frame.by_group.copy()
        by_group["count"] = by_group["count"].astype(int)
        found.tables[f"fairness_{name}"] = by_group.rename_axis("group").reset_index()
        if scores:
            found.tables[f"thresholds_{name}"] = thresholds.of(subject, scores, members, own)
        differences = frame.difference()
        for gap, rates in _GAPS[subject.task].items():
            alone = [rate for rate in rates if by_group[rate].count() < 2]  # noqa: PLR2004 a gap is between two
            if alone:
                few = f"fewer than two groups have a value of {' and of '.join(alone)}"
                found.left_out[f"fairness.{name}.{gap}"] = few
            else:
                found.gaps[f"fairness.{name}.{gap}"] = float(max(differences[rate] for rate in rates))
    return found


# By which rates groups differ: of several, the one by which they differ most.
_GAPS: dict[Task, dict[str, list[str]]] = {
    Task.BINARY: {
        "accuracy_difference": ["accuracy"],
        "demographic_parity_difference": ["selection_rate"],
        "equalized_odds_difference": ["true_positive_rate", "false_positive_rate"],
    },
    Task.MULTICLASS: {"accuracy_difference": ["accuracy"]},
    Task.REGRESSION: {"mae_difference": ["mae"]},
}


def _members(subject: Subject, name: str, given: pd.Series) -> pd.Series:
    what = f"groups[{name!r}]"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise EvaluationImpossible(
            f"{what} has a name that no metric can have: name it with at most 100 letters, digits, spaces, _, - or ."
        )
    found = column(what, given)
    if len(found) != len(subject.truth):
        raise EvaluationImpossible(
            f"{what} has {len(found)} rows and test {len(subject.truth)}: give one group for each row of test"
        )
    refuse_another_order(what, given, subject.given)
    # A person whose group is not known is not left out: that may be the group that is treated worst.
    members = pd.Series(found, index=subject.truth.index).astype(object)
    members = members.where(members.notna(), "unknown").astype(str)
    if members.nunique() > MOST_GROUPS:
        raise EvaluationImpossible(
            f"{what} has {members.nunique()} groups, and {MOST_GROUPS} are the most: put values into ranges"
        )
    return members


def _frame(subject: Subject, members: pd.Series) -> MetricFrame:
    if subject.task is Task.REGRESSION:
        truth, predicted = subject.truth, subject.predicted
        measures: dict[str, Callable[..., float]] = {"count": count, "mae": metrics.mean_absolute_error}
        measures["mean_error"] = _mean_error
    elif subject.task is Task.MULTICLASS:
        truth, predicted = subject.truth, subject.predicted
        measures = {"count": count, "accuracy": metrics.accuracy_score, "balanced_accuracy": _balanced_accuracy}
    else:
        truth, predicted = _two_classes(subject)
        measures = {
            "count": count,
            "accuracy": metrics.accuracy_score,
            "precision": _precision,
            "true_positive_rate": _true_positive_rate,
            "false_positive_rate": _false_positive_rate,
            "selection_rate": selection_rate,
        }
    return MetricFrame(metrics=measures, y_true=truth, y_pred=predicted, sensitive_features=members)


def _two_classes(subject: Subject) -> tuple[pd.Series, pd.Series]:
    return (subject.truth == subject.positive).astype(int), (subject.predicted == subject.positive).astype(int)


# fairlearn takes the rate of a group without such rows for 0, which would show as a gap where nothing is known.
def _true_positive_rate(truth: pd.Series, predicted: pd.Series) -> float:
    return float(true_positive_rate(truth, predicted, pos_label=1)) if np.any(truth) else np.nan


def _false_positive_rate(truth: pd.Series, predicted: pd.Series) -> float:
    return np.nan if np.all(truth) else float(false_positive_rate(truth, predicted, pos_label=1))


def _precision(truth: pd.Series, predicted: pd.Series) -> float:
    return float(metrics.precision_score(truth, predicted, zero_division=np.nan))


def _balanced_accuracy(truth: pd.Series, predicted: pd.Series) -> float:
    present = np.unique(truth)
    return float(metrics.recall_score(truth, predicted, labels=present, average="macro", zero_division=0))


def _mean_error(truth: pd.Series, predicted: pd.Series) -> float:
    return float(np.mean(np.asarray(predicted) - np.asarray(truth)))
