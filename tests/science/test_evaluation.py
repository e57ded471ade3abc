"""An evaluation against what scikit-learn and fairlearn say when they are asked plainly."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fairlearn.metrics
import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.base import BaseEstimator
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from runyard import evaluation
from runyard.errors import EvaluationImpossible
from runyard.evaluation import Explanation, evaluate
from runyard.evaluation.curves import MOST_POINTS
from tests.science.data import CANCER, DIABETES, WINE, Split, fitted, forest


def test_two_classes_have_the_metrics_that_scikit_learn_gives() -> None:
    train, test, train_truth, truth = CANCER
    model = fitted(forest(), CANCER)
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


def test_the_other_class_can_be_the_positive_one() -> None:
    _, test, _, truth = CANCER
    model = fitted(forest(), CANCER)
    found = evaluate(model, (test, truth), positive=0, shap=False)
    assert found.positive == "0"
    assert found.metrics["recall"] == metrics.recall_score(truth, model.predict(test), pos_label=0)
    assert found.metrics["roc_auc"] == metrics.roc_auc_score(truth == 0, model.predict_proba(test)[:, 0])


def test_more_classes_have_means_over_the_classes() -> None:
    _, test, _, truth = WINE
    model = fitted(forest(), WINE)
    found = evaluate(model, (test, truth), shap=False).metrics
    predicted, probability = model.predict(test), model.predict_proba(test)
    assert found["f1_score"] == metrics.f1_score(truth, predicted, average="macro")
    assert found["recall"] == metrics.recall_score(truth, predicted, average="macro")
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, probability, multi_class="ovr"), abs=1e-12)
    assert found["log_loss"] == metrics.log_loss(truth, probability)


def test_a_regressor_has_its_own_metrics() -> None:
    train, test, train_truth, truth = DIABETES
    model = fitted(LinearRegression(), DIABETES)
    found = evaluate(model, (test, truth), train=(train, train_truth), shap=False)
    predicted = model.predict(test)
    assert found.metrics["test_r2"] == metrics.r2_score(truth, predicted)
    assert found.metrics["rmse"] == metrics.root_mean_squared_error(truth, predicted)
    assert found.metrics["mae"] == metrics.mean_absolute_error(truth, predicted)
    assert {"cv_r2_mean", "cv_r2_std", "median_absolute_error", "max_error"} <= found.metrics.keys()
    residuals = found.tables["residuals"]
    assert np.allclose(np.sqrt((residuals["residual"] ** 2).mean()), found.metrics["rmse"])


def test_a_model_that_only_decides_has_curves_but_no_probabilities() -> None:
    _, test, _, truth = CANCER
    model = fitted(make_pipeline(StandardScaler(), LinearSVC()), CANCER)
    found = evaluate(model, (test, truth), shap=False)
    assert found.metrics["roc_auc"] == metrics.roc_auc_score(truth, model.decision_function(test))
    assert found.left_out == {"log_loss": "the model has no predict_proba"}
    assert "calibration" not in found.tables


def test_a_class_that_test_does_not_have_has_no_recall_even_where_it_is_predicted() -> None:
    model = DecisionTreeClassifier().fit([[0], [1], [2]], ["a", "b", "c"])
    truth = np.array(["a", "a", "b", "b"])
    found = evaluate(model, ([[0], [2], [1], [1]], truth), shap=False)
    recalls = metrics.recall_score(truth, ["a", "c", "b", "b"], labels=["a", "b"], average=None)
    assert found.metrics["balanced_accuracy"] == recalls.mean() == 0.75


def test_what_is_a_share_of_nothing_is_left_out_with_the_reason() -> None:
    model = DecisionTreeClassifier().fit([[0], [1], [2]], ["a", "b", "c"])
    found = evaluate(model, ([[0], [0], [0]], ["a", "a", "b"]), shap=False)
    assert found.metrics.keys() == {"test_accuracy", "balanced_accuracy", "log_loss"}
    assert found.left_out == {
        "precision": "no row of test was predicted to be of class b, c",
        "recall": "test has no row of class c",
        "f1_score": "no row of test is, or was predicted to be, of class c",
        "roc_auc": "test has no row of class c",
        "average_precision": "test has no row of class c",
    }
    two = DecisionTreeClassifier().fit([[0], [1]], [0, 1])
    never = evaluate(two, ([[0], [0]], [0, 0]), shap=False).left_out
    assert never.keys() == {"precision", "recall", "f1_score", "roc_auc", "average_precision"}
    assert never["roc_auc"] == "all rows of test are of class 0"
    missed = evaluate(two, ([[0], [0]], [0, 1]), shap=False)
    assert (missed.metrics["recall"], missed.metrics["f1_score"]) == (0, 0)
    assert missed.left_out == {"precision": "no row of test was predicted to be of class 1"}


def test_r2_of_values_that_are_all_the_same_is_left_out() -> None:
    train, test, train_truth, truth = DIABETES
    model = fitted(LinearRegression(), DIABETES)
    found = evaluate(model, (test, truth * 0 + 5), train=(train, train_truth * 0), shap=False)
    assert found.metrics.keys() == {"rmse", "mae", "median_absolute_error", "max_error"}
    assert found.left_out.keys() == {"test_r2", "permutation_importance", "cross_validation"}
    assert all("R² is a share of their variance" in reason for reason in found.left_out.values())
    assert "permutation_importance" not in found.tables


def test_a_decision_between_pairs_of_classes_is_no_score_of_a_class() -> None:
    # Three classes have as many pairs.
    model = fitted(SVC(decision_function_shape="ovo"), WINE)
    found = evaluate(model, (WINE.test, WINE.truth))
    assert "roc_curve" not in found.tables
    assert found.explanation is None
    reason = "the model has neither predict_proba nor a decision_function with a value for each class"
    assert {found.left_out[name] for name in ("roc_auc", "average_precision", "shap")} == {reason}


def test_a_model_that_cannot_be_trained_again_keeps_its_other_values() -> None:
    class Once(GaussianNB):  # type: ignore[misc]
        def fit(self, features: Any, truth: Any) -> Any:
            if len(truth) < 120:
                raise ValueError("not again")
            return super().fit(features, truth)

    train, test, train_truth, truth = CANCER
    found = evaluate(fitted(Once(), CANCER), (test, truth), train=(train, train_truth), shap=False)
    assert found.left_out == {"cross_validation": "the model cannot be trained on folds of train (not again)"}
    assert found.metrics["test_accuracy"] > 0.5


SAME: dict[str, Callable[[Split], tuple[Any, Any]]] = {
    "arrays": lambda data: (data.test.to_numpy(), data.truth.to_numpy()),
    "a table of one target": lambda data: (data.test, data.truth.to_frame()),
    "truths": lambda data: (data.test, data.truth == 1),
    "categories, one of them never used": lambda data: (
        data.test,
        data.truth.astype(pd.CategoricalDtype([2, 1, 0])),
    ),
}


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("form", SAME)
def test_the_same_rows_in_another_form_are_judged_the_same(form: str) -> None:
    train, test, train_truth, truth = CANCER
    model = fitted(GaussianNB(), CANCER)
    expected = evaluate(model, (test, truth), train=(train, train_truth), shap=False)
    another = SAME[form](Split(test, test, truth, truth))
    learned = SAME[form](Split(train, train, train_truth, train_truth))
    if form == "arrays":
        model = GaussianNB().fit(train.to_numpy(), train_truth)
    found = evaluate(model, another, train=learned, shap=False)
    assert found.metrics == expected.metrics
    assert found.tables["confusion_matrix"].equals(expected.tables["confusion_matrix"])


def test_a_regressor_fitted_on_a_table_of_one_target_is_judged_as_one_of_a_series() -> None:
    train, test, train_truth, truth = DIABETES
    expected = evaluate(fitted(LinearRegression(), DIABETES), (test, truth), shap=False)
    found = evaluate(LinearRegression().fit(train, train_truth.to_frame()), (test, truth.to_frame()), shap=False)
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-9)


def test_a_search_is_judged_by_what_it_found_best() -> None:
    search = GridSearchCV(forest(), {"max_depth": [2]}, cv=2)
    own = forest().set_params(max_depth=2)
    test = (CANCER.test, CANCER.truth)
    found, expected = evaluate(fitted(search, CANCER), test), evaluate(fitted(own, CANCER), test)
    assert found.metrics == expected.metrics
    assert found.tables["feature_importance"].equals(expected.tables["feature_importance"])
    assert found.explanation is not None
    assert expected.explanation is not None
    assert found.explanation.explainer == "TreeExplainer"
    assert np.array_equal(found.explanation.shap_values, expected.explanation.shap_values)


def test_names_that_a_table_has_already_are_told_apart(tmp_path: Path) -> None:
    names = ["row", "true", "predicted", "feature", "$^$ price"]
    test = CANCER.test.set_axis(names, axis=1)
    words = np.array(["feature", "true"])
    model = forest().fit(CANCER.train.set_axis(names, axis=1), words[CANCER.train_truth])
    found = evaluate(model, (test, words[CANCER.truth]), positive="feature")
    rows = found.tables["shap_rows"]
    assert rows.columns.tolist() == ["row", "true", "predicted", "row_", "true_", "predicted_", "feature", "$^$ price"]
    assert np.array_equal(rows["true_"], test["true"])
    assert found.tables["confusion_matrix"].columns.tolist() == ["true", "feature", "true_"]
    assert found.tables["shap_importance"].columns.tolist() == ["feature", "feature_"]
    found.save(tmp_path)
    assert (tmp_path / "shap.png").exists()


def test_columns_may_be_named_by_numbers(tmp_path: Path) -> None:
    train, test = (table.set_axis([10, 20, 30, 40, 50], axis=1) for table in (CANCER.train, CANCER.test))
    found = evaluate(forest().fit(train, CANCER.train_truth), (test, CANCER.truth))
    assert set(found.tables["permutation_importance"]["feature"]) == {"10", "20", "30", "40", "50"}
    assert found.tables["shap_rows"].columns.tolist() == ["row", "true", "predicted", "10", "20", "30", "40", "50"]
    found.save(tmp_path)


ROWS, TRUTH = CANCER.test, CANCER.truth
SHUFFLED = TRUTH.sample(frac=1, random_state=0)
NUMBERS = pd.Series(np.arange(40.0), index=ROWS.index)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"test": ROWS}, "test is a DataFrame: give features and true values, as a pair"),
        ({"test": ([[1.0]] * 3, [0, 1])}, "test has 3 rows of features and 2 true values"),
        ({"test": (np.empty((0, 5)), [])}, "test has no rows"),
        ({"train": (ROWS[:0], TRUTH[:0])}, "train has no rows"),
        ({"train": (ROWS.iloc[:, :2], TRUTH)}, "train and test have not the same columns"),
        ({"test": (OneHotEncoder().fit_transform(ROWS), TRUTH)}, "test is a sparse matrix: .* as a Pipeline"),
        ({"test": (["a", "b"], TRUTH)}, r"the shape of the features of test is \(2,\): give rows by columns"),
        ({"test": (ROWS.iloc[:, [0, 0]], TRUTH)}, "test has two columns named 'mean radius': rename one"),
        ({"test": (ROWS, np.zeros((40, 2)))}, r"the shape of the true values of test is \(40, 2\): give one value"),
        ({"test": (ROWS, SHUFFLED)}, "the index of the true values of test is not that of the features: give it"),
        ({"test": (ROWS, TRUTH.where(TRUTH == 1))}, "test has 15 rows without a true value: leave them out"),
        ({"test": (ROWS, TRUTH + 1)}, "test has true values that are none of the model's classes 0, 1: 2: leave"),
        ({"test": (ROWS.iloc[:, :2], TRUTH)}, r"the model does not predict the rows of test \(.*: give a fitted model"),
        ({"model": forest()}, r"the model does not predict .* not fitted yet.*: give a fitted model"),
        ({"positive": 7}, r"positive is 7, which is none of the model's classes \[0, 1\]"),
        ({"seed": -1}, "seed is -1: give a whole number from 0 to 4294967295"),
        ({"folds": 1}, "folds is 1, and train has enough for 45 folds of a row of each class each: give 2 to 45"),
        ({"folds": 500}, "folds is 500, and train has enough for 45 folds"),
        ({"groups": {"sex": ["f"]}}, r"groups\['sex'\] has 1 rows and test 40: give one group for each row"),
        ({"groups": {"id": range(100)}}, r"groups\['id'\] has 100 rows and test 40: give one group for each row"),
        ({"groups": {"age / sex": NUMBERS}}, r"groups\['age / sex'\] has a name that no metric can have: name it with"),
        ({"groups": {"age (years)": NUMBERS}}, r"groups\['age \(years\)'\] has a name that no metric can have"),
        ({"groups": {1: NUMBERS}}, r"groups\[1\] has a name that no metric can have"),
        ({"groups": {"sex": SHUFFLED}}, r"the index of groups\['sex'\] is not that of the features: give it with"),
        ({"groups": {"sex": ROWS}}, r"the shape of groups\['sex'\] is \(40, 5\): give one value"),
        ({"model": StandardScaler()}, "the model, a StandardScaler, is neither a classifier nor a regressor"),
        ({"model": fitted(LinearRegression(), CANCER), "test": (ROWS, TRUTH.map(str) + "?")}, "are no numbers"),
        ({"model": fitted(LinearRegression(), CANCER), "test": (ROWS, 1 / NUMBERS)}, "are not all finite: leave those"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_does_not_fit_together_is_refused_with_the_remedy(arguments: dict[str, Any], said: str) -> None:
    train, test, train_truth, truth = CANCER
    given = {"model": fitted(GaussianNB(), CANCER), "test": (test, truth), "train": (train, train_truth), "shap": False}
    with pytest.raises(EvaluationImpossible, match=said):
        evaluate(**{**given, **arguments})


def test_models_of_several_targets_or_of_one_class_are_refused() -> None:
    two_targets = np.column_stack([TRUTH, TRUTH])
    for model in (MultiOutputClassifier(forest()), LinearRegression()):
        with pytest.raises(EvaluationImpossible, match="the model predicts 2 targets of each row, and one is judged"):
            evaluate(model.fit(ROWS, two_targets), (ROWS, TRUTH))
    with pytest.raises(EvaluationImpossible, match="the model knows one class, 0: train it with two"):
        evaluate(forest().fit(ROWS, TRUTH * 0), (ROWS, TRUTH * 0))


def test_positive_is_refused_where_there_are_not_two_classes() -> None:
    with pytest.raises(EvaluationImpossible, match="positive is for two classes, and the model has 3: leave it out"):
        evaluate(fitted(forest(), WINE), (WINE.test, WINE.truth), positive=1)
    with pytest.raises(EvaluationImpossible, match="positive is for classifiers, and the model is a regressor"):
        evaluate(fitted(LinearRegression(), DIABETES), (DIABETES.test, DIABETES.truth), positive=1)


def test_curves_are_those_of_scikit_learn() -> None:
    _, test, _, truth = CANCER
    model = fitted(forest(), CANCER)
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


def test_probabilities_that_many_rows_share_make_fewer_bins_and_each_row_is_in_one() -> None:
    model = DecisionTreeClassifier(max_depth=1).fit(CANCER.train, CANCER.train_truth)
    table = evaluate(model, (CANCER.test, CANCER.truth), shap=False).tables["calibration"]
    probability = pd.Series(model.predict_proba(CANCER.test)[:, 1])
    shares = pd.Series(CANCER.truth.to_numpy()).groupby(probability).mean()
    assert table["predicted_probability"].to_numpy() == pytest.approx(shares.index.to_numpy())
    assert table["share_of_positives"].to_numpy() == pytest.approx(shares.to_numpy())


def test_importance_by_permutation_is_bounded_whatever_the_number_of_columns() -> None:
    features = np.random.default_rng(0).normal(size=(30, 1_001))
    model = RandomForestRegressor(1, max_depth=1, random_state=0).fit(features, features[:, 0])
    found = evaluate(model, (features, features[:, 0]), shap=False)
    assert found.left_out == {"permutation_importance": "test has 1,001 columns, and 1,000 are the most"}


def test_the_size_of_sparse_coefficients_is_their_importance() -> None:
    model = fitted(LogisticRegression(max_iter=50), CANCER)
    expected = np.sort(np.abs(model.coef_[0]))[::-1]
    table = evaluate(model.sparsify(), (CANCER.test, CANCER.truth), shap=False).tables["feature_importance"]
    assert np.array_equal(table["importance"], expected)


class Counting(RandomForestClassifier):  # type: ignore[misc]  # scikit-learn has no types
    """As other libraries have it: a model whose importances are of another kind, and no tree of scikit-learn's."""


class Splits(LogisticRegression):  # type: ignore[misc]
    """Counts something of its own."""

    @property
    def feature_importances_(self) -> Any:
        return np.arange(self.n_features_in_, dtype=float)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (DecisionTreeClassifier(max_depth=2), "mean decrease in impurity"),
        (Counting(3, max_depth=2), "mean decrease in impurity"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "mean size of coefficients"),
        (Splits(max_iter=50), "feature_importances_ of Splits"),
    ],
    ids=["tree", "subclass", "linear", "foreign"],
)
def test_importance_says_of_which_kind_it_is(model: BaseEstimator, kind: str) -> None:
    table = evaluate(fitted(model, CANCER), (CANCER.test, CANCER.truth), shap=False).tables["feature_importance"]
    assert set(table["kind"]) == {kind}


def sizes() -> pd.Series:
    return pd.Series(np.where(CANCER.test["mean radius"] > 14, "large", "small"), index=CANCER.test.index)


@pytest.mark.parametrize(
    "form", [lambda: {"size": sizes()}, lambda: {"size": sizes().to_numpy()}, lambda: sizes().to_frame("size")]
)
def test_groups_are_compared_as_fairlearn_compares_them(form: Any) -> None:
    _, test, _, truth = CANCER
    model = fitted(forest(), CANCER)
    groups = sizes()
    found = evaluate(model, (test, truth), groups=form(), shap=False)
    predicted = model.predict(test)
    parity = fairlearn.metrics.demographic_parity_difference(truth, predicted, sensitive_features=groups)
    odds = fairlearn.metrics.equalized_odds_difference(truth, predicted, sensitive_features=groups)
    assert found.metrics["fairness.size.demographic_parity_difference"] == pytest.approx(parity, abs=1e-12)
    assert found.metrics["fairness.size.equalized_odds_difference"] == pytest.approx(odds, abs=1e-12)
    table = found.tables["fairness_size"].set_index("group")
    large = (groups == "large").to_numpy()
    assert table.loc["large", "count"] == large.sum()
    assert table.loc["large", "accuracy"] == metrics.accuracy_score(truth[large], predicted[large])


def test_a_rate_that_is_not_defined_is_no_gap_and_an_unknown_group_is_one() -> None:
    _, test, _, truth = CANCER
    groups = np.array(["ill" if disease else None for disease in truth == 0])
    found = evaluate(fitted(forest(), CANCER), (test, truth), groups={"g": groups}, shap=False)
    table = found.tables["fairness_g"].set_index("group")
    assert sorted(table.index) == ["ill", "unknown"]
    assert np.isnan(table.loc["ill", "true_positive_rate"])
    assert np.isnan(table.loc["unknown", "false_positive_rate"])
    assert "fairness.g.accuracy_difference" in found.metrics
    assert "fairness.g.equalized_odds_difference" not in found.metrics
    assert found.left_out == {
        "fairness.g.equalized_odds_difference": "fewer than two groups have a value of true_positive_rate "
        "and of false_positive_rate"
    }


def test_a_gap_is_between_two_groups() -> None:
    _, test, _, truth = CANCER
    found = evaluate(fitted(forest(), CANCER), (test, truth), groups={"sex": ["f"] * len(test)}, shap=False)
    assert not any(name.startswith("fairness") for name in found.metrics)
    assert found.left_out["fairness.sex.accuracy_difference"] == "fewer than two groups have a value of accuracy"
    # Two of three groups have the rate: the gap is theirs.
    groups = np.where(truth == 0, np.where(np.arange(len(test)) % 2, "a", "b"), "well")
    groups[np.flatnonzero(truth == 1)[:2]] = ["a", "b"]
    odds = evaluate(fitted(forest(), CANCER), (test, truth), groups={"g": groups}, shap=False)
    rates = odds.tables["fairness_g"].set_index("group")
    gaps = [rates[rate].max() - rates[rate].min() for rate in ("true_positive_rate", "false_positive_rate")]
    assert np.isnan(rates.loc["well", "false_positive_rate"])
    assert odds.metrics["fairness.g.equalized_odds_difference"] == max(gaps)


def test_too_many_groups_are_refused() -> None:
    features, truth = make_classification(60, 4, random_state=0)
    with pytest.raises(EvaluationImpossible, match=r"groups\['id'\] has 60 groups, and 50 are the most: put values"):
        evaluate(GaussianNB().fit(features, truth), (features, truth), groups={"id": range(60)}, shap=False)


def test_one_call_writes_everything_to_the_run(store: mlflow.MlflowClient, tmp_path: Path) -> None:
    train, test, train_truth, truth = CANCER
    model = fitted(forest(), CANCER)
    with mlflow.start_run() as active:
        found = evaluation.log(model, (test, truth), train=(train, train_truth), groups={"size": sizes()})
    run = store.get_run(active.info.run_id)
    assert run.data.metrics == pytest.approx(found.metrics, abs=1e-15)
    files = Path(store.download_artifacts(run.info.run_id, "evaluation", str(tmp_path)))
    assert {file.name for file in files.iterdir()} == {
        *(f"{name}.csv" for name in found.tables),
        *("confusion_matrix.png", "roc_curve.png", "pr_curve.png", "calibration.png"),
        *("feature_importance.png", "permutation_importance.png"),
        *("fairness_size.png", "thresholds_size.png"),
        *("shap.npz", "shap.png", "evaluation.json"),
    }
    about = json.loads((files / "evaluation.json").read_text())
    assert (about["task"], about["rows"], about["positive"]) == ("binary", len(test), "1")
    assert about["metrics"] == found.metrics
    assert Explanation.from_bytes((files / "shap.npz").read_bytes()).rows == [str(name) for name in test.index]
    pd.testing.assert_frame_equal(pd.read_csv(files / "roc_curve.csv"), found.tables["roc_curve"])
