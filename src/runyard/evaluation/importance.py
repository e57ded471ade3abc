"""How much each feature matters to a model."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.inspection import permutation_importance
from sklearn.pipeline import Pipeline

from runyard.evaluation.subject import Subject, Task, taken

# A permutation predicts every row once for each feature and repetition.
MOST_ROWS = 2_000
_REPETITIONS = 5


def of(subject: Subject, seed: int) -> dict[str, pd.DataFrame]:
    """Return tables of importance, most important first.

    feature_importance is what the model itself says: the mean decrease in impurity of trees, or the size of a linear
    model's coefficients (the mean over classes), which depends on the features' units; of a pipeline, it is of the
    columns that reach its last step. permutation_importance is of the features as given: by how much accuracy, or R²,
    falls when one is shuffled among at most 2,000 test rows; mean and standard deviation over 5 repetitions (Breiman
    2001).
    """
    found = {"permutation_importance": _by_permutation(subject, seed)}
    own = _own(subject)
    return found if own is None else {"feature_importance": own, **found}


def _by_permutation(subject: Subject, seed: int) -> pd.DataFrame:
    rows = len(subject.truth)
    places = np.random.default_rng(seed).choice(rows, min(rows, MOST_ROWS), replace=False).tolist()
    scoring = "r2" if subject.task is Task.REGRESSION else "accuracy"
    result = permutation_importance(
        subject.model,
        taken(subject.given, places),
        subject.truth.iloc[places],
        scoring=scoring,
        n_repeats=_REPETITIONS,
        random_state=seed,
    )
    columns = {"feature": subject.features.columns, "importance": result.importances_mean}
    return _sorted(pd.DataFrame({**columns, "std": result.importances_std}))


def _own(subject: Subject) -> pd.DataFrame | None:
    names, estimator = last_step(subject.model, subject.features)
    if hasattr(estimator, "feature_importances_"):
        values = np.asarray(estimator.feature_importances_, dtype=float)
    elif hasattr(estimator, "coef_"):
        values = np.abs(np.atleast_2d(np.asarray(estimator.coef_, dtype=float))).mean(axis=0)
    else:
        return None
    return _sorted(pd.DataFrame({"feature": names, "importance": values})) if len(names) == len(values) else None


def last_step(model: BaseEstimator, features: pd.DataFrame) -> tuple[list[str], BaseEstimator]:
    """Return the names of the columns that reach the step that predicts, and that step."""
    if not isinstance(model, Pipeline):
        return [str(name) for name in features.columns], model
    try:
        names = model[:-1].get_feature_names_out(features.columns)
    except (AttributeError, ValueError):  # a step of somebody's own need not tell names
        width = np.shape(model[:-1].transform(features.head(1)))[1]
        names = [f"x{column}" for column in range(width)]
    return [str(name) for name in names], model[-1]


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)
