"""Sweeps on the cluster: the wine example by Optuna, and a bad trial that is ended early."""

from pathlib import Path
from typing import Any

import yaml

from tests.cluster.training import RUNTIME, Trainings, condition
from tests.support.mlflow_server import tags_of
from tests.support.waiting import wait_for

EXAMPLE = Path(__file__).parents[3] / "examples" / "wine" / "sweep.yaml"
# One trial that logs a bad value for ever, and others that log good ones as far as it can come, and end.
LEARNS = """
import mlflow, sys, time
x = float(sys.argv[1])
with mlflow.start_run():
    for step in (1, 2, 3, 1000) if x > 1 else range(1, 1000):
        mlflow.log_metric("score", x, step=step)
        time.sleep(0 if x > 1 else 1)
"""


def ended(trainings: Trainings, name: str, timeout_seconds: float) -> dict[str, Any]:
    """Wait until a sweep has ended and MLflow agrees; return its status."""

    def status() -> dict[str, Any] | None:
        found: dict[str, Any] = trainings.kubectl.get("trainingsweep", name).get("status", {})
        return found if condition(found, "Tracked")["status"] == "True" else None

    return wait_for(f"{name} has ended", status, timeout_seconds)


def test_the_wine_example_is_tried_by_optuna_and_the_best_is_named(trainings: Trainings) -> None:
    body = yaml.safe_load(EXAMPLE.read_text())
    body["spec"] |= {"maxTrials": 4, "parallelism": 2}
    trainings.kubectl.apply(body)
    status = ended(trainings, "wine-forests", 300)
    assert status["phase"] == "Succeeded", status
    assert status["trials"] == {"total": 4, "running": 0, "succeeded": 4, "failed": 0, "pruned": 0}
    parent = trainings.mlflow.run(status["tracking"]["runId"])
    assert parent["info"]["status"] == "FINISHED"
    children = trainings.mlflow.runs(f"tags.`mlflow.parentRunId` = '{parent['info']['run_id']}'")
    values = {
        run["info"]["run_id"]: metric["value"]
        for run in children
        for metric in run["data"]["metrics"]
        if metric["key"] == "f1_score"
    }
    assert len(values) == 4
    best = status["best"]
    assert values[best["runId"]] == float(best["value"]) == max(values.values())
    assert tags_of(parent)["runyard.dev/best-run"] == best["runId"]


def test_a_bad_trial_is_ended_early(trainings: Trainings) -> None:
    body = {
        "apiVersion": "runyard.dev/v1alpha1",
        "kind": "TrainingSweep",
        "metadata": {"name": "learns"},
        "spec": {
            "template": {"image": RUNTIME, "command": ["python", "-c", LEARNS], "args": ["$(params.x)"]},
            "parameters": {"x": {"values": [5, 6, 1]}},
            "parallelism": 3,
            "objective": {"metric": "score"},
            "pruning": {"afterSteps": 2, "minTrials": 2},
        },
    }
    trainings.kubectl.apply(body)
    status = ended(trainings, "learns", 240)
    assert status["trials"] == {"total": 3, "running": 0, "succeeded": 2, "failed": 0, "pruned": 1}
    trial = trainings.kubectl.get("trainingrun", "learns-2")["status"]
    assert condition(trial, "Succeeded")["reason"] == "Pruned"
    run = trainings.mlflow.run(trial["tracking"]["runId"])
    assert (run["info"]["status"], tags_of(run)["runyard.dev/reason"]) == ("KILLED", "Pruned")
