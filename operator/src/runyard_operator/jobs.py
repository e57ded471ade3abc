"""The Job of a TrainingRun: a function from the resource to the object, with nothing read from a cluster."""

import copy
import hashlib
from collections.abc import Sequence
from typing import cast

from pydantic import JsonValue

from runyard.api import environment
from runyard.api.model import JsonObject
from runyard.api.trainingrun import API_VERSION, KIND, TRAINING_CONTAINER, TrainingRun
from runyard_operator.objects import FAILED_BECAUSE, NAME_ANNOTATION, UID_LABEL, Job

_NAME_LENGTH = 63  # a Job's name is also a label's value on its pods
_HASH_LENGTH = 8

# The pod as the "restricted" standard wants it; a podTemplate that says otherwise is followed.
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
    given = _object(template.get("metadata"))
    metadata: JsonObject = {
        key: {**_object(given.get(key)), **_object(marks[key])} for key in ("labels", "annotations")
    }
    pod = _object(template.get("spec"))
    containers = [_object(found) for found in _list(pod.get("containers"))]
    others: list[JsonValue] = [found for found in containers if found.get("name") != TRAINING_CONTAINER]
    training = next((found for found in containers if found.get("name") == TRAINING_CONTAINER), {})
    spec = run.spec
    overlay: JsonObject = {
        "serviceAccountName": spec.service_account_name,
        "nodeSelector": cast("JsonObject | None", spec.node_selector),
        "tolerations": _joined(pod.get("tolerations"), spec.tolerations),
        "volumes": _joined(pod.get("volumes"), spec.volumes, "name"),
    }
    return {
        "metadata": metadata,
        "spec": {
            "automountServiceAccountToken": False,
            # A Service named mlflow would otherwise set MLFLOW_PORT to a URL.
            "enableServiceLinks": False,
            "securityContext": _POD_SECURITY,
            **pod,
            "restartPolicy": "Never",
            **{key: value for key, value in overlay.items() if value is not None},
            "containers": [_container(run, training, tracking_uri), *others],
        },
    }


def _container(run: TrainingRun, base: JsonObject, tracking_uri: str) -> JsonObject:
    spec = run.spec
    fields: JsonObject = {
        "image": spec.image,
        "command": cast("list[JsonValue] | None", spec.command),
        "args": cast("list[JsonValue] | None", environment.arguments(run)),
        "workingDir": spec.working_dir,
        "resources": spec.resources,
        "envFrom": _joined(base.get("envFrom"), spec.env_from),
        "volumeMounts": _joined(base.get("volumeMounts"), spec.volume_mounts, "mountPath"),
    }
    return {
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": _CONTAINER_SECURITY,
        **base,
        "name": TRAINING_CONTAINER,
        **{key: value for key, value in fields.items() if value is not None},
        "env": _environment(run, base, tracking_uri),
    }


def _environment(run: TrainingRun, base: JsonObject, tracking_uri: str) -> list[JsonValue]:
    """Return the pod's identity first, since the others refer to it; a person's own value wins over ours."""
    own: list[JsonObject] = [{"name": "RUNYARD_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}]
    own += [
        {"name": name, "value": value}
        for name, value in environment.own_variables(run, tracking_uri, "$(RUNYARD_POD_UID)").items()
    ]
    by_name: dict[JsonValue, JsonObject] = {}
    for variable in [*own, *map(_object, _list(base.get("env"))), *environment.user_variables(run)]:
        by_name[str(variable["name"])] = variable
    return list(by_name.values())


def _joined(base: JsonValue, more: Sequence[JsonObject] | None, key: str | None = None) -> JsonValue:
    """Lay a list over the template's; where items have a key, one with the same key takes the other's place."""
    if more is None:
        return base
    replaced = [item.get(key) for item in more] if key else []
    return [*(item for item in _list(base) if key is None or _object(item).get(key) not in replaced), *more]


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
