"""What is evaluated: a fitted model and the rows it is judged on."""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_classifier, is_regressor

from runyard.errors import EvaluationImpossible

Examples: TypeAlias = tuple[pd.DataFrame, pd.Series]
Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]


class Task(StrEnum):
    """What a model predicts."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


@dataclass(frozen=True)
class Subject:
    """A fitted model with the rows it is judged on, and what it says of them.

    Attributes:
        model: a fitted scikit-learn classifier or regressor, or a pipeline that ends in one.
        features: n rows by f features; a row's index is its name in every table.
        given: the same as they were given: a model that was fitted on an array is asked with arrays.
        truth: n true values, with the same index.
        task: what the model predicts.
        classes: the model's classes in the order of its probabilities' columns; empty for a regressor.
        positive: the class that precision, recall and curves are of, where there are two.

    """

    model: BaseEstimator
    features: pd.DataFrame
    given: pd.DataFrame | Floats
    truth: pd.Series
    task: Task
    classes: tuple[Hashable, ...] = ()
    positive: Hashable = None

    @cached_property
    def predicted(self) -> pd.Series:
        """What the model predicts of each row."""
        return pd.Series(self.model.predict(self.given), index=self.features.index, name="predicted")

    @cached_property
    def probabilities(self) -> Floats | None:
        """The probability of each class for each row, shape (n, classes); None where the model gives none."""
        if self.task is Task.REGRESSION or not hasattr(self.model, "predict_proba"):
            return None
        return np.asarray(self.model.predict_proba(self.given), dtype=float)

    @cached_property
    def scores(self) -> Floats | None:
        """How much the model believes in each class, shape (n, classes); None where it only names one.

        Probabilities where there are some, else the decision function; with two classes the latter has one column,
        for the second class, and the first one's is its opposite.
        """
        if self.probabilities is not None:
            return self.probabilities
        if self.task is Task.REGRESSION or not hasattr(self.model, "decision_function"):
            return None
        decision = np.asarray(self.model.decision_function(self.given), dtype=float)
        return np.column_stack([-decision, decision]) if decision.ndim == 1 else decision

    @property
    def positive_column(self) -> int:
        """The positive class's place among the classes."""
        return self.classes.index(self.positive)

    @property
    def is_positive(self) -> Flags:
        """Which rows are truly of the positive class."""
        return np.asarray(self.truth == self.positive)


def subject(model: BaseEstimator, examples: Examples, positive: Hashable = None) -> Subject:
    """Look at a model and its test rows.

    Raises:
        EvaluationImpossible: the model is neither a classifier nor a regressor, the rows do not fit together, or
            `positive` is not one of two classes.

    """
    given = as_given(examples[0])
    features, truth = frame(given), pd.Series(examples[1])
    if len(features) != len(truth):
        raise EvaluationImpossible(
            f"test has {len(features)} rows of features and {len(truth)} true values: give one true value for each row"
        )
    if not len(features):
        raise EvaluationImpossible("test has no rows: give the rows that the model is to be judged on")
    truth = pd.Series(truth.to_numpy(), index=features.index, name=truth.name or "target")
    if truth.isna().any():
        raise EvaluationImpossible(f"test has {int(truth.isna().sum())} rows without a true value: leave them out")
    if is_regressor(model):
        if positive is not None:
            raise EvaluationImpossible("positive is for classifiers, and the model is a regressor: leave it out")
        return Subject(model, features, given, truth, Task.REGRESSION)
    if not is_classifier(model):
        raise EvaluationImpossible(
            f"the model, a {type(model).__name__}, is neither a classifier nor a regressor as scikit-learn tells them "
            "apart (is_classifier, is_regressor)"
        )
    classes = tuple(model.classes_.tolist())
    return Subject(model, features, given, truth, *_kind(classes, positive))


def _kind(classes: tuple[Hashable, ...], positive: Hashable) -> tuple[Task, tuple[Hashable, ...], Hashable]:
    if positive is not None and positive not in classes:
        raise EvaluationImpossible(f"positive is {positive!r}, which is none of the model's classes {list(classes)}")
    if len(classes) == 2:  # noqa: PLR2004 that is what binary means
        return Task.BINARY, classes, classes[1] if positive is None else positive
    if positive is not None:
        raise EvaluationImpossible(f"positive is for two classes, and the model has {len(classes)}: leave it out")
    return Task.MULTICLASS, classes, None


def as_given(features: pd.DataFrame | Floats) -> pd.DataFrame | Floats:
    """Return features as a table or an array."""
    return features if isinstance(features, pd.DataFrame) else np.asarray(features)


def frame(features: pd.DataFrame) -> pd.DataFrame:
    """Return features as a table, its columns named as scikit-learn names those of an array."""
    if isinstance(features, pd.DataFrame):
        return features
    values = np.asarray(features)
    return pd.DataFrame(values, columns=[f"x{column}" for column in range(values.shape[1])])


def taken(given: pd.DataFrame | Floats, places: list[int]) -> pd.DataFrame | Floats:
    """Return some rows, in the form that they were given in."""
    return given.iloc[places] if isinstance(given, pd.DataFrame) else given[places]
