"""What keeps a training from its Job or its pod: it is said, and it passes or it is the end."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

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
        lambda: actors.get("trainingrun", "a").get("status", {}).get("message") == "ImagePullBackOff: no such image",
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
        parameters={"a b": 1},
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


def warn(actors: Actors, about: dict[str, Any], reason: str, message: str, at: str | None = None) -> None:
    """Write a warning about an object, as a controller or the kubelet would."""
    metadata = about["metadata"]
    kind = {"kind": about["kind"], "apiVersion": about["apiVersion"]}
    regarding = kind | {key: metadata[key] for key in ("name", "namespace", "uid")}
    named = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": f"warning-{uuid4().hex[:8]}"}}
    told_at = at or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = {"reason": reason, "message": message, "type": "Warning", "lastTimestamp": told_at}
    actors.create({**named, "involvedObject": regarding, **told})


def says(actors: Actors, name: str, words: str) -> None:
    wait_for(
        "the status says why", lambda: words in (actors.get("trainingrun", name).get("status", {}).get("message") or "")
    )


def test_a_job_whose_pods_are_refused_says_why(actors: Actors) -> None:
    actors.apply("a")
    warn(actors, actors.wait_for_job("a"), "FailedCreate", "pods are forbidden: no such account")
    says(actors, "a", "pods are forbidden: no such account")


def test_a_pod_that_waits_for_a_volume_says_so(actors: Actors) -> None:
    actors.apply("a")
    pod = actors.create_pod(actors.wait_for_job("a"), "one")
    warn(actors, pod, "FailedMount", 'configmap "missing" not found')
    says(actors, "a", 'configmap "missing" not found')


def test_a_pod_whose_secret_is_missing_says_so_in_an_event_too(actors: Actors) -> None:
    said = 'CreateContainerConfigError: secret "login" not found'
    actors.apply("a", envFrom=[{"secretRef": {"name": "login"}}])
    pod = actors.create_pod(actors.wait_for_job("a"), "one")
    actors.set_pod(
        pod, "Pending", {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "login" not found'}}
    )
    says(actors, "a", said)
    [event] = wait_for("an event tells it", lambda: [found for found in actors.items("events") if found["message"]])
    about, name = event["involvedObject"], pod["metadata"]["name"]
    assert (about["kind"], about["name"], event["type"], event["reason"]) == (
        *("TrainingRun", "a"),
        *("Warning", "CannotBegin"),
    )
    assert event["message"] == f"Pod {name} begins once this is mended: {said}"


def test_a_retry_whose_pod_is_refused_says_why(actors: Actors) -> None:
    actors.apply("a", backoffLimit=3)
    job = actors.wait_for_job("a")
    warn(actors, job, "FailedCreate", "long ago: no such account", at="2026-01-02T03:04:05Z")
    actors.end_pod(actors.create_pod(job, "one"), 1)
    warn(actors, job, "FailedCreate", "exceeded quota: pods")
    says(actors, "a", "ended: Error; no further pod begins: exceeded quota: pods")


def test_workers_whose_pods_are_refused_say_why_though_others_train(actors: Actors) -> None:
    actors.apply("a", workers=2)
    job = actors.wait_for_job("a")
    one = actors.create_pod(job, "one", worker=0)
    actors.set_pod(one, "Running", {"running": {"startedAt": "2026-01-02T03:04:05Z"}})
    # The name is another at each try.
    refused = '(combined from similar events): Error creating: pods "a-1-x7k2p" is forbidden: exceeded quota: pods'
    warn(actors, job, "FailedCreate", refused)
    says(actors, "a", 'no further pod begins: Error creating: pods "a-1" is forbidden: exceeded quota: pods')
