"""How well a model does, in numbers: on rows that it has not seen, and over the folds of a cross-validation."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn import metrics
from sklearn.base import clone
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score

from runyard.errors import EvaluationImpossible
from runyard.evaluation.examples import Rows
from runyard.evaluation.subject import LeftOut, Subject, Task, in_one_line, is_constant, listed
from runyard.tables import Floats


def of_test(subject: Subject) -> tuple[dict[str, float], dict[str, str]]:
    """Return the metrics on the test rows, and for each that is left out the reason.

    With two classes precision, recall, F1, ROC AUC and average precision are the positive class's; with more they are
    means over the classes, each counting alike (macro; ROC AUC of one class against the rest: Hand and Till 2001
    average pairs instead), and left out where a class has no value. Formulas: scikit-learn's, by the names of its
    functions.
    """
    found, left_out = {}, {}
    for name, compute in (_OF_REGRESSORS if subject.task is Task.REGRESSION else _OF_CLASSIFIERS).items():
        try:
            found[name] = float(compute(subject))
        except LeftOut as reason:
            left_out[name] = str(reason)
    return found, left_out


def _accuracy(subject: Subject) -> float:
    return float(metrics.accuracy_score(subject.truth, subject.predicted))


def _balanced_accuracy(subject: Subject) -> float:
    # A class that test does not have has no recall: it is no 0, even where it is predicted.
    present = np.unique(subject.truth)
    return float(metrics.recall_score(subject.truth, subject.predicted, labels=present, average="macro"))


def _precision(subject: Subject) -> float:
    return _positive_or_mean(subject, _by_class(subject)[0], "no row of test was predicted to be of class")


def _recall(subject: Subject) -> float:
    return _positive_or_mean(subject, _by_class(subject)[1], "test has no row of class")


def _f1_score(subject: Subject) -> float:
    return _positive_or_mean(subject, _by_class(subject)[2], "no row of test is, or was predicted to be, of class")


def _by_class(subject: Subject) -> tuple[Floats, Floats, Floats]:
    """Return precision, recall and F1 of each class; NaN where it is a share of nothing."""
    precision, recall, f1_score, _ = metrics.precision_recall_fscore_support(
        subject.truth, subject.predicted, labels=list(subject.classes), average=None, zero_division=np.nan
    )
    return precision, recall, f1_score


def _positive_or_mean(subject: Subject, values: Floats, why_not: str) -> float:
    wanted = [subject.positive_column] if subject.task is Task.BINARY else list(range(len(subject.classes)))
    undefined = [subject.classes[column] for column in wanted if np.isnan(values[column])]
    if undefined:
        raise LeftOut(f"{why_not} {listed(undefined)}")
    return float(np.mean(values[wanted]))


def _roc_auc(subject: Subject) -> float:
    scores = _scores(subject)
    if subject.task is Task.BINARY and is_constant(subject.truth):
        raise LeftOut(f"all rows of test are of class {subject.truth.iloc[0]}")
    return _one_against_rest(subject, scores, metrics.roc_auc_score)


def _average_precision(subject: Subject) -> float:
    return _one_against_rest(subject, _scores(subject), metrics.average_precision_score)


def _one_against_rest(subject: Subject, scores: Floats, score: Callable[..., float]) -> float:
    names = [subject.positive] if subject.task is Task.BINARY else list(subject.classes)
    missing = [name for name in names if not (subject.truth == name).any()]
    if missing:
        raise LeftOut(f"test has no row of class {listed(missing)}")
    return float(np.mean([score(subject.truth == name, scores[:, subject.classes.index(name)]) for name in names]))


def _scores(subject: Subject) -> Floats:
    if subject.scores is None:
        raise LeftOut("the model has neither predict_proba nor a decision_function with a value for each class")
    return subject.scores


def _log_loss(subject: Subject) -> float:
    if subject.probabilities is None:
        raise LeftOut("the model has no predict_proba")
    # By place: scikit-learn takes the columns to be in the order of sorted labels.
    places = pd.Index(subject.classes).get_indexer(subject.truth)
    return float(metrics.log_loss(places, subject.probabilities, labels=range(len(subject.classes))))


def _r2(subject: Subject) -> float:
    if is_constant(subject.truth):
        raise LeftOut("all true values of test are the same, and R² is a share of their variance")
    return float(metrics.r2_score(subject.truth, subject.predicted))


_OF_CLASSIFIERS: dict[str, Callable[[Subject], float]] = {
    "test_accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "precision": _precision,
    "recall": _recall,
    "f1_score": _f1_score,
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "log_loss": _log_loss,
}

_OF_REGRESSORS: dict[str, Callable[[Subject], float]] = {
    "test_r2": _r2,
    "rmse": lambda subject: metrics.root_mean_squared_error(subject.truth, subject.predicted),
    "mae": lambda subject: metrics.mean_absolute_error(subject.truth, subject.predicted),
    "median_absolute_error": lambda subject: metrics.median_absolute_error(subject.truth, subject.predicted),
    "max_error": lambda subject: metrics.max_error(subject.truth, subject.predicted),
}


def of_folds(subject: Subject, train: Rows, folds: int, seed: int) -> tuple[dict[str, float], pd.DataFrame]:
    """Train copies of the model on all folds but one, and judge each on that one.

    Returns:
        cv_accuracy_mean and cv_accuracy_std, or cv_r2_… for a regressor: mean and standard deviation over the folds
        (of the folds themselves: divided by their number, as NumPy's `std`); and the score of each fold.

    Raises:
        EvaluationImpossible: there are too few rows, or too few of a class, for so many folds.
        LeftOut: a fold has no score, or the model cannot be trained on the others.

    """
    is_regression = subject.task is Task.REGRESSION
    # R² of a single row is not defined, nor is a class learned that a fold does not have.
    most = len(train) // 2 if is_regression else int(train.truth.value_counts().min())
    if not 2 <= folds <= most:  # noqa: PLR2004 one fold would leave nothing to train on
        fewest = "two rows each" if is_regression else "a row of each class each"
        remedy = f"give 2 to {most}" if most >= 2 else "leave train out"  # noqa: PLR2004
        raise EvaluationImpossible(f"folds is {folds}, and train has enough for {most} folds of {fewest}: {remedy}")
    name = "r2" if is_regression else "accuracy"
    splits = (KFold if is_regression else StratifiedKFold)(folds, shuffle=True, random_state=seed)
    places = [judged for _, judged in splits.split(train.given, train.truth)]
    if is_regression and any(is_constant(train.truth.iloc[fold]) for fold in places):
        raise LeftOut("all true values of a fold are the same, and R² is a share of their variance")
    try:
        values = cross_val_score(
            clone(subject.model), train.given, train.truth, cv=splits, scoring=name, error_score="raise"
        )
    except Exception as error:  # whatever a model raises when it is trained again, it has no score
        raise LeftOut(f"the model cannot be trained on folds of train ({in_one_line(error)})") from error
    table = pd.DataFrame({"fold": range(1, folds + 1), name: values})
    return {f"cv_{name}_mean": float(values.mean()), f"cv_{name}_std": float(values.std())}, table
