"""How well a model does, in numbers: on rows that it has not seen, and over the folds of a cross-validation."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn import metrics
from sklearn.base import clone
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score

from runyard.errors import EvaluationImpossible
from runyard.evaluation.subject import Examples, Subject, Task


def of_test(subject: Subject) -> tuple[dict[str, float], dict[str, str]]:
    """Return the metrics on the test rows, and for each that is left out the reason.

    With two classes precision, recall, F1 and ROC AUC are the positive class's; with more they are means over the
    classes, each counting alike (macro), and ROC AUC is of one class against the rest (Hand and Till 2001 average
    pairs instead). Formulas: scikit-learn's, by the names of its functions.
    """
    return _of_regressor(subject) if subject.task is Task.REGRESSION else _of_classifier(subject)


def _of_classifier(subject: Subject) -> tuple[dict[str, float], dict[str, str]]:
    truth, predicted = subject.truth, subject.predicted
    averaged = (
        {"average": "binary", "pos_label": subject.positive} if subject.task is Task.BINARY else {"average": "macro"}
    )
    precision, recall, f1_score, _ = metrics.precision_recall_fscore_support(
        truth, predicted, zero_division=0, **averaged
    )
    found = {
        "test_accuracy": metrics.accuracy_score(truth, predicted),
        "balanced_accuracy": float(np.mean(metrics.recall_score(truth, predicted, average=None, zero_division=0))),
        "precision": precision,
        "recall": recall,
        "f1_score": f1_score,
    }
    left_out: dict[str, str] = {}
    for name, compute in _FROM_SCORES.items():
        try:
            found[name] = compute(subject)
        except _LeftOut as reason:
            left_out[name] = str(reason)
    return {name: float(value) for name, value in found.items()}, left_out


class _LeftOut(Exception):
    """A metric that has no value here; the text says why."""


def _roc_auc(subject: Subject) -> float:
    if subject.scores is None:
        raise _LeftOut("the model has neither predict_proba nor decision_function")
    if subject.task is Task.BINARY:
        if subject.is_positive.all() or not subject.is_positive.any():
            raise _LeftOut(f"all rows of test are of class {subject.truth.iloc[0]}")
        return float(metrics.roc_auc_score(subject.is_positive, subject.scores[:, subject.positive_column]))
    missing = set(subject.classes) - set(subject.truth)
    if missing:
        raise _LeftOut(f"test has no rows of {', '.join(sorted(map(str, missing)))}")
    one_against_rest = [
        metrics.roc_auc_score(subject.truth == name, subject.scores[:, column])
        for column, name in enumerate(subject.classes)
    ]
    return float(np.mean(one_against_rest))


def _average_precision(subject: Subject) -> float:
    if subject.scores is None:
        raise _LeftOut("the model has neither predict_proba nor decision_function")
    if subject.task is Task.BINARY:
        if not subject.is_positive.any():
            raise _LeftOut(f"test has no row of the positive class {subject.positive}")
        return float(metrics.average_precision_score(subject.is_positive, subject.scores[:, subject.positive_column]))
    present = [(column, name) for column, name in enumerate(subject.classes) if (subject.truth == name).any()]
    return float(
        np.mean([metrics.average_precision_score(subject.truth == name, subject.scores[:, at]) for at, name in present])
    )


def _log_loss(subject: Subject) -> float:
    if subject.probabilities is None:
        raise _LeftOut("the model has no predict_proba")
    return float(metrics.log_loss(subject.truth, subject.probabilities, labels=list(subject.classes)))


_FROM_SCORES: dict[str, Callable[[Subject], float]] = {
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "log_loss": _log_loss,
}


def _of_regressor(subject: Subject) -> tuple[dict[str, float], dict[str, str]]:
    truth, predicted = subject.truth, subject.predicted
    found = {
        "rmse": metrics.root_mean_squared_error(truth, predicted),
        "mae": metrics.mean_absolute_error(truth, predicted),
        "median_absolute_error": metrics.median_absolute_error(truth, predicted),
        "max_error": metrics.max_error(truth, predicted),
    }
    left_out = {}
    if len(truth) > 1:
        found["test_r2"] = metrics.r2_score(truth, predicted)
    else:
        left_out["test_r2"] = "test has one row, and R² needs two"
    return {name: float(value) for name, value in found.items()}, left_out


def of_folds(subject: Subject, train: Examples, folds: int, seed: int) -> tuple[dict[str, float], pd.DataFrame]:
    """Train copies of the model on all folds but one, and judge each on that one.

    Returns:
        cv_accuracy_mean and cv_accuracy_std, or cv_r2_… for a regressor: mean and standard deviation over the folds
        (of the folds themselves: divided by their number, as NumPy's `std`); and the score of each fold.

    Raises:
        EvaluationImpossible: there are too few rows, or too few of a class, for so many folds.

    """
    features, truth = train[0], pd.Series(train[1])
    is_regression = subject.task is Task.REGRESSION
    # R² of a single row is not defined, nor is a class learned that a fold does not have.
    most = len(truth) // 2 if is_regression else int(truth.value_counts().min())
    if not 2 <= folds <= most:  # noqa: PLR2004 one fold would leave nothing to train on
        fewest = "two rows each" if is_regression else "a row of each class each"
        remedy = f"give 2 to {most}" if most >= 2 else "leave train out"  # noqa: PLR2004
        raise EvaluationImpossible(f"folds is {folds}, and train has enough for {most} folds of {fewest}: {remedy}")
    name = "r2" if is_regression else "accuracy"
    splits = (KFold if is_regression else StratifiedKFold)(folds, shuffle=True, random_state=seed)
    values = cross_val_score(clone(subject.model), features, truth, cv=splits, scoring=name, error_score="raise")
    table = pd.DataFrame({"fold": range(1, folds + 1), name: values})
    return {f"cv_{name}_mean": float(values.mean()), f"cv_{name}_std": float(values.std())}, table
