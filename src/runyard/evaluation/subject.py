"""What is evaluated: a fitted model, the rows it is judged on, and what it says of them."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.pipeline import Pipeline

from runyard.errors import EvaluationImpossible
from runyard.evaluation.examples import Flags, Rows
from runyard.tables import Floats


class Task(StrEnum):
    """What a model predicts."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


class LeftOut(Exception):
    """What has no value on these rows; the text says why."""


@dataclass(frozen=True)
class Subject:
    """A fitted model with the rows it is judged on.

    Attributes:
        model: a fitted scikit-learn classifier or regressor, or a pipeline that ends in one.
        features: n rows by f features; a row's index is its name in every table.
        given: the same as they were given: a model that was fitted on an array is asked with arrays.
        truth: n true values with the same index: of a classifier some of its classes, of a regressor numbers.
        predicted: n values, likewise.
        task: what the model predicts.
        classes: the model's classes in the order of its probabilities' columns; empty for a regressor.
        positive: the class that precision, recall and curves are of, where there are two.

    """

    model: BaseEstimator
    features: pd.DataFrame
    given: pd.DataFrame | Floats
    truth: pd.Series
    predicted: pd.Series
    task: Task
    classes: tuple[Hashable, ...] = ()
    positive: Hashable = None

    @cached_property
    def probabilities(self) -> Floats | None:
        """The probability of each class for each row, shape (n, classes); None where the model gives none."""
        return self.said_by("predict_proba", self.given)

    @cached_property
    def scores(self) -> Floats | None:
        """How much the model believes in each class, shape (n, classes); None where it only names one.

        Probabilities where there are some, else the decision function; with two classes the latter has one column,
        for the second class, and the first one's is its opposite.
        """
        if self.probabilities is not None:
            return self.probabilities
        decision = self.said_by("decision_function", self.given)
        return decision if decision is None or self.task is Task.MULTICLASS else np.hstack([-decision, decision])

    def said_by(self, method: str, rows: pd.DataFrame | Floats) -> Floats | None:
        """Return what a classifier's predict_proba or decision_function says of n rows.

        Returns:
            Shape (n, classes), (n, 1) for a decision between two classes; None where the model does not have the
            method, or it speaks of pairs of classes, as scikit-learn's SVC with decision_function_shape="ovo" does.

        Raises:
            EvaluationImpossible: it says something that is not a number.

        """
        if self.task is Task.REGRESSION or not hasattr(self.model, method):
            return None
        said = np.asarray(getattr(self.model, method)(rows), dtype=float)
        said = said[:, np.newaxis] if said.ndim == 1 else said
        expected = 1 if (method, self.task) == ("decision_function", Task.BINARY) else len(self.classes)
        # Of three classes there are three pairs: the shape does not tell one from the other.
        is_of_pairs = (
            method == "decision_function"
            and self.task is Task.MULTICLASS
            and getattr(unwrapped(self.model)[1], "decision_function_shape", None) == "ovo"
        )
        if is_of_pairs or said.shape != (len(rows), expected):
            return None
        if not np.isfinite(said).all():
            raise EvaluationImpossible(f"the model's {method} is not a number for some rows: look at what it was given")
        return said

    @property
    def positive_column(self) -> int:
        """The positive class's place among the classes."""
        return self.classes.index(self.positive)

    @property
    def is_positive(self) -> Flags:
        """Which rows are truly of the positive class."""
        return np.asarray(self.truth == self.positive)


def subject(model: BaseEstimator, test: Rows, positive: Hashable = None) -> Subject:
    """Ask a model about its test rows.

    Raises:
        EvaluationImpossible: the model is neither a classifier nor a regressor, does not predict the rows, predicts
            several targets, or does not know a class of theirs; or `positive` is not one of two classes.

    """
    if not (is_regressor(model) or is_classifier(model)):
        raise EvaluationImpossible(
            f"the model, a {type(model).__name__}, is neither a classifier nor a regressor as scikit-learn tells them "
            "apart (is_classifier, is_regressor)"
        )
    predicted = _predicted(model, test)
    if is_regressor(model):
        if positive is not None:
            raise EvaluationImpossible("positive is for classifiers, and the model is a regressor: leave it out")
        truth = _numbers("the true values of test", test.truth)
        return Subject(
            model, test.features, test.given, truth, _numbers("the model's predictions", predicted), Task.REGRESSION
        )
    if not hasattr(model, "classes_"):
        raise EvaluationImpossible("the model has no classes_, the names of its classes: set it where it is fitted")
    names = np.ravel(model.classes_)
    task, positive = _kind(tuple(names.tolist()), positive)
    truth = _as_classes("test has true values", test.truth, names)
    predicted = _as_classes("the model predicts values", predicted, names)
    return Subject(model, test.features, test.given, truth, predicted, task, tuple(names.tolist()), positive)


def unwrapped(model: BaseEstimator) -> tuple[list[BaseEstimator], BaseEstimator]:
    """Return the steps that prepare the features, in their order, and the one that predicts.

    They are looked for inside pipelines and inside what a search (GridSearchCV and its like) found best.
    """
    if hasattr(model, "best_estimator_"):
        return unwrapped(model.best_estimator_)
    if not isinstance(model, Pipeline):
        return [], model
    before, last = unwrapped(model.steps[-1][1])
    return [*([model[:-1]] if len(model.steps) > 1 else []), *before], last


def _predicted(model: BaseEstimator, test: Rows) -> pd.Series:
    try:
        said = np.asarray(model.predict(test.given))
    except Exception as error:  # whatever a model raises, it does not predict these rows
        raise EvaluationImpossible(
            f"the model does not predict the rows of test ({in_one_line(error)}): give a fitted model, and the columns "
            "it knows"
        ) from error
    if said.ndim == 2 and said.shape[1] == 1:  # noqa: PLR2004 fitted on a table of one target
        said = said[:, 0]
    if said.ndim != 1:
        raise EvaluationImpossible(
            f"the model predicts {said.shape[1]} targets of each row, and one is judged: give a model for each target"
        )
    return pd.Series(said, index=test.features.index, name="predicted")


def _numbers(what: str, values: pd.Series) -> pd.Series:
    try:
        numbers = values.astype(float)
    except (TypeError, ValueError) as error:
        raise EvaluationImpossible(
            f"{what} are no numbers ({in_one_line(error)}), and the model is a regressor: give numbers"
        ) from error
    if not np.isfinite(numbers).all():
        raise EvaluationImpossible(f"{what} are not all finite: leave those rows out")
    return numbers


def _as_classes(what: str, values: pd.Series, classes: NDArray[np.generic]) -> pd.Series:
    """Return values as the model writes its classes, which may be numbers where they are truths, or the like."""
    places = {name: place for place, name in enumerate(classes.tolist())}
    unknown = sorted({str(value) for value in values.unique().tolist() if value not in places})
    if unknown:
        raise EvaluationImpossible(
            f"{what} that are none of the model's classes {listed(places)}: {listed(unknown)}: "
            "leave those rows out, or train the model with such rows"
        )
    return pd.Series(classes[[places[value] for value in values.tolist()]], index=values.index, name=values.name)


def listed(names: Iterable[Hashable]) -> str:
    """Return names as text: the first five, and how many more there are."""
    texts, most = [str(name) for name in names], 5
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def in_one_line(error: Exception) -> str:
    """Return what an error says, for a sentence."""
    return " ".join(str(error).split())


def is_constant(values: pd.Series) -> bool:
    """Say whether all values are the same."""
    array = values.to_numpy()
    return bool((array == array[0]).all())


def _kind(classes: tuple[Hashable, ...], positive: Hashable) -> tuple[Task, Hashable]:
    if len(classes) < 2:  # noqa: PLR2004 nothing to tell apart
        raise EvaluationImpossible(f"the model knows one class, {listed(classes)}: train it with two")
    if positive is not None and positive not in classes:
        raise EvaluationImpossible(f"positive is {positive!r}, which is none of the model's classes {list(classes)}")
    if len(classes) == 2:  # noqa: PLR2004 that is what binary means
        return Task.BINARY, classes[1] if positive is None else positive
    if positive is not None:
        raise EvaluationImpossible(f"positive is for two classes, and the model has {len(classes)}: leave it out")
    return Task.MULTICLASS, None
