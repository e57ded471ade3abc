"""How a model of two classes would treat groups of people if it decided at other thresholds of its score."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn import metrics

from runyard.evaluation.examples import Flags
from runyard.evaluation.subject import Subject, unwrapped
from runyard.tables import Floats

STEPS = 100
# Where scikit-learn's classifiers decide, unless somebody has told them otherwise.
_USUAL = {"probability": 0.5, "decision": 0.0}
# Under these names its FixedThresholdClassifier and TunedThresholdClassifierCV have where they do.
_TOLD = ("best_threshold_", "threshold")


@dataclass(frozen=True)
class Scores:
    """What a model of two classes says of rows.

    Attributes:
        kind: probability, or decision of a model that gives no probabilities.
        of_rows: n of them: the higher, the more is a row of the positive class.

    """

    kind: str
    of_rows: Floats


def scores(subject: Subject) -> Scores | None:
    """Return what a model of two classes says of its n test rows; None where it only names their classes."""
    if subject.scores is None:
        return None
    kind = "decision" if subject.probabilities is None else "probability"
    return Scores(kind, subject.scores[:, subject.positive_column])


def of(subject: Subject, scores: Scores, members: pd.Series, own: float | None) -> pd.DataFrame:
    """Return the rates of each group at each threshold.

    Args:
        subject: a model of two classes, and its n test rows.
        scores: of these.
        members: for each of them its group.
        own: the threshold that the model decides at, which becomes one of the rows; None where there is none.

    Returns:
        group, threshold, own (1 where it is the model's own, else 0), score (the kind of the scores), count (rows of
        the group), accuracy, true_positive_rate, false_positive_rate and selection_rate, by group and then by
        threshold. A row counts as called positive where its score is at least the threshold, as in scikit-learn's
        roc_curve. Thresholds are 0, 0.01 … 1 of a probability, and 101 from the lowest score of the test rows to the
        highest, evenly spaced, of a decision. A rate that is not defined for a group is NaN.

    """
    thresholds = np.arange(STEPS + 1) / STEPS
    if scores.kind == "decision":
        thresholds = np.unique(np.linspace(scores.of_rows.min(), scores.of_rows.max(), STEPS + 1))
    if own is not None:
        thresholds = np.union1d(thresholds, own)
    found = []
    for group in sorted(members.unique()):
        is_its = np.asarray(members == group)
        rates = _rates(subject.is_positive[is_its], scores.of_rows[is_its], thresholds)
        rates.insert(0, "group", group)
        rates.insert(2, "own", (thresholds == own).astype(int))
        rates.insert(3, "score", scores.kind)
        found.append(rates)
    return pd.concat(found, ignore_index=True)


def own(subject: Subject, scores: Scores) -> float | None:
    """Return the threshold that a model of two classes decides at; None where no threshold gives its predictions.

    It is 0.5 of a probability and 0 of a decision, or what the model was told, where that gives its predictions; else
    the lowest score that it called positive. A model that does not call positive what lies at 0.5 itself, as most do
    not, decides at the next number after it where a row lies there.
    """
    is_called = np.asarray(subject.predicted == subject.positive)
    for threshold in _candidates(subject, scores, is_called):
        if ((scores.of_rows >= threshold) == is_called).all():
            return threshold
    return None


def _candidates(subject: Subject, scores: Scores, is_called: Flags) -> Iterator[float]:
    told = [getattr(unwrapped(subject.model)[1], name, None) for name in _TOLD]
    for threshold in [_USUAL[scores.kind], *(float(each) for each in told if isinstance(each, float))]:
        yield threshold
        yield float(np.nextafter(threshold, np.inf))
    if is_called.any():
        yield float(scores.of_rows[is_called].min())


def _rates(is_positive: Flags, scores: Floats, thresholds: Floats) -> pd.DataFrame:
    _, false_positives, _, true_positives, at = metrics.confusion_matrix_at_thresholds(
        is_positive, scores, pos_label=True
    )
    # They are counted at each score that occurs, from the highest: of how many of these a threshold is no more.
    reached = np.searchsorted(-at, -thresholds, side="right")
    found, wrong = np.append(0, true_positives)[reached], np.append(0, false_positives)[reached]
    count, positives = len(scores), int(is_positive.sum())
    negatives = count - positives
    undefined = np.full(len(thresholds), np.nan)
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "count": count,
            "accuracy": (found + negatives - wrong) / count,
            "true_positive_rate": found / positives if positives else undefined,
            "false_positive_rate": wrong / negatives if negatives else undefined,
            "selection_rate": (found + wrong) / count,
        }
    )
