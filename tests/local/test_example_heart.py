"""The heart example, run as a person runs it, against what scikit-learn says when it is asked plainly."""

import json
import re
import subprocess
import sys
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Run
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from runyard.evaluation import Explanation
from tests.local.laptop import Laptop, imported

EXAMPLE = Path(__file__).parents[2] / "examples" / "heart"
SEVEN = ("cv_accuracy_mean", "cv_accuracy_std", "test_accuracy", "precision", "recall", "f1_score", "roc_auc")
NAMED = (
    *("roc_curve", "confusion_matrix", "feature_importance", "pr_curve", "calibration", "permutation_importance"),
    *("fairness_sex", "shap"),
)
BY_NAME = {"logistic": "logistic regression", "forest": "random forest"}
NUMBERS = ["age", "resting_bp", "cholesterol", "max_heart_rate", "st_depression", "major_vessels"]


def plain(name: str) -> tuple[Pipeline, pd.DataFrame, dict[str, float]]:
    """Train the model without the example, and return it with the patients it is judged on and its metrics."""
    table = pd.read_csv(EXAMPLE / "heart_disease.csv")
    features, truth = table.drop(columns="disease"), table["disease"]
    train, test, train_truth, test_truth = train_test_split(
        features, truth, test_size=0.3, stratify=truth, random_state=0
    )
    number = Pipeline([("fill", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    encode = OneHotEncoder(handle_unknown="ignore")
    category = Pipeline([("fill", SimpleImputer(strategy="most_frequent")), ("encode", encode)])
    others = [column for column in features if column not in NUMBERS]
    columns = ColumnTransformer([("a", number, NUMBERS), ("b", category, others)])
    models = {
        "logistic": LogisticRegression(C=1.0, max_iter=1000),
        "forest": RandomForestClassifier(200, max_depth=5, random_state=0),
    }
    model = Pipeline([("columns", columns), ("model", models[name])])
    folds = cross_val_score(model, train, train_truth, cv=StratifiedKFold(5, shuffle=True, random_state=0))
    model.fit(train, train_truth)
    predicted = model.predict(test)
    metrics = {
        "cv_accuracy_mean": folds.mean(),
        "cv_accuracy_std": folds.std(),
        "test_accuracy": accuracy_score(test_truth, predicted),
        "precision": precision_score(test_truth, predicted),
        "recall": recall_score(test_truth, predicted),
        "f1_score": f1_score(test_truth, predicted),
        "roc_auc": roc_auc_score(test_truth, model.predict_proba(test)[:, 1]),
    }
    return model, test, metrics


@pytest.mark.parametrize("names", [*permutations(["logistic", "forest"])], ids=" then ".join)
def test_a_person_finds_both_models_judged_and_explained_and_the_better_one_promoted(
    laptop: Laptop, tmp_path: Path, names: tuple[str, str]
) -> None:
    judged: dict[str, tuple[str, float]] = {}
    for name in names:
        code, out, error = laptop.cli("run", EXAMPLE / f"{name}.yaml")
        assert code == 0, error
        *_, run = laptop.runs()
        metrics = assert_judged_and_explained(laptop, tmp_path / name, run, name)
        assert f"{metrics['roc_auc']:.4f}" in out
        judged[name] = run.info.run_id, metrics["roc_auc"]
        is_better = all(metrics["roc_auc"] >= other for _, other in judged.values())
        assert ("Promoted: version " if is_better else "Not promoted (ConditionNotMet): ") in out

    best = max(judged, key=lambda name: judged[name][1])
    champion = laptop.client.get_model_version_by_alias("heart", "champion")
    assert champion.run_id == judged[best][0]
    assert f"the champion is the {BY_NAME[best]}" in (EXAMPLE / "README.md").read_text()
    code, out, error = laptop.cli("promotions", "heart", "-o", "json")
    assert (code, error) == (0, "")
    values = [float(entry["value"]) for entry in json.loads(out)["promotions"]]
    assert values == sorted(values, reverse=True), "the newest first, and each better than the one before"
    assert values[0] == pytest.approx(judged[best][1], abs=1e-12)


def assert_judged_and_explained(laptop: Laptop, folder: Path, run: Run, name: str) -> dict[str, float]:
    """Compare a run of the example with what scikit-learn says plainly; return the metrics."""
    model, test, metrics = plain(name)
    assert run.info.status == "FINISHED"
    assert {metric: run.data.metrics[metric] for metric in SEVEN} == pytest.approx(metrics, abs=1e-12)

    folder.mkdir()
    files = Path(laptop.client.download_artifacts(run.info.run_id, "evaluation", str(folder)))
    assert {f"{artifact}.png" for artifact in NAMED} <= {file.name for file in files.iterdir()}
    found = Explanation.from_bytes((files / "shap.npz").read_bytes())
    says = model.predict_proba(test)[:, 1] if name == "forest" else model.decision_function(test)
    assert np.allclose(found.shap_values.sum(axis=1)[:, 0] + found.base_values[:, 0], says, atol=1e-9)
    assert found.rows == [str(patient) for patient in test.index]

    loaded = mlflow.sklearn.load_model(logged_model(laptop, run))
    assert (loaded.predict(test) == model.predict(test)).all()
    assert {"runyard.dev/fingerprint", "runyard.dev/uid"} <= run.data.tags.keys()
    assert f"| {name} |" in (EXAMPLE / "README.md").read_text()
    return metrics


def logged_model(laptop: Laptop, run: Run) -> str:
    models = laptop.client.search_logged_models([run.info.experiment_id])
    [location] = [model.artifact_location for model in models if model.source_run_id == run.info.run_id]
    return str(location)


def test_the_numbers_in_the_readme_are_the_models() -> None:
    rows = re.findall(r"^\| (logistic|forest) \|(.+)\|$", (EXAMPLE / "README.md").read_text(), re.MULTILINE)
    assert [name for name, _ in rows] == ["logistic", "forest"]
    for name, cells in rows:
        metrics = plain(name)[2]
        assert [cell.strip() for cell in cells.split("|")] == [f"{metrics[metric]:.4f}" for metric in SEVEN]
    [compared] = re.findall(r"roc_auc (\S+) is more than (\S+) of version 1", (EXAMPLE / "README.md").read_text())
    assert [*map(float, compared)] == pytest.approx(
        [plain(name)[2]["roc_auc"] for name in ("logistic", "forest")], abs=1e-12
    )


@pytest.fixture(scope="module")
def example() -> SimpleNamespace:
    return imported(EXAMPLE / "train.py")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "svm"], "argument --model: invalid choice: 'svm'"),
        (["--folds", "1"], "argument --folds: '1' is not a whole number from 2"),
        (["--seed", "-1"], "argument --seed: '-1' is not a whole number from 0"),
        (["--max-depth", "many"], "argument --max-depth: 'many' is not a whole number from 1"),
        (["--inverse-regularisation", "0"], "argument --inverse-regularisation: '0' is not a number above 0"),
        (["--data", "nowhere.csv"], "argument --data: 'nowhere.csv' cannot be read: No such file or directory"),
    ],
)
def test_a_wrong_option_is_refused_by_the_parser(
    example: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *options])
    with pytest.raises(SystemExit) as refusal:
        example.parse_arguments()
    assert refusal.value.code == 2
    assert said in capsys.readouterr().err


def test_a_wrong_option_leaves_no_run(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLE / "train.py"), "--seed=-1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("train.py: error: argument --seed: '-1'")
    assert not list(tmp_path.iterdir())
