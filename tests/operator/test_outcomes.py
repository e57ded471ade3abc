"""The operator's process between a real API server and a real MLflow, in a cluster without nodes."""

from typing import Any

import pytest
import yaml

from tests.operator.actors import Actors, condition, installation_of, start_run
from tests.support.mlflow_server import MlflowRest, tags_of
from tests.support.waiting import wait_for


def test_a_success_is_recorded_on_both_sides(actors: Actors, mlflow: MlflowRest, pod: dict[str, Any]) -> None:
    run_id = start_run(mlflow, pod)
    mlflow.call(
        "mlflow/runs/log-metric", {"run_id": run_id, "key": "f1", "value": 0.1 + 0.2, "timestamp": 1, "step": 0}
    )
    actors.end_pod(pod, 0)
    actors.end_job(actors.wait_for_job("a"), "Complete")

    status = actors.wait_for_phase("a", "Succeeded")

    [attempt] = status["attempts"]
    assert (attempt["outcome"], attempt["reason"], attempt["exitCode"]) == ("Succeeded", "Completed", 0)
    assert attempt["runId"] == status["tracking"]["runId"] == run_id
    assert status["tracking"]["url"] == f"http://mlflow.example/#/experiments/0/runs/{run_id}"
    assert status["metrics"] == {"f1": "0.30000000000000004"}
    assert status["imageDigest"] == "example/image@sha256:0123"
    assert (status["startTime"], status["completionTime"], status["duration"]) == (
        "2026-01-02T03:04:00Z",
        "2026-01-02T03:06:00Z",
        "2m",
    )
    assert condition(status, "Succeeded")["status"] == "True"
    run = mlflow.run(run_id)
    assert run["info"]["status"] == "FINISHED"
    assert run["info"]["end_time"] == 1767323105000
    assert tags_of(run)["runyard.dev/outcome"] == "Succeeded"
    assert tags_of(run)["runyard.dev/image-digest"] == attempt["imageDigest"] == "example/image@sha256:0123"
    # A pod of these tests never had a node, and so has no log.
    assert "There is no log" in mlflow.artifact(run, f"runyard/log-{pod['metadata']['name']}.txt").decode()
    manifest = mlflow.artifact(run, "runyard/trainingrun.yaml").decode()
    assert "experiment: an experiment" in manifest
    assert "last-applied" not in manifest


@pytest.mark.parametrize(
    ("exit_code", "kubelet_reason", "reason"),
    [(3, "", "Error"), (137, "", "Error"), (137, "OOMKilled", "OOMKilled")],
)
def test_a_failure_corrects_what_the_script_said(
    actors: Actors, mlflow: MlflowRest, exit_code: int, kubelet_reason: str, reason: str
) -> None:
    actors.apply("a")
    job = actors.wait_for_job("a")
    pod = actors.create_pod(job, "one")
    said_finished = start_run(mlflow, pod)
    mlflow.call("mlflow/runs/update", {"run_id": said_finished, "status": "FINISHED", "end_time": 1})
    actors.end_pod(pod, exit_code, kubelet_reason, "first line\nlast line\n")
    actors.end_job(job, "Failed", "BackoffLimitExceeded")

    status = actors.wait_for_phase("a", "Failed")

    [attempt] = status["attempts"]
    assert (attempt["outcome"], attempt["reason"], attempt["exitCode"]) == ("Failed", reason, exit_code)
    assert attempt["message"] == "last line"
    assert status["message"].endswith("last line")
    assert status["message"].startswith("out of memory" if kubelet_reason else f"exit code {exit_code}")
    assert condition(status, "Succeeded") | {"lastTransitionTime": ""} == {
        "type": "Succeeded",
        "status": "False",
        "reason": reason,
        "message": status["message"],
        "lastTransitionTime": "",
        "observedGeneration": 1,
    }
    run = mlflow.run(said_finished)
    assert run["info"]["status"] == "FAILED"
    tags = tags_of(run)
    assert (tags["runyard.dev/reason"], tags["runyard.dev/exit-code"]) == (reason, str(exit_code))


def test_each_attempt_has_a_run_of_its_own(actors: Actors, mlflow: MlflowRest, pod: dict[str, Any]) -> None:
    actors.end_pod(pod, 1)
    first = wait_for(
        "the first attempt is recorded",
        lambda: actors.get("trainingrun", "a")["status"]["attempts"][0].get("recordedAt"),
    )
    assert first
    job = actors.wait_for_job("a")
    second = actors.create_pod(job, "two")
    second_run = start_run(mlflow, second)
    actors.end_pod(second, 0)
    actors.end_job(job, "Complete")

    status = actors.wait_for_phase("a", "Succeeded")

    assert [found["outcome"] for found in status["attempts"]] == ["Failed", "Succeeded"]
    assert status["tracking"]["runId"] == second_run
    made = mlflow.run(status["attempts"][0]["runId"])
    assert made["info"]["status"] == "FAILED", "a script that started no run gets one"
    assert tags_of(made)["runyard.dev/pod"] == pod["metadata"]["uid"]
    assert len(mlflow.runs(f"tags.`runyard.dev/uid` = '{pod['metadata']['labels']['runyard.dev/uid']}'")) == 2


def test_children_keep_the_end_they_had(actors: Actors, mlflow: MlflowRest, pod: dict[str, Any]) -> None:
    parent = start_run(mlflow, pod)
    done, still_open = start_run(mlflow, pod, parent=parent), start_run(mlflow, pod, parent=parent)
    mlflow.call("mlflow/runs/update", {"run_id": done, "status": "FINISHED", "end_time": 1})
    actors.end_pod(pod, 1)
    actors.end_job(actors.wait_for_job("a"), "Failed", "BackoffLimitExceeded")

    status = actors.wait_for_phase("a", "Failed")

    assert status["tracking"]["runId"] == parent
    found = {run_id: mlflow.run(run_id)["info"]["status"] for run_id in (parent, done, still_open)}
    assert found == {parent: "FAILED", done: "FINISHED", still_open: "FAILED"}


def test_a_job_is_removed_in_time_and_only_when_all_is_told(actors: Actors, pod: dict[str, Any]) -> None:
    actors.patch_spec("trainingrun", "a", {"ttlSecondsAfterFinished": 100})
    job = actors.wait_for_job("a")
    actors.end_pod(pod, 0)
    assert "ttlSecondsAfterFinished" not in actors.wait_for_job("a")["spec"]
    actors.end_job(job, "Complete")
    actors.wait_for_phase("a", "Succeeded")

    def ttl() -> int | None:
        found: int | None = actors.wait_for_job("a")["spec"].get("ttlSecondsAfterFinished")
        return found

    wait_for("the Job is told", lambda: ttl() == 100)
    actors.patch_spec("trainingrun", "a", {"ttlSecondsAfterFinished": 7})
    wait_for("the Job is told anew", lambda: ttl() == 7)
    status = actors.get("trainingrun", "a")["status"]
    assert (status["phase"], status["observedGeneration"]) == ("Succeeded", 3)
    # kubectl wait passes over a condition of an earlier generation.
    assert {found["observedGeneration"] for found in status["conditions"]} == {3}


def test_a_job_that_is_gone_after_its_pod_succeeded_succeeded(actors: Actors, pod: dict[str, Any]) -> None:
    actors.end_pod(pod, 0)
    wait_for(
        "the attempt is on record",
        lambda: actors.get("trainingrun", "a")["status"]["attempts"][0]["outcome"] == "Succeeded",
    )
    actors.delete("job", actors.items("jobs")[0]["metadata"]["name"])
    assert actors.wait_for_phase("a", "Succeeded")["attempts"][0]["outcome"] == "Succeeded"


def test_events_tell_the_story_once(actors: Actors, mlflow: MlflowRest, pod: dict[str, Any]) -> None:
    actors.patch_spec("trainingrun", "a", {"backoffLimit": 1})
    actors.end_pod(pod, 1)
    job = actors.wait_for_job("a")
    second = actors.create_pod(job, "two")
    start_run(mlflow, second)
    actors.end_pod(second, 0)
    actors.end_job(job, "Complete")
    actors.wait_for_phase("a", "Succeeded")

    def told() -> list[str] | None:
        reasons = sorted(event["reason"] for event in actors.items("events"))
        return reasons if "Succeeded" in reasons else None

    assert wait_for("the last event", told) == ["AttemptFailed", "Succeeded"]


def test_names_and_values_as_long_and_as_strange_as_they_may_be(actors: Actors, mlflow: MlflowRest) -> None:
    name = f"{'a' * 48}.{'b' * 150}.{'c' * 53}"
    strange = 'Grüner 🍇 "weiß\\" $(HOME) $$ \u202e\u0001 {}'
    actors.apply(
        name,
        experiment="Größe ✓ 'x' \"y\" $(HOME) %41 🍇" + "z" * 460,
        parameters={"text": strange, "long": "x" * 20_000, "_": 0.1 + 0.2, "n": 2**62},
        args=["--text=$(params.text)", "--long=$(params.long)"],
        env=[{"name": "odd name-1.x", "value": "$(params.text)"}],
    )
    assert len(name) == 253
    job = actors.wait_for_job(name)
    pod = actors.create_pod(job, "one")
    run_id = start_run(mlflow, pod, installation=installation_of(job))
    mlflow.call("mlflow/runs/set-tag", {"run_id": run_id, "key": "Größe", "value": "🍇" * 1900})
    actors.end_pod(pod, 1, "", "Größe 🍇 " * 400)
    second = actors.create_pod(job, "two")
    actors.end_pod(second, 3, "", "\u202eend\u0000")
    actors.end_job(job, "Failed", "BackoffLimitExceeded")

    status = actors.wait_for_phase(name, "Failed")

    first, made = (mlflow.run(attempt["runId"]) for attempt in status["attempts"])
    assert (first["info"]["status"], made["info"]["status"]) == ("FAILED", "FAILED")
    assert tags_of(first)["runyard.dev/name"] == tags_of(made)["runyard.dev/name"] == name
    found = mlflow.call(f"mlflow/experiments/get?experiment_id={made['info']['experiment_id']}")["experiment"]["name"]
    assert found.startswith("Größe ✓ 'x' \"y\" $(HOME) %41 🍇")
    manifest = yaml.safe_load(mlflow.artifact(made, "runyard/trainingrun.yaml").decode())
    assert manifest["spec"]["parameters"]["text"] == strange
    assert manifest["spec"]["parameters"]["long"] == "x" * 20_000

    def told() -> list[str] | None:
        reasons = [event["reason"] for event in actors.items("events")]
        return reasons if "Failed" in reasons else None

    wait_for("events come through", told)
