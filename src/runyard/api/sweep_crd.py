"""The CustomResourceDefinition of sweeps: their own types around a TrainingRun's, as its definition has them."""

import copy
from functools import cache
from typing import cast

from runyard.api import crd
from runyard.api.model import JsonObject
from runyard.api.sweep_status import TrainingSweepStatus
from runyard.api.trainingrun import UNSEEN
from runyard.api.trainingsweep import (
    KIND,
    LONGEST_NAME,
    PLURAL,
    SWEEP_IMMUTABLE_MESSAGE,
    SWEEP_MUTABLE,
    SWEEP_RULES,
    SWEEP_UNSEEN,
    TrainingSweepSpec,
)

_COLUMNS: tuple[crd.Column, ...] = (
    ("Phase", "string", ".status.phase", 0),
    ("Trials", "string", ".status.progress", 0),
    ("Failed", "integer", ".status.trials.failed", 0),
    ("Best", "string", ".status.best.trial", 0),
    ("Value", "string", ".status.best.value", 0),
    ("Duration", "string", ".status.duration", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Algorithm", "string", ".spec.algorithm", 1),
    ("Pruned", "integer", ".status.trials.pruned", 1),
    ("Run", "string", ".status.tracking.runId", 1),
    ("Message", "string", ".status.message", 1),
)


def custom_resource_definition(training_run: JsonObject) -> JsonObject:
    """Build the CustomResourceDefinition.

    Args:
        training_run: the schema of a TrainingRun.

    """
    return crd.definition(KIND, PLURAL, ["tsweep", "tsweeps"], _COLUMNS, _of(training_run))


@cache
def schema() -> JsonObject:
    """Return the resource's OpenAPI v3 schema, the same that the cluster's API server checks against."""
    return _of(crd.schema())


def _of(training_run: JsonObject) -> JsonObject:
    asked = crd.schema_of(TrainingSweepSpec)
    described = _object(_object(asked["properties"]).pop("template"))["description"]
    spec = crd.structural(asked, {}, described=True)
    properties = _object(spec["properties"])
    fixed = crd.make_immutable(properties, (*SWEEP_MUTABLE, *SWEEP_UNSEEN), SWEEP_IMMUTABLE_MESSAGE)
    spec["x-kubernetes-validations"] = [*SWEEP_RULES, *fixed]
    template = _template(_object(_object(training_run["properties"])["spec"]))
    spec["properties"] = {"template": {**template, "description": described}, **properties}
    status = crd.structural(crd.schema_of(TrainingSweepStatus), {}, described=True)
    found = crd.resource_schema("Many trainings, asked for at once, and which is the best.", spec, status)
    # Of metadata, a definition may say what a name is to be.
    name: JsonObject = {"type": "string", "maxLength": LONGEST_NAME}
    _object(found["properties"])["metadata"] = {"type": "object", "properties": {"name": name}}
    return found


def _template(of_training_run: JsonObject) -> JsonObject:
    """Return the schema of a TrainingRun's spec, nothing of which may be changed in a sweep."""
    found = copy.deepcopy(of_training_run)
    properties = _object(found["properties"])
    for node in (found, *map(_object, properties.values())):
        if rules := [rule for rule in _rules(node) if "oldSelf" not in str(rule["rule"])]:
            node["x-kubernetes-validations"] = [*rules]
        else:
            node.pop("x-kubernetes-validations", None)
    fixed = crd.make_immutable(properties, UNSEEN, SWEEP_IMMUTABLE_MESSAGE)
    found["x-kubernetes-validations"] = [*_rules(found), *fixed]
    return found


def _rules(node: JsonObject) -> list[JsonObject]:
    return cast("list[JsonObject]", node.get("x-kubernetes-validations", []))


def _object(value: object) -> JsonObject:
    return cast("JsonObject", value)
