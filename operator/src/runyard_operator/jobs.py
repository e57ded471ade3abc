"""The Job of a TrainingRun: a function from the resource to the object, with nothing read from a cluster."""

import copy
import hashlib
from typing import cast

from pydantic import JsonValue

from runyard.api import environment
from runyard.api.container import joined, training_container
from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.trainingrun import API_VERSION, KIND, RESERVED_ENVIRONMENT, TRAINING_CONTAINER, TrainingRun
from runyard_operator.objects import FAILED_BECAUSE, NAME_ANNOTATION, UID_LABEL, Job

_NAME_LENGTH = 63  # a Job's name is also a label's value on its pods
_HASH_LENGTH = 8

# The pod as the "restricted" standard wants it; a podTemplate is followed in each field that it says otherwise of.
_POD_SECURITY: JsonObject = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
_CONTAINER_SECURITY: JsonObject = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def job_name(run: TrainingRun) -> str:
    """Return the Job's name: the resource's, cut where it must be, and a hash of its UID."""
    digest = hashlib.sha256(run.metadata.uid.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{run.metadata.name[: _NAME_LENGTH - _HASH_LENGTH - 1].rstrip('.-')}-{digest}".replace(".", "-")


def job(run: TrainingRun, tracking_uri: str) -> JsonObject:
    """Build the Job: one pod an attempt, which is never restarted in place."""
    spec = run.spec
    marks: JsonObject = {
        "labels": {UID_LABEL: run.metadata.uid, "app.kubernetes.io/managed-by": "runyard"},
        "annotations": {NAME_ANNOTATION: run.metadata.name},
    }
    job_spec: JsonObject = {
        "backoffLimit": spec.backoff_limit,
        "completions": 1,
        "parallelism": 1,
        "suspend": spec.suspend,
        "podReplacementPolicy": "Failed",
        # An eviction is nobody's fault: it is tried again and not counted.
        "podFailurePolicy": {
            "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
        },
        "template": _pod_template(environment.quoted(run), tracking_uri, marks),
    }
    if spec.active_deadline_seconds is not None:
        job_spec["activeDeadlineSeconds"] = spec.active_deadline_seconds
    if spec.ttl_seconds_after_finished is not None:
        job_spec["ttlSecondsAfterFinished"] = spec.ttl_seconds_after_finished
    owner: JsonObject = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": run.metadata.name,
        "uid": run.metadata.uid,
        "controller": True,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(run),
            "namespace": run.metadata.namespace,
            "ownerReferences": [owner],
            **copy.deepcopy(marks),
        },
        "spec": job_spec,
    }


def drift(run: TrainingRun, found: Job) -> JsonObject:
    """Return the part of a Job's spec that must change to be what the resource now says; empty if none."""
    spec = run.spec
    wanted: JsonObject = {
        "suspend": spec.suspend,
        "backoffLimit": spec.backoff_limit,
        "ttlSecondsAfterFinished": spec.ttl_seconds_after_finished,
    }
    if FAILED_BECAUSE not in found.metadata.annotations:
        wanted["activeDeadlineSeconds"] = spec.active_deadline_seconds
    present = found.spec.model_dump(by_alias=True)
    return {key: value for key, value in wanted.items() if present[key] != value}


def failure(reason: str) -> JsonObject:
    """Return the patch that ends a Job: its deadline has passed, and why is written beside it."""
    return {"metadata": {"annotations": {FAILED_BECAUSE: reason}}, "spec": {"activeDeadlineSeconds": 1}}


def _pod_template(run: TrainingRun, tracking_uri: str, marks: JsonObject) -> JsonObject:
    template = copy.deepcopy(run.spec.pod_template or {})
    given = as_object(template.get("metadata"))
    metadata: JsonObject = {
        key: {**as_object(given.get(key)), **as_object(marks[key])} for key in ("labels", "annotations")
    }
    pod = as_object(template.get("spec"))
    others = [item for item in as_list(pod.get("containers")) if as_object(item).get("name") != TRAINING_CONTAINER]
    spec = run.spec
    overlay: JsonObject = {
        "serviceAccountName": spec.service_account_name,
        "nodeSelector": cast("JsonObject | None", spec.node_selector),
        "tolerations": joined(pod.get("tolerations"), spec.tolerations),
        "volumes": joined(pod.get("volumes"), spec.volumes, "name"),
    }
    return {
        "metadata": metadata,
        "spec": {
            "automountServiceAccountToken": False,
            # A Service named mlflow would otherwise set MLFLOW_PORT to a URL.
            "enableServiceLinks": False,
            **pod,
            "securityContext": {**_POD_SECURITY, **as_object(pod.get("securityContext"))},
            "restartPolicy": "Never",
            **{key: value for key, value in overlay.items() if value is not None},
            "containers": [_container(run, tracking_uri), *others],
        },
    }


def _container(run: TrainingRun, tracking_uri: str) -> JsonObject:
    asked = training_container(run)
    return {
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **asked,
        "securityContext": {**_CONTAINER_SECURITY, **as_object(asked.get("securityContext"))},
        "env": _environment(run, asked, tracking_uri),
    }


def _environment(run: TrainingRun, asked: JsonObject, tracking_uri: str) -> list[JsonValue]:
    """Return the pod's identity first, since the others refer to it; elsewhere a person's own value wins over ours."""
    identity: JsonObject = {"name": "RUNYARD_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    own: list[JsonObject] = [
        {"name": name, "value": value}
        for name, value in environment.own_variables(run, tracking_uri, "$(RUNYARD_POD_UID)").items()
    ]
    persons = [
        item for item in map(as_object, as_list(asked.get("env"))) if item.get("name") not in RESERVED_ENVIRONMENT
    ]
    return list({str(variable["name"]): variable for variable in [identity, *own, *persons]}.values())
