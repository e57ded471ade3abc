"""SHAP values against what shap says when it is asked plainly, and the file that they are in."""

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import shap
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from threadpoolctl import threadpool_limits
from xgboost import XGBClassifier, XGBRegressor

from runyard.errors import EvaluationImpossible
from runyard.evaluation import Evaluation, Explanation, evaluate, explainers, figures
from runyard.evaluation.explainers import MOST_ROWS, MOST_ROWS_OF_ANY_MODEL
from tests.science.data import CANCER, DIABETES, WINE, Split, fitted, forest
from tests.support.terminal import Terminal

# For the PermutationExplainer, which predicts some hundred thousand rows even of these.
FEW = Split(CANCER.train[:40], CANCER.test[:10], CANCER.train_truth[:40], CANCER.truth[:10])
FEW_WINE = Split(WINE.train[:40], WINE.test[:10], WINE.train_truth[:40], WINE.truth[:10])
FEW_DIABETES = Split(DIABETES.train[:40], DIABETES.test[:10], DIABETES.train_truth[:40], DIABETES.truth[:10])


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Of so few rows threads do nothing but wait for each other, at every prediction."""
    with threadpool_limits(1):
        yield


def explained(model: Any, data: Split, **options: Any) -> Explanation:
    found = evaluate(model, (data.test, data.truth), train=(data.train, data.train_truth), folds=2, **options)
    assert found.explanation is not None, found.left_out
    return found.explanation


def test_values_of_a_forest_are_shaps_own() -> None:
    model = fitted(forest(), CANCER)
    found = explained(model, CANCER)
    explainer = shap.TreeExplainer(model)
    assert np.array_equal(found.shap_values[:, :, 0], explainer.shap_values(CANCER.test.to_numpy())[:, :, 1])
    assert np.array_equal(found.base_values[:, 0], np.full(len(CANCER.test), explainer.expected_value[1]))
    assert (found.unit, found.explainer, found.output_names) == ("probability", "TreeExplainer", ["1"])


def test_values_of_a_linear_model_are_shaps_own() -> None:
    model = fitted(LogisticRegression(max_iter=1000), CANCER)
    found = explained(model, CANCER)
    # The rows that stand for what is usual are drawn, and are as many as stated.
    places = np.sort(np.random.default_rng(0).choice(len(CANCER.train), 100, replace=False))
    masker = shap.maskers.Independent(CANCER.train.to_numpy()[places], max_samples=100)
    own = shap.LinearExplainer(model, masker).shap_values(CANCER.test.to_numpy())
    assert np.allclose(found.shap_values[:, :, 0], own, atol=1e-12)
    assert (found.unit, found.explainer) == ("log-odds", "LinearExplainer")


def test_values_of_any_model_are_shaps_own() -> None:
    model = fitted(GaussianNB(), FEW)
    found = explained(model, FEW)
    masker = shap.maskers.Independent(FEW.train.to_numpy(), max_samples=100)
    explainer = shap.PermutationExplainer(model.predict_proba, masker, seed=0)
    own = explainer(FEW.test.to_numpy(), max_evals=500, silent=True)[:, :, 1]
    assert np.allclose(found.shap_values[:, :, 0], own.values, rtol=0, atol=1e-12)
    assert np.allclose(found.base_values[:, 0], own.base_values, rtol=0, atol=1e-12)
    assert (found.unit, found.explainer) == ("probability", "PermutationExplainer")


@pytest.mark.parametrize(
    ("make", "data", "unit"),
    [
        (XGBClassifier, CANCER, "log-odds"),
        (lambda: XGBClassifier(n_estimators=600, max_depth=9), CANCER, "log-odds"),
        (lambda: make_pipeline(StandardScaler(), XGBClassifier(n_estimators=20)), CANCER, "log-odds"),
        (lambda: XGBClassifier(n_estimators=20, objective="binary:hinge"), CANCER, "margin"),
        (XGBClassifier, WINE, "margin"),
        (XGBRegressor, DIABETES, "value"),
    ],
    ids=["two classes", "many deep trees", "pipeline", "no odds", "three classes", "regression"],
)
def test_values_of_xgboosts_trees_are_shaps_own_and_of_all_rows(make: Any, data: Split, unit: str) -> None:
    model = fitted(make(), data)
    found = explained(model, data)
    assert (found.unit, found.explainer, found.left_out) == (unit, "TreeExplainer", 0)
    last, rows = (model[-1], model[:-1].transform(data.test)) if hasattr(model, "steps") else (model, data.test)
    own = shap.TreeExplainer(last)(np.asarray(rows, dtype=float), check_additivity=False)
    says = last.predict(np.asarray(rows, dtype=float), output_margin=True).reshape(len(rows), -1)
    assert np.array_equal(found.shap_values, np.asarray(own.values).reshape(found.shap_values.shape))
    assert np.array_equal(found.outputs, says)
    assert np.allclose(found.shap_values.sum(axis=1) + found.base_values, says, rtol=0, atol=1e-4 * np.abs(says).max())


@pytest.mark.parametrize("make", [forest, lambda: LogisticRegression(max_iter=1000), GaussianNB])
def test_rows_explained_some_at_a_time_have_the_values_that_they_have_together(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, found = fitted(make(), FEW), []
    for rows in (1000, 3):
        monkeypatch.setattr(explainers, "_ROWS_AT_ONCE", rows)
        found.append(explained(model, FEW))
    assert np.array_equal(found[0].shap_values, found[1].shap_values)
    assert np.array_equal(found[0].base_values, found[1].base_values)


EXPLAINS = """
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from runyard.evaluation import evaluate
data = load_wine(return_X_y=True)
assert evaluate(RandomForestClassifier(3, random_state=0).fit(*data), data).explanation
"""


def test_at_a_terminal_it_is_seen_how_far_it_is_and_elsewhere_nothing() -> None:
    command = [sys.executable, "-c", EXPLAINS]
    seen = Terminal(command, os.environ)
    assert seen.ends() == (0, "")
    assert "SHAP values: 100%" in seen.drawn
    assert "SHAP values" not in seen.left
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_values_of_trees_that_split_on_categories_are_those_of_the_model() -> None:
    # shap reads such trees as others: the category comes first in them, and its splits are no thresholds.
    rng = np.random.default_rng(0)
    features = np.column_stack([rng.normal(size=300), rng.integers(0, 6, 300), rng.normal(size=300)])
    truth = (np.isin(features[:, 1], [1, 4]) ^ (features[:, 2] > 1)).astype(int)
    model = HistGradientBoostingClassifier(max_iter=3, categorical_features=[1]).fit(features, truth)
    usual = features[:10]
    found = evaluate(model, (features[:2], truth[:2]), train=(usual, truth[:10]), folds=2).explanation
    assert found is not None
    assert (found.unit, found.explainer) == ("probability", "PermutationExplainer")
    # The definition: what a feature adds to those before it, the mean over all orders.
    orders = list(permutations(range(3)))
    for row, values in zip(features, found.shap_values[:, :, 0], strict=False):
        shares = np.zeros(3)
        for order in orders:
            known = usual.copy()
            for feature in order:
                before = model.predict_proba(known)[:, 1].mean()
                known[:, feature] = row[feature]
                shares[feature] += (model.predict_proba(known)[:, 1].mean() - before) / len(orders)
        assert np.allclose(values, shares, atol=1e-3)


MODELS = {
    "forest": (forest, WINE, "probability", "TreeExplainer"),
    "boosted": (lambda: GradientBoostingClassifier(n_estimators=5), CANCER, "log-odds", "TreeExplainer"),
    "more classes": (
        lambda: GradientBoostingClassifier(n_estimators=2),
        FEW_WINE,
        "probability",
        "PermutationExplainer",
    ),
    "histogram": (lambda: HistGradientBoostingClassifier(max_iter=5), WINE, "decision", "TreeExplainer"),
    "logistic": (lambda: LogisticRegression(max_iter=1000), WINE, "decision", "LinearExplainer"),
    "bayes": (GaussianNB, FEW, "probability", "PermutationExplainer"),
    "linear svc": (lambda: make_pipeline(StandardScaler(), LinearSVC()), CANCER, "decision", "LinearExplainer"),
    "pairs": (
        lambda: make_pipeline(StandardScaler(), SVC(kernel="linear")),
        FEW_WINE,
        "decision",
        "PermutationExplainer",
    ),
    "regression forest": (lambda: RandomForestRegressor(5, random_state=0), DIABETES, "value", "TreeExplainer"),
    "regression": (LinearRegression, DIABETES, "value", "LinearExplainer"),
    "regression with a link": (lambda: PoissonRegressor(max_iter=500), FEW_DIABETES, "value", "PermutationExplainer"),
    "pipeline of one step": (lambda: make_pipeline(forest()), CANCER, "probability", "TreeExplainer"),
    "pipeline in a pipeline": (
        lambda: make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), forest())),
        CANCER,
        "probability",
        "TreeExplainer",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_rows_values_and_the_base_sum_to_what_the_model_says(name: str) -> None:
    make, data, unit, explainer = MODELS[name]
    model = fitted(make(), data)
    found = explained(model, data)
    test = data.test.iloc[found.places]
    says = {
        "probability": lambda: model.predict_proba(test),
        "log-odds": lambda: model.decision_function(test),
        "decision": lambda: model.decision_function(test),
        "value": lambda: model.predict(test),
    }[unit]()
    wanted = np.asarray(says).reshape(len(test), -1)[:, -found.shap_values.shape[2] :]
    assert (found.unit, found.explainer) == (unit, explainer)
    assert np.allclose(found.shap_values.sum(axis=1) + found.base_values, wanted, atol=1e-8)
    assert np.allclose(found.outputs, wanted, atol=1e-12)


@pytest.mark.parametrize("make", [forest, lambda: LogisticRegression(max_iter=1000), GaussianNB, XGBClassifier])
def test_what_speaks_for_one_of_two_classes_speaks_against_the_other(make: Any) -> None:
    model = fitted(make(), FEW)
    one, other = explained(model, FEW, positive=1), explained(model, FEW, positive=0)
    assert np.allclose(one.shap_values, -other.shap_values, atol=1e-9)
    assert one.unit == other.unit


def test_a_pipeline_is_explained_on_the_columns_that_reach_its_last_step() -> None:
    table = pd.DataFrame({"colour": ["red", "white"] * 30, "acid": np.arange(60.0)}, index=range(100, 160))
    truth = pd.Series((table["acid"] > 30).astype(int), name="sour", index=table.index)
    encode = make_column_transformer((OneHotEncoder(), ["colour"]), remainder="passthrough")
    model = make_pipeline(encode, forest()).fit(table, truth)
    found = evaluate(model, (table, truth))
    assert found.explanation is not None
    assert found.explanation.features == ["onehotencoder__colour_red", "onehotencoder__colour_white", "remainder__acid"]
    assert found.explanation.summary()["feature"][0] == "remainder__acid"
    rows = found.tables["shap_rows"]
    assert rows.columns.tolist() == ["row", "true", "predicted", "colour", "acid"]
    assert rows["row"].tolist() == [str(name) for name in range(100, 160)]


def test_labels_may_be_words_and_features_an_array() -> None:
    words = np.array(["malignant", "benign"])
    model = forest().fit(CANCER.train.to_numpy(), words[CANCER.train_truth])
    found = evaluate(model, (CANCER.test.to_numpy(), words[CANCER.truth]), positive="benign")
    assert found.explanation is not None
    assert found.explanation.features == ["x0", "x1", "x2", "x3", "x4"]
    assert found.explanation.output_names == ["benign"]
    assert found.tables["confusion_matrix"].columns.tolist() == ["true", "benign", "malignant"]


class Spoken(RandomForestClassifier):  # type: ignore[misc]
    """A forest that reads one column of numbers from a table that has words as well."""

    def predict(self, features: Any) -> Any:
        return super().predict(features[["acid"]])

    def predict_proba(self, features: Any) -> Any:
        return super().predict_proba(features[["acid"]])


def of_words() -> Evaluation:
    table = pd.DataFrame({"acid": np.arange(20.0), "colour": ["red"] * 20})
    model = Spoken(3).fit(table[["acid"]], table["acid"] > 10)
    return evaluate(model, (table, table["acid"] > 10))


def of_votes() -> Evaluation:
    model = VotingClassifier([("forest", forest()), ("bayes", GaussianNB())], voting="hard")
    return evaluate(fitted(model, CANCER), (CANCER.test, CANCER.truth))


class Enough(GaussianNB):  # type: ignore[misc]
    """A model that tells of its test rows, and of no more."""

    def predict_proba(self, features: Any) -> Any:
        if len(features) > 40:
            raise RuntimeError("enough")
        return super().predict_proba(features)


def of_a_model_that_has_enough() -> Evaluation:
    return evaluate(fitted(Enough(), CANCER), (CANCER.test, CANCER.truth))


def of_very_many_columns() -> Evaluation:
    wide = Pipeline([("wide", FunctionTransformer(lambda rows: np.repeat(rows, 10_001, axis=1))), ("ridge", Ridge())])
    numbers = np.arange(12.0).reshape(-1, 1)
    return evaluate(wide.fit(numbers, numbers), (numbers, numbers))


def of_many_columns_of_no_known_kind() -> Evaluation:
    counts = np.random.default_rng(0).integers(0, 5, (12, 1_001))
    model = make_pipeline(FunctionTransformer(), MultinomialNB()).fit(counts, np.arange(12) > 5)
    return evaluate(model, (counts, np.arange(12) > 5))


@pytest.mark.parametrize(
    ("evaluated", "why"),
    [
        (of_words, "SHAP values need numbers, and a column is none .*: put the encoding into the model, as a Pipeline"),
        (of_votes, "the model has neither predict_proba nor a decision_function with a value for each class"),
        (of_a_model_that_has_enough, "shap does not explain this model: RuntimeError: enough"),
        (of_very_many_columns, "10,001 columns reach the step that predicts, and 10,000 are the most for SHAP values"),
        (of_many_columns_of_no_known_kind, "1,001 columns reach the step that predicts, and 1,000 are the most that"),
    ],
)
def test_what_shap_does_not_explain_is_left_out_and_the_metrics_are_not(evaluated: Any, why: str) -> None:
    found = evaluated()
    assert found.explanation is None
    assert "shap_importance" not in found.tables
    assert {"test_accuracy", "rmse"} & found.metrics.keys()
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(found.left_out["shap"])


def test_values_that_are_nearly_equal_are_not_taken_for_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of one feature there is one order, and its values are the same however often they are taken.
    monkeypatch.setattr(explainers, "_EVALUATIONS", 3)
    seconds = 1_700_000_000 + np.arange(40.0).reshape(-1, 1)
    seconds[17] = np.nan
    late = np.arange(40.0) > 20
    model = TransformedTargetRegressor(HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=5)).fit(seconds, late)
    found = evaluate(model, (seconds[16:25], late[16:25])).explanation
    assert found is not None
    assert found.explainer == "PermutationExplainer"
    says = model.predict(seconds[16:25])
    assert says.max() - says.min() > 0.1
    assert np.allclose(found.base_values[:, 0], says.mean(), atol=1e-9)
    assert np.allclose(found.shap_values[:, 0, 0], says - says.mean(), atol=1e-9)


def test_any_model_of_many_columns_is_explained() -> None:
    features, truth = make_classification(60, 300, n_informative=5, random_state=0)
    model = GaussianNB(var_smoothing=1).fit(features, truth)
    found = evaluate(model, (features[:2], truth[:2]), train=(features[:8], truth[:8]), folds=2).explanation
    assert found is not None
    says = model.predict_proba(features[:2])[:, 1:]
    assert np.allclose(found.shap_values.sum(axis=1) + found.base_values, says, atol=1e-8)


def test_what_is_drawn_after_an_evaluation_is_what_would_have_been_drawn_without(tmp_path: Path) -> None:
    pictures = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002 what a training script may do
        found = evaluate(fitted(GaussianNB(), FEW), (FEW.test[:3], FEW.truth[:3]))
        assert found.explanation is not None
        figures.of_explanation(found.explanation).savefig(tmp_path / "shap.png")
        pictures.append((tmp_path / "shap.png").read_bytes())
        after = np.random.random()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        assert after == np.random.random()  # noqa: NPY002
    assert pictures[0] == pictures[1]


def test_rows_are_fewer_where_trees_are_many_and_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fitted(forest(), CANCER)
    trees = [tree.tree_ for tree in model.estimators_]
    work = sum(((tree.compute_node_depths()[tree.children_left < 0] - 1) ** 2).sum() for tree in trees)
    monkeypatch.setattr(explainers, "_MOST_WORK_IN_TREES", work * 15)
    found = explained(model, CANCER)
    assert len(found.rows) == 15
    assert found.left_out == len(CANCER.test) - 15
    monkeypatch.setattr(explainers, "_MOST_WORK_IN_TREES", work * 9)
    none = evaluate(model, (CANCER.test, CANCER.truth))
    assert none.explanation is None
    assert none.left_out["shap"].startswith(
        "the trees have so many leaves, so deep, that SHAP values of ten rows would"
    )


def test_rows_are_fewer_where_columns_are_many() -> None:
    features = np.random.default_rng(0).normal(size=(500, 5_000))
    found = evaluate(Ridge(solver="lsqr").fit(features[:20], features[:20, 0]), (features, features[:, 0])).explanation
    assert found is not None
    assert found.shap_values.shape == (400, 5_000, 1)


# What docs/evaluation.md states.
MOST_GROWTH_BYTES = 100 * 1024 * 1024


def test_of_a_hundred_times_the_rows_an_explanation_takes_hardly_more_memory() -> None:
    command = [sys.executable, "-m", "tests.science.explained", "1000", "100000"]
    # A thread for each core has memory of its own, and a spare one of the allocator's.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    few, many = json.loads(done.stdout)
    shapes = {
        "TreeExplainer": [MOST_ROWS, 30, 1],
        "LinearExplainer": [MOST_ROWS, 30, 1],
        "PermutationExplainer": [MOST_ROWS_OF_ANY_MODEL, 30, 1],
    }
    assert few["explained"] == many["explained"] == shapes
    # SHAP values of all rows alone would be as much as the rows, and that for each class, and more to make.
    assert many["peak"] - few["peak"] < many["data"] - few["data"] + MOST_GROWTH_BYTES
    stated = f"less than {MOST_GROWTH_BYTES // 1024**2} MiB more"
    assert stated in (root / "docs" / "evaluation.md").read_text()


def test_the_first_of_many_classes_are_drawn(tmp_path: Path) -> None:
    features, truth = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 8
    found = evaluate(RandomForestClassifier(1, max_depth=3, random_state=0).fit(features, truth), (features, truth))
    assert found.explanation is not None
    assert found.explanation.shap_values.shape == (40, 2, 8)
    found.save(tmp_path)
    height, width, _ = plt.imread(tmp_path / "shap.png").shape
    assert (width, height) == (6 * 900, 230)


def test_the_file_gives_back_what_was_explained() -> None:
    found = explained(fitted(forest(), CANCER), CANCER)
    again = Explanation.from_bytes(found.to_bytes())
    for name in ("shap_values", "base_values", "outputs", "data"):
        assert np.array_equal(getattr(again, name), getattr(found, name))
    assert (again.features, again.rows, again.places) == (found.features, found.rows, found.places)
    assert (again.unit, again.explainer, again.output_names) == (found.unit, found.explainer, found.output_names)


def content(**changes: Any) -> bytes:
    """Return a file of one row, one feature and one output, something of it changed; None leaves it away."""
    words = {"features": ["a"], "outputs": ["b"], "rows": ["c"], "places": [0], "unit": "value"}
    about = {"format": 1, **words, "explainer": "d", "left_out": 0, "shap": "0", **changes.pop("about", {})}
    about = {name: value for name, value in about.items() if value is not None}
    arrays = {
        "shap_values": np.zeros((1, 1, 1)),
        **dict.fromkeys(("base_values", "outputs", "data"), np.zeros((1, 1))),
        "about": np.frombuffer(json.dumps(about).encode(), dtype=np.uint8),
        **changes,
    }
    file = io.BytesIO()
    np.savez_compressed(file, **{name: array for name, array in arrays.items() if array is not None})
    return file.getvalue()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def of_members(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(f"{name}.npy", member)
    return file.getvalue()


def asking_for_more_memory_than_there_is() -> bytes:
    header = npy(np.zeros((1, 1, 1))).replace(b"(1, 1, 1), }          ", b"(1, 99999999, 99999), }")
    rest = {"base_values": npy([[0.0]]), "outputs": npy([[0.0]]), "data": npy([[0.0]]), "about": npy([0])}
    return of_members(shap_values=header, **rest)


NO_FILES = {
    "nothing": (b"", "File is not a zip file"),
    "text": (b"no archive", "File is not a zip file"),
    "cut off": (content()[:-30], "File is not a zip file"),
    "an array": (npy([1.0]), "File is not a zip file"),
    "corrupt": (content()[:60] + b"\xff" * 30 + content()[90:], ""),
    "an array is missing": (content(data=None), "it holds about.npy, base_values.npy, outputs.npy, shap_values.npy"),
    "an array too many": (content(more=np.zeros(1)), "it holds about.npy, base_values.npy, data.npy, more.npy"),
    "a pickle": (content(data=np.array([[{}]])), "Object arrays cannot be loaded"),
    "words for numbers": (content(data=np.array([["a"]])), "data are <U1 and not float64"),
    "an empty archive": (of_members(), "it holds nothing"),
    "another shape": (content(data=np.zeros((2, 1))), r"data has the shape \(2, 1\), and its words say \(1, 1\)"),
    "a place too many": (content(about={"places": [0, 1]}), "it has 2 places for 1 rows"),
    "a key is missing": (content(about={"unit": None}), "about: unit: Field required"),
    "a key is another thing": (content(about={"rows": "c"}), "about: rows: Input should be a valid array"),
    "no format": (content(about={"format": None}), "about: format: Field required"),
    "too much": (content(data=np.zeros((1, 13_000_000))), "unpacked it has 104,00.* bytes, and 100,000,000 are"),
    "more than memory": (asking_for_more_memory_than_there_is(), ""),
}


@pytest.mark.parametrize("name", NO_FILES)
def test_a_file_that_is_none_is_refused(name: str) -> None:
    given, why = NO_FILES[name]
    with pytest.raises(EvaluationImpossible, match=f"this is no file of SHAP values as Runyard writes them: .*{why}"):
        Explanation.from_bytes(given)


def test_a_file_of_another_version_is_refused_with_the_remedy() -> None:
    assert Explanation.from_bytes(content()).features == ["a"]
    with pytest.raises(
        EvaluationImpossible, match="has format 2, and this version of Runyard reads 1: use a newer one"
    ):
        Explanation.from_bytes(content(about={"format": 2, "unit": None}))


@pytest.mark.parametrize("header", ["((((", "{[1]: 2}", "{'descr': '<f8', 'fortran_order': False, 'shape': (2**70,)}"])
def test_whatever_a_header_says_it_is_told_that_this_is_no_such_file(header: str) -> None:
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("shap_values", "base_values", "outputs", "data", "about"):
            archive.writestr(f"{name}.npy", array)
    with pytest.raises(EvaluationImpossible, match="this is no file of SHAP values"):
        Explanation.from_bytes(file.getvalue())


def test_names_that_would_fill_the_memory_are_refused() -> None:
    file = io.BytesIO()
    words = np.frombuffer(json.dumps({"rows": ["1234567"] * 1_000_000}).encode(), dtype=np.uint8)
    none = np.zeros((0, 0))
    np.savez_compressed(file, about=words, shap_values=none, base_values=none, outputs=none, data=none)
    with pytest.raises(EvaluationImpossible, match=r"its words have 11,000,\d+ bytes, and 8,000,000 are the most"):
        Explanation.from_bytes(file.getvalue())
