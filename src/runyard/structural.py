"""Walking a value along its structural schema, as the API server does before it looks at rules."""

from collections.abc import Iterator
from typing import TypeAlias, cast

from pydantic import JsonValue

from runyard.api.model import JsonObject

Path: TypeAlias = tuple[str | int, ...]


def dotted(path: Path) -> str:
    """Write a path as Kubernetes does: spec.env[0].name."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def children(node: JsonObject, value: JsonValue) -> Iterator[tuple[str | int, JsonValue, JsonObject | None]]:
    """Pair each child of a value with its schema; None where the schema knows no such field."""
    if isinstance(value, list):
        items = node.get("items")
        yield from ((index, item, cast("JsonObject", items)) for index, item in enumerate(value) if items)
    if isinstance(value, dict):
        properties = cast("dict[str, JsonObject]", node.get("properties", {}))
        others = node.get("additionalProperties")
        for key, child in value.items():
            yield key, child, properties.get(key, cast("JsonObject | None", others))


def unknown_fields(value: JsonValue, node: JsonObject, path: Path = ()) -> Iterator[str]:
    """Return the paths of fields that the schema does not know."""
    if node.get("x-kubernetes-preserve-unknown-fields") or ("properties" not in node and not _has_children(node)):
        return
    for key, child, child_schema in children(node, value):
        if child_schema is None:
            yield dotted((*path, key))
        else:
            yield from unknown_fields(child, child_schema, (*path, key))


def _has_children(node: JsonObject) -> bool:
    return "items" in node or "additionalProperties" in node


def as_stored(value: JsonValue, node: JsonObject) -> JsonValue:
    """Return a value as the API server keeps it: a null is a field left out, and defaults are filled in.

    What is inside a value of any type stays.
    """
    if node.get("x-kubernetes-preserve-unknown-fields"):
        return value
    known = [(key, child, found) for key, child, found in children(node, value) if found is not None]
    if isinstance(value, dict) and (known or "properties" in node):
        stored = {str(key): as_stored(child, found) for key, child, found in known if child is not None}
        return {**_defaults(node), **stored}
    if isinstance(value, list):
        return [as_stored(child, found) for _, child, found in known]
    return value


def items_without_keys(value: JsonValue, node: JsonObject, path: Path = ()) -> Iterator[tuple[Path, JsonValue]]:
    """Return the place and the value of what is no object, in a list whose items have keys; a null is told of less."""
    for key, child, child_schema in children(node, value):
        if "x-kubernetes-list-map-keys" in node and not isinstance(child, dict | None):
            yield (*path, key), child
        if child_schema is not None:
            yield from items_without_keys(child, child_schema, (*path, key))


def repeated_keys(value: JsonValue, node: JsonObject, path: Path = ()) -> Iterator[tuple[Path, JsonObject]]:
    """Return the place and the key of each item whose list, such as `env`, has one with that key before it."""
    keys = cast("list[str]", node.get("x-kubernetes-list-map-keys", []))
    seen: list[JsonObject] = []
    for key, child, child_schema in children(node, value):
        if keys and isinstance(child, dict):
            filled = {**_defaults(child_schema), **child}
            identity = {name: filled[name] for name in keys if name in filled}
            if identity in seen:
                yield (*path, key), identity
            seen.append(identity)
        if child_schema is not None:
            yield from repeated_keys(child, child_schema, (*path, key))


def _defaults(node: JsonObject | None) -> JsonObject:
    properties = cast("dict[str, JsonObject]", (node or {}).get("properties", {}))
    return {key: found["default"] for key, found in properties.items() if "default" in found}
