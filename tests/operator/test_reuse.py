"""`onDuplicate: Reuse`: what was trained already is not trained again."""

from typing import Any

import pytest

from runyard.api.duplicates import fingerprint
from runyard.api.trainingrun import TrainingRun
from tests.operator.actors import Actors, condition, installation_of, log_model, start_run
from tests.support.mlflow_server import MlflowRest, tags_of
from tests.support.waiting import wait_for


@pytest.fixture
def spec(actors: Actors) -> dict[str, Any]:
    """A training that nobody else asks for, all of it pinned."""
    digest = f"sha256:{actors.namespace.encode().hex():0>64.64}"
    return {"image": f"example/image@{digest}", "onDuplicate": "Reuse", "parameters": {"depth": 8}}


def train(actors: Actors, mlflow: MlflowRest, name: str, spec: dict[str, Any], exit_code: int = 0) -> str:
    """Lead a training to its end; return its run."""
    actors.apply(name, **spec)
    job = actors.wait_for_job(name)
    pod = actors.create_pod(job, "one")
    run_id = start_run(mlflow, pod, installation=installation_of(job))
    log_model(mlflow, run_id, f1=0.9)
    actors.end_pod(pod, exit_code)
    actors.end_job(job, "Failed" if exit_code else "Complete", "BackoffLimitExceeded" if exit_code else "")
    actors.wait_for_phase(name, "Failed" if exit_code else "Succeeded")
    return run_id


def jobs_of(actors: Actors, name: str) -> int:
    return sum(job["metadata"]["annotations"]["runyard.dev/name"] == name for job in actors.items("jobs"))


def test_a_training_that_was_done_is_not_done_again(actors: Actors, mlflow: MlflowRest, spec: dict[str, Any]) -> None:
    train(actors, mlflow, "failed", spec, exit_code=3)
    run_id = train(actors, mlflow, "first", {**spec, "onDuplicate": "Run"})
    first = actors.get("trainingrun", "first")
    assert first["status"]["fingerprint"] == fingerprint(TrainingRun.model_validate(first).spec)
    tags = tags_of(mlflow.run(run_id))
    assert tags["runyard.dev/manifest-fingerprint"] == first["status"]["fingerprint"]
    actors.delete("trainingrun", "first")
    before = mlflow.run(run_id)

    actors.apply("again", **spec, promote={"model": actors.namespace}, tracking={"run": "Assigned"})
    status = actors.wait_for_phase("again", "Succeeded")

    page = f"http://mlflow.example/#/experiments/0/runs/{run_id}"
    assert status["reusedFrom"] == {"runId": run_id, "namespace": actors.namespace, "name": "first", "url": page}
    assert (status["tracking"]["runId"], status["tracking"]["url"]) == (run_id, page)
    assert (status["metrics"], status["fingerprint"]) == ({"f1": "0.9"}, first["status"]["fingerprint"])
    assert "job" not in status
    assert jobs_of(actors, "again") == 0
    said = condition(status, "Succeeded")
    assert (said["status"], said["reason"]) == ("True", "Reused")
    assert (
        said["message"]
        == status["message"]
        == (
            f"nothing was trained: run {run_id} of {actors.namespace}/first is the result, by a manifest with the same "
            "fingerprint"
        )
    )
    uid = actors.get("trainingrun", "again")["metadata"]["uid"]
    assert mlflow.runs(f"tags.`runyard.dev/uid` = '{uid}'") == []
    wait_for(
        "it is promoted",
        lambda: condition(actors.get("trainingrun", "again")["status"], "Promoted")["status"] == "True",
    )
    now = mlflow.run(run_id)
    told = {tag: value for tag, value in tags_of(now).items() if not tag.startswith("runyard.dev/promoted")}
    assert (now["info"], told) == (before["info"], tags_of(before)), "nothing else is told of another's run"
    wait_for("an event tells it", lambda: "Reused" in {found["reason"] for found in actors.items("events")})


def test_each_that_shares_a_run_says_that_it_was_deleted_and_that_it_is_back(
    actors: Actors, mlflow: MlflowRest, spec: dict[str, Any]
) -> None:
    run_id = train(actors, mlflow, "first", spec)
    for name in ("second", "third"):
        actors.apply(name, **spec)
        actors.wait_for_phase(name, "Succeeded")

    def tracked() -> set[str]:
        return {condition(found["status"], "Tracked")["reason"] for found in actors.items("trainingruns")}

    mlflow.call("mlflow/runs/delete", {"run_id": run_id})
    wait_for("all of them say so", lambda: tracked() == {"RunDeleted"})
    mlflow.call("mlflow/runs/restore", {"run_id": run_id})
    wait_for("all of them say that it is back", lambda: "RunDeleted" not in tracked())


@pytest.mark.parametrize("change", ["deleted", "another's", "no model", "other parameters"])
def test_what_is_not_its_result_is_trained(
    actors: Actors, mlflow: MlflowRest, spec: dict[str, Any], change: str
) -> None:
    run_id = train(actors, mlflow, "first", spec)
    asked = dict(spec)
    if change == "deleted":
        mlflow.call("mlflow/runs/delete", {"run_id": run_id})
    elif change == "another's":
        body = {"run_id": run_id, "key": "runyard.dev/installation", "value": "another"}
        mlflow.call("mlflow/runs/set-tag", body)
    elif change == "no model":
        asked["tracking"] = {"requireMetrics": ["recall"]}
    else:
        asked["parameters"] = {"depth": 9}
    actors.apply("again", **asked)
    actors.wait_for_job("again")

    def begun() -> dict[str, Any] | None:
        status: dict[str, Any] = actors.get("trainingrun", "again").get("status", {})
        return status if "job" in status else None

    assert "reusedFrom" not in wait_for("its status names the Job", begun)
