"""Checks of a manifest without a cluster, in the words of a cluster's API server.

The schema and the rules are the CustomResourceDefinition's own; only the sentences around them are made here.
tests/operator/test_refusals.py holds both answers side by side.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import cast

from jsonschema import Draft4Validator, validators
from jsonschema.exceptions import ValidationError
from pydantic import JsonValue

from runyard import structural
from runyard.api import checks, crd, sweep_checks, sweep_crd, trainingsweep
from runyard.api.model import JsonObject
from runyard.api.trainingrun import API_VERSION, KIND, TrainingRun
from runyard.api.trainingsweep import TrainingSweep
from runyard.errors import InvalidManifest, Problem, UnknownField, UnreadableManifest
from runyard.structural import children, dotted

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_LENGTH = 253
# After these the API server looks at no rule, since a rule counts on the types and sizes of what it looks at.
_LEAVES_RULES_UNCHECKED = re.compile(r"^(Required|Unsupported) value|^Too (long|many)|must be of type")
# Of what is right, and was given to the wrong command.
_TAKEN_BY = {
    KIND: "`runyard run FILE` trains it on this machine, `runyard submit FILE` in a cluster",
    trainingsweep.KIND: "`runyard sweep FILE` runs it on this machine, `kubectl apply -f FILE` in a cluster",
}
_TEXT: JsonObject = {"type": "string"}
_INTEGER: JsonObject = {"type": "integer"}
_TEXT_BY_KEY: JsonObject = {"type": "object", "additionalProperties": _TEXT}
_ANYTHING: JsonObject = {"x-kubernetes-preserve-unknown-fields": True}
# The API server checks metadata for every kind alike: a CustomResourceDefinition does not speak of it.
_METADATA: JsonObject = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("name", "generateName", "namespace", "uid", "resourceVersion", "selfLink"), _TEXT),
        **dict.fromkeys(("creationTimestamp", "deletionTimestamp"), _TEXT),
        **dict.fromkeys(("generation", "deletionGracePeriodSeconds"), _INTEGER),
        **dict.fromkeys(("labels", "annotations"), _TEXT_BY_KEY),
        **dict.fromkeys(("ownerReferences", "managedFields"), _ANYTHING),
        "finalizers": {"type": "array", "items": _TEXT},
    },
}


def parse(manifest: JsonValue) -> TrainingRun:
    """Check a manifest as the API server would and return the TrainingRun.

    Raises:
        UnreadableManifest: it is not a TrainingRun of this version.
        UnknownField: it has fields that are not in the schema.
        InvalidManifest: a value is wrong; all that are wrong are named together.

    """
    run = TrainingRun.model_validate(_checked(manifest, KIND))
    if bad := checks.problems(run.spec):
        raise InvalidManifest(run.metadata.name, bad)
    return run


def parse_sweep(manifest: JsonValue) -> TrainingSweep:
    """Check a manifest as the API server would and return the TrainingSweep.

    Raises:
        UnreadableManifest: it is not a TrainingSweep of this version.
        UnknownField: it has fields that are not in the schema.
        InvalidManifest: a value is wrong; all that are wrong are named together.

    """
    sweep = TrainingSweep.model_validate(_checked(manifest, trainingsweep.KIND))
    if bad := sweep_checks.problems(sweep.spec):
        raise InvalidManifest(sweep.metadata.name, bad, trainingsweep.KIND)
    return sweep


def _checked(manifest: JsonValue, kind: str) -> JsonObject:
    """Return a manifest as the API server would store it."""
    if not isinstance(manifest, dict) or (manifest.get("apiVersion"), manifest.get("kind")) != (API_VERSION, kind):
        found = f"{manifest.get('apiVersion')}/{manifest.get('kind')}" if isinstance(manifest, dict) else "no object"
        version, _, named = found.rpartition("/")
        if version == API_VERSION and named in _TAKEN_BY:
            raise UnreadableManifest(f"this is a {named}, not a {kind}: {_TAKEN_BY[named]}")
        message = f"this is {found}, not a {kind} of {API_VERSION}: set apiVersion: {API_VERSION} and kind: {kind}"
        raise UnreadableManifest(message)
    node = _schema(kind)
    if unknown := sorted(structural.unknown_fields(manifest, node)):
        raise UnknownField(unknown, kind)
    resource = cast("JsonObject", structural.as_stored(manifest, node))
    metadata = resource.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    found_problems = [*_name_problems(name), *_schema_problems(resource, node)]
    if not any(_LEAVES_RULES_UNCHECKED.search(problem.message) for problem in found_problems):
        found_problems += _rule_problems(resource, node, "")
    if found_problems:
        raise InvalidManifest(str(name), found_problems, kind)
    return resource


@cache
def _schema(kind: str) -> JsonObject:
    found = {KIND: crd.schema, trainingsweep.KIND: sweep_crd.schema}[kind]()
    properties = cast("dict[str, JsonObject]", found["properties"])
    named = cast("JsonObject", properties["metadata"].get("properties", {}))
    fields = {**cast("JsonObject", _METADATA["properties"]), **named}
    return {**found, "properties": {**properties, "metadata": {**_METADATA, "properties": fields}}}


def _name_problems(name: JsonValue) -> Iterator[Problem]:
    if not isinstance(name, str):
        return  # the schema says so
    if not name:
        yield Problem("metadata.name", "Required value: name or generateName is required")
    elif len(name) > _NAME_LENGTH:
        yield Problem("metadata.name", f'Invalid value: "{name}": must be no more than {_NAME_LENGTH} characters')
    elif not _SUBDOMAIN.fullmatch(name):
        yield Problem(
            "metadata.name",
            f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric '
            "characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex "
            f"used for validation is '{_SUBDOMAIN.pattern}')",
        )


def _schema_problems(resource: JsonObject, node: JsonObject) -> Iterator[Problem]:
    errors = _Validator(node).iter_errors(resource)
    for error in sorted(errors, key=lambda error: [str(part) for part in error.path]):
        yield _worded(error)
        if error.validator == "anyOf":  # of what may be either, the API server also says how it is not the first
            yield _worded(error.context[0])
    for where, item in structural.items_without_keys(resource, node):
        shown = json.dumps(item, ensure_ascii=False, separators=(",", ":"))
        yield Problem(dotted(where), f"Invalid value: {shown}: must be an object for an array of list-type map")
    for where, key in structural.repeated_keys(resource, node):
        yield Problem(dotted(where), f"Duplicate value: {json.dumps(key, separators=(',', ':'))}")


def _required(_: object, names: list[str], instance: object, __: object) -> Iterator[ValidationError]:
    """Say of each missing field where it is missing: the validator's own error names the object alone."""
    if isinstance(instance, dict):
        yield from (ValidationError("", path=[name]) for name in names if name not in instance)


_Validator = validators.extend(Draft4Validator, {"required": _required})  # type: ignore[no-untyped-call]

_WORDS: dict[str, str] = {
    "required": "Required value",
    "enum": "Unsupported value: {value}: supported values: {choices}",
    "minimum": "Invalid value: {value}: {path} in body should be greater than or equal to {limit}",
    "maximum": "Invalid value: {value}: {path} in body should be less than or equal to {limit}",
    "minLength": "Invalid value: {value}: {path} in body should be at least {limit} chars long",
    "maxLength": "Too long: may not be more than {limit} bytes",
    "pattern": "Invalid value: {value}: {path} in body should match '{limit}'",
    "minItems": "Invalid value: {size}: {path} in body should have at least {limit} items",
    "maxItems": "Too many: {size}: must have at most {limit} items",
    "minProperties": "Invalid value: {size}: {path} in body should have at least {limit} properties",
    "maxProperties": "Too many: {size}: must have at most {limit} items",
    "type": 'Invalid value: "{kind}": {path} in body must be of type {limit}: "{kind}"',
    "anyOf": 'Invalid value: "{kind}": {path} in body must be of type integer,string: "{kind}"',
}


def _worded(error: ValidationError) -> Problem:
    """Say a JSON schema's error as Kubernetes says it."""
    path = dotted(tuple(error.absolute_path))
    value, limit = cast("JsonValue", error.instance), error.validator_value
    words = _WORDS[str(error.validator)].format(
        path=path,
        limit=limit,
        value=json.dumps(value),
        kind=_type_name(value),
        size=len(value) if isinstance(value, list | dict) else "",
        choices=", ".join(map(json.dumps, limit)) if isinstance(limit, list) else "",
    )
    return Problem(path, words)


_TYPE_NAMES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


def _type_name(value: JsonValue) -> str:
    return _TYPE_NAMES[type(value)]


_BEGINNINGS = {
    "FieldValueRequired": "Required value",
    "FieldValueForbidden": "Forbidden",
}
_QUANTITY = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?", re.ASCII)


def _is_quantity(text: str) -> bool:
    """Stand in for a function that the API server adds to CEL."""
    return _QUANTITY.fullmatch(text) is not None


def _rule_problems(value: JsonValue, node: JsonObject, path: str) -> Iterator[Problem]:
    # The package brings a prompt of its own along, which is a third of what a command takes to begin.
    import cel

    for rule in cast("list[dict[str, str]]", node.get("x-kubernetes-validations", [])):
        if "oldSelf" in rule["rule"]:
            continue  # it is about changes, and a file says nothing of what was before
        if cel.evaluate(rule["rule"], cel.Context({"self": value}, {"isQuantity": _is_quantity})) is not True:
            yield Problem(path + rule.get("fieldPath", ""), f"{_BEGINNINGS[rule['reason']]}: {rule['message']}")
    fields = cast("JsonObject", node.get("properties", {}))
    for key, child, child_schema in children(node, value):
        if child_schema is not None:
            below = f".{key}" if key in fields else f"[{key}]"
            yield from _rule_problems(child, child_schema, (path + below).removeprefix("."))
