"""What is wrong with a manifest is said in the API server's words; tests/operator asks the API server itself."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from runyard.api import sweep_crd
from runyard.api.crd import schema
from runyard.errors import InvalidManifest, UnknownField
from runyard.validation import parse, parse_sweep
from tests.support.refusals import REFUSALS, UNKNOWN, Refusal
from tests.support.sweep_refusals import RIGHT, SWEEP_REFUSALS, UNKNOWN_IN_SWEEP, UNSEEN_REFUSALS

# How each keyword of a schema says no.
_SAID = {
    "type": "must be of type",
    "enum": "Unsupported value",
    "required": "Required value",
    "minimum": "greater than or equal to",
    "maximum": "less than or equal to",
    "minLength": "chars long",
    "maxLength": "Too long",
    "minItems": "should have at least",
    "maxItems": "Too many",
    "minProperties": "should have at least",
    "maxProperties": "Too many",
}
# Kubernetes' own types: what is below is theirs, but for our rules.
_KUBERNETES = re.compile(
    r"spec\.(?:template\.)?(env\[\]|envFrom\[\]|resources|volumes\[\]|volumeMounts\[\]|tolerations\[\]|podTemplate)"
)


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.about)
def test_what_is_wrong_is_said_in_full(row: Refusal) -> None:
    with pytest.raises(InvalidManifest) as found:
        parse(row.manifest)
    assert sorted(str(problem) for problem in found.value.problems) == sorted(row.said)


@pytest.mark.parametrize("path", UNKNOWN)
def test_a_field_that_there_is_not_is_named(path: str) -> None:
    with pytest.raises(UnknownField) as found:
        parse(Refusal("", UNKNOWN[path], ()).manifest)
    assert found.value.paths == [f"spec.{path}"]


@pytest.mark.parametrize("row", [*SWEEP_REFUSALS, *UNSEEN_REFUSALS], ids=lambda row: row.about)
def test_what_is_wrong_with_a_sweep_is_said_in_full(row: Refusal) -> None:
    with pytest.raises(InvalidManifest, match='The TrainingSweep "') as found:
        parse_sweep(row.manifest)
    assert sorted(str(problem) for problem in found.value.problems) == sorted(row.said)


@pytest.mark.parametrize("path", UNKNOWN_IN_SWEEP)
def test_a_field_that_no_sweep_has_is_named(path: str) -> None:
    with pytest.raises(UnknownField, match="cannot be handled as a TrainingSweep") as found:
        parse_sweep(Refusal("", UNKNOWN_IN_SWEEP[path], (), {}, "TrainingSweep", RIGHT).manifest)
    assert found.value.paths == [f"spec.{path}"]


def test_each_way_in_which_the_schema_can_refuse_has_a_row() -> None:
    spec: Any = schema()["properties"]
    assert _without_row(REFUSALS, spec["spec"]) == []


def test_each_way_in_which_the_schema_of_sweeps_can_refuse_has_a_row() -> None:
    spec: Any = sweep_crd.schema()["properties"]
    of_trainings = [line for row in REFUSALS for line in row.said]
    rows = [*SWEEP_REFUSALS, Refusal("", {}, tuple(line.replace("spec", "spec.template", 1) for line in of_trainings))]
    assert _without_row(rows, spec["spec"]) == []


def _without_row(rows: Iterable[Refusal], spec: dict[str, Any]) -> list[str]:
    shown = {_without_names(line) for row in rows for line in row.said}
    return [
        f"{path}: {words}"
        for path, words in _ways(spec, "spec")
        if not any(line.startswith(f"{path}: ") and words in line for line in shown)
    ]


def _ways(node: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Return the path, with [] for any item of a list and for any name in a map, and the words of each refusal."""
    for rule in node.get("x-kubernetes-validations", []):
        if "oldSelf" not in rule["rule"]:
            yield path + rule.get("fieldPath", ""), rule["message"]
    is_ours = not _KUBERNETES.match(path)
    if is_ours or _KUBERNETES.fullmatch(path):
        yield from ((path, words) for keyword, words in _SAID.items() if keyword in node and keyword != "required")
    if "x-kubernetes-list-map-keys" in node and is_ours:
        yield f"{path}[]", "Duplicate value"
    if is_ours:
        yield from ((f"{path}.{name}", _SAID["required"]) for name in node.get("required", []))
    for name, child in node.get("properties", {}).items():
        yield from _ways(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from _ways(node[key], f"{path}[]")


_MAPS = re.compile(r"^(spec\.(?:template\.)?(?:parameters|nodeSelector))\.[^:.]+")


def _without_names(line: str) -> str:
    path, _, words = line.partition(": ")
    path = _MAPS.sub(r"\1[]", re.sub(r"\[[^]]*\]", "[]", path))
    return f"{path}: {words}"
