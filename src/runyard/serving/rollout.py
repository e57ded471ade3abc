"""Putting what serves a model into a cluster, waiting until it answers, and taking it away again."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from runyard.api.model import JsonObject, as_list, as_object
from runyard.cluster import Cluster, ClusterUnavailable, Deadline, NotThere, Refused, TimedOut
from runyard.errors import RunyardError
from runyard.serving.objects import MODEL_ANNOTATION, SERVES_LABEL, VERSION_LABEL, Serving, manifests, object_name

_APPLY = "application/apply-patch+yaml"
_PAUSE_SECONDS = 1.0
# As long as an API server takes to restart.
_PATIENCE_SECONDS = 60.0
# What the kubelet says when it has tried for the second time, or sees that it need not try.
_HOPELESS = {
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
}


class NotServed(RunyardError):
    """The new pods do not come up; those from before go on serving."""


class Step(StrEnum):
    """How far a rollout is."""

    WAITING = "Waiting"
    DONE = "Done"
    FAILED = "Failed"


@dataclass(frozen=True)
class Progress:
    """How far a rollout is, and why it is not further."""

    step: Step
    says: str = ""


def paths(namespace: str) -> dict[str, str]:
    """Return where the objects of each kind are."""
    return {
        "Deployment": f"/apis/apps/v1/namespaces/{namespace}/deployments",
        "Service": f"/api/v1/namespaces/{namespace}/services",
    }


def serve(cluster: Cluster, wanted: Serving, deadline: Deadline) -> int | None:
    """Serve a version in the cluster's namespace, and wait until it answers.

    Returns:
        The version that was served before; None where there was none.

    Raises:
        Refused: an object is not taken, or one of that name is somebody else's.
        NotServed: its pods do not come up.
        TimedOut: the time is over; it may yet come up.
        ClusterUnavailable: the API server does not answer.

    """
    before = _ours(cluster, wanted)
    for body in manifests(wanted):
        path = f"{paths(cluster.namespace)[str(body['kind'])]}/{wanted.name}"
        cluster.call("PATCH", path, body, _APPLY, fieldManager="runyard-serve", force="true", fieldValidation="Strict")
    _wait(cluster, wanted, deadline, "Nothing is served" if before is None else "The pods from before go on")
    return before


def _ours(cluster: Cluster, wanted: Serving) -> int | None:
    """Return the version that is served now.

    Raises:
        Refused: a Deployment or Service of that name was made by somebody else, or serves another model.

    """
    found: JsonObject = {}
    for kind in ("Service", "Deployment"):
        try:
            found = cluster.call("GET", f"{paths(cluster.namespace)[kind]}/{wanted.name}")
        except NotThere:
            found = {}
            continue
        metadata = as_object(found.get("metadata"))
        is_labelled = as_object(metadata.get("labels")).get(SERVES_LABEL) == wanted.name
        model = as_object(metadata.get("annotations")).get(MODEL_ANNOTATION)
        if not is_labelled or model != wanted.version.model:
            what = f"serves {model}" if is_labelled else "is not from `runyard serve`"
            called = f"the {kind} {cluster.namespace}/{wanted.name}"
            raise Refused(f"{called} {what}: choose another namespace, or remove it")
    version = str(as_object(as_object(found.get("metadata")).get("labels")).get(VERSION_LABEL, ""))
    return int(version) if version.isdecimal() else None


def _wait(cluster: Cluster, wanted: Serving, deadline: Deadline, otherwise: str) -> None:
    inside, gives_up_at = paths(cluster.namespace), time.monotonic() + _PATIENCE_SECONDS
    selector = f"{SERVES_LABEL}={wanted.name},{VERSION_LABEL}={wanted.version.number}"
    found = Progress(Step.WAITING)
    while True:
        try:
            deployment = cluster.call("GET", f"{inside['Deployment']}/{wanted.name}")
            pods = cluster.call("GET", f"/api/v1/namespaces/{cluster.namespace}/pods", labelSelector=selector)
            found = progress(deployment, [as_object(each) for each in as_list(pods.get("items"))])
            gives_up_at = time.monotonic() + _PATIENCE_SECONDS
        except ClusterUnavailable:
            if time.monotonic() > gives_up_at:
                raise
        if found.step is Step.DONE:
            return
        if found.step is Step.FAILED:
            raise NotServed(
                f"{wanted.version.model} version {wanted.version.number} does not come up: {found.says}. "
                f"{otherwise}; to see more: kubectl -n {cluster.namespace} describe pods -l {selector}"
            )
        if deadline.left <= 0:
            why = f": {found.says}" if found.says else ""
            raise TimedOut(f"{wanted.name} does not answer after {deadline.seconds:g} s{why}")
        time.sleep(min(_PAUSE_SECONDS, max(0.0, deadline.left)))


def progress(deployment: JsonObject, pods: Sequence[JsonObject]) -> Progress:
    """Return how far a rollout is, given the Deployment and the pods of the new version."""
    metadata, spec, status = (as_object(deployment.get(part)) for part in ("metadata", "spec", "status"))
    if status.get("observedGeneration") != metadata.get("generation"):
        return Progress(Step.WAITING, "no controller has looked at it")
    wanted = spec.get("replicas", 1)
    new, all_, ready = (status.get(key) or 0 for key in ("updatedReplicas", "replicas", "availableReplicas"))
    if new == wanted and all_ == wanted and ready == wanted:
        return Progress(Step.DONE)
    for each in map(as_object, as_list(status.get("conditions"))):
        failed = (each.get("type"), each.get("status")) == ("ReplicaFailure", "True")
        late = each.get("reason") == "ProgressDeadlineExceeded"
        if failed or late:
            return Progress(Step.FAILED, str(each.get("message") or each.get("reason")))
    troubles = [_trouble(pod) for pod in pods if not as_object(pod.get("metadata")).get("deletionTimestamp")]
    hopeless = next((found for found in troubles if found and found.step is Step.FAILED), None)
    waiting = next((found for found in troubles if found), None)
    return hopeless or waiting or Progress(Step.WAITING, f"{ready} of {wanted} pods answer")


def _trouble(pod: JsonObject) -> Progress | None:
    status = as_object(pod.get("status"))
    for each in map(as_object, as_list(status.get("containerStatuses"))):
        waiting = as_object(as_object(each.get("state")).get("waiting"))
        reason = waiting.get("reason")
        if reason in _HOPELESS:
            ended = as_object(as_object(each.get("lastState")).get("terminated"))
            last = str(ended.get("message") or "").strip().splitlines()
            return Progress(Step.FAILED, f"{reason}: {last[-1] if last else waiting.get('message', '')}")
    for each in map(as_object, as_list(status.get("conditions"))):
        if (each.get("type"), each.get("status")) == ("PodScheduled", "False"):
            return Progress(Step.WAITING, str(each.get("message") or each.get("reason")))
    return None


def delete(cluster: Cluster, model: str) -> str:
    """Take away what serves a model; return what it was called.

    Raises:
        NotThere: nothing of ours serves it there.
        Refused: one may not.
        ClusterUnavailable: the API server does not answer.

    """
    name, deleted = object_name(model), False
    for kind, path in paths(cluster.namespace).items():
        try:
            found = as_object(cluster.call("GET", f"{path}/{name}").get("metadata"))
            is_ours = as_object(found.get("labels")).get(SERVES_LABEL) == name
            if not is_ours:
                raise Refused(f"the {kind} {cluster.namespace}/{name} is not from `runyard serve`: it is left as it is")
            only: JsonObject = {"preconditions": {"uid": found["uid"]}, "propagationPolicy": "Background"}
            cluster.call("DELETE", f"{path}/{name}", only)
            deleted = True
        except NotThere:
            continue
    if not deleted:
        raise NotThere(f"nothing serves {model} in the namespace {cluster.namespace}")
    return name
