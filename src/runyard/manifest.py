"""Reading a manifest file, as kubectl reads it."""

import json
import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import JsonValue
from yaml.constructor import ConstructorError
from yaml.error import MarkedYAMLError
from yaml.reader import ReaderError

from runyard import validation
from runyard.api.trainingrun import TrainingRun
from runyard.api.trainingsweep import TrainingSweep
from runyard.errors import UnreadableManifest

# More than an API server takes for an object, and deeper than a TrainingRun can be.
LARGEST_BYTES = 2 * 1024 * 1024
DEEPEST = 64
_LARGEST = f"{LARGEST_BYTES / 2**20:.0f} MiB"
_TOO_DEEP = f"nested more deeply than a TrainingRun can be, {DEEPEST} levels"
_MOST_DIGITS = 1_000
_LARGEST_WITHOUT_EXPONENT = 1e21  # as JSON is written, by JavaScript's rule
_OF_YAML = "tag:yaml.org,2002:"
_BOOLEAN, _INTEGER, _FLOAT, _TIME, _MERGE, _VALUE, _TEXT = (
    f"{_OF_YAML}{name}" for name in ("bool", "int", "float", "timestamp", "merge", "value", "str")
)
_TAGS = {_BOOLEAN, _INTEGER, _FLOAT, _MERGE, _VALUE, _TEXT, *(f"{_OF_YAML}{name}" for name in ("null", "map", "seq"))}


@dataclass(frozen=True)
class _Extent:
    """How much a node is with all that it refers to: characters and nodes, and levels."""

    size: int
    depth: int


class _Loader(yaml.SafeLoader):
    """YAML as kubectl takes it: 1e-3 is a number and 12:30 is none, times are text, y and n are booleans.

    It is stricter in two things: of a key given twice kubectl silently takes the last, and of a tag that it does not
    know it leaves the tag out. What references stand for is counted before it is made: a few lines of them can stand
    for more than memory holds.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._extents: dict[yaml.Node, _Extent] = {}
        self._level = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        line = self.peek_event().start_mark.line  # type: ignore[no-untyped-call]
        if self._level > DEEPEST:
            raise _refused(line, _TOO_DEEP)
        is_reference = self.check_event(yaml.AliasEvent)
        self._level += 1
        node = super().compose_node(parent, index)
        self._level -= 1
        if node is None:
            return None
        if not is_reference:
            self._extents[node] = self._extent(node)
        elif node not in self._extents:
            raise _refused(line, "a reference to what it is itself a part of: write it out")
        if self._extents[node].size > LARGEST_BYTES:
            raise _refused(line, f"references stand for more than {_LARGEST}, which no TrainingRun may have")
        return node

    def _extent(self, node: yaml.Node) -> _Extent:
        if node.tag not in _TAGS:
            tag = node.tag.replace(_OF_YAML, "!!", 1)
            why = f"the tag {tag} stands for nothing here: leave it out, or quote a text that begins with !"
            raise _refused(node.start_mark.line, why)
        if isinstance(node, yaml.ScalarNode):
            return _Extent(1 + len(node.value), 1)
        parts = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
        known = [self._extents[part] for part in parts]
        found = _Extent(1 + sum(part.size for part in known), 1 + max((part.depth for part in known), default=0))
        if found.depth > DEEPEST:
            raise _refused(node.start_mark.line, _TOO_DEEP)
        return found

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            # In JSON all keys are text: yes and true are one, and so are 1 and 0x1.
            name = key.value if key.tag == _MERGE else _key(self.construct_object(key))
            if name in seen:
                raise _refused(key.start_mark.line, f'key "{name}" already set in map')
            seen.add(name)
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

    def construct_text(self, node: yaml.ScalarNode) -> str:
        return str(self.construct_scalar(node))

    def construct_yaml_bool(self, node: yaml.ScalarNode) -> bool:
        text = self.construct_scalar(node).lower()
        if text not in self.bool_values:
            raise ConstructorError(None, None, f'"{text}" is no boolean: write true or false', node.start_mark)
        return self.bool_values[text]


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
_Loader.add_constructor(_BOOLEAN, _Loader.construct_yaml_bool)
for _tag in (_MERGE, _VALUE):
    _Loader.add_constructor(_tag, _Loader.construct_text)
_Loader.bool_values = {**yaml.SafeLoader.bool_values, "y": True, "n": False}
_Loader.add_implicit_resolver(_BOOLEAN, re.compile(r"^[yYnN]$"), list("yYnN"))


def _refused(line: int, why: str) -> UnreadableManifest:
    return UnreadableManifest(f"line {line + 1}: {why}")


def _number(text: str) -> float:
    """Read a number; a whole one is an integer however it is written, since that is how it reaches the cluster."""
    digits = text.replace("_", "").lower()
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits: quote it if it is a text")
    if re.fullmatch("[-+]?0[0-7]+", digits):
        return int(digits, 8)
    try:
        return int(digits, 0)
    except ValueError:
        found = float(digits.replace(".inf", "inf").replace(".nan", "nan"))
    return int(found) if found.is_integer() and abs(found) < _LARGEST_WITHOUT_EXPONENT else found


def _problem(error: yaml.YAMLError, text: str) -> str:
    """Return where and what, in one line: PyYAML also draws the place."""
    if isinstance(error, ReaderError):
        line, said = text.count("\n", 0, error.position), f"the character U+{error.character:04X} is not allowed"
    elif isinstance(error, MarkedYAMLError) and (mark := error.problem_mark or error.context_mark):
        line, said = mark.line, " ".join(part for part in (error.context, error.problem) if part)
    else:
        return " ".join(str(error).split())
    return f"line {line + 1}: {' '.join(said.split())}"


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
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise UnreadableManifest(message) from error
    return document_of(content, str(path))


def document_of(content: bytes, called: str) -> JsonValue:
    """Read the one object in what a file holds, which messages call by a name.

    Raises:
        UnreadableManifest: it is no text, not YAML, too much, or it holds none or several.

    """
    if len(content) > LARGEST_BYTES:
        message = f"{called} has more than {_LARGEST}, which no TrainingRun may have"
        raise UnreadableManifest(message)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableManifest(f"{called} is not UTF-8: line {line}: save it as that") from error
    try:
        found = [item for item in yaml.load_all(text, _Loader) if item is not None]
    except yaml.YAMLError as error:
        message = f"{called} is not YAML: {_problem(error, text)}"
        raise UnreadableManifest(message) from error
    except UnreadableManifest as error:
        message = f"{called}: {error}"
        raise UnreadableManifest(message) from None
    if len(found) != 1:
        message = f"{called} holds {len(found)} objects: give a file with one"
        raise UnreadableManifest(message)
    try:
        return cast("JsonValue", json.loads(json.dumps(found[0], allow_nan=False, ensure_ascii=False).encode()))
    except (TypeError, ValueError) as error:
        message = f"{called} holds what JSON cannot: {error}"
        raise UnreadableManifest(message) from error
