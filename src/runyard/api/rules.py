"""Rules of the resource's schema in CEL, which the API server checks and `runyard run` as well."""

from typing import TypeAlias

from pydantic import JsonValue

Rule: TypeAlias = dict[str, JsonValue]

# What a rule's error begins with. After the usual "Invalid value" the API server writes the type of the value alone.
REQUIRED, FORBIDDEN = "FieldValueRequired", "FieldValueForbidden"


def rule(expression: str, message: str, field: str = "", *, reason: str = FORBIDDEN) -> Rule:
    """Build one CEL rule; `field` is the path, below the rule's own, that an error is reported at."""
    found: Rule = {"rule": expression, "message": message, "reason": reason}
    return {**found, "fieldPath": field} if field else found
