"""The examples on the cluster, from the image that they are in."""

import re
from pathlib import Path

import pytest
import yaml

from tests.cluster.training import Trainings

EXAMPLES = Path(__file__).parents[3] / "examples"
SEVEN = ("cv_accuracy_mean", "cv_accuracy_std", "test_accuracy", "precision", "recall", "f1_score", "roc_auc")
ARTIFACTS = ("roc_curve", "confusion_matrix", "feature_importance", "fairness_sex", "calibration", "pr_curve")


@pytest.fixture(scope="module", autouse=True)
def begun(trainings: Trainings) -> None:
    for name in ("logistic", "forest"):
        trainings.kubectl.apply(yaml.safe_load((EXAMPLES / "heart" / f"{name}.yaml").read_text()))


@pytest.mark.parametrize("name", ["logistic", "forest"])
def test_heart_says_on_the_cluster_what_its_readme_says(trainings: Trainings, name: str) -> None:
    done = trainings.finish(f"heart-{name}", timeout_seconds=180)
    done.assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", 0)], f"{name}: trained on 212 patients")
    [run] = done.runs
    metrics = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
    [documented] = re.findall(rf"^\| {name} \|(.+)\|$", (EXAMPLES / "heart" / "README.md").read_text(), re.MULTILINE)
    assert [f"{metrics[metric]:.4f}" for metric in SEVEN] == [cell.strip() for cell in documented.split("|")]
    assert {float(done.status["metrics"][metric]) for metric in SEVEN} == {metrics[metric] for metric in SEVEN}

    for artifact in (*(f"{found}.png" for found in ARTIFACTS), *(f"{found}.csv" for found in ARTIFACTS)):
        assert trainings.mlflow.artifact(run, f"evaluation/{artifact}"), artifact
    assert trainings.mlflow.artifact(run, "evaluation/shap.npz").startswith(b"PK")
    assert trainings.mlflow.artifact(run, "runyard/provenance.json")
