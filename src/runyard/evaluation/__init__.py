"""How good a model is, and why it says what it says: as metrics, as tables and as figures.

`log` evaluates a fitted scikit-learn model and writes everything to an MLflow run; `evaluate` does so without MLflow.
Every figure has its table beside it under the same name; docs/evaluation.md lists the artifacts.
"""

import json
import tempfile
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from sklearn.base import BaseEstimator

from runyard.errors import EvaluationImpossible
from runyard.evaluation import curves, fairness, figures, importance, scores
from runyard.evaluation.examples import Examples, Rows, rows
from runyard.evaluation.explainers import explain
from runyard.evaluation.subject import LeftOut, Subject, Task, subject
from runyard.explanation import Explanation
from runyard.tables import distinct

__all__ = ["FOLDER", "Evaluation", "EvaluationImpossible", "Explanation", "Task", "evaluate", "log"]

FOLDER = "evaluation"
FORMAT = 1
SHAP_FILE = "shap.npz"
_SEEDS = 2**32


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    Attributes:
        task: what the model predicts.
        metrics: by name, as they are in MLflow.
        tables: by name, as they are in MLflow as NAME.csv.
        explanation: SHAP values, where they were asked for.
        classes: a classifier's classes, as text.
        positive: the class that precision, recall and curves are of, where there are two.
        rows: how many rows the model was judged on.
        left_out: what has no value here, and why.

    """

    task: Task
    metrics: dict[str, float]
    tables: dict[str, pd.DataFrame]
    explanation: Explanation | None
    classes: tuple[str, ...]
    positive: str | None
    rows: int
    left_out: dict[str, str] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write tables, figures and the explanation as files into a folder."""
        for name, table in self.tables.items():
            table.to_csv(folder / f"{name}.csv", index=False)
            if figure := figures.of(name, table):
                figure.savefig(folder / f"{name}.png")
        if self.explanation:
            (folder / SHAP_FILE).write_bytes(self.explanation.to_bytes())
            figures.of_explanation(self.explanation).savefig(folder / "shap.png")
        (folder / "evaluation.json").write_text(json.dumps(self._about(), indent=2))

    def log(self, run_id: str | None = None) -> None:
        """Write everything to an MLflow run: the active one unless told otherwise; without any, one is started.

        Raises:
            mlflow.exceptions.MlflowException: the server does not take it.

        """
        import mlflow

        run_id = run_id or (mlflow.active_run() or mlflow.start_run()).info.run_id
        mlflow.log_metrics(self.metrics, run_id=run_id)
        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder))
            mlflow.log_artifacts(folder, FOLDER, run_id=run_id)

    def _about(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "task": self.task,
            "rows": self.rows,
            "classes": self.classes,
            "positive": self.positive,
            "metrics": self.metrics,
            "tables": sorted(self.tables),
            "left_out": self.left_out,
        }


def evaluate(  # noqa: PLR0913 a notebook's call is flat
    model: BaseEstimator,
    test: Examples,
    *,
    train: Examples | None = None,
    positive: Hashable = None,
    groups: Mapping[str, pd.Series] | pd.DataFrame | None = None,
    folds: int = 5,
    shap: bool = True,
    seed: int = 0,
) -> Evaluation:
    """Judge a fitted model on rows that it has not seen.

    Args:
        model: a fitted scikit-learn classifier or regressor, or a Pipeline or a search that ends in one.
        test: n rows of features, n true values.
        train: the rows the model was fitted on: they are cross-validated, and are the background of SHAP values.
        positive: of two classes, the one that precision, recall, F1, curves and SHAP values are of; default: the
            second of `model.classes_`.
        groups: groups of the test rows that are compared for fairness, by name: {"sex": …}, n values each; or the
            columns of a table.
        folds: of the cross-validation.
        shap: false: no SHAP values, which take the longest.
        seed: of folds, permutations and draws, from 0 to 2³² - 1.

    Returns:
        Classifiers: test_accuracy, balanced_accuracy, precision, recall, f1_score, roc_auc, average_precision,
        log_loss and, with `train`, cv_accuracy_mean and cv_accuracy_std; regressors: test_r2, rmse, mae,
        median_absolute_error, max_error, cv_r2_mean and cv_r2_std. Tables: `curves.of`, feature_importance
        (`importance.own`), permutation_importance, `fairness.of`, cross_validation, shap_importance and shap_rows.
        What has no value on these rows is in `left_out`.

    Raises:
        EvaluationImpossible: the arguments do not fit together; the message names the one to change.

    """
    if not 0 <= seed < _SEEDS:
        raise EvaluationImpossible(f"seed is {seed}: give a whole number from 0 to {_SEEDS - 1}")
    judged = subject(model, rows("test", test), positive)
    learned = None if train is None else _of_the_same_columns(rows("train", train), judged)
    metrics, left_out = scores.of_test(judged)
    tables = curves.of(judged)
    own = importance.own(judged)
    if own is not None:
        tables["feature_importance"] = own
    with _noted(left_out, "permutation_importance"):
        tables["permutation_importance"] = importance.by_permutation(judged, seed)
    if learned:
        with _noted(left_out, "cross_validation"):
            of_folds, tables["cross_validation"] = scores.of_folds(judged, learned, folds, seed)
            metrics.update(of_folds)
    if groups is not None:
        compared = fairness.of(judged, groups)
        metrics.update(compared.gaps)
        left_out.update(compared.left_out)
        tables.update(compared.tables)
    explanation = None
    if shap:
        with _noted(left_out, "shap"):
            explanation = explain(judged, learned.given if learned else judged.given, seed)
            tables["shap_importance"] = explanation.summary()
            tables["shap_rows"] = _rows(judged, explanation)
    return Evaluation(
        task=judged.task,
        metrics=metrics,
        tables=tables,
        explanation=explanation,
        classes=tuple(str(name) for name in judged.classes),
        positive=str(judged.positive) if judged.task is Task.BINARY else None,
        rows=len(judged.features),
        left_out=left_out,
    )


def log(  # noqa: PLR0913
    model: BaseEstimator,
    test: Examples,
    *,
    train: Examples | None = None,
    positive: Hashable = None,
    groups: Mapping[str, pd.Series] | pd.DataFrame | None = None,
    folds: int = 5,
    shap: bool = True,
    seed: int = 0,
) -> Evaluation:
    """Evaluate a model as `evaluate` does, and write what was found to the active MLflow run."""
    found = evaluate(model, test, train=train, positive=positive, groups=groups, folds=folds, shap=shap, seed=seed)
    found.log()
    return found


@contextmanager
def _noted(left_out: dict[str, str], name: str) -> Iterator[None]:
    """Note what has no value, and go on: the other values are not lost with it."""
    try:
        yield
    except LeftOut as reason:
        left_out[name] = str(reason)


def _of_the_same_columns(learned: Rows, judged: Subject) -> Rows:
    if list(learned.features.columns) != list(judged.features.columns):
        raise EvaluationImpossible(
            "train and test have not the same columns: give both in the form the model was fitted on"
        )
    return learned


def _rows(judged: Subject, explanation: Explanation) -> pd.DataFrame:
    """Return the rows that were explained as they were given, with what is true and what was predicted of them."""
    places = explanation.places
    table = judged.features.iloc[places].copy()
    table.columns = distinct(table.columns, {"row", "true", "predicted"})
    table.insert(0, "predicted", judged.predicted.iloc[places].to_numpy())
    table.insert(0, "true", judged.truth.iloc[places].to_numpy())
    table.insert(0, "row", explanation.rows)
    return table
