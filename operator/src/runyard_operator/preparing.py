"""Source and datasets in a pod: the init container that fetches them, and what it says of itself."""

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from pydantic import JsonValue

from runyard.api import preparation
from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.outcome import Reason
from runyard.api.preparation import CONTAINER, FOLDER, Report
from runyard.api.trainingrun import TrainingRunSpec
from runyard_operator.objects import Pod, Terminated

_CREDENTIALS, _SCRATCH = "/runyard-credentials", "/runyard-scratch"
_INPUTS_VOLUME, _CREDENTIALS_VOLUME, _SCRATCH_VOLUME = "runyard", "runyard-credentials", "runyard-scratch"
# The image's own; ssh goes by the user's entry in its passwd, whatever user the training runs as.
_USER = 1000
_SECURITY: JsonObject = {
    "runAsNonRoot": True,
    "runAsUser": _USER,
    "runAsGroup": _USER,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
# What is not there, refused or another than was asked for would be so again.
FAILURE_RULE: JsonObject = {
    "action": "FailJob",
    "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [preparation.WOULD_BE_SO_AGAIN]},
}


@dataclass(frozen=True)
class Failed:
    """Why a training could not begin."""

    reason: Reason
    message: str
    end: Terminated


def is_needed(spec: TrainingRunSpec) -> bool:
    """Whether there is something to fetch."""
    return preparation.wanted(spec) is not None


def container(spec: TrainingRunSpec, training: JsonObject, image: str) -> JsonObject:
    """Build the init container that fetches for a training container.

    It asks for what the training asks for, which a quota may demand of each container; a pod needs no more by that.
    """
    secret = spec.source.secret_name if spec.source else None
    sign_in: list[JsonValue] = [{"name": _CREDENTIALS_VOLUME, "mountPath": _CREDENTIALS, "readOnly": True}]
    found: JsonObject = {
        "name": CONTAINER,
        "image": image,
        # Isolated from the environment, which is the training's, as far as Python goes.
        "command": ["python", "-I", "-m", preparation.MODULE],
        "args": [
            *("--into", FOLDER, "--report", "/dev/termination-log"),
            *(("--credentials", _CREDENTIALS) if secret else ()),
        ],
        "env": _environment(spec, training),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {**_SECURITY},
        "volumeMounts": [
            {"name": _INPUTS_VOLUME, "mountPath": FOLDER},
            {"name": _SCRATCH_VOLUME, "mountPath": _SCRATCH},
            *(sign_in if secret else []),
            *_mounts_with_files(spec, training),
        ],
    }
    if resources := {key: value for key, value in as_object(training.get("resources")).items() if key != "claims"}:
        found["resources"] = resources
    if "envFrom" in training:
        found["envFrom"] = training["envFrom"]
    return found


def volumes(spec: TrainingRunSpec) -> list[JsonValue]:
    """Return the volumes: what was fetched, room to work, and the Secret that signs in."""
    secret = spec.source.secret_name if spec.source else None
    sign_in: list[JsonValue] = [{"name": _CREDENTIALS_VOLUME, "secret": {"secretName": secret}}]
    rooms: list[JsonValue] = [{"name": name, "emptyDir": {}} for name in (_INPUTS_VOLUME, _SCRATCH_VOLUME)]
    return [*rooms, *sign_in] if secret else rooms


def with_inputs(spec: TrainingRunSpec, training: JsonObject) -> JsonObject:
    """Return the training container with what was fetched; it starts in its source unless it says otherwise."""
    folder = preparation.working_folder(spec)
    mounts: list[JsonValue] = [*as_list(training.get("volumeMounts")), {"name": _INPUTS_VOLUME, "mountPath": FOLDER}]
    return {**({"workingDir": str(folder)} if folder else {}), **training, "volumeMounts": mounts}


def report(pod: Pod) -> Report | None:
    """Return what the init container of a pod reported, once it has ended."""
    ended = pod.preparation.state.terminated if pod.preparation else None
    return preparation.read_report(ended.message) if ended else None


def failed(pod: Pod) -> Failed | None:
    """Return why the init container of a pod failed, if it did."""
    ended = pod.preparation.state.terminated if pod.preparation else None
    if ended is None or ended.exit_code == preparation.PREPARED:
        return None
    told = report(pod)
    if told and told.failure:
        return Failed(told.failure.reason, told.failure.message, ended)
    if ended.reason == Reason.OOM_KILLED:
        return Failed(Reason.OOM_KILLED, "it came while source and datasets were fetched", ended)
    lines = [line.strip() for line in ended.message.splitlines() if line.strip()]
    said = f"exit code {ended.exit_code} of {CONTAINER}: {lines[-1] if lines else ended.reason or 'no word'}"
    return Failed(Reason.ERROR, said[: preparation.MESSAGE_BYTES], ended)


def is_going_on(pod: Pod) -> bool:
    """Whether source and datasets are being fetched."""
    return bool(pod.preparation and pod.preparation.state.running)


def _environment(spec: TrainingRunSpec, training: JsonObject) -> list[JsonValue]:
    """Return the training's variables, which may sign in to a store or name a proxy, and the container's own."""
    asked = preparation.wanted(spec)
    # A dollar sign is doubled, as Kubernetes would take it for a reference.
    text = json.dumps(asked.to_json() if asked else {}).replace("$", "$$")
    own: dict[str, JsonValue] = {
        name: {"name": name, "value": value}
        for name, value in (
            ("HOME", _SCRATCH),
            ("TMPDIR", _SCRATCH),
            (preparation.WANTED_VARIABLE, text),
        )
    }
    given = [item for item in as_list(training.get("env")) if as_object(item).get("name") not in {*own, "PATH"}]
    return [*given, *own.values()]


def _mounts_with_files(spec: TrainingRunSpec, training: JsonObject) -> list[JsonValue]:
    """Return the training's mounts in which there is something to fetch."""
    addresses = [dataset.uri for dataset in spec.datasets or []] + ([spec.source.git] if spec.source else [])
    files = [PurePosixPath(unquote(urlsplit(uri).path)) for uri in addresses if uri.startswith("file:")]
    return [
        {**as_object(mount), "readOnly": True}
        for mount in as_list(training.get("volumeMounts"))
        if any(file.is_relative_to(str(as_object(mount).get("mountPath"))) for file in files)
    ]
