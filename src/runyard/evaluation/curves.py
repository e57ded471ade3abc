"""A model's behaviour as tables: each has a figure of the same name, and anyone can draw it again."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pandas as pd
from sklearn import metrics
from sklearn.calibration import calibration_curve

from runyard.evaluation.examples import Flags
from runyard.evaluation.subject import Subject, Task
from runyard.tables import Floats, distinct

# More than a picture shows, and a few tens of kilobytes as text.
MOST_POINTS = 500
_BINS = 10

_Curve: TypeAlias = Callable[[Flags, Floats], pd.DataFrame]


def of(subject: Subject) -> dict[str, pd.DataFrame]:
    """Return the tables that the model's task has, by name.

    confusion_matrix: a row a true class, a column a predicted one, counts. roc_curve (false_positive_rate,
    true_positive_rate, threshold), pr_curve (recall, precision, threshold) and calibration (mean predicted
    probability, share of positives; bins between the deciles, fewer than ten where many rows have the same
    probability) have a column `class`: the positive one, or, with more than two, each against the rest. residuals:
    true, predicted, residual, by the predicted value. No table but the confusion matrix has more than 500 rows a
    class.
    """
    if subject.task is Task.REGRESSION:
        return {"residuals": _residuals(subject)}
    found = {
        "confusion_matrix": _confusion_matrix(subject),
        "roc_curve": _by_class(subject, subject.scores, _roc),
        "pr_curve": _by_class(subject, subject.scores, _precision_recall),
        "calibration": _by_class(subject, subject.probabilities, _calibration),
    }
    return {name: table for name, table in found.items() if not table.empty}


def _confusion_matrix(subject: Subject) -> pd.DataFrame:
    names = list(subject.classes)
    counts = metrics.confusion_matrix(subject.truth, subject.predicted, labels=names)
    table = pd.DataFrame(counts, columns=distinct(names, {"true"}))
    table.insert(0, "true", names)
    return table


def _residuals(subject: Subject) -> pd.DataFrame:
    table = pd.DataFrame({"true": subject.truth, "predicted": subject.predicted})
    table["residual"] = table["true"] - table["predicted"]
    return _thinned(table.sort_values("predicted"))


def _by_class(subject: Subject, scores: Floats | None, curve: _Curve) -> pd.DataFrame:
    """Return the curve of each class that both occurs and does not occur in test: of the others there is none."""
    if scores is None:
        return pd.DataFrame()
    names = [subject.positive] if subject.task is Task.BINARY else list(subject.classes)
    found = []
    for name in names:
        labels = np.asarray(subject.truth == name)
        if labels.any() and not labels.all():
            table = _thinned(curve(labels, scores[:, subject.classes.index(name)]))
            table.insert(0, "class", name)
            found.append(table)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _roc(labels: Flags, scores: Floats) -> pd.DataFrame:
    false_positive, true_positive, threshold = metrics.roc_curve(labels, scores)
    columns = {"false_positive_rate": false_positive, "true_positive_rate": true_positive, "threshold": threshold}
    return pd.DataFrame(columns)


def _precision_recall(labels: Flags, scores: Floats) -> pd.DataFrame:
    precision, recall, threshold = metrics.precision_recall_curve(labels, scores, drop_intermediate=True)
    # The last point, where nothing is taken for positive, has no threshold.
    return pd.DataFrame({"recall": recall, "precision": precision, "threshold": [*threshold, np.inf]})


def _calibration(labels: Flags, probabilities: Floats) -> pd.DataFrame:
    # A mean of probabilities may be above 1 in its last digit.
    probabilities = np.clip(probabilities, 0, 1)
    happened, foreseen = calibration_curve(labels, probabilities, n_bins=_BINS, strategy="quantile")
    return pd.DataFrame({"predicted_probability": foreseen, "share_of_positives": happened})


def _thinned(table: pd.DataFrame) -> pd.DataFrame:
    """Return at most MOST_POINTS rows, evenly spread, the first and the last among them."""
    if len(table) <= MOST_POINTS:
        return table.reset_index(drop=True)
    kept = np.unique(np.linspace(0, len(table) - 1, MOST_POINTS).round().astype(int))
    return table.iloc[kept].reset_index(drop=True)
