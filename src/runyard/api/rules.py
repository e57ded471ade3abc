"""Rules of the resource's schema in CEL, which the API server checks and `runyard run` as well."""

from pydantic import JsonValue


def rule(expression: str, message: str, field: str = "") -> dict[str, JsonValue]:
    """Build one CEL rule; `field` is the path, below the rule's own, that an error is reported at."""
    found: dict[str, JsonValue] = {"rule": expression, "message": message}
    return {**found, "fieldPath": field} if field else found
