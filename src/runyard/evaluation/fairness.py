"""How a model treats groups of people, with fairlearn's measures."""

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
from runyard.evaluation.subject import Subject, Task

# More are not groups of people, and each would be too small to say anything of.
MOST_GROUPS = 50


@dataclass(frozen=True)
class Fairness:
    """What was found: gaps as metrics, and for each naming of groups a table of them."""

    gaps: dict[str, float]
    tables: dict[str, pd.DataFrame]


def of(subject: Subject, groups: Mapping[str, pd.Series]) -> Fairness:
    """Compare groups of the test rows.

    Args:
        subject: the model and its test rows.
        groups: by what rows are grouped, such as sex, and for each row its group.

    Returns:
        A table for each grouping: group, count, and for two classes accuracy, precision, true_positive_rate,
        false_positive_rate and selection_rate (of the positive class), for more accuracy and balanced_accuracy, for a
        regressor mae and mean_error. As gaps, between the two groups that are furthest apart:
        fairness.NAME.demographic_parity_difference and fairness.NAME.equalized_odds_difference (two classes; Hardt
        et al. 2016), and fairness.NAME.accuracy_difference or …mae_difference. A rate that is not defined for a
        group, as the true positive rate where nobody is positive, is NaN in its table and in no gap.

    Raises:
        EvaluationImpossible: a grouping has not one group for each row, or too many groups.

    """
    gaps: dict[str, float] = {}
    tables = {}
    for name, given in groups.items():
        members = _members(subject, name, given)
        frame = _frame(subject, members)
        by_group = frame.by_group.copy()
        by_group["count"] = by_group["count"].astype(int)
        tables[name] = by_group.rename_axis("group").reset_index()
        gaps.update({f"fairness.{name}.{gap}": value for gap, value in _gaps(frame, subject.task).items()})
    return Fairness(gaps, tables)


def _gaps(frame: MetricFrame, task: Task) -> dict[str, float]:
    differences = frame.difference().astype(float)
    compared = "mae" if task is Task.REGRESSION else "accuracy"
    gaps = {f"{compared}_difference": differences[compared]}
    if task is Task.BINARY:
        gaps["demographic_parity_difference"] = differences["selection_rate"]
        gaps["equalized_odds_difference"] = differences[["true_positive_rate", "false_positive_rate"]].max()
    return {name: float(value) for name, value in gaps.items() if np.isfinite(value)}


def _members(subject: Subject, name: str, given: pd.Series) -> pd.Series:
    found = pd.Series(given)
    if len(found) != len(subject.truth):
        raise EvaluationImpossible(
            f"groups[{name!r}] has {len(found)} rows and test {len(subject.truth)}: give one group for each row of test"
        )
    # A person whose group is not known is not left out: that may be the group that is treated worst.
    found = pd.Series(found.to_numpy(), index=subject.truth.index).astype(object)
    found = found.where(found.notna(), "unknown").astype(str)
    if found.nunique() > MOST_GROUPS:
        raise EvaluationImpossible(
            f"groups[{name!r}] has {found.nunique()} groups, and {MOST_GROUPS} are the most: put values into ranges"
        )
    return found


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
