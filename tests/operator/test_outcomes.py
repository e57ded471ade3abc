"""The operator's process between a real API server and a real MLflow, in a cluster without nodes."""

import itertools
import json
from typing import Any

import pytest
import yaml

from tests.operator.actors import Actors, condition
from tests.support.mlflow_server import MlflowRest, tags_of
from tests.support.waiting import wait_for

_LATER = itertools.count()


def start_run(
    mlflow: MlflowRest, pod: dict[str, Any], *, parent: str | None = None, installation: str | None = None
) -> str:
    """Start a run as a script in that pod would."""
    tags = {
        "runyard.dev/uid": pod["metadata"]["labels"]["runyard.dev/uid"],
        "runyard.dev/pod": pod["metadata"]["uid"],
        "runyard.dev/name": pod["metadata"]["annotations"]["runyard.dev/name"],
        "runyard.dev/namespace": pod["metadata"]["namespace"],
        **({"mlflow.parentRunId": parent} if parent else {}),
        **({"runyard.dev/installation": installation} if installation else {}),
    }
    body = {
        "experiment_id": "0",
        "start_time": 1767323045000 + next(_LATER),  # as the pods of these tests, one after the other
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
    }
    found: str = mlflow.call("mlflow/runs/create", body)["run"]["info"]["run_id"]
    return found


@pytest.fixture
def pod(actors: Actors) -> dict[str, Any]:
    """A pod of the TrainingRun `a`, running."""
    actors.apply("a", backoffLimit=1, experiment="an experiment")
    found = actors.create_pod(actors.wait_for_job("a"), "one")
    actors.set_pod(found, "Running", {"running": {"startedAt": "2026-01-02T03:04:05Z"}})
    actors.wait_for_phase("a", "Running")
    return found


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


def test_an_image_that_cannot_be_had_ends_the_job(actors: Actors, mlflow: MlflowRest) -> None:
    actors.apply("a")
    job = actors.wait_for_job("a")
    pod = actors.create_pod(job, "one")
    actors.set_pod(pod, "Pending", {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})

    ended = wait_for("the Job is told to end", lambda: _deadline(actors, job))

    assert ended["metadata"]["annotations"]["runyard.dev/failed-because"] == "ImagePull"
    wait_for(
        "the status says what is waited for",
        lambda: actors.get("trainingrun", "a")["status"].get("message") == "ImagePullBackOff: no such image",
    )
    actors.delete("pod", pod["metadata"]["name"])
    actors.end_job(job, "Failed", "DeadlineExceeded")
    status = actors.wait_for_phase("a", "Failed")
    assert (status["attempts"][0]["reason"], status["message"]) == ("ImagePull", "ImagePullBackOff: no such image")
    run = mlflow.run(status["tracking"]["runId"])
    assert run["info"]["status"] == "FAILED"
    assert "no such image" in mlflow.artifact(run, f"runyard/log-{pod['metadata']['name']}.txt").decode()


def _deadline(actors: Actors, job: dict[str, Any]) -> dict[str, Any] | None:
    found = actors.get("job", job["metadata"]["name"])
    return found if found["spec"].get("activeDeadlineSeconds") == 1 else None


def test_a_deadline_is_the_reason(actors: Actors, mlflow: MlflowRest) -> None:
    actors.apply("a", activeDeadlineSeconds=60)
    job = actors.wait_for_job("a")
    assert job["spec"]["activeDeadlineSeconds"] == 60
    pod = actors.create_pod(job, "one")
    actors.set_pod(pod, "Running", {"running": {"startedAt": "2026-01-02T03:04:05Z"}})
    actors.wait_for_phase("a", "Running")
    run_id = start_run(mlflow, pod)
    actors.end_job(job, "Failed", "DeadlineExceeded")
    actors.delete("pod", pod["metadata"]["name"])

    status = actors.wait_for_phase("a", "Failed")

    assert condition(status, "Succeeded")["reason"] == "DeadlineExceeded"
    assert mlflow.run(run_id)["info"]["status"] == "FAILED"


def test_deleting_the_resource_kills_its_open_runs(actors: Actors, mlflow: MlflowRest, pod: dict[str, Any]) -> None:
    run_id = start_run(mlflow, pod)
    actors.delete("trainingrun", "a")
    # The garbage collector's part.
    actors.delete("job", actors.items("jobs")[0]["metadata"]["name"])
    actors.delete("pod", pod["metadata"]["name"])

    wait_for("the run is killed", lambda: mlflow.run(run_id)["info"]["status"] == "KILLED")

    tags = tags_of(mlflow.run(run_id))
    assert (tags["runyard.dev/outcome"], tags["runyard.dev/reason"]) == ("Cancelled", "Cancelled")


def test_suspend_reaches_the_job(actors: Actors) -> None:
    actors.apply("a", suspend=True)
    assert actors.wait_for_job("a")["spec"]["suspend"] is True
    actors.wait_for_phase("a", "Suspended")
    actors.apply("a", suspend=False)
    wait_for("the Job resumes", lambda: not actors.wait_for_job("a")["spec"]["suspend"])
    actors.wait_for_phase("a", "Pending")


def test_a_spec_that_no_job_can_have_says_so_with_its_path(actors: Actors) -> None:
    actors.apply("a", resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}})
    actors.apply("b", args=["$(params.missing)"])
    failed = actors.wait_for_phase("a", "Failed")
    assert condition(failed, "Accepted")["message"] == (
        'spec.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'
    )
    assert condition(actors.wait_for_phase("b", "Failed"), "Accepted")["message"] == (
        'spec.args[0]: Invalid value: "$(params.missing)": spec.parameters has no "missing"; it has: none'
    )
    assert actors.items("jobs") == []


def test_all_that_is_wrong_with_a_spec_is_told_at_once(actors: Actors) -> None:
    """What the operator sees, and what the API server says of a Job that is only tried."""
    actors.apply(
        "a",
        args=["$(params.missing)"],
        parameters={"a b": 1, "empty": {}},
        resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
        volumeMounts=[{"name": "nowhere", "mountPath": "/data"}],
        nodeSelector={"1": "not a label"},
        podTemplate={
            "spec": {
                "containers": [{"name": "Sidecar", "image": "x"}, {"name": "training", "ports": [{"containerPort": 0}]}]
            }
        },
    )
    accepted = condition(actors.wait_for_phase("a", "Failed"), "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "InvalidSpec")
    told = [text for text in accepted["message"].split("; ") if text.startswith("spec.")]
    assert [text.partition(": ")[0] for text in told] == [
        "spec.parameters.a b",
        "spec.parameters.empty",
        "spec.args[0]",
        "spec.podTemplate.spec.containers[1].ports[0].containerPort",
        "spec.volumeMounts[0].name",
        "spec.resources.requests",
        "spec.podTemplate.spec.containers[0].name",
        "spec.nodeSelector",
    ]
    assert actors.items("jobs") == []


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


def test_a_job_that_is_gone_after_its_pod_succeeded_succeeded(actors: Actors, pod: dict[str, Any]) -> None:
    actors.end_pod(pod, 0)
    wait_for(
        "the attempt is on record",
        lambda: actors.get("trainingrun", "a")["status"]["attempts"][0]["outcome"] == "Succeeded",
    )
    actors.delete("job", actors.items("jobs")[0]["metadata"]["name"])
    assert actors.wait_for_phase("a", "Succeeded")["attempts"][0]["outcome"] == "Succeeded"


def test_parameters_that_are_changed_while_it_trains_change_nothing(
    actors: Actors, mlflow: MlflowRest, pod: dict[str, Any]
) -> None:
    actors.patch_spec("trainingrun", "a", {"parameters": {"late": 1}})
    note = wait_for(
        "the resource says so",
        lambda: condition(actors.get("trainingrun", "a")["status"], "Accepted").get("message") or None,
    )
    assert note.startswith("spec.parameters was changed after the Job was made, which has no effect")
    actors.end_pod(pod, 0)
    actors.end_job(actors.wait_for_job("a"), "Complete")
    status = actors.wait_for_phase("a", "Succeeded")
    manifest = mlflow.artifact(mlflow.run(status["tracking"]["runId"]), "runyard/trainingrun.yaml").decode()
    assert "late" not in manifest, "it is the manifest that ran"


def test_a_job_that_a_quota_forbids_is_made_once_there_is_room(actors: Actors) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    actors.create({**quota, "spec": {"hard": {"count/jobs.batch": "0"}}})
    actors.set_status("resourcequota", "none", {"hard": {"count/jobs.batch": "0"}, "used": {"count/jobs.batch": "0"}})
    actors.apply("a")
    message = wait_for("the status says why", lambda: actors.get("trainingrun", "a").get("status", {}).get("message"))
    assert "exceeded quota: none" in message
    actors.delete("resourcequota", "none")
    actors.wait_for_job("a")


def test_a_job_whose_pods_are_refused_says_why(actors: Actors) -> None:
    actors.apply("a")
    job = actors.wait_for_job("a")["metadata"]
    regarding = {"kind": "Job", "apiVersion": "batch/v1"} | {key: job[key] for key in ("name", "namespace", "uid")}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "refused"}, "involvedObject": regarding}
    told = {"reason": "FailedCreate", "message": "pods are forbidden: no such account", "type": "Warning"}
    actors.create({**event, **told, "lastTimestamp": "2026-01-02T03:04:05Z"})
    actors.patch_spec("trainingrun", "a", {"backoffLimit": 1})
    wait_for(
        "the status says why",
        lambda: actors.get("trainingrun", "a")["status"].get("message") == "pods are forbidden: no such account",
    )


def test_a_pod_that_waits_for_a_volume_says_so(actors: Actors) -> None:
    actors.apply("a")
    pod = actors.create_pod(actors.wait_for_job("a"), "one")["metadata"]
    regarding = {"kind": "Pod", "apiVersion": "v1"} | {key: pod[key] for key in ("name", "namespace", "uid")}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "waits"}, "involvedObject": regarding}
    told = {"reason": "FailedMount", "message": 'configmap "missing" not found', "type": "Warning"}
    actors.create({**event, **told, "lastTimestamp": "2026-01-02T03:04:05Z"})
    wait_for(
        "the status says why",
        lambda: actors.get("trainingrun", "a")["status"].get("message") == 'configmap "missing" not found',
    )


def test_events_tell_the_story_once(actors: Actors, mlflow: MlflowRest, pod: dict[str, Any]) -> None:
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


def test_a_run_that_is_left_open_after_all_is_closed_by_a_sweep(
    actors: Actors, mlflow: MlflowRest, pod: dict[str, Any]
) -> None:
    run_id = start_run(mlflow, pod)
    actors.end_pod(pod, 0)
    actors.end_job(actors.wait_for_job("a"), "Complete")
    actors.wait_for_phase("a", "Succeeded")
    context = json.loads(_variable(actors.wait_for_job("a"), "MLFLOW_RUN_CONTEXT"))
    late = start_run(mlflow, pod, installation=context["runyard.dev/installation"])

    wait_for("the late run is closed", lambda: mlflow.run(late)["info"]["status"] == "FINISHED")

    assert mlflow.run(run_id)["info"]["status"] == "FINISHED"


def test_a_run_of_a_pod_that_nobody_saw_is_closed_by_a_sweep(
    actors: Actors, mlflow: MlflowRest, pod: dict[str, Any]
) -> None:
    actors.end_pod(pod, 0)
    actors.end_job(actors.wait_for_job("a"), "Complete")
    actors.wait_for_phase("a", "Succeeded")
    context = json.loads(_variable(actors.wait_for_job("a"), "MLFLOW_RUN_CONTEXT"))
    unseen = {**pod, "metadata": {**pod["metadata"], "uid": "came-and-went"}}
    run_id = start_run(mlflow, unseen, installation=context["runyard.dev/installation"])

    wait_for("the run is closed", lambda: mlflow.run(run_id)["info"]["status"] == "KILLED")

    assert tags_of(mlflow.run(run_id))["runyard.dev/reason"] == "PodDeleted"


def test_a_run_that_is_deleted_in_mlflow_is_told_and_so_is_its_return(
    actors: Actors, mlflow: MlflowRest, pod: dict[str, Any]
) -> None:
    run_id = start_run(mlflow, pod)
    actors.end_pod(pod, 0)
    actors.end_job(actors.wait_for_job("a"), "Complete")
    actors.wait_for_phase("a", "Succeeded")

    def tracked() -> str:
        found: str = condition(actors.get("trainingrun", "a")["status"], "Tracked")["reason"]
        return found

    mlflow.call("mlflow/runs/delete", {"run_id": run_id})
    wait_for("the resource says so", lambda: tracked() == "RunDeleted")
    mlflow.call("mlflow/runs/restore", {"run_id": run_id})
    wait_for("the resource says that it is back", lambda: tracked() == "Recorded")


def test_an_experiment_that_is_deleted_is_told_until_it_is_restored(
    actors: Actors, mlflow: MlflowRest, pod: dict[str, Any]
) -> None:
    experiment = mlflow.call("mlflow/experiments/create", {"name": f"deleted {actors.namespace}"})["experiment_id"]
    mlflow.call("mlflow/experiments/delete", {"experiment_id": experiment})
    actors.apply("b", experiment=f"deleted {actors.namespace}")
    job = actors.wait_for_job("b")
    second = actors.create_pod(job, "one")
    actors.end_pod(second, 0)
    actors.end_job(job, "Complete")

    def tracked() -> dict[str, str] | None:
        found = condition(actors.get("trainingrun", "b").get("status", {}), "Tracked")
        return found if found["status"] == "False" else None

    found = wait_for("the resource says so", tracked)

    assert found["reason"] == "ExperimentDeleted"
    assert found["message"] == (
        f'the experiment "deleted {actors.namespace}" is deleted in MLflow, and the run of this training is still to '
        f"be made there: restore it (mlflow experiments restore --experiment-id {experiment})"
    )
    assert condition(actors.get("trainingrun", "b")["status"], "Succeeded")["status"] == "True"
    mlflow.call("mlflow/experiments/restore", {"experiment_id": experiment})
    status = actors.wait_for_phase("b", "Succeeded")
    assert mlflow.run(status["tracking"]["runId"])["info"]["experiment_id"] == experiment
    assert pod["status"]["phase"] == "Pending", "another training is not held up"


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
    context = json.loads(_variable(job, "MLFLOW_RUN_CONTEXT"))
    run_id = start_run(mlflow, pod, installation=context["runyard.dev/installation"])
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


def _variable(job: dict[str, Any], name: str) -> str:
    [container] = job["spec"]["template"]["spec"]["containers"]
    [found] = [variable["value"] for variable in container["env"] if variable["name"] == name]
    return str(found).replace("$(RUNYARD_POD_UID)", "")
