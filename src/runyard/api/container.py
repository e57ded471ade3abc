"""The training container as a person asked for it: the same in a pod and on a laptop."""

import copy
from collections.abc import Sequence

from pydantic import JsonValue

from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.parameters import substituted
from runyard.api.trainingrun import TRAINING_CONTAINER, TrainingRun

# What a container runtime says of a command that it cannot start.
CANNOT_START = 128
# Wrong arguments (argparse's code), a command that a shell cannot run, or nobody: it would be so again.
USAGE_ERRORS = (2, 126, 127, CANNOT_START)


def training_container(run: TrainingRun) -> JsonObject:
    """Lay the spec's fields over those of podTemplate, and put parameters into command, args and env."""
    spec = run.spec
    _, template = spec.template_container
    container: JsonObject = {**copy.deepcopy(template), "name": TRAINING_CONTAINER}
    fields = spec.model_dump(
        mode="json",
        by_alias=True,
        exclude_none=True,
        include={"image", "command", "args", "working_dir", "resources"},
    )
    lists: JsonObject = {
        "env": joined(container.get("env"), spec.env, "name"),
        "envFrom": joined(container.get("envFrom"), spec.env_from),
        "volumeMounts": joined(container.get("volumeMounts"), spec.volume_mounts, "mountPath"),
    }
    container |= {**fields, **{key: found for key, found in lists.items() if found is not None}}
    for key in ("command", "args"):
        if key in container:
            container[key] = [_with_parameters(text, run) for text in as_list(container[key])]
    for variable in map(as_object, as_list(container.get("env"))):
        if "value" in variable:
            variable["value"] = _with_parameters(variable["value"], run)
    return container


def joined(base: JsonValue, more: Sequence[JsonObject] | None, key: str | None = None) -> JsonValue:
    """Lay a list over another; where items have a key, one with the same key takes the other's place."""
    if more is None:
        return base
    over = copy.deepcopy(list(more))
    replaced = [item.get(key) for item in over] if key else []
    return [*(item for item in as_list(base) if key is None or as_object(item).get(key) not in replaced), *over]


def _with_parameters(text: JsonValue, run: TrainingRun) -> JsonValue:
    return substituted(text, run.spec.parameters) if isinstance(text, str) else text
