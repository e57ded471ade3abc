"""What keeps a training from its Job or its pod: it is said, and it passes or it is the end."""

from typing import Any

from tests.operator.actors import Actors, condition, start_run
from tests.support.mlflow_server import MlflowRest
from tests.support.waiting import wait_for


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
