"""The CustomResourceDefinition, made from the resource's types and Kubernetes' own."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TypeAlias, cast

from pydantic import JsonValue
from pydantic.json_schema import models_json_schema

from runyard.api.model import JsonObject, Model
from runyard.api.outcome import TrainingRunStatus
from runyard.api.rules import rule
from runyard.api.trainingrun import (
    GROUP,
    IMMUTABLE_MESSAGE,
    KIND,
    MUTABLE,
    PLURAL,
    RESERVED_IN_TEMPLATE,
    SPEC_RULES,
    TRAINING_CONTAINER,
    UNSEEN,
    VERSION,
    TrainingRunSpec,
)

# Of a column: its heading, its type, where its values are, and 1 if it is shown only to who asks for more.
Column: TypeAlias = tuple[str, str, str, int]

# Of two fields a column takes the first that is there: what was settled before there was an `attemptNumber` has only
# the other, and the experiment of a spec that names none is the namespace of the metadata.
_COLUMNS = (
    ("Phase", "string", ".status.phase", 0),
    ("Run", "string", ".status.tracking.runId", 0),
    ("Attempts", "integer", ".status['attemptNumber', 'attemptCount']", 0),
    ("Duration", "string", ".status.duration", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Experiment", "string", ".*['experiment', 'namespace']", 1),
    ("Metric", "string", ".status.metric", 1),
    ("Message", "string", ".status.message", 1),
)

# What a structural schema may hold of a definition in Kubernetes' OpenAPI document.
_KEPT = (
    "type",
    "format",
    "required",
    "enum",
    "pattern",
    "nullable",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
)
_INT_OR_STRING: JsonObject = {
    "x-kubernetes-int-or-string": True,
    "anyOf": [{"type": "integer"}, {"type": "string"}],
}
_QUANTITY_PATTERN = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
# A pattern is a riddle to whoever writes 512MB; the bound keeps the rule cheap in the API server's eyes.
_QUANTITY_RULE = rule(
    "type(self) == int || isQuantity(self)",
    "must be a quantity: a number with a unit, such as 500m, 2, 512Mi or 1.5Gi",
)
_MOST_QUANTITIES = 12
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING_TYPE = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
# A pod template that is laid under other fields need not name containers, and its metadata is labels and
# annotations: the API server sets the rest.
_TEMPLATE_METADATA: JsonObject = {
    "type": "object",
    "properties": {
        key: {"type": "object", "additionalProperties": {"type": "string"}} for key in ("annotations", "labels")
    },
}


def custom_resource_definition(kubernetes: Mapping[str, JsonObject]) -> JsonObject:
    """Build the CustomResourceDefinition.

    Args:
        kubernetes: the `components.schemas` of a Kubernetes API server's OpenAPI v3 document for `api/v1`.

    """
    spec = structural(schema_of(TrainingRunSpec), kubernetes, described=True)
    unchecked = (*MUTABLE, *UNSEEN)
    spec["x-kubernetes-validations"] = [
        *SPEC_RULES,
        *make_immutable(_object(spec["properties"]), unchecked, IMMUTABLE_MESSAGE),
    ]
    template = _object(_object(spec["properties"])["podTemplate"])
    _relax_template(template)
    _word_quantities(_object(_object(spec["properties"])["resources"]))
    status = structural(schema_of(TrainingRunStatus), kubernetes, described=True)
    described = "One training, asked for once, and what came of it."
    return definition(KIND, PLURAL, ["trun", "truns"], _COLUMNS, resource_schema(described, spec, status))


def resource_schema(description: str, spec: JsonObject, status: JsonObject) -> JsonObject:
    """Return the schema of a whole resource."""
    properties: JsonObject = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": spec,
        "status": status,
    }
    return {"type": "object", "description": description, "required": ["spec"], "properties": properties}


def definition(
    kind: str, plural: str, short_names: list[JsonValue], columns: Sequence[Column], schema: JsonObject
) -> JsonObject:
    """Return the CustomResourceDefinition of a resource with a status."""
    shown: list[JsonValue] = [
        {"name": name, "type": kind_of, "jsonPath": path, "priority": priority}
        for name, kind_of, path, priority in columns
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": short_names,
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": shown,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


@cache
def schema() -> JsonObject:
    """Return the resource's OpenAPI v3 schema, the same that the cluster's API server checks against."""
    text = resources.files("runyard.api").joinpath("trainingruns.schema.json").read_text(encoding="utf-8")
    return _object(json.loads(text))


def _object(value: JsonValue) -> JsonObject:
    return cast("JsonObject", value)


def schema_of(model: type[Model]) -> JsonObject:
    """Return the model's JSON schema with its definitions put in where they are referred to."""
    _, document = models_json_schema([(model, "serialization")], by_alias=True)
    definitions = _object(document["$defs"])

    def inlined(node: JsonValue) -> JsonValue:
        if isinstance(node, list):
            return [inlined(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            name = str(node["$ref"]).rsplit("/", 1)[-1]
            beside = {key: value for key, value in node.items() if key != "$ref"}
            return inlined({**_object(definitions[name]), **beside})
        return {key: inlined(value) for key, value in node.items()}

    return _object(inlined({"$ref": model.__name__}))


def structural(node: JsonObject, kubernetes: Mapping[str, JsonObject], *, described: bool) -> JsonObject:
    """Reduce a JSON schema to what a CustomResourceDefinition may hold."""
    node = _without_null(node)
    if name := node.get("x-runyard-kubernetes-type"):
        beside = {key: value for key, value in node.items() if key in (*_KEPT, "description")}
        return {**_kubernetes_type(str(name), kubernetes), **beside}
    kept: JsonObject = {key: node[key] for key in _KEPT if key in node}
    if described and "description" in node:
        kept["description"] = node["description"]
    if node.get("default") not in (None, [], {}):
        kept["default"] = node["default"]
    if "properties" in node:
        kept["properties"] = {
            key: structural(_object(value), kubernetes, described=described)
            for key, value in _object(node["properties"]).items()
        }
        # Which fields a person must give is said by rules that name the remedy; a status has only what is known.
        kept.pop("required", None)
        if needed := node.get("required"):
            kept["required"] = needed
    if isinstance(node.get("additionalProperties"), dict):
        kept["additionalProperties"] = structural(
            _object(node["additionalProperties"]), kubernetes, described=described
        )
    if "items" in node:
        kept["items"] = structural(_object(node["items"]), kubernetes, described=described)
    return kept


def _without_null(node: JsonObject) -> JsonObject:
    """`X | None` means "may be left out": the null is dropped and X's schema stays."""
    choices = node.get("anyOf")
    if not isinstance(choices, list):
        return node
    [only] = [_object(choice) for choice in choices if _object(choice).get("type") != "null"]
    return {**only, **{key: value for key, value in node.items() if key != "anyOf"}}


def _kubernetes_type(name: str, kubernetes: Mapping[str, JsonObject]) -> JsonObject:
    if name == _INT_OR_STRING_TYPE:
        return {**_INT_OR_STRING}
    if name == _QUANTITY:
        return {**_INT_OR_STRING, "pattern": _QUANTITY_PATTERN}
    return _kubernetes_schema(kubernetes[name], kubernetes)


def _kubernetes_schema(node: JsonObject, kubernetes: Mapping[str, JsonObject]) -> JsonObject:
    if isinstance(parts := node.get("allOf"), list):
        # A reference with a default or a description beside it is written as a one-part allOf.
        node = {**_object(parts[0]), **{key: value for key, value in node.items() if key != "allOf"}}
    if "$ref" in node:
        found = _kubernetes_type(str(node["$ref"]).rsplit("/", 1)[-1], kubernetes)
    else:
        found = {key: node[key] for key in _KEPT if key in node}
        if "properties" in node:
            found["properties"] = {
                key: _kubernetes_schema(_object(value), kubernetes)
                for key, value in _object(node["properties"]).items()
            }
        for key in ("items", "additionalProperties"):
            if isinstance(node.get(key), dict):
                found[key] = _kubernetes_schema(_object(node[key]), kubernetes)
        _default_list_keys(found)
    return found


def _default_list_keys(found: JsonObject) -> None:
    """A schema must give a default to what identifies a list's items and may be left out, as a port's protocol."""
    for key in cast("list[str]", found.get("x-kubernetes-list-map-keys", [])):
        item = _object(found["items"])
        if key not in cast("list[str]", item.get("required", [])):
            _object(_object(item["properties"])[key])["default"] = "TCP" if key == "protocol" else ""


def make_immutable(properties: JsonObject, but: Sequence[str], message: str) -> list[JsonObject]:
    """Forbid changes of fields where they stand, but of some; return the rules that forbid to add or remove one."""
    fixed = [name for name in properties if name not in but]
    for name in fixed:
        found = _object(properties[name])
        rules = cast("list[JsonValue]", found.get("x-kubernetes-validations", []))
        found["x-kubernetes-validations"] = [*rules, rule("self == oldSelf", message)]
    return [
        rule(f"has(self.{name}) == has(oldSelf.{name})", message, f".{name}")
        for name in fixed
        if "default" not in _object(properties[name])
    ]


def _relax_template(template: JsonObject) -> None:
    properties = _object(template["properties"])
    properties["metadata"] = _TEMPLATE_METADATA
    spec = _object(properties["spec"])
    spec.pop("required", None)
    containers = _object(_object(spec["properties"])["containers"])
    # Bounds let the API server see that rules over containers are cheap.
    containers["maxItems"] = 32
    item = _object(containers["items"])
    item["x-kubernetes-validations"] = [RESERVED_IN_TEMPLATE]
    container = _object(item["properties"])
    _object(container["env"])["maxItems"] = 256
    variable = _object(_object(_object(container["env"])["items"])["properties"])
    _object(variable["name"])["maxLength"] = 1024
    name = _object(container["name"])
    name["maxLength"] = 63
    name["description"] = f'"{TRAINING_CONTAINER}" is the training container.'


def _word_quantities(resources: JsonObject) -> None:
    for key in ("limits", "requests"):
        found = _object(_object(resources["properties"])[key])
        found["maxProperties"] = _MOST_QUANTITIES
        found["additionalProperties"] = {**_INT_OR_STRING, "x-kubernetes-validations": [_QUANTITY_RULE]}
