"""What a TrainingRun asks for that a machine without a cluster has not got."""

from collections.abc import Iterator

from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.trainingrun import TRAINING_CONTAINER, TrainingRun

# What `runyard run` does as a pod would, and what only says where a pod runs or what it may take. A field that is in
# neither, a new one included, is told of.
_SPEC = {
    *("image", "command", "args", "workingDir", "parameters", "experiment", "env", "envFrom", "podTemplate"),
    *("backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished", "suspend", "workers", "tracking"),
    *("resources", "nodeSelector", "tolerations", "source", "datasets", "onDuplicate", "promote"),
}
_POD = {
    *("containers", "restartPolicy", "securityContext", "enableServiceLinks", "automountServiceAccountToken"),
    *("nodeSelector", "nodeName", "affinity", "tolerations", "topologySpreadConstraints", "schedulerName", "resources"),
    *("priority", "priorityClassName", "preemptionPolicy", "runtimeClassName", "overhead", "os", "imagePullSecrets"),
}
_CONTAINER = {
    *("name", "image", "imagePullPolicy", "command", "args", "env", "envFrom", "workingDir", "resources", "ports"),
    *("securityContext", "terminationMessagePath", "terminationMessagePolicy"),
}


def impossible(run: TrainingRun) -> list[str]:
    """Return the paths of what a training cannot do without, with what is asked for."""
    spec = run.spec
    found = [f"{path}.{source}" for path, source, is_optional in _sources(run) if not is_optional]
    if spec.suspend:
        found.append("spec.suspend: true")
    if spec.workers > 1:
        found.append(f"spec.workers: {spec.workers}")
    return found


def ignored(run: TrainingRun) -> list[str]:
    """Return the paths of what is left out here, though a pod would have it."""
    given = run.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    index, container = run.spec.template_container
    pod = as_object((run.spec.pod_template or {}).get("spec"))
    others = [
        f"spec.podTemplate.spec.containers[{place}]"
        for place, item in enumerate(map(as_object, as_list(pod.get("containers"))))
        if item.get("name") != TRAINING_CONTAINER
    ]
    return [
        *(f"spec.{name}" for name in given if name not in _SPEC),
        # Whoever is at this machine signs in as git does here.
        *(["spec.source.secretName"] if run.spec.source and run.spec.source.secret_name else []),
        *(f"spec.podTemplate.spec.{name}" for name in pod if name not in _POD),
        *others,
        *(f"spec.podTemplate.spec.containers[{index}].{name}" for name in container if name not in _CONTAINER),
        *(path for path, _, is_optional in _sources(run) if is_optional),
    ]


def _sources(run: TrainingRun) -> Iterator[tuple[str, str, bool]]:
    """Return each part of the environment that the cluster has: its path, its source, whether it may be missing."""
    index, template = run.spec.template_container
    given = run.spec.model_dump(mode="json", by_alias=True, include={"env", "env_from"})
    for path, container in (("spec", given), (f"spec.podTemplate.spec.containers[{index}]", template)):
        yield from _sources_of(container, path)


def _sources_of(container: JsonObject, path: str) -> Iterator[tuple[str, str, bool]]:
    for index, variable in enumerate(map(as_object, as_list(container.get("env")))):
        for source, reference in as_object(variable.get("valueFrom")).items():
            yield f"{path}.env[{index}].valueFrom", source, bool(as_object(reference).get("optional"))
    for index, item in enumerate(map(as_object, as_list(container.get("envFrom")))):
        for source in ("configMapRef", "secretRef"):
            if source in item:
                yield f"{path}.envFrom[{index}]", source, bool(as_object(item[source]).get("optional"))
