"""The examples on the cluster, from the image that they are in."""

import re
import urllib.parse
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.cluster.training import Trainings, condition
from tests.support.waiting import wait_for

EXAMPLES = Path(__file__).parents[3] / "examples"
SEVEN = ("cv_accuracy_mean", "cv_accuracy_std", "test_accuracy", "precision", "recall", "f1_score", "roc_auc")
ARTIFACTS = ("roc_curve", "confusion_matrix", "feature_importance", "fairness_sex", "calibration", "pr_curve")


@pytest.fixture(scope="module", autouse=True)
def model(trainings: Trainings) -> str:
    """Begin both at once; return the registered model, which is these tests' own: MLflow outlives them."""
    name = f"heart-{trainings.kubectl.namespace}"
    for example in ("logistic", "forest"):
        wanted = yaml.safe_load((EXAMPLES / "heart" / f"{example}.yaml").read_text())
        assert wanted["spec"]["promote"]["model"] == "heart"
        wanted["spec"]["promote"]["model"] = name
        trainings.kubectl.apply(wanted)
    return name


def documented(name: str) -> list[str]:
    """Return what the example's README says of a model."""
    [cells] = re.findall(rf"^\| {name} \|(.+)\|$", (EXAMPLES / "heart" / "README.md").read_text(), re.MULTILINE)
    return [cell.strip() for cell in cells.split("|")]


@pytest.mark.parametrize("name", ["logistic", "forest"])
def test_heart_says_on_the_cluster_what_its_readme_says(trainings: Trainings, name: str) -> None:
    done = trainings.finish(f"heart-{name}", timeout_seconds=180)
    done.assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", 0)], f"{name}: trained on 212 patients")
    [run] = done.runs
    metrics = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
    assert [f"{metrics[metric]:.4f}" for metric in SEVEN] == documented(name)
    assert {float(done.status["metrics"][metric]) for metric in SEVEN} == {metrics[metric] for metric in SEVEN}

    for artifact in (*(f"{found}.png" for found in ARTIFACTS), *(f"{found}.csv" for found in ARTIFACTS)):
        assert trainings.mlflow.artifact(run, f"evaluation/{artifact}"), artifact
    assert trainings.mlflow.artifact(run, "evaluation/shap.npz").startswith(b"PK")
    assert trainings.mlflow.artifact(run, "runyard/provenance.json")


def test_the_better_of_the_two_is_the_champion_whichever_came_first(trainings: Trainings, model: str) -> None:
    said: dict[str, dict[str, str]] = {}
    for name in ("logistic", "forest"):
        trainings.finish(f"heart-{name}", timeout_seconds=180)
        promoted = partial(told_of_promotion, trainings, f"heart-{name}")
        said[name] = wait_for(f"it is told whether {name} is promoted", promoted, timeout_seconds=60)
    better, other = sorted(said, key=documented_roc_auc, reverse=True)

    query = urllib.parse.urlencode({"name": model, "alias": "champion"})
    champion = trainings.mlflow.call(f"mlflow/registered-models/alias?{query}")["model_version"]
    assert champion["run_id"] == trainings.status(f"heart-{better}")["tracking"]["runId"]
    assert said[better]["status"] == "True", said
    # It was the first, and was promoted then, or it came after a better one.
    assert said[other]["reason"] in {"Promoted", "ConditionNotMet", "Overtaken"}, said


def told_of_promotion(trainings: Trainings, name: str) -> dict[str, str] | None:
    found: dict[str, str] = condition(trainings.status(name), "Promoted")
    return found if found["status"] in {"True", "False"} else None


def documented_roc_auc(name: str) -> float:
    return float(documented(name)[SEVEN.index("roc_auc")])
