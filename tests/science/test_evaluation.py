"""An evaluation against what scikit-learn, fairlearn and shap say when they are asked plainly."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import fairlearn.metrics
import mlflow
import numpy as np
import pandas as pd
import pytest
import shap
from sklearn import metrics
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine, make_classification
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from runyard import evaluation
from runyard.errors import EvaluationImpossible
from runyard.evaluation import Evaluation, Explanation, evaluate
from runyard.evaluation.curves import MOST_POINTS
from runyard.evaluation.explanation import MOST_ROWS

Split = tuple[pd.DataFrame, pd.DataFrame, pd.Series, pd.Series]


def split(load: Any) -> Split:
    features, truth = load(return_X_y=True, as_frame=True)
    stratify = None if load is load_diabetes else truth
    train, test, train_truth, test_truth = train_test_split(features, truth, random_state=0, stratify=stratify)
    return train, test, train_truth, test_truth


@pytest.fixture(scope="module")
def cancer() -> Split:
    return split(load_breast_cancer)


@pytest.fixture(scope="module")
def wine() -> Split:
    return split(load_wine)


@pytest.fixture(scope="module")
def diabetes() -> Split:
    return split(load_diabetes)


def fitted(model: Any, data: Split) -> Any:
    return model.fit(data[0], data[2])


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(20, random_state=0)


def test_two_classes_have_the_metrics_that_scikit_learn_gives(cancer: Split) -> None:
    train, test, train_truth, truth = cancer
    model = fitted(forest(), cancer)
    found = evaluate(model, (test, truth), train=(train, train_truth), shap=False).metrics
    predicted, probability = model.predict(test), model.predict_proba(test)
    folds = cross_val_score(
        forest(), train, train_truth, cv=StratifiedKFold(5, shuffle=True, random_state=0), scoring="accuracy"
    )
    assert found == {
        "test_accuracy": metrics.accuracy_score(truth, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
        "precision": metrics.precision_score(truth, predicted),
        "recall": metrics.recall_score(truth, predicted),
        "f1_score": metrics.f1_score(truth, predicted),
        "roc_auc": metrics.roc_auc_score(truth, probability[:, 1]),
        "average_precision": metrics.average_precision_score(truth, probability[:, 1]),
        "log_loss": metrics.log_loss(truth, probability),
        "cv_accuracy_mean": folds.mean(),
        "cv_accuracy_std": folds.std(),
    }


def test_the_other_class_can_be_the_positive_one(cancer: Split) -> None:
    _, test, _, truth = cancer
    model = fitted(forest(), cancer)
    found = evaluate(model, (test, truth), positive=0, shap=False)
    assert found.positive == "0"
    assert found.metrics["recall"] == metrics.recall_score(truth, model.predict(test), pos_label=0)
    assert found.metrics["roc_auc"] == metrics.roc_auc_score(truth == 0, model.predict_proba(test)[:, 0])


def test_more_classes_have_means_over_the_classes(wine: Split) -> None:
    _, test, _, truth = wine
    model = fitted(forest(), wine)
    found = evaluate(model, (test, truth), shap=False).metrics
    predicted, probability = model.predict(test), model.predict_proba(test)
    assert found["f1_score"] == metrics.f1_score(truth, predicted, average="macro")
    assert found["recall"] == metrics.recall_score(truth, predicted, average="macro")
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, probability, multi_class="ovr"), abs=1e-12)
    assert found["log_loss"] == metrics.log_loss(truth, probability)


def test_a_regressor_has_its_own_metrics(diabetes: Split) -> None:
    train, test, train_truth, truth = diabetes
    model = fitted(LinearRegression(), diabetes)
    found = evaluate(model, (test, truth), train=(train, train_truth), shap=False)
    predicted = model.predict(test)
    assert found.metrics["test_r2"] == metrics.r2_score(truth, predicted)
    assert found.metrics["rmse"] == metrics.root_mean_squared_error(truth, predicted)
    assert found.metrics["mae"] == metrics.mean_absolute_error(truth, predicted)
    assert {"cv_r2_mean", "cv_r2_std", "median_absolute_error", "max_error"} <= found.metrics.keys()
    residuals = found.tables["residuals"]
    assert np.allclose(np.sqrt((residuals["residual"] ** 2).mean()), found.metrics["rmse"])


def test_a_model_that_only_decides_has_curves_but_no_probabilities(cancer: Split) -> None:
    _, test, _, truth = cancer
    model = fitted(make_pipeline(StandardScaler(), LinearSVC()), cancer)
    found = evaluate(model, (test, truth), shap=False)
    assert found.metrics["roc_auc"] == metrics.roc_auc_score(truth, model.decision_function(test))
    assert found.left_out == {"log_loss": "the model has no predict_proba"}
    assert "calibration" not in found.tables


def test_what_has_no_value_is_left_out_with_the_reason(cancer: Split) -> None:
    _, test, _, truth = cancer
    ones = truth == 1
    found = evaluate(fitted(forest(), cancer), (test[ones], truth[ones]), shap=False)
    assert found.left_out == {"roc_auc": "all rows of test are of class 1"}
    assert "roc_auc" not in found.metrics
    assert "roc_curve" not in found.tables


def test_labels_may_be_words_and_features_an_array(cancer: Split) -> None:
    train, test, train_truth, truth = cancer
    words = np.where(train_truth == 1, "benign", "malignant")
    model = forest().fit(train.to_numpy(), words)
    found = evaluate(model, (test.to_numpy(), np.where(truth == 1, "benign", "malignant")), positive="benign")
    assert found.metrics["recall"] > 0.9
    assert found.tables["confusion_matrix"].columns.tolist() == ["true", "benign", "malignant"]
    assert found.explanation is not None
    assert found.explanation.features[:2] == ["x0", "x1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"test": ([[1.0]] * 3, [0, 1])}, "test has 3 rows of features and 2 true values"),
        ({"test": (np.empty((0, 30)), [])}, "test has no rows"),
        ({"positive": 7}, r"positive is 7, which is none of the model's classes \[0, 1\]"),
        ({"folds": 1}, "folds is 1, and train has enough for 159 folds of a row of each class each: give 2 to 159"),
        ({"folds": 500}, "folds is 500, and train has enough for 159 folds"),
        ({"groups": {"sex": ["f"]}}, r"groups\['sex'\] has 1 rows and test 143: give one group for each row"),
        ({"groups": {"id": range(143)}}, r"groups\['id'\] has 143 groups, and 50 are the most: put values into ranges"),
        ({"model": StandardScaler()}, "the model, a StandardScaler, is neither a classifier nor a regressor"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_the_remedy(
    cancer: Split, arguments: dict[str, Any], said: str
) -> None:
    train, test, train_truth, truth = cancer
    given = {"model": fitted(forest(), cancer), "test": (test, truth), "train": (train, train_truth), "shap": False}
    with pytest.raises(EvaluationImpossible, match=said):
        evaluate(**{**given, **arguments})


def test_positive_is_refused_where_there_are_not_two_classes(wine: Split, diabetes: Split) -> None:
    with pytest.raises(EvaluationImpossible, match="positive is for two classes, and the model has 3: leave it out"):
        evaluate(fitted(forest(), wine), (wine[1], wine[3]), positive=1)
    with pytest.raises(EvaluationImpossible, match="positive is for classifiers, and the model is a regressor"):
        evaluate(fitted(LinearRegression(), diabetes), (diabetes[1], diabetes[3]), positive=1)


def test_curves_are_those_of_scikit_learn(cancer: Split) -> None:
    _, test, _, truth = cancer
    model = fitted(forest(), cancer)
    tables = evaluate(model, (test, truth), shap=False).tables
    probability = model.predict_proba(test)[:, 1]
    false_positive, true_positive, threshold = metrics.roc_curve(truth, probability)
    expected = {"class": 1, "false_positive_rate": false_positive, "true_positive_rate": true_positive}
    pd.testing.assert_frame_equal(tables["roc_curve"], pd.DataFrame({**expected, "threshold": threshold}))
    counts = tables["confusion_matrix"].drop(columns="true").to_numpy()
    assert (counts == metrics.confusion_matrix(truth, model.predict(test))).all()


def test_a_long_curve_is_thinned_and_keeps_its_ends_and_its_area() -> None:
    features, truth = make_classification(20_000, 5, n_informative=2, n_redundant=0, flip_y=0.3, random_state=0)
    model = GaussianNB().fit(features, truth)
    found = evaluate(model, (features, truth), shap=False)
    curve = found.tables["roc_curve"]
    assert len(curve) == MOST_POINTS
    assert curve.iloc[0, 1:3].tolist() == [0, 0]
    assert curve.iloc[-1, 1:3].tolist() == [1, 1]
    area = metrics.auc(curve["false_positive_rate"], curve["true_positive_rate"])
    assert area == pytest.approx(found.metrics["roc_auc"], abs=1e-3)


def test_groups_are_compared_as_fairlearn_compares_them(cancer: Split) -> None:
    _, test, _, truth = cancer
    model = fitted(forest(), cancer)
    groups = pd.Series(np.where(test["mean radius"] > 14, "large", "small"))
    found = evaluate(model, (test, truth), groups={"size": groups}, shap=False)
    predicted = model.predict(test)
    parity = fairlearn.metrics.demographic_parity_difference(truth, predicted, sensitive_features=groups)
    odds = fairlearn.metrics.equalized_odds_difference(truth, predicted, sensitive_features=groups)
    assert found.metrics["fairness.size.demographic_parity_difference"] == pytest.approx(parity, abs=1e-12)
    assert found.metrics["fairness.size.equalized_odds_difference"] == pytest.approx(odds, abs=1e-12)
    table = found.tables["fairness_size"].set_index("group")
    large = (groups == "large").to_numpy()
    assert table.loc["large", "count"] == large.sum()
    assert table.loc["large", "accuracy"] == metrics.accuracy_score(truth[large], predicted[large])


def test_a_rate_that_is_not_defined_is_no_gap_and_an_unknown_group_is_one(cancer: Split) -> None:
    _, test, _, truth = cancer
    groups = pd.Series(["ill" if disease else None for disease in truth == 0])
    found = evaluate(fitted(forest(), cancer), (test, truth), groups={"g": groups}, shap=False)
    table = found.tables["fairness_g"].set_index("group")
    assert sorted(table.index) == ["ill", "unknown"]
    assert np.isnan(table.loc["ill", "true_positive_rate"])
    assert np.isnan(table.loc["unknown", "false_positive_rate"])
    assert found.metrics.get("fairness.g.equalized_odds_difference", 0) == 0


def explained(model: Any, data: Split, **options: Any) -> tuple[Explanation, Evaluation]:
    found = evaluate(model, (data[1], data[3]), train=(data[0], data[2]), **options)
    assert found.explanation is not None
    return found.explanation, found


def test_shap_values_of_a_forest_are_shaps_own(cancer: Split) -> None:
    model = fitted(forest(), cancer)
    found, _ = explained(model, cancer)
    explainer = shap.TreeExplainer(model)
    assert np.array_equal(found.shap_values[:, :, 0], explainer.shap_values(cancer[1].to_numpy())[:, :, 1])
    assert np.array_equal(found.base_values[:, 0], np.full(len(cancer[1]), explainer.expected_value[1]))
    assert (found.unit, found.explainer, found.output_names) == ("probability", "TreeExplainer", ["1"])


def test_shap_values_of_a_linear_model_are_shaps_own(cancer: Split) -> None:
    model = fitted(LogisticRegression(max_iter=5000), cancer)
    found, _ = explained(model, cancer)
    # The rows that stand for what is usual are drawn, and are as many as stated.
    places = np.sort(np.random.default_rng(0).choice(len(cancer[0]), 100, replace=False))
    masker = shap.maskers.Independent(cancer[0].to_numpy()[places], max_samples=100)
    own = shap.LinearExplainer(model, masker).shap_values(cancer[1].to_numpy())
    assert np.allclose(found.shap_values[:, :, 0], own, atol=1e-12)
    assert (found.unit, found.explainer) == ("log-odds", "LinearExplainer")


MODELS = {
    "forest": (forest, "wine", "probability"),
    "boosted": (lambda: GradientBoostingClassifier(n_estimators=5), "cancer", "log-odds"),
    "histogram": (lambda: HistGradientBoostingClassifier(max_iter=5), "wine", "decision"),
    "logistic": (lambda: LogisticRegression(max_iter=200), "wine", "decision"),
    "bayes": (GaussianNB, "cancer", "probability"),
    "svc": (lambda: make_pipeline(StandardScaler(), LinearSVC()), "cancer", "decision"),
    "regression forest": (lambda: RandomForestRegressor(10, random_state=0), "diabetes", "value"),
    "regression": (LinearRegression, "diabetes", "value"),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_rows_values_and_the_base_sum_to_what_the_model_says(name: str, request: pytest.FixtureRequest) -> None:
    make, data_name, unit = MODELS[name]
    data: Split = request.getfixturevalue(data_name)
    model = fitted(make(), data)
    found, _ = explained(model, data)
    test = data[1].iloc[found.places]
    says = {
        "probability": lambda: model.predict_proba(test),
        "log-odds": lambda: model.decision_function(test),
        "decision": lambda: model.decision_function(test),
        "value": lambda: model.predict(test),
    }[unit]()
    wanted = np.asarray(says).reshape(len(test), -1)[:, -found.shap_values.shape[2] :]
    assert found.unit == unit
    assert np.allclose(found.shap_values.sum(axis=1) + found.base_values, wanted, atol=1e-8)
    assert np.allclose(found.outputs, wanted, atol=1e-12)


@pytest.mark.parametrize("make", [forest, lambda: LogisticRegression(max_iter=5000), GaussianNB])
def test_what_speaks_for_one_of_two_classes_speaks_against_the_other(cancer: Split, make: Any) -> None:
    model = fitted(make(), cancer)
    one, _ = explained(model, cancer, positive=1)
    other, _ = explained(model, cancer, positive=0)
    assert np.allclose(one.shap_values, -other.shap_values, atol=1e-9)
    assert one.unit == other.unit


def test_a_pipeline_is_explained_on_the_columns_that_reach_its_last_step() -> None:
    table = pd.DataFrame({"colour": ["red", "white"] * 30, "acid": np.arange(60.0)}, index=range(100, 160))
    truth = pd.Series((table["acid"] > 30).astype(int), name="sour")
    encode = make_column_transformer((OneHotEncoder(), ["colour"]), remainder="passthrough")
    model = make_pipeline(encode, forest()).fit(table, truth)
    found = evaluate(model, (table, truth))
    assert found.explanation is not None
    assert found.explanation.features == ["onehotencoder__colour_red", "onehotencoder__colour_white", "remainder__acid"]
    assert found.explanation.summary()["feature"][0] == "remainder__acid"
    rows = found.tables["shap_rows"]
    assert rows.columns.tolist() == ["row", "true", "predicted", "colour", "acid"]
    assert rows["row"].tolist() == [str(name) for name in range(100, 160)]


def test_words_that_no_pipeline_encodes_are_refused_with_the_remedy() -> None:
    class Encoding(RandomForestClassifier):  # type: ignore[misc]
        def predict(self, features: Any) -> Any:
            return super().predict(features[["acid"]])

        def predict_proba(self, features: Any) -> Any:
            return super().predict_proba(features[["acid"]])

    table = pd.DataFrame({"acid": np.arange(20.0), "colour": ["red"] * 20})
    model = Encoding(3).fit(table[["acid"]], table["acid"] > 10)
    with pytest.raises(
        EvaluationImpossible, match=r"SHAP values need numbers, .*: put the encoding into the model, as"
    ):
        evaluate(model, (table, table["acid"] > 10))


def test_memory_is_bounded_whatever_the_number_of_rows() -> None:
    features, truth = make_classification(100_000, 30, n_informative=10, random_state=0)
    model = RandomForestClassifier(20, max_depth=8, random_state=0).fit(features[:2_000], truth[:2_000])
    tracemalloc.start()
    try:
        found = evaluate(model, (features, truth), train=(features[:2_000], truth[:2_000]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.explanation is not None
    assert found.explanation.shap_values.shape == (MOST_ROWS, 30, 1)
    assert found.explanation.left_out == 99_000
    assert len(found.explanation.to_bytes()) < 2_000_000
    # The features alone take 24 MB; SHAP values of all rows would take as much again for each class, and more to make.
    assert peak < 120_000_000


def test_the_file_gives_back_what_was_explained(cancer: Split) -> None:
    found, _ = explained(fitted(forest(), cancer), cancer)
    again = Explanation.from_bytes(found.to_bytes())
    for name in ("shap_values", "base_values", "outputs", "data"):
        assert np.array_equal(getattr(again, name), getattr(found, name))
    assert (again.features, again.rows, again.places) == (found.features, found.rows, found.places)
    assert (again.unit, again.explainer, again.output_names) == (found.unit, found.explainer, found.output_names)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_a_file_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(EvaluationImpossible, match="this is no file of SHAP values as Runyard writes them"):
        Explanation.from_bytes(content)


def test_one_call_writes_everything_to_the_run(store: mlflow.MlflowClient, cancer: Split, tmp_path: Path) -> None:
    train, test, train_truth, truth = cancer
    model = fitted(forest(), cancer)
    groups = {"size": pd.Series(np.where(test["mean radius"] > 14, "large", "small"))}
    with mlflow.start_run() as active:
        found = evaluation.log(model, (test, truth), train=(train, train_truth), groups=groups)
    run = store.get_run(active.info.run_id)
    assert run.data.metrics == pytest.approx(found.metrics, abs=1e-15)
    files = Path(store.download_artifacts(run.info.run_id, "evaluation", str(tmp_path)))
    assert {file.name for file in files.iterdir()} == {
        *(f"{name}.csv" for name in found.tables),
        *("confusion_matrix.png", "roc_curve.png", "pr_curve.png", "calibration.png"),
        *("feature_importance.png", "permutation_importance.png", "fairness_size.png"),
        *("shap.npz", "shap.png", "evaluation.json"),
    }
    about = json.loads((files / "evaluation.json").read_text())
    assert (about["task"], about["rows"], about["positive"]) == ("binary", len(test), "1")
    assert about["metrics"] == found.metrics
    assert Explanation.from_bytes((files / "shap.npz").read_bytes()).rows == [str(name) for name in test.index]
    pd.testing.assert_frame_equal(pd.read_csv(files / "roc_curve.csv"), found.tables["roc_curve"])
