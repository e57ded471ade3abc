"""Reading a manifest file, as kubectl reads it."""

import json
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import JsonValue
from yaml.constructor import ConstructorError

from runyard import validation
from runyard.api.trainingrun import TrainingRun
from runyard.api.trainingsweep import TrainingSweep
from runyard.errors import UnreadableManifest

_LARGEST_WITHOUT_EXPONENT = 1e21  # as JSON is written, by JavaScript's rule


class _Loader(yaml.SafeLoader):
    """YAML as kubectl takes it: 1e-3 is a number and 12:30 is none, times are text, y and n are booleans.

    It is stricter in one thing: of a key given twice kubectl silently takes the last.
    """

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                line = key.start_mark.line + 1
                message = f'line {line}: key "{key.value}" already set in map'
                raise UnreadableManifest(message)
            seen.add(key.value)
        return node

    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002 as in the class above
    ) -> dict[Hashable, object]:
        found = super().construct_mapping(node, deep)
        if None in found:
            raise ConstructorError(None, None, "found a key that is empty", node.start_mark)
        return {_key(name): value for name, value in found.items()}

    def construct_number(self, node: yaml.ScalarNode) -> float:
        try:
            return _number(self.construct_scalar(node))
        except ValueError as error:
            raise ConstructorError(None, None, str(error), node.start_mark) from error


_BOOLEAN, _INTEGER, _FLOAT, _TIME = (f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "timestamp"))
_NUMBER = re.compile(
    r"""[-+]?(?:
      0[xX][0-9a-fA-F_]+ | 0[bB][01_]+ | 0[oO][0-7_]+
    | (?:\.[0-9][0-9_]* | [0-9][0-9_]*(?:\.[0-9_]*)?) (?:[eE][-+]?[0-9_]+)?
    | \.(?:inf|Inf|INF|nan|NaN|NAN)
    )$""",
    re.VERBOSE,
)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in {_INTEGER, _FLOAT, _TIME}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_FLOAT, _NUMBER, list("-+.0123456789"))
_Loader.add_constructor(_INTEGER, _Loader.construct_number)
_Loader.add_constructor(_FLOAT, _Loader.construct_number)
_Loader.bool_values = {**yaml.SafeLoader.bool_values, "y": True, "n": False}
_Loader.add_implicit_resolver(_BOOLEAN, re.compile(r"^[yYnN]$"), list("yYnN"))


def _number(text: str) -> float:
    """Read a number; a whole one is an integer however it is written, since that is how it reaches the cluster."""
    digits = text.replace("_", "").lower()
    if re.fullmatch("[-+]?0[0-7]+", digits):
        return int(digits, 8)
    try:
        return int(digits, 0)
    except ValueError:
        found = float(digits.replace(".inf", "inf").replace(".nan", "nan"))
    return int(found) if found.is_integer() and abs(found) < _LARGEST_WITHOUT_EXPONENT else found


def _key(name: Hashable) -> str:
    return str(name).lower() if isinstance(name, bool) else str(name)


def read(path: Path) -> TrainingRun:
    """Read and check the TrainingRun in a file.

    Raises:
        UnreadableManifest: there is no such file, it is not YAML, or it does not hold one TrainingRun.
        UnknownField: it has fields that no TrainingRun has.
        InvalidManifest: a value is wrong.

    """
    return validation.parse(document(path))


def read_sweep(path: Path) -> TrainingSweep:
    """Read and check the TrainingSweep in a file.

    Raises:
        UnreadableManifest: there is no such file, it is not YAML, or it does not hold one TrainingSweep.
        UnknownField: it has fields that no TrainingSweep has.
        InvalidManifest: a value is wrong.

    """
    return validation.parse_sweep(document(path))


def document(path: Path) -> JsonValue:
    """Read the one object in a file.

    Raises:
        UnreadableManifest: there is no such file, it is not YAML, or it holds none or several.

    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise UnreadableManifest(message) from error
    return document_of(text, str(path))


def document_of(text: str, called: str) -> JsonValue:
    """Read the one object in a text, which messages call by a name.

    Raises:
        UnreadableManifest: it is not YAML, or it holds none or several.

    """
    try:
        found = [item for item in yaml.load_all(text, _Loader) if item is not None]
    except yaml.YAMLError as error:
        message = f"{called} is not YAML: {' '.join(str(error).split())}"
        raise UnreadableManifest(message) from error
    except UnreadableManifest as error:
        message = f"{called}: {error}"
        raise UnreadableManifest(message) from None
    if len(found) != 1:
        message = f"{called} holds {len(found)} objects: give a file with one"
        raise UnreadableManifest(message)
    try:
        return cast("JsonValue", json.loads(json.dumps(found[0], allow_nan=False)))
    except (TypeError, ValueError) as error:
        message = f"{called} holds what JSON cannot: {error}"
        raise UnreadableManifest(message) from error
