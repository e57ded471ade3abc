"""What can be done about a training: it is cancelled, resumed, or trained once more. Decisions, and the requests."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from runyard.api.model import JsonObject, as_object
from runyard.api.records import SWEEP_TAG
from runyard.api.status import is_final
from runyard.api.trainingrun import API_VERSION, GROUP, KIND, PLURAL, VERSION
from runyard.errors import RunyardError

if TYPE_CHECKING:
    from runyard.api.trainingrun import TrainingRun
    from runyard.cluster import Cluster

# On a TrainingRun that was made of another one's spec: the other's name.
RETRY_OF = f"{GROUP}/retry-of"
_LONGEST_STEM = 40
_RETRIED = re.compile(r"-retry-[a-z0-9]{5}$")


class NotPossible(RunyardError):
    """A training does not stand so that this could be done."""

    exit_code = 2


class Change(StrEnum):
    """What a person may ask for."""

    CANCEL = "cancel"
    RESUME = "resume"
    RETRY = "retry"


def possible(training: TrainingRun) -> list[Change]:
    """Return what can be done about a training as it stands."""
    if training.metadata.deletion_timestamp:
        return []
    if is_final(training.status):
        return [Change.RETRY]
    return [Change.RESUME, Change.RETRY] if training.spec.suspend else [Change.CANCEL]


def is_deleted_by_cancelling(training: TrainingRun) -> bool:
    """Whether something else decides when it is suspended, or waits for its end: it can only be deleted then."""
    return training.spec.queue_name is not None or SWEEP_TAG in (training.metadata.labels or {})


def verb(training: TrainingRun, change: Change) -> str:
    """Return the right that it takes, on TrainingRuns of its namespace."""
    if change is Change.RETRY:
        return "create"
    return "delete" if change is Change.CANCEL and is_deleted_by_cancelling(training) else "patch"


def says(training: TrainingRun, change: Change) -> str:
    """Return what comes of it, in words."""
    match change:
        case Change.CANCEL if is_deleted_by_cancelling(training):
            whose = "the queue" if training.spec.queue_name else "the sweep"
            return (
                f"Whether it is suspended is for {whose} to say, so the TrainingRun is deleted, and its pod with it. "
                "Its runs stay in MLflow: one that goes on is KILLED."
            )
        case Change.CANCEL:
            return (
                "It is suspended (spec.suspend): its pod ends, the attempt is Cancelled and its run KILLED. "
                "It can be resumed, and begins from the beginning then."
            )
        case Change.RESUME:
            return "It is no longer suspended (spec.suspend): it begins from the beginning, in a new pod and a new run."
        case Change.RETRY:
            promote = training.spec.promote
            more = f" After success its model may become the {promote.alias} of {promote.model}." if promote else ""
            return f"A new TrainingRun is made of the same spec, and this one stays as it is.{more}"


def retried(body: JsonObject) -> JsonObject:
    """Return the manifest of a TrainingRun like another one, with a name that the API server completes.

    Labels and annotations say what the other belonged to, and are not repeated; nor is that it is suspended.
    """
    metadata = as_object(body.get("metadata"))
    name = str(metadata.get("name"))
    stem = _RETRIED.sub("", name)[:_LONGEST_STEM].rstrip("-.")
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "generateName": f"{stem}-retry-",
            "namespace": metadata.get("namespace"),
            "annotations": {RETRY_OF: name},
        },
        "spec": {key: value for key, value in as_object(body.get("spec")).items() if key != "suspend"},
    }


def make(cluster: Cluster, training: TrainingRun, change: Change) -> str:
    """Do what is asked; return the name of the TrainingRun to look at then, empty where it is deleted.

    Raises:
        NotPossible: the training does not stand so by now, or another one has its name.
        Refused: the API server does not do it.
        ClusterUnavailable: it does not answer.

    """
    where = training.metadata
    if change not in possible(training):
        raise NotPossible(f'"{where.name}" cannot be {_DONE[change]}: it is {training.status.phase or "new"} by now')
    path = f"/apis/{GROUP}/{VERSION}/namespaces/{where.namespace}/{PLURAL}/{where.name}"
    match change:
        case Change.RETRY:
            body = cluster.call("GET", path)
            if as_object(body.get("metadata")).get("uid") != where.uid:
                raise NotPossible(f'another TrainingRun is called "{where.name}" by now: nothing was made')
            return cluster.create(retried(body)).metadata.name
        case Change.CANCEL if is_deleted_by_cancelling(training):
            cluster.call("DELETE", path, {"preconditions": {"uid": where.uid}})
            return ""
        case _:
            # With another UID than the object's the API server refuses.
            patch: JsonObject = {"metadata": {"uid": where.uid}, "spec": {"suspend": change is Change.CANCEL}}
            cluster.call("PATCH", path, patch, "application/merge-patch+json", fieldManager="runyard")
            return where.name


_DONE = {Change.CANCEL: "cancelled", Change.RESUME: "resumed", Change.RETRY: "tried once more"}
