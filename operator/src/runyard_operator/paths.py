"""Where in a TrainingRun a person wrote what the API server complains of in its Job."""

import re

from pydantic import JsonValue

from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.trainingrun import TRAINING_CONTAINER, TrainingRun
from runyard_operator import preparing

_POD, _CONTAINER = "spec.template.spec.", re.compile(r"spec\.template\.spec\.containers\[(\d+)\](?:\.(.*))?")
_INIT_CONTAINER = re.compile(r"spec\.template\.spec\.initContainers\[(\d+)\](.*)")
_FIRST = re.compile(r"([A-Za-z]+)(?:\[(\d+)\])?(.*)")
# Fields of the spec that are laid over the template's, by what identifies an item of a list.
_POD_FIELDS = {"serviceAccountName": None, "nodeSelector": None, "tolerations": None, "volumes": "name"}
_CONTAINER_FIELDS = {
    "image": None,
    "command": None,
    "args": None,
    "workingDir": None,
    "resources": None,
    "env": "name",
    "envFrom": None,
    "volumeMounts": "mountPath",
}


def own_path(path: str, run: TrainingRun, job: JsonObject) -> str:
    """Return the path in the TrainingRun of a path in the Job that was built of it."""
    spec = run.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    pod = as_object(as_object(as_object(job.get("spec")).get("template")).get("spec"))
    if found := _CONTAINER.fullmatch(path):
        return _in_container(int(found[1]), found[2] or "", run, spec, as_list(pod.get("containers")))
    if found := _INIT_CONTAINER.fullmatch(path):
        return _in_init_container(int(found[1]), found[2], run)
    if path.startswith(_POD):
        below = path.removeprefix(_POD)
        return _in(below, spec, pod, _POD_FIELDS) or f"spec.podTemplate.spec.{below}"
    return path.replace("spec.template.", "spec.podTemplate.", 1)


def _in_container(index: int, below: str, run: TrainingRun, spec: JsonObject, containers: list[JsonValue]) -> str:
    built = as_object(containers[index])
    template = as_list(as_object(as_object(spec.get("podTemplate")).get("spec")).get("containers"))
    if index == 0:  # the training container comes first in the pod
        if found := _in(below, spec, built, _CONTAINER_FIELDS):
            return found
        place, written = run.spec.template_container
        where = f"spec.podTemplate.spec.containers[{place}]"
        return _in(below, written, built, _CONTAINER_FIELDS, where) or _join(where, below)
    others = [place for place, item in enumerate(template) if as_object(item).get("name") != TRAINING_CONTAINER]
    return _join(f"spec.podTemplate.spec.containers[{others[index - 1]}]", below)


def _join(where: str, below: str) -> str:
    return f"{where}.{below}" if below else where


def _in_init_container(index: int, below: str, run: TrainingRun) -> str:
    """Return the path of an init container, before which that of source and datasets stands where it is needed."""
    own = int(preparing.is_needed(run.spec))
    if index < own:
        return "spec.source" if run.spec.source else "spec.datasets"
    return f"spec.podTemplate.spec.initContainers[{index - own}]{below}"


def _in(
    below: str, written: JsonObject, built: JsonObject, fields: dict[str, str | None], where: str = "spec"
) -> str | None:
    """Return the path of a field, or of an item of a list, that is written there; None where it is not."""
    found = _FIRST.fullmatch(below)
    if not found or found[1] not in fields or found[1] not in written:
        return None
    name, index, rest = found[1], found[2], found[3]
    if index is None or not isinstance(written[name], list):  # a label's name may be a number
        return f"{where}.{below}"
    items, key = as_list(written[name]), fields[name]
    item = as_object(as_list(built.get(name))[int(index)])
    if key is None:  # the spec's own items stand after the template's
        place = int(index) - (len(as_list(built.get(name))) - len(items))
    else:
        keys = [as_object(one).get(key) for one in items]
        place = keys.index(item.get(key)) if item.get(key) in keys else -1
    return f"{where}.{name}[{place}]{rest}" if place >= 0 else None
