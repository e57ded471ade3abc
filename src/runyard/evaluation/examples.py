"""Rows of features with what is true of them, as people give them: checked, and in one form."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from runyard.errors import EvaluationImpossible
from runyard.tables import Floats

Examples: TypeAlias = tuple[pd.DataFrame, pd.Series]
Flags: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Rows:
    """n rows.

    Attributes:
        given: n by f features as they were given: a model that was fitted on an array is asked with arrays.
        features: the same as a table; a row's index is its name in every table.
        truth: n true values with the same index, of a plain NumPy type.

    """

    given: pd.DataFrame | Floats
    features: pd.DataFrame
    truth: pd.Series

    def __len__(self) -> int:
        """Return n."""
        return len(self.features)


def rows(what: str, examples: Examples) -> Rows:
    """Read features and true values.

    Args:
        what: their name, for messages: test or train.
        examples: n rows of features: a table or an array of two dimensions; and n true values of any kind.

    Raises:
        EvaluationImpossible: they are no rows with one true value each.

    """
    if not isinstance(examples, (tuple, list)) or len(examples) != 2:  # noqa: PLR2004 features and truth
        raise EvaluationImpossible(f"{what} is a {type(examples).__name__}: give features and true values, as a pair")
    given = _given(what, examples[0])
    features = given if isinstance(given, pd.DataFrame) else _table(given)
    if not len(features):
        raise EvaluationImpossible(f"{what} has no rows: give rows of features, each with its true value")
    twice = features.columns[features.columns.duplicated()]
    if len(twice):
        raise EvaluationImpossible(f"{what} has two columns named {twice[0]!r}: rename one")
    values = column(f"the true values of {what}", examples[1])
    if len(features) != len(values):
        raise EvaluationImpossible(
            f"{what} has {len(features)} rows of features and {len(values)} true values: "
            "give one true value for each row"
        )
    refuse_another_order(f"the true values of {what}", examples[1], given)
    truth = pd.Series(values, index=features.index, name=_name(examples[1]))
    if truth.isna().any():
        raise EvaluationImpossible(f"{what} has {int(truth.isna().sum())} rows without a true value: leave them out")
    return Rows(given, features, truth)


def column(what: str, values: pd.Series) -> NDArray[np.generic]:
    """Return n values as an array of one dimension, whatever holds them: a table of one column is taken for it."""
    array = values.to_numpy() if isinstance(values, (pd.Series, pd.DataFrame, pd.Index)) else np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:  # noqa: PLR2004 rows by one column
        array = array[:, 0]
    if array.ndim != 1:
        raise EvaluationImpossible(f"the shape of {what} is {array.shape}: give one value for each row")
    return array


def refuse_another_order(what: str, values: pd.Series, features: pd.DataFrame | Floats) -> None:
    """Refuse a pandas object whose index is not the features' own: by place and by label it says different things.

    Raises:
        EvaluationImpossible: it is one.

    """
    if not isinstance(features, pd.DataFrame) or not isinstance(values, (pd.Series, pd.DataFrame)):
        return
    if not values.index.equals(features.index):
        raise EvaluationImpossible(
            f"the index of {what} is not that of the features: give it with theirs, in its order, or, where the values "
            "are in the order of the rows, give .to_numpy()"
        )


def taken(given: pd.DataFrame | Floats, places: list[int]) -> pd.DataFrame | Floats:
    """Return some rows, in the form that they were given in."""
    return given.iloc[places] if isinstance(given, pd.DataFrame) else given[places]


def _given(what: str, features: pd.DataFrame | Floats) -> pd.DataFrame | Floats:
    if isinstance(features, pd.DataFrame):
        return features
    if hasattr(features, "toarray"):
        raise EvaluationImpossible(
            f"{what} is a sparse matrix: give the rows that it was made of and put the step that makes it into the "
            "model, as a Pipeline, or give an array, as .toarray()"
        )
    array = np.asarray(features)
    if array.ndim != 2:  # noqa: PLR2004 rows by columns
        raise EvaluationImpossible(f"the shape of the features of {what} is {array.shape}: give rows by columns")
    return array


def _table(array: Floats) -> pd.DataFrame:
    """Return an array as a table, its columns named as scikit-learn names them."""
    return pd.DataFrame(array, columns=[f"x{place}" for place in range(array.shape[1])])


def _name(values: pd.Series) -> str:
    name = values.columns[0] if isinstance(values, pd.DataFrame) else getattr(values, "name", None)
    return "target" if name is None else str(name)
