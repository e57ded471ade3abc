"""Rates of groups by threshold, against what fairlearn says of the same decisions."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from sklearn import metrics
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from runyard.evaluation import Evaluation, evaluate
from tests.science.data import CANCER, DIABETES, WINE, fitted, forest

RATES = {
    "accuracy": metrics.accuracy_score,
    "true_positive_rate": true_positive_rate,
    "false_positive_rate": false_positive_rate,
    "selection_rate": selection_rate,
}
SIZES = pd.Series(np.where(CANCER.test["mean radius"] > 14, "large", "small"), index=CANCER.test.index)
MODELS: dict[str, Any] = {
    "forest": forest,
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    # Two neighbours who disagree: half of the rows that are not sure lie at 0.5 itself.
    "neighbours": lambda: KNeighborsClassifier(2),
    "decision": lambda: make_pipeline(StandardScaler(), LinearSVC()),
    "kernel": lambda: make_pipeline(StandardScaler(), SVC()),
    "searched": lambda: GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [2, 3]}, cv=2),
    "tuned": lambda: TunedThresholdClassifierCV(make_pipeline(StandardScaler(), LogisticRegression()), cv=3),
    "fixed": lambda: FixedThresholdClassifier(
        make_pipeline(StandardScaler(), LogisticRegression()), threshold=0.7, response_method="predict_proba"
    ),
}


def judged(model: BaseEstimator, **more: Any) -> Evaluation:
    return evaluate(model, (CANCER.test, CANCER.truth), groups={"size": SIZES}, shap=False, **more)


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("name", MODELS)
def test_rates_are_those_of_fairlearn_at_each_threshold(name: str, positive: int) -> None:
    model = fitted(MODELS[name](), CANCER)
    found = judged(model, positive=positive)
    table = found.tables["thresholds_size"]
    if hasattr(model, "predict_proba"):
        scores = model.predict_proba(CANCER.test)[:, positive]
        expected = np.arange(101) / 100
    else:
        scores = model.decision_function(CANCER.test) * (1 if positive else -1)
        expected = np.linspace(scores.min(), scores.max(), 101)
    assert set(table["score"]) == {"probability" if hasattr(model, "predict_proba") else "decision"}
    assert set(expected) <= set(table["threshold"])
    assert len(table) <= 2 * 102
    for threshold, rows in table.groupby("threshold"):
        theirs = MetricFrame(
            metrics=RATES,
            y_true=CANCER.truth == positive,
            y_pred=scores >= threshold,
            sensitive_features=SIZES.to_numpy(),
        ).by_group
        ours = rows.set_index("group")[list(RATES)]
        np.testing.assert_allclose(ours.to_numpy(float), theirs.loc[ours.index].to_numpy(float), atol=1e-15, rtol=0)


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("name", MODELS)
def test_at_its_own_threshold_groups_have_the_rates_that_the_model_gave_them(name: str, positive: int) -> None:
    model = fitted(MODELS[name](), CANCER)
    found = judged(model, positive=positive)
    table = found.tables["thresholds_size"]
    own = table[table["own"] == 1].set_index("group")
    assert len(set(own["threshold"])) == 1
    columns = ["count", *RATES]
    pd.testing.assert_frame_equal(own[columns], found.tables["fairness_size"].set_index("group")[columns])


@pytest.mark.parametrize(
    ("name", "positive", "own"),
    [
        ("logistic", 1, 0.5),
        ("decision", 1, 0.0),
        ("fixed", 1, 0.7),
        ("neighbours", 1, np.nextafter(0.5, 1)),
        ("neighbours", 0, 0.5),
    ],
)
def test_the_own_threshold_is_where_the_model_decides(name: str, positive: int, own: float) -> None:
    table = judged(fitted(MODELS[name](), CANCER), positive=positive).tables["thresholds_size"]
    assert table.loc[table["own"] == 1, "threshold"].unique().tolist() == [own]


class Contrary(LogisticRegression):  # type: ignore[misc]  # scikit-learn has no types
    """Calls negative what it is most sure of."""

    def predict(self, features: Any) -> Any:
        sure = self.predict_proba(features)[:, 1]
        return np.where((sure >= 0.5) & (sure < np.median(sure[sure >= 0.5])), 1, 0)


def test_a_model_that_decides_by_no_threshold_has_none_of_its_own() -> None:
    found = judged(fitted(Contrary(max_iter=5_000), CANCER))
    assert found.tables["thresholds_size"]["own"].sum() == 0
    assert found.left_out["own_threshold"] == "no threshold of the model's scores gives its predictions"


def test_a_rate_that_is_not_defined_for_a_group_is_empty_at_each_threshold() -> None:
    groups = np.where(CANCER.truth == 0, "ill", "well")
    found = evaluate(fitted(forest(), CANCER), (CANCER.test, CANCER.truth), groups={"g": groups}, shap=False)
    table = found.tables["thresholds_g"].set_index("group")
    assert table.loc["ill", "true_positive_rate"].isna().all()
    assert table.loc["well", "false_positive_rate"].isna().all()
    assert table.notna().loc["ill", "false_positive_rate"].all()


def test_what_has_no_thresholds_has_no_table_of_them() -> None:
    voting = VotingClassifier([("one", forest()), ("other", DecisionTreeClassifier(random_state=0))])
    found = judged(fitted(voting, CANCER))
    assert "thresholds_size" not in found.tables
    assert found.left_out["thresholds"] == "the model has neither predict_proba nor a decision_function"
    for model, data in ((forest(), WINE), (DecisionTreeRegressor(), DIABETES)):
        groups = {"g": ["a", "b"] * (len(data.test) // 2)}
        others = evaluate(fitted(model, data), (data.test, data.truth), groups=groups, shap=False)
        assert not [name for name in [*others.tables, *others.left_out] if "threshold" in name]


def test_of_the_most_groups_and_very_many_rows_it_stays_small(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    features = draws.normal(size=(50_000, 2))
    truth = (features[:, 0] + draws.normal(size=len(features)) > 0).astype(int)
    model = RandomForestClassifier(3, max_depth=3, random_state=0).fit(features, truth)
    groups = {"g": np.arange(len(features)) % 50}
    found = evaluate(model, (features, truth), groups=groups, shap=False)
    assert len(found.tables["thresholds_g"]) <= 50 * 102
    found.save(tmp_path)
    assert (tmp_path / "thresholds_g.csv").stat().st_size < 1024 * 1024
    assert (tmp_path / "thresholds_g.png").stat().st_size < 1024 * 1024
