"""Reading a manifest file, as kubectl reads it."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import cast

import yaml
from pydantic import JsonValue

from runyard import validation
from runyard.api.trainingrun import TrainingRun
from runyard.errors import UnreadableManifest


class _Loader(yaml.SafeLoader):
    """YAML as kubectl takes it: a key given twice is an error, times are text, and y and n are booleans."""

    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002 as in the class above
    ) -> dict[Hashable, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                message = f'line {line}: key "{key.value}" already set in map'
                raise UnreadableManifest(message)
            seen.add(key.value)
        found = super().construct_mapping(node, deep)
        return {_key(name): value for name, value in found.items()}


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.bool_values = {**yaml.SafeLoader.bool_values, "y": True, "n": False}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^[yYnN]$"), list("yYnN"))


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
    try:
        found = [item for item in yaml.load_all(text, _Loader) if item is not None]
    except yaml.YAMLError as error:
        message = f"{path} is not YAML: {' '.join(str(error).split())}"
        raise UnreadableManifest(message) from error
    except UnreadableManifest as error:
        message = f"{path}: {error}"
        raise UnreadableManifest(message) from None
    if len(found) != 1:
        message = f"{path} holds {len(found)} objects: give a file with one TrainingRun"
        raise UnreadableManifest(message)
    return cast("JsonValue", found[0])
