"""Predict heart disease: a logistic regression or a random forest on the UCI Heart Disease data, as one MLflow run.

Where the run goes is left to the environment: MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME.
"""

import argparse
import contextlib
import logging
import math
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import matplotlib as mpl
import mlflow
import pandas as pd
from mlflow.models import infer_signature
from sklearn.base import ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from runyard import evaluation, provenance
from runyard.script import start_run

DATA = Path(__file__).parent / "heart_disease.csv"
TARGET = "disease"
# Words, and codes that are written as numbers.
CATEGORIES = ["sex", "chest_pain", "fasting_bs_over_120", "resting_ecg", "exercise_angina", "st_slope", "thal"]
# MLflow writes models with skops, which rebuilds only types that it knows or that are vouched for: the trees of a
# forest, and the type of a column.
SKOPS_TRUSTED_TYPES = ["numpy.dtype", "sklearn.tree._tree.Tree"]
# Left to itself, MLflow finds a model's requirements by loading it in a new interpreter, which takes seconds.
REQUIREMENTS = [f"{package}=={version(package)}" for package in ("numpy", "pandas", "scikit-learn", "skops")]


def integer(minimum: int) -> Callable[[str], int]:
    """Give the argparse type of a whole number: what is wrong with it ends in the usage error."""

    def parse(text: str) -> int:
        if not text.strip().isdecimal() or not minimum <= int(text) < 2**32:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {minimum} to {2**32 - 1}")
        return int(text)

    return parse


def above_zero(text: str) -> float:
    """Parse a number above 0."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")


def table(text: str) -> Path:
    """Parse the name of a file that can be read."""
    try:
        Path(text).open("rb").close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be read: {error.strerror}") from error
    return Path(text)


def parse_arguments() -> argparse.Namespace:
    """Read the model and its parameters from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", choices=("logistic", "forest"), default="logistic", help="what is trained")
    parser.add_argument("--inverse-regularisation", type=above_zero, default=1.0, help="C of the logistic regression")
    parser.add_argument("--n-estimators", type=integer(1), default=200, help="trees in the forest")
    parser.add_argument("--max-depth", type=integer(1), default=5, help="levels of a tree")
    parser.add_argument("--folds", type=integer(2), default=5, help="of the cross-validation")
    parser.add_argument("--seed", type=integer(0), default=0, help="of the data's division, the folds and the forest")
    parser.add_argument("--data", type=table, default=DATA, help="the table, with a column named disease")
    return parser.parse_args()


def classifier(arguments: argparse.Namespace) -> ClassifierMixin:
    """Make the model that was asked for, not trained yet."""
    if arguments.model == "logistic":
        return LogisticRegression(C=arguments.inverse_regularisation, max_iter=1000)
    return RandomForestClassifier(arguments.n_estimators, max_depth=arguments.max_depth, random_state=arguments.seed)


def pipeline(model: ClassifierMixin, numbers: list[str]) -> Pipeline:
    """Put in what is missing, encode categories, scale numbers, then predict.

    Medians and most frequent values come from the rows that are trained on, never from those that are judged.
    """
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            (
                "categories",
                make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
                CATEGORIES,
            ),
        ],
        verbose_feature_names_out=False,
    )
    return Pipeline([("columns", columns), ("classifier", model)])


def train(arguments: argparse.Namespace) -> None:
    """Train one model and log everything about it."""
    patients = pd.read_csv(arguments.data)
    features, truth = patients.drop(columns=TARGET), patients[TARGET]
    numbers = [name for name in features if name not in CATEGORIES]
    train_rows, test_rows, train_truth, test_truth = train_test_split(
        features, truth, test_size=0.3, stratify=truth, random_state=arguments.seed
    )
    with start_run(run_name=arguments.model) as run:
        model = classifier(arguments)
        mlflow.log_params({"model": type(model).__name__, **parameters(arguments)})
        provenance.log(seeds={"random_state": arguments.seed}, datasets={"heart_disease": arguments.data})
        fitted = pipeline(model, numbers).fit(train_rows, train_truth)
        found = evaluation.log(
            fitted,
            (test_rows, test_truth),
            train=(train_rows, train_truth),
            positive=1,
            groups={"sex": test_rows["sex"]},
            folds=arguments.folds,
            seed=arguments.seed,
        )
        mlflow.sklearn.log_model(
            fitted,
            name="model",
            signature=infer_signature(test_rows, fitted.predict(test_rows)),
            input_example=test_rows.head(3),
            pip_requirements=REQUIREMENTS,
            skops_trusted_types=SKOPS_TRUSTED_TYPES,
        )
    print(
        f"{arguments.model}: trained on {len(train_rows)} patients, judged on {len(test_rows)}, run {run.info.run_id}"
    )
    for name, value in found.metrics.items():
        print(f"{name:>45} {value:.4f}")


def parameters(arguments: argparse.Namespace) -> dict[str, float | int]:
    """Return the parameters that matter to the model that was asked for."""
    own = ("inverse_regularisation",) if arguments.model == "logistic" else ("n_estimators", "max_depth")
    return {name: getattr(arguments, name) for name in (*own, "folds", "seed")}


def main() -> None:
    """Train the model that the command line asks for."""
    arguments = parse_arguments()
    mpl.use("Agg")
    # MLflow prints two lines of links at the end of each run and a warning for each model if pip is absent.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    train(arguments)


if __name__ == "__main__":
    main()
