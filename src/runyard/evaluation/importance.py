"""How much each feature matters to a model."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.inspection import permutation_importance

from runyard.evaluation.draws import drawn
from runyard.evaluation.examples import taken
from runyard.evaluation.subject import LeftOut, Subject, Task, is_constant, unwrapped
from runyard.tables import Floats

# A permutation predicts every row once for each column and repetition: 100 columns of 2,000 rows are a million.
MOST_COLUMNS = 1_000
MOST_ROWS = 2_000
_MOST_PREDICTIONS = 1_000_000
_REPETITIONS = 5
# Kinds of a model's own importance.
IMPURITY = "mean decrease in impurity"
COEFFICIENTS = "mean size of coefficients"
_TREES = ("sklearn.tree.", "sklearn.ensemble.")


def by_permutation(subject: Subject, seed: int) -> pd.DataFrame:
    """Return the importance of the features as given, most important first.

    It is by how much accuracy, or R², falls when a feature is shuffled among at most 2,000 test rows, fewer beyond
    100 columns; mean and standard deviation over 5 repetitions (Breiman 2001).

    Raises:
        LeftOut: there are too many columns, or R² has no value.

    """
    columns = subject.features.columns
    if len(columns) > MOST_COLUMNS:
        raise LeftOut(f"test has {len(columns):,} columns, and {MOST_COLUMNS:,} are the most")
    most = min(MOST_ROWS, _MOST_PREDICTIONS // (_REPETITIONS * max(len(columns), 1)))
    places = drawn(len(subject.truth), most, seed)
    truth = subject.truth.iloc[places]
    is_regression = subject.task is Task.REGRESSION
    if is_regression and is_constant(truth):
        raise LeftOut("all true values are the same, and R² is a share of their variance")
    result = permutation_importance(
        subject.model,
        taken(subject.given, places),
        truth,
        scoring="r2" if is_regression else "accuracy",
        n_repeats=_REPETITIONS,
        random_state=seed,
    )
    names = [str(name) for name in columns]
    return _sorted({"feature": names, "importance": result.importances_mean, "std": result.importances_std})


def own(subject: Subject) -> pd.DataFrame | None:
    """Return what the model itself says of the columns that reach its last step, most important first; None: nothing.

    Of trees it is the mean decrease in impurity; of a linear model the size of its coefficients, which depends on the
    features' units (the mean over classes, or over the pairs of classes that a support vector machine tells apart).
    Other libraries count splits, or sum gains: the table's column `kind` names which of these it is, since no two kinds
    can be compared.
    """
    steps, estimator = unwrapped(subject.model)
    found = _values(estimator)
    if found is None:
        return None
    values, kind = found
    names = names_after(steps, subject)
    if len(names) != len(values):
        return None
    return _sorted({"feature": names, "importance": values, "kind": [kind] * len(names)})


def _values(estimator: BaseEstimator) -> tuple[Floats, str] | None:
    if hasattr(estimator, "feature_importances_"):
        of_trees = any(base.__module__.startswith(_TREES) for base in type(estimator).__mro__)
        kind = IMPURITY if of_trees else f"feature_importances_ of {type(estimator).__name__}"
        return np.asarray(estimator.feature_importances_, dtype=float), kind
    if not hasattr(estimator, "coef_"):
        return None
    coefficients = estimator.coef_.toarray() if hasattr(estimator.coef_, "toarray") else estimator.coef_
    sizes: Floats = np.abs(np.atleast_2d(np.asarray(coefficients, dtype=float)))
    return np.asarray(sizes.mean(axis=0)), COEFFICIENTS


def names_after(steps: list[BaseEstimator], subject: Subject) -> list[str]:
    """Return the names of the columns that come out of steps; x0, x1, … where a step does not tell them."""
    names = [str(name) for name in subject.features.columns]
    reaching = taken(subject.given, [0])
    for step in steps:
        reaching = step.transform(reaching)
        try:
            names = step.get_feature_names_out(names).tolist()
        except (AttributeError, TypeError, ValueError):  # a step of somebody's own need not tell names
            names = []
        if len(names) != reaching.shape[1]:
            names = [f"x{place}" for place in range(reaching.shape[1])]
    return [str(name) for name in names]


def _sorted(columns: dict[str, list[str] | Floats]) -> pd.DataFrame:
    return pd.DataFrame(columns).sort_values("importance", ascending=False, kind="stable", ignore_index=True)
