"""Observing what a cluster says of a manifest; nothing is created."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from pydantic import JsonValue

from runyard import manifest, validation
from runyard.api import trial_runs
from runyard.api.container import joined, training_container
from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.trainingrun import GROUP, PLURAL, TRAINING_CONTAINER, VERSION, TrainingRun
from runyard.api.trainingsweep import KIND as SWEEP
from runyard.api.trainingsweep import PLURAL as SWEEPS
from runyard.api.trainingsweep import TrainingSweep
from runyard.cluster import Cluster
from runyard.doctor.cluster import Lens
from runyard.doctor.facts import Manifest
from runyard.doctor.findings import Unseen
from runyard.errors import InvalidManifest, UnknownField, UnreadableManifest

# As the operator completes what a manifest says; docs/doctor.md names what is left out.
_POD: JsonObject = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
_CONTAINER: JsonObject = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
_PLURALS = {
    "Secret": "secrets",
    "ConfigMap": "configmaps",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "ServiceAccount": "serviceaccounts",
}


def read(file: Path) -> tuple[Manifest, TrainingRun | TrainingSweep | None]:
    """Read a manifest, of a training or a sweep, and check it without a cluster.

    Raises:
        UnreadableManifest: there is no such file.

    """
    if not file.is_file():
        raise UnreadableManifest(f"{file} cannot be read: there is no such file")
    try:
        document = manifest.document(file)
        is_sweep = as_object(document).get("kind") == SWEEP
        found = validation.parse_sweep(document) if is_sweep else validation.parse(document)
    except (UnreadableManifest, UnknownField, InvalidManifest) as error:
        return Manifest(file.name, problem=str(error)), None
    training = _training(found)
    queue, image = training.spec.queue_name, training_container(training).get("image")
    return Manifest(file.name, kind=found.kind, queue=queue, image=str(image) if image else None), found


def _training(found: TrainingRun | TrainingSweep) -> TrainingRun:
    """Return what is trained; of a sweep that is a trial, whatever it is tried with."""
    if isinstance(found, TrainingRun):
        return found
    return TrainingRun.model_validate(trial_runs.manifest(found, 0, dict.fromkeys(found.spec.parameters, 0), None))


def observe(opened: Cluster, namespace: str, file: str, found: TrainingRun | TrainingSweep) -> Manifest:
    """Ask a cluster what it would say to a TrainingRun or a TrainingSweep, and to its pod."""
    lens = Lens(opened)
    wanted, plural = _training(found), PLURAL if isinstance(found, TrainingRun) else SWEEPS
    body = found.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"status"})
    as_object(body["metadata"])["namespace"] = namespace
    pod = pod_of(wanted)
    may_be_pod = lens.tried(f"/api/v1/namespaces/{namespace}/pods", pod)
    refused_to_ask = isinstance(may_be_pod, str) and "pods is forbidden: User" in may_be_pod
    image = as_object(as_list(as_object(pod["spec"])["containers"])[0]).get("image")
    return Manifest(
        file,
        kind=found.kind,
        queue=wanted.spec.queue_name,
        image=str(image) if image else None,
        admitted=_admitted(lens, f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{plural}", body),
        pod_admitted=Unseen(f"one may not try pods: {may_be_pod}") if refused_to_ask else may_be_pod,
        missing=_missing(lens, namespace, pod, wanted),
    )


def _admitted(lens: Lens, path: str, body: JsonObject) -> str | Unseen:
    """Return why it is refused. What is there already is tried under another name: its own is no mistake."""
    said = lens.tried(path, body)
    if not isinstance(said, str) or not said.endswith("already exists"):
        return said
    metadata = as_object(body["metadata"])
    other = {**metadata, "name": None, "generateName": f"{metadata['name']}-"}
    return lens.tried(path, {**body, "metadata": other})


def pod_of(wanted: TrainingRun) -> JsonObject:
    """Return the pod that a TrainingRun asks for, as far as its admission goes."""
    spec = wanted.spec
    template = as_object(as_object(spec.pod_template or {}).get("spec"))
    others = [each for each in as_list(template.get("containers")) if as_object(each).get("name") != TRAINING_CONTAINER]
    fields: JsonObject = {
        "serviceAccountName": spec.service_account_name,
        "volumes": joined(template.get("volumes"), spec.volumes, "name"),
        "tolerations": joined(template.get("tolerations"), spec.tolerations),
    }
    built: JsonObject = {
        "automountServiceAccountToken": False,
        **template,
        **{key: value for key, value in fields.items() if value is not None},
        "securityContext": {**_POD, **as_object(template.get("securityContext"))},
        "restartPolicy": "Never",
        "containers": [_secured(training_container(wanted)), *map(_secured, others)],
    }
    if "initContainers" in template:
        built["initContainers"] = [_secured(each) for each in as_list(template["initContainers"])]
    metadata: JsonObject = {"generateName": "runyard-doctor-"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": built}


def _secured(container: JsonValue) -> JsonValue:
    given = as_object(container)
    return {**given, "securityContext": {**_CONTAINER, **as_object(given.get("securityContext"))}}


def _missing(lens: Lens, namespace: str, pod: JsonObject, wanted: TrainingRun) -> list[str] | Unseen:
    named = dict.fromkeys(_named(as_object(pod["spec"])))
    if wanted.spec.source and wanted.spec.source.secret_name:
        named["Secret", wanted.spec.source.secret_name] = None
    missing: list[str] = []
    hidden: list[str] = []
    for kind, name in named:
        found = lens.object(f"/api/v1/namespaces/{namespace}/{_PLURALS[kind]}/{quote(name, safe='')}")
        if found is None:
            missing.append(f"{kind} {name}")
        elif isinstance(found, Unseen):
            hidden.append(f"{kind} {name}")
    return missing if missing or not hidden else Unseen(f"one may not see {', '.join(hidden)}")


def _named(spec: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield what a pod cannot do without, by kind and name."""
    account = spec.get("serviceAccountName")
    if account:
        yield "ServiceAccount", str(account)
    for container in map(as_object, [*as_list(spec.get("initContainers")), *as_list(spec.get("containers"))]):
        for variable in map(as_object, as_list(container.get("env"))):
            given = as_object(variable.get("valueFrom"))
            yield from _needed(given.get("secretKeyRef"), "Secret", "name")
            yield from _needed(given.get("configMapKeyRef"), "ConfigMap", "name")
        for many in map(as_object, as_list(container.get("envFrom"))):
            yield from _needed(many.get("secretRef"), "Secret", "name")
            yield from _needed(many.get("configMapRef"), "ConfigMap", "name")
    for volume in map(as_object, as_list(spec.get("volumes"))):
        yield from _needed(volume.get("secret"), "Secret", "secretName")
        yield from _needed(volume.get("configMap"), "ConfigMap", "name")
        yield from _needed(volume.get("persistentVolumeClaim"), "PersistentVolumeClaim", "claimName")


def _needed(reference: JsonValue, kind: str, key: str) -> Iterator[tuple[str, str]]:
    found = as_object(reference)
    if found.get(key) and not found.get("optional"):
        yield kind, str(found[key])
