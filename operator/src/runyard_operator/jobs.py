"""The Job of a TrainingRun: a function from the resource to the object, with nothing read from a cluster."""

import copy
from typing import cast

from pydantic import JsonValue

from runyard.api import environment
from runyard.api.container import USAGE_ERRORS, joined, training_container
from runyard.api.environment import AssignedRun, Platform
from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.trainingrun import API_VERSION, KIND, RESERVED_ENVIRONMENT, TRAINING_CONTAINER, TrainingRun
from runyard_operator import preparing
from runyard_operator.objects import (
    FAILED_BECAUSE,
    INDEX_ANNOTATION,
    NAME_ANNOTATION,
    UID_LABEL,
    Job,
    Key,
)

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
MASTER_PORT = 29500  # as torchrun has it

# An eviction is nobody's fault: it is tried again and not counted.
_EVICTED: JsonObject = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
_USAGE_ERROR: JsonObject = {
    "action": "FailJob",
    "onExitCodes": {"containerName": TRAINING_CONTAINER, "operator": "In", "values": [*USAGE_ERRORS]},
}

# The pod as the "restricted" standard wants it; a podTemplate is followed in each field that it says otherwise of.
_POD_SECURITY: JsonObject = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
_CONTAINER_SECURITY: JsonObject = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def job_name(run: TrainingRun) -> str:
    """Return the name of the Job of a resource."""
    return key_of(run).job_name


def service_name(run: TrainingRun) -> str:
    """Return the name of the headless service by which workers find each other."""
    return f"runyard-{key_of(run).digest}"


def job(run: TrainingRun, platform: Platform, assigned: AssignedRun | None = None) -> JsonObject:
    """Build the Job: one pod an attempt, which is never restarted in place."""
    spec = run.spec
    marks = _marks(run)
    job_spec: JsonObject = {
        "backoffLimit": spec.backoff_limit,
        "completions": spec.workers,
        "parallelism": spec.workers,
        "suspend": spec.suspend or spec.queue_name is not None,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": [_EVICTED, _USAGE_ERROR, *_fetching_rules(run)]},
        "template": _pod_template(environment.quoted(run), platform, marks, assigned),
    }
    if spec.workers > 1:
        job_spec["completionMode"] = "Indexed"
    if spec.active_deadline_seconds is not None:
        job_spec["activeDeadlineSeconds"] = spec.active_deadline_seconds
    metadata = _metadata(run, job_name(run))
    if spec.queue_name is not None:
        metadata["labels"] = {**as_object(metadata["labels"]), QUEUE_LABEL: spec.queue_name}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": job_spec}


def service(run: TrainingRun) -> JsonObject:
    """Build the headless service of several workers: each pod's name resolves before the pod is ready."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(run, service_name(run)),
        "spec": {
            "clusterIP": "None",
            "selector": {UID_LABEL: run.metadata.uid},
            "publishNotReadyAddresses": True,
            "ports": [{"name": "master", "port": MASTER_PORT}],
        },
    }


def key_of(run: TrainingRun) -> Key:
    """Return what names a resource."""
    return Key(run.metadata.namespace, run.metadata.name, run.metadata.uid)


def _marks(run: TrainingRun) -> JsonObject:
    return {
        "labels": {UID_LABEL: run.metadata.uid, "app.kubernetes.io/managed-by": "runyard"},
        "annotations": {NAME_ANNOTATION: run.metadata.name},
    }


def _metadata(run: TrainingRun, name: str) -> JsonObject:
    owner: JsonObject = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": run.metadata.name,
        "uid": run.metadata.uid,
        "controller": True,
    }
    return {"name": name, "namespace": run.metadata.namespace, "ownerReferences": [owner], **_marks(run)}


def drift(run: TrainingRun, found: Job) -> JsonObject:
    """Return the part of a Job's spec that must change to be what the resource now says; empty if none."""
    spec = run.spec
    wanted: JsonObject = {"backoffLimit": spec.backoff_limit}
    if spec.queue_name is None:  # else its queue says when it runs
        wanted["suspend"] = spec.suspend
    if FAILED_BECAUSE not in found.metadata.annotations:
        wanted["activeDeadlineSeconds"] = spec.active_deadline_seconds
    present = found.spec.model_dump(by_alias=True)
    return {key: value for key, value in wanted.items() if present[key] != value}


def failure(reason: str) -> JsonObject:
    """Return the patch that ends a Job: its deadline has passed, and why is written beside it."""
    return {"metadata": {"annotations": {FAILED_BECAUSE: reason}}, "spec": {"activeDeadlineSeconds": 1}}


def _fetching_rules(run: TrainingRun) -> list[JsonValue]:
    # A rule about a container that is not there would be refused.
    return [preparing.FAILURE_RULE] if preparing.is_needed(run.spec) else []


def _pod_template(run: TrainingRun, platform: Platform, marks: JsonObject, assigned: AssignedRun | None) -> JsonObject:
    template = copy.deepcopy(run.spec.pod_template or {})
    given = as_object(template.get("metadata"))
    metadata: JsonObject = {
        key: {**as_object(given.get(key)), **as_object(marks[key])} for key in ("labels", "annotations")
    }
    as_object(metadata["annotations"]).pop(INDEX_ANNOTATION, None)  # the Job controller's, where there are workers
    pod = as_object(template.get("spec"))
    others = [item for item in as_list(pod.get("containers")) if as_object(item).get("name") != TRAINING_CONTAINER]
    spec = run.spec
    overlay: JsonObject = {
        "serviceAccountName": spec.service_account_name,
        "nodeSelector": cast("JsonObject | None", spec.node_selector),
        "tolerations": joined(pod.get("tolerations"), spec.tolerations),
        "volumes": joined(pod.get("volumes"), spec.volumes, "name"),
        "subdomain": service_name(run) if spec.workers > 1 else None,
    }
    built: JsonObject = {
        "automountServiceAccountToken": False,
        # A Service named mlflow would otherwise set MLFLOW_PORT to a URL.
        "enableServiceLinks": False,
        **_process_namespace(pod),
        **pod,
        "securityContext": {**_POD_SECURITY, **as_object(pod.get("securityContext"))},
        "restartPolicy": "Never",
        **{key: value for key, value in overlay.items() if value is not None},
        "containers": [_container(run, platform, assigned), *map(_secured, others)],
    }
    if "initContainers" in pod:
        built["initContainers"] = [*map(_secured, as_list(pod["initContainers"]))]
    if preparing.is_needed(spec):
        fetching = preparing.container(spec, training_container(run), platform.prepare_image)
        built["initContainers"] = [fetching, *as_list(built.get("initContainers"))]
        built["volumes"] = [*as_list(built.get("volumes")), *preparing.volumes(spec)]
    return {"metadata": metadata, "spec": built}


def _process_namespace(pod: JsonObject) -> JsonObject:
    """Make another process than the training the first one of its namespace, to which signals do not come through.

    Else each deletion would take the whole grace period. Containers that run beside it are not to be seen by it.
    """
    beside = [found for found in as_list(pod.get("containers")) if as_object(found).get("name") != TRAINING_CONTAINER]
    beside += [found for found in as_list(pod.get("initContainers")) if as_object(found).get("restartPolicy")]
    return {} if beside or pod.get("hostPID") else {"shareProcessNamespace": True}


def _secured(container: JsonValue) -> JsonValue:
    given = as_object(container)
    default = copy.deepcopy(_CONTAINER_SECURITY)
    return {**given, "securityContext": {**default, **as_object(given.get("securityContext"))}}


def _container(run: TrainingRun, platform: Platform, assigned: AssignedRun | None) -> JsonObject:
    asked = training_container(run)
    env = _environment(run, asked, platform, assigned)
    found = {"terminationMessagePolicy": "FallbackToLogsOnError", **as_object(_secured(asked)), "env": env}
    return preparing.with_inputs(run.spec, found) if preparing.is_needed(run.spec) else found


def _environment(
    run: TrainingRun, asked: JsonObject, platform: Platform, assigned: AssignedRun | None
) -> list[JsonValue]:
    """Return the pod's identity first, since the others refer to it; elsewhere a person's own value wins over ours."""
    own = [_from_field("RUNYARD_POD_UID", "metadata.uid")]
    if run.spec.workers > 1:
        own += [
            _from_field("RANK", f"metadata.annotations['{INDEX_ANNOTATION}']"),
            _variable("WORLD_SIZE", str(run.spec.workers)),
            _variable("MASTER_ADDR", f"{job_name(run)}-0.{service_name(run)}"),
            _variable("MASTER_PORT", str(MASTER_PORT)),
        ]
    _, _, digest = str(asked.get("image", "")).partition("@")
    if digest.startswith("sha256:"):
        own.append(_variable(environment.IMAGE_DIGEST_VARIABLE, digest))
    variables = environment.own_variables(run, platform, "$(RUNYARD_POD_UID)", assigned)
    own += [_variable(name, value) for name, value in variables.items()]
    persons = [
        item for item in map(as_object, as_list(asked.get("env"))) if item.get("name") not in RESERVED_ENVIRONMENT
    ]
    return list({str(variable["name"]): variable for variable in [*own, *persons]}.values())


def _variable(name: str, value: str) -> JsonObject:
    return {"name": name, "value": value}


def _from_field(name: str, path: str) -> JsonObject:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
