"""One run for all pods of a resource, and what a training should have logged."""

import json
from typing import Any

import pytest

from runyard.api import repetition
from runyard.api.trainingrun import API_VERSION
from tests.operator.actors import Actors, condition, start_run
from tests.support.mlflow_server import MlflowRest, tags_of
from tests.support.waiting import wait_for

KIND = {"apiVersion": API_VERSION, "kind": "TrainingRun"}
RUNNING = {"running": {"startedAt": "2026-01-02T03:04:05Z"}}


def environment(job: dict[str, Any]) -> dict[str, Any]:
    """Return the training container's variables."""
    [container] = job["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable.get("value") for variable in container["env"]}


def test_an_assigned_run_is_there_before_the_job_and_outlasts_a_retry(actors: Actors, mlflow: MlflowRest) -> None:
    actors.apply("a", backoffLimit=1, experiment="assigned", tracking={"run": "Assigned"})
    job = actors.wait_for_job("a")
    run_id = environment(job)["MLFLOW_RUN_ID"]
    run = mlflow.run(run_id)
    assert (run["info"]["status"], run["info"]["run_name"]) == ("SCHEDULED", "a")
    assert environment(job)["MLFLOW_EXPERIMENT_ID"] == run["info"]["experiment_id"]
    mlflow.call("mlflow/runs/update", {"run_id": run_id, "status": "RUNNING"})

    first = actors.create_pod(job, "one")
    actors.set_pod(first, "Running", RUNNING)
    status = actors.wait_for_phase("a", "Running")
    assert status["tracking"]["runId"] == run_id
    actors.end_pod(first, 1)
    wait_for(
        "the first attempt is recorded",
        lambda: actors.get("trainingrun", "a")["status"]["attempts"][0].get("recordedAt"),
    )
    assert mlflow.run(run_id)["info"]["status"] == "RUNNING", "it goes on with the next attempt"
    second = actors.create_pod(job, "two")
    actors.end_pod(second, 0)
    actors.end_job(job, "Complete")

    status = actors.wait_for_phase("a", "Succeeded")

    assert [found["runId"] for found in status["attempts"]] == [run_id, run_id]
    run = mlflow.run(run_id)
    assert run["info"]["status"] == "FINISHED"
    assert tags_of(run)["runyard.dev/outcome"] == "Succeeded"
    for pod in (first, second):
        assert mlflow.artifact(run, f"runyard/log-{pod['metadata']['name']}.txt")
    assert len(mlflow.runs(f"tags.`runyard.dev/uid` = '{tags_of(run)['runyard.dev/uid']}'")) == 1


def test_a_job_that_is_refused_has_no_run(actors: Actors, mlflow: MlflowRest) -> None:
    wrong = {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}
    actors.apply("a", tracking={"run": "Assigned"}, resources=wrong)
    status = actors.wait_for_phase("a", "Failed")
    assert condition(status, "Accepted")["message"].startswith("spec.resources.requests: ")
    uid = actors.get("trainingrun", "a")["metadata"]["uid"]
    assert mlflow.runs(f"tags.`runyard.dev/uid` = '{uid}'") == []


def test_several_workers_share_a_run_and_find_each_other(actors: Actors, mlflow: MlflowRest) -> None:
    actors.apply("a", workers=2)
    job = actors.wait_for_job("a")
    assert (job["spec"]["completions"], job["spec"]["parallelism"], job["spec"]["completionMode"]) == (2, 2, "Indexed")
    variables = environment(job)
    [service] = actors.items("services")
    assert service["spec"]["clusterIP"] == "None"
    assert variables["MASTER_ADDR"] == f"{job['metadata']['name']}-0.{service['metadata']['name']}"
    assert (variables["WORLD_SIZE"], variables["MASTER_PORT"]) == ("2", "29500")
    pods = [actors.create_pod(job, name, worker=index) for index, name in enumerate(("zero", "one"))]
    for pod in pods:
        actors.set_pod(pod, "Running", RUNNING)
    run_id = variables["MLFLOW_RUN_ID"]
    actors.wait_for_phase("a", "Running")
    wait_for("both pods are seen", lambda: actors.get("trainingrun", "a")["status"]["attemptCount"] == 2)
    shown = actors.columns("a")
    assert (shown["RUN"], shown["ATTEMPTS"], shown["EXPERIMENT"]) == (run_id, "1", actors.namespace)
    actors.end_pod(pods[1], 3, "", "worker one fell over")
    actors.end_job(job, "Failed", "BackoffLimitExceeded")
    actors.delete("pod", pods[0]["metadata"]["name"])

    status = actors.wait_for_phase("a", "Failed")

    ends = {found["worker"]: (found["outcome"], found["reason"]) for found in status["attempts"]}
    assert ends == {0: ("Cancelled", "Cancelled"), 1: ("Failed", "Error")}
    assert (status["message"], status["tracking"]["runId"]) == ("exit code 3: worker one fell over", run_id)
    run = mlflow.run(run_id)
    assert (run["info"]["status"], tags_of(run)["runyard.dev/exit-code"]) == ("FAILED", "3")


def test_a_queued_training_waits_for_its_queue(actors: Actors) -> None:
    actors.apply("a", queueName="team")
    job = actors.wait_for_job("a")
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    assert actors.wait_for_phase("a", "Queued")["message"] == (
        'waits for queue "team" (Kueue) to admit it; `kubectl get localqueue team` shows whether it is there'
    )
    actors.patch_spec("job", job["metadata"]["name"], {"suspend": False})
    actors.wait_for_phase("a", "Pending")
    assert actors.wait_for_job("a")["spec"]["suspend"] is False


@pytest.mark.parametrize(
    ("tracking", "reason", "message"),
    [
        (
            {"requireMetrics": ["f1", "auc"]},
            "MetricsMissing",
            "the training succeeded without logging auc; it logged: f1",
        ),
        (
            {"requireMetrics": ["auc"], "requireModel": True},
            "MetricsMissing",
            "the training succeeded without logging auc; it logged: f1; nor did it log a model",
        ),
        (
            {"requireMetrics": ["f1"], "requireModel": True},
            "ModelMissing",
            "the training succeeded without logging a model",
        ),
        ({"requireMetrics": ["f1"]}, "Recorded", "MLflow agrees with 1 attempt"),
    ],
)
def test_what_should_have_been_logged(
    actors: Actors, mlflow: MlflowRest, tracking: dict[str, Any], reason: str, message: str
) -> None:
    actors.apply("a", tracking=tracking)
    job = actors.wait_for_job("a")
    pod = actors.create_pod(job, "one")
    run_id = start_run(mlflow, pod)
    mlflow.call("mlflow/runs/log-metric", {"run_id": run_id, "key": "f1", "value": 1, "timestamp": 1, "step": 0})
    actors.end_pod(pod, 0)
    actors.end_job(job, "Complete")

    def tracked() -> dict[str, Any] | None:
        found = condition(actors.get("trainingrun", "a").get("status", {}), "Tracked")
        return found if found["reason"] not in {"", "InProgress"} else None

    found = wait_for("Tracked says something", tracked)

    assert (found["reason"], found["message"]) == (reason, message)
    assert condition(actors.get("trainingrun", "a")["status"], "Succeeded")["status"] == "True"


def test_the_model_that_was_logged_last_is_named(actors: Actors, mlflow: MlflowRest) -> None:
    actors.apply("a", tracking={"requireModel": True})
    job = actors.wait_for_job("a")
    pod = actors.create_pod(job, "one")
    run_id = start_run(mlflow, pod)
    experiment = mlflow.run(run_id)["info"]["experiment_id"]
    for step in (1, 2):
        body = {"experiment_id": experiment, "name": "forest", "source_run_id": run_id}
        model = mlflow.call("mlflow/logged-models", body)["model"]["info"]["model_id"]
        mlflow.call("mlflow/runs/outputs", {"run_id": run_id, "models": [{"model_id": model, "step": step}]})
    actors.end_pod(pod, 0)
    actors.end_job(job, "Complete")
    status = actors.wait_for_phase("a", "Succeeded")
    status = wait_for(
        "MLflow agrees",
        lambda: (
            found
            if condition(found := actors.get("trainingrun", "a")["status"], "Tracked")["status"] == "True"
            else None
        ),
    )
    assert status["tracking"]["model"] == f"models:/{model}"


def test_the_runs_of_a_repetition_say_so_before_anybody_compares(actors: Actors, mlflow: MlflowRest) -> None:
    marks = repetition.annotations("0" * 32, ["parameters.depth"])
    spec = {"image": "example/image:1", "command": ["python", "train.py"], "tracking": {"run": "Assigned"}}
    metadata = {"name": "again", "annotations": {**marks, "runyard.dev/pod": "another's"}}
    actors.create({**KIND, "metadata": metadata, "spec": spec})

    variables = environment(actors.wait_for_job("again"))

    tags = tags_of(mlflow.run(variables["MLFLOW_RUN_ID"]))
    assert marks.items() <= tags.items()
    assert "runyard.dev/pod" not in tags
    # What the script starts gets them from its environment.
    assert marks.items() <= json.loads(variables["MLFLOW_RUN_CONTEXT"]).items()
