"""TrainingRuns as nobody would write them, made of the resource's own schema.

hypothesis-jsonschema knows nothing of Kubernetes' keywords (either-integer-or-string, lists that are maps, values of
any type), and would begin with a canonical form of eight thousand lines of pods: these few strategies do.
"""

import os
from typing import Any

from hypothesis import strategies as st

from runyard.api.crd import schema

_INT32, _INT64 = 2**31 - 1, 2**63 - 1
_MOST_FIELDS, _MOST_ITEMS = 4, 3
_characters = st.characters(exclude_categories=["Cs"])
_words = st.sampled_from(
    ["a", "training", "Grüner 🍇", "$(params.a)", "$(params.no)", "$(POD)", "$$", "a/b", "0", "null", "\0", "x" * 300]
)
_texts = st.one_of(_words, st.text(_characters, max_size=12), st.text(_characters, max_size=200))
_names = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
_quantities = st.sampled_from(
    ["1", "500m", "1.5Gi", "0", "-1", "1e3", "1E400", "1e-400", ".5", "5.", "9999999999999999999Ei", "+1", "0.0000001m"]
)
_scalars = st.one_of(
    _texts,
    st.booleans(),
    st.integers(-_INT64, _INT64),
    st.sampled_from([0, -1, _INT64, 10**30, 1e308, 5e-324]),
    st.floats(allow_nan=False, allow_infinity=False),
)
_parameters: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.dictionaries(st.sampled_from(["a", "b_1", "N", "no"]), _scalars, max_size=4),
    st.dictionaries(
        st.one_of(st.sampled_from(["a", "no-name", "0a", ""]), st.text(_characters, max_size=20)),
        st.one_of(_scalars, st.sampled_from([[], {}, None])),
        max_size=5,
    ),
)


def cases(share: int) -> int:
    """Return how many cases to try: a share of them, unless all are asked for, as `make fuzz` does."""
    return int(os.environ.get("RUNYARD_FUZZ_CASES", share))


def values(node: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return what a schema allows, as far as its keywords say; rules are not looked at."""
    if node.get("x-kubernetes-int-or-string"):
        return st.one_of(st.integers(-5, _INT64), _quantities, _texts)
    if "enum" in node:
        return st.sampled_from(node["enum"])
    made = {"object": _objects, "array": _arrays, "string": _strings, "integer": _integers}.get(node.get("type", ""))
    if made:
        return made(node)
    return st.booleans() if node.get("type") == "boolean" else _scalars


def _integers(node: dict[str, Any]) -> st.SearchStrategy[int]:
    largest = _INT32 if node.get("format") == "int32" else _INT64
    least, most = node.get("minimum", -largest - 1), node.get("maximum", largest)
    near = [number for number in (least, -1, 0, 1, 2, 1000, most) if least <= number <= most]
    return st.one_of(st.sampled_from(near), st.integers(least, most))


def _strings(node: dict[str, Any]) -> st.SearchStrategy[str]:
    least, most = node.get("minLength", 0), node.get("maxLength", 400)
    if node.get("format") == "date-time":
        return st.just("2026-01-02T03:04:05Z")
    longest = st.just("x" * most) if most < 2000 else st.just("ü" * 2000)
    short = st.one_of(_names, _texts).filter(lambda text: least <= len(text) <= most)
    return st.one_of(short, short, short, longest)


def _arrays(node: dict[str, Any]) -> st.SearchStrategy[list[Any]]:
    keys = node.get("x-kubernetes-list-map-keys")
    items = values(node["items"])
    least, most = node.get("minItems", 0), min(node.get("maxItems", _MOST_ITEMS), _MOST_ITEMS)
    if keys:
        return st.lists(items, min_size=least, max_size=most, unique_by=lambda item: _key(item, keys))
    return st.lists(items, min_size=least, max_size=most)


def _key(item: dict[str, Any], keys: list[str]) -> str:
    return str([item.get(key) or {"protocol": "TCP"}.get(key) for key in keys])


@st.composite
def _objects(draw: st.DrawFn, node: dict[str, Any]) -> dict[str, Any]:
    properties = node.get("properties", {})
    others = node.get("additionalProperties")
    if isinstance(others, dict):
        return draw(st.dictionaries(st.one_of(_names, _texts), values(others), max_size=_MOST_ITEMS))
    required = node.get("required", [])
    optional = [name for name in properties if name not in required]
    chosen = draw(st.lists(st.sampled_from(optional), unique=True, max_size=_MOST_FIELDS)) if optional else []
    # A null stands for a field left out, wherever a schema does not say that it must be there.
    nulls = draw(st.lists(st.sampled_from(optional), unique=True, max_size=1)) if optional else []
    found = {name: draw(values(properties[name])) for name in [*required, *chosen]}
    return {**dict.fromkeys(nulls), **found}


def _with_sense(spec: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a spec that breaks no rule between fields: else hardly one would come to be a Job."""
    return _parameters.map(lambda chosen: {"image": "example/image:1", **_consistent(spec), "parameters": chosen})


def _consistent(spec: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in spec.items() if value is not None}
    if "queueName" in found:
        found.pop("suspend", None)
    if found.get("workers", 1) > 1 and isinstance(found.get("tracking"), dict):
        found["tracking"].pop("run", None)
    return found


def _spec() -> dict[str, Any]:
    found: Any = schema()["properties"]
    spec: dict[str, Any] = found["spec"]
    return spec


_SIMPLE = ("command", "args", "workingDir", "experiment", "env", "parameters", "backoffLimit", "suspend", "queueName")
_SIMPLE_TOO = ("activeDeadlineSeconds", "ttlSecondsAfterFinished", "workers", "tracking", "nodeSelector", "volumes")


def specs() -> st.SearchStrategy[dict[str, Any]]:
    """Return specs of all kinds: wild ones, and ones of which a Job could be made."""
    node = _spec()
    wild = _objects(node)
    plain = {name: node["properties"][name] for name in (*_SIMPLE, *_SIMPLE_TOO)}
    tame = _objects({"properties": plain})
    sensible, likely = wild.flatmap(_with_sense), tame.flatmap(_with_sense)
    return st.one_of(wild, sensible, sensible, likely, likely, likely)


def manifest(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Return the TrainingRun of a spec."""
    return {"apiVersion": "runyard.dev/v1alpha1", "kind": "TrainingRun", "metadata": {"name": name}, "spec": spec}
