"""Source and datasets: what an init container reports comes out on the resource and in MLflow."""

import json
from typing import Any

import pytest

from tests.operator.actors import Actors, condition, start_run
from tests.support.mlflow_server import MlflowRest, tags_of
from tests.support.waiting import wait_for

COMMIT, LATER = "0123456789" * 4, "abcdef0123" * 4
DIGEST, ANOTHER = f"sha256:{'0123456789abcdef' * 4}", f"sha256:{'f' * 64}"
ADDRESS = "https://git.example/team/wine.git"
RUNNING = {"running": {"startedAt": "2026-01-02T03:04:05Z"}}
SPEC: dict[str, Any] = {
    "source": {"git": ADDRESS, "revision": "main", "path": "training", "secretName": "git"},
    "datasets": [
        {"name": "wine", "uri": "s3://data/wine.csv", "digest": DIGEST},
        {"name": "labels", "uri": "https://data.example/labels.csv"},
    ],
}


def source(commit: str = COMMIT) -> dict[str, str]:
    return {"git": ADDRESS, "commit": commit, "branch": "main"}


def ended(code: int = 0, **report: Any) -> dict[str, Any]:
    """Return the init container's status once it has reported."""
    message, now = json.dumps(report), "2026-01-02T03:04:04Z"
    state = {"exitCode": code, "reason": "Error" if code else "Completed", "message": message, "finishedAt": now}
    fields = {"image": "runyard/operator:0.1.0", "imageID": "", "ready": code == 0, "restartCount": 0}
    return {"name": "runyard-prepare", "state": {"terminated": state}, **fields}


PREPARED = ended(source=source(), datasets=[{"name": "wine", "digest": DIGEST}, {"name": "labels", "digest": ANOTHER}])


def inputs_of(run: dict[str, Any]) -> dict[str, tuple[dict[str, Any], dict[str, str]]]:
    """Return the datasets of a run by name, each with its tags."""
    return {
        found["dataset"]["name"]: (found["dataset"], {tag["key"]: tag["value"] for tag in found["tags"]})
        for found in run.get("inputs", {}).get("dataset_inputs", [])
    }


def fail(actors: Actors, pod: dict[str, Any], init: dict[str, Any]) -> None:
    """Fail a pod by its init container, as the kubelet does: the training container waits for ever."""
    waiting = {"waiting": {"reason": "PodInitializing"}}
    actors.set_pod(pod, "Failed", waiting, initContainerStatuses=[init])


def test_the_api_server_takes_the_job_and_the_standard_restricts_it(actors: Actors) -> None:
    actors.server.kubectl(
        "label", "namespace", actors.namespace, "pod-security.kubernetes.io/enforce=restricted", "--overwrite"
    )
    actors.apply("a", **SPEC)
    job = actors.wait_for_job("a")
    pod = actors.create_pod(job, "one")
    [fetching] = pod["spec"]["initContainers"]
    assert (fetching["name"], fetching["image"]) == ("runyard-prepare", "example/operator:1")
    assert pod["spec"]["containers"][0]["workingDir"] == "/runyard/source/training"
    rules = job["spec"]["podFailurePolicy"]["rules"]
    assert {"containerName": "runyard-prepare", "operator": "In", "values": [2]} in [
        found.get("onExitCodes") for found in rules
    ]


def test_code_and_data_are_on_the_run_while_it_goes_on_and_at_its_end(actors: Actors, mlflow: MlflowRest) -> None:
    actors.apply("a", **SPEC)
    job = actors.wait_for_job("a")
    pod = actors.create_pod(job, "one")
    run_id = start_run(mlflow, pod)
    actors.set_pod(pod, "Running", RUNNING, initContainerStatuses=[PREPARED])

    found = wait_for("the run has its inputs", lambda: inputs_of(mlflow.run(run_id)) or None)

    dataset, tags = found["wine"]
    assert {key: dataset[key] for key in ("digest", "source_type", "source")} == {
        "digest": DIGEST[:36],
        "source_type": "s3",
        "source": '{"uri": "s3://data/wine.csv"}',
    }
    assert tags == {
        "mlflow.data.context": "training",
        "runyard.dev/digest": DIGEST,
        "runyard.dev/verified": "true",
        "runyard.dev/uri": "s3://data/wine.csv",
    }
    dataset, tags = found["labels"]
    assert (dataset["source_type"], dataset["source"]) == ("http", '{"url": "https://data.example/labels.csv"}')
    assert (tags["runyard.dev/digest"], tags["runyard.dev/verified"]) == (ANOTHER, "false")
    assert tags_of(mlflow.run(run_id))["mlflow.source.git.commit"] == COMMIT

    actors.end_pod(pod, 0)
    actors.end_job(job, "Complete")
    status = actors.wait_for_phase("a", "Succeeded")

    assert status["source"] == status["attempts"][0]["source"] == source()
    assert [found["name"] for found in status["attempts"][0]["datasets"]] == ["wine", "labels"]
    run = mlflow.run(run_id)
    assert len(inputs_of(run)) == len(run["inputs"]["dataset_inputs"]) == 2, "told twice, there once"
    tags = tags_of(run)
    assert (tags["mlflow.source.git.repoURL"], tags["mlflow.source.git.branch"]) == (ADDRESS, "main")
    assert (run["info"]["status"], tags["runyard.dev/outcome"]) == ("FINISHED", "Succeeded")


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("SourceUnavailable", "repository 'https://git.example/team/wine.git/' not found"),
        ("DatasetMismatch", f"dataset wine: wanted {DIGEST}, found {ANOTHER} at s3://data/wine.csv"),
        ("DatasetUnavailable", "dataset labels cannot be had from https://data.example/labels.csv: timed out"),
    ],
)
def test_what_could_not_be_fetched_is_the_cause(actors: Actors, mlflow: MlflowRest, reason: str, message: str) -> None:
    actors.apply("a", **SPEC)
    job = actors.wait_for_job("a")
    pod = actors.create_pod(job, "one")
    fail(actors, pod, ended(2, source=source(), failure={"reason": reason, "message": message}))
    actors.end_job(job, "Failed", "PodFailurePolicy")

    status = actors.wait_for_phase("a", "Failed")

    [attempt] = status["attempts"]
    assert (attempt["outcome"], attempt["reason"], attempt["message"]) == ("Failed", reason, message)
    assert "exitCode" not in attempt
    assert (status["message"], condition(status, "Succeeded")["reason"]) == (message, reason)
    run = mlflow.run(attempt["runId"])
    assert (run["info"]["status"], inputs_of(run)) == ("FAILED", {})
    tags = tags_of(run)
    assert (tags["runyard.dev/reason"], tags["mlflow.source.git.commit"]) == (reason, COMMIT)
    for log in (f"log-{pod['metadata']['name']}.txt", f"log-{pod['metadata']['name']}-runyard-prepare.txt"):
        assert mlflow.artifact(run, f"runyard/{log}") is not None


def test_each_attempt_tells_of_its_own_commit(actors: Actors, mlflow: MlflowRest) -> None:
    actors.apply("a", backoffLimit=1, source=SPEC["source"])
    job = actors.wait_for_job("a")
    first = actors.create_pod(job, "one")
    actors.set_pod(first, "Running", RUNNING, initContainerStatuses=[ended(source=source())])
    actors.wait_for_phase("a", "Running")
    actors.end_pod(first, 1)
    second = actors.create_pod(job, "two")
    actors.set_pod(second, "Running", RUNNING, initContainerStatuses=[ended(source=source(LATER))])
    actors.end_pod(second, 0)
    actors.end_job(job, "Complete")

    status = actors.wait_for_phase("a", "Succeeded")

    assert [found["source"]["commit"] for found in status["attempts"]] == [COMMIT, LATER]
    assert status["source"]["commit"] == LATER
    runs = [mlflow.run(found["runId"]) for found in status["attempts"]]
    assert [tags_of(run)["mlflow.source.git.commit"] for run in runs] == [COMMIT, LATER]


def test_datasets_of_one_variable_are_not_accepted(actors: Actors) -> None:
    alike = [{"name": "wine.csv", "uri": "s3://data/a"}, {"name": "wine-csv", "uri": "s3://data/b"}]
    actors.apply("a", datasets=alike)
    status = actors.wait_for_phase("a", "Failed")
    assert condition(status, "Accepted")["reason"] == "InvalidSpec"
    assert status["message"].startswith('spec.datasets[1].name: Invalid value: "wine-csv": RUNYARD_DATASET_WINE_CSV')
