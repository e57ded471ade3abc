"""A grid of random forests on scikit-learn's wine data: one MLflow run a forest, all under one parent run.

Where the runs go is left to the environment: MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME.
"""

import argparse
import itertools
import logging
import os
from collections.abc import Callable
from importlib.metadata import version
from typing import NamedTuple

import matplotlib as mpl
import mlflow
import pandas as pd
from matplotlib.figure import Figure
from mlflow.models import infer_signature
from sklearn import metrics
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

GRID = ("n_estimators", "max_depth", "min_samples_split")
METRICS = ("accuracy", "f1_score", "precision", "recall")
ROW = "{!s:>12} {!s:>9} {!s:>17} {:>8.4f} {:>8.4f} {:>9.4f} {:>6.4f}"

# MLflow writes models with skops: a pickle is a program to run, a skops file is data, rebuilt from types that
# were vouched for. Most are known to skops; scikit-learn's compiled tree is not, and a forest needs it.
SKOPS_TRUSTED_TYPES = ["sklearn.tree._tree.Tree"]

# Left to itself, MLflow finds a model's requirements by loading it in a new interpreter: nine seconds a
# forest, and always the same answer.
REQUIREMENTS = [f"{package}=={version(package)}" for package in ("numpy", "pandas", "scikit-learn", "skops")]


class Wines(NamedTuple):
    """The data, divided once, so that every forest is judged on the same wines."""

    train: pd.DataFrame
    test: pd.DataFrame
    train_classes: pd.Series
    test_classes: pd.Series
    class_names: list[str]


class Forest(NamedTuple):
    """What the parent run says of a forest, if it is the best."""

    name: str
    run_id: str
    params: dict[str, int | None]
    scores: dict[str, float]


def integer(text: str, minimum: int = 0) -> int:
    """Parse a whole number, as argparse asks: what is wrong with it ends in the usage error."""
    maximum = 2**32 - 1  # of a seed; nobody waits for a larger forest
    if not text.strip().isdecimal() or not minimum <= int(text) <= maximum:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {minimum} to {maximum}")
    return int(text)


def comma_list(minimum: int, *words: str) -> Callable[[str], list[int | None]]:
    """Give the argparse type of a list like `3,none`: integers, and words that stand for None."""
    return lambda text: [None if each.strip() in words else integer(each, minimum) for each in text.split(",")]


def parse_arguments() -> argparse.Namespace:
    """Read the grid and the seed from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Lists are separated by commas; every combination is trained.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for option, parse, default, text in (
        ("--n-estimators", comma_list(1), "5,25,100", "trees in the forest"),
        ("--max-depth", comma_list(1, "none"), "3,none", "levels of a tree, or none for no limit"),
        ("--min-samples-split", comma_list(2), "2,20", "wines a node must hold to be split"),
    ):
        parser.add_argument(option, type=parse, default=default, metavar="LIST", help=text)
    parser.add_argument("--seed", type=integer, default=0, help="of the data's division and of every forest")
    return parser.parse_args()


def load_wines(seed: int) -> Wines:
    """Load and divide the wines."""
    data = load_wine(as_frame=True)
    # With a smaller test set most of the grid reaches 1.0, and there is no best forest to name.
    train, test, train_classes, test_classes = train_test_split(
        data.data, data.target, test_size=0.4, stratify=data.target, random_state=seed
    )
    return Wines(train, test, train_classes, test_classes, list(data.target_names))


def judge(truth: pd.Series, predicted: pd.Series) -> dict[str, float]:
    """Compute the metrics; but for accuracy, each class counts alike, however many wines it has."""
    precision, recall, f1_score, _ = metrics.precision_recall_fscore_support(
        truth, predicted, average="macro", zero_division=0
    )
    accuracy = metrics.accuracy_score(truth, predicted)
    return dict(zip(METRICS, (accuracy, f1_score, precision, recall), strict=True))


def log_feature_importance(forest: RandomForestClassifier) -> None:
    """Log how much each feature matters to the forest, most first, as numbers and as a picture."""
    importance = pd.Series(forest.feature_importances_, forest.feature_names_in_, name="importance")
    importance = importance.sort_values(ascending=False)
    mlflow.log_text(importance.to_csv(index_label="feature"), "feature_importance.csv")

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    importance[::-1].plot.barh(ax=axes)
    axes.set(title="Feature importance", xlabel="mean decrease in impurity")
    mlflow.log_figure(figure, "feature_importance.png")


def log_confusion_matrix(truth: pd.Series, predicted: pd.Series, names: list[str]) -> None:
    """Log which classes the forest takes for which, as numbers and as a picture."""
    counts = pd.DataFrame(metrics.confusion_matrix(truth, predicted), index=names, columns=names)
    mlflow.log_text(counts.to_csv(index_label="true class"), "confusion_matrix.csv")

    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    display = metrics.ConfusionMatrixDisplay(counts.to_numpy(), display_labels=names)
    display.plot(ax=axes, cmap="Blues", colorbar=False)
    axes.set_title("Confusion matrix")
    mlflow.log_figure(figure, "confusion_matrix.png")


def train_forest(params: dict[str, int | None], wines: Wines) -> dict[str, float]:
    """Train one forest, log everything about it to the active run, and return its metrics."""
    mlflow.log_params(params)
    forest = RandomForestClassifier(**params).fit(wines.train, wines.train_classes)
    predicted = forest.predict(wines.test)
    scores = judge(wines.test_classes, predicted)
    mlflow.log_metrics(scores)
    log_feature_importance(forest)
    log_confusion_matrix(wines.test_classes, predicted, wines.class_names)
    mlflow.sklearn.log_model(
        forest,
        name="model",
        signature=infer_signature(wines.test, predicted),
        input_example=wines.test.head(3),
        pip_requirements=REQUIREMENTS,
        skops_trusted_types=SKOPS_TRUSTED_TYPES,
    )
    return scores


def train_grid(grid: dict[str, list[int | None]], seed: int) -> None:
    """Train every combination, each in a child of one parent run, and name the best on the parent."""
    wines = load_wines(seed)
    combinations = list(itertools.product(*grid.values()))
    print(f"{len(combinations)} forests, trained on {len(wines.train)} wines, judged on {len(wines.test)}")
    print(*GRID, *METRICS, flush=True)

    forests = []
    with mlflow.start_run(run_name="forest-grid") as parent:
        mlflow.log_params({f"grid_{name}": ",".join(map(str, values)) for name, values in grid.items()})
        mlflow.log_param("random_state", seed)
        for values in combinations:
            params = dict(zip(GRID, values, strict=True))
            name = "-".join(map(str, ("forest", *values))).lower()
            with mlflow.start_run(run_name=name, nested=True) as child:
                scores = train_forest({**params, "random_state": seed}, wines)
            forests.append(Forest(name, child.info.run_id, params, scores))
            # Flushed line by line: a log is read while it grows, and only what was written outlives a pod.
            print(ROW.format(*values, *scores.values()), flush=True)

        # Of equals max takes the first, and grids are written from small to large: the simpler forest.
        best = max(forests, key=lambda forest: forest.scores["f1_score"])
        mlflow.log_params({f"best_{name}": value for name, value in best.params.items()})
        # Under their own names, so that two grids compare as two forests do.
        mlflow.log_metrics(best.scores)
        summary = f"Best of {len(forests)} by f1_score: {best.name}"
        mlflow.set_tags({"best_run_id": best.run_id, "mlflow.note.content": summary})
    print(f"{summary}, run {best.run_id}, under parent run {parent.info.run_id}")


def main() -> None:
    """Train the grid that the command line asks for."""
    arguments = parse_arguments()
    mpl.use("Agg")
    # MLflow prints two lines of links at the end of each run and a warning for each model if pip is absent.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    train_grid({name: getattr(arguments, name) for name in GRID}, arguments.seed)


if __name__ == "__main__":
    main()
