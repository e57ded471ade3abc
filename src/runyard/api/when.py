"""Conditions on what a run logged, such as `metrics.f1_score >= 0.9 && params.solver == "lbfgs"`.

The words are those of CEL, as in Kubernetes, and what holds here holds there. It is a small part of CEL that is read
here, and not CEL by a library, because a person writes it in a resource and the operator reads it: nothing in it can
repeat or call anything, so that it ends, and what was compared can be said. docs/promotion.md has the grammar.
"""

import json
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from runyard.api.direction import Direction
from runyard.api.promote import LONGEST_CONDITION
from runyard.api.records import RunStatus
from runyard.errors import RunyardError

_DEEPEST = 32
_NAMES_LISTED = 10
_LONGEST_SHOWN = 100
_BITS_OF_AN_INTEGER = 63

_TOKEN = re.compile(
    r"""[\t\n\f\r ]*(?:
    (?P<number>-?(?:[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+(?:[eE][+-]?[0-9]+)?))
  | (?P<text>"[^"\\\r\n]*"|'[^'\\\r\n]*')
  | (?P<quoted>`[^`\r\n]*`)
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign>&&|\|\||[=!<>]=|[<>!().\[\]])
  | (?P<end>\Z)
  | (?P<other>.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_INTEGER = re.compile(r"-?[0-9]+")
_COMPARISONS: dict[str, Callable[..., bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OF_TEXT = ("==", "!=")
_OPPOSITE = {Direction.HIGHEST: Direction.LOWEST, Direction.LOWEST: Direction.HIGHEST}
# What people write who come from Python, SQL or MLflow's filters.
_REMEDIES = {
    "and": "write && for and",
    "or": "write || for or",
    "not": "write !(…) for not",
    "AND": "write && for and",
    "OR": "write || for or",
    "NOT": "write !(…) for not",
    "=": "write == for equal",
    "&": "write && for and",
    "|": "write || for or",
    "\\": "there is no backslash in a condition",
}


class WrongCondition(RunyardError):
    """The text is no condition; the message says where, and what to write."""

    exit_code = 2


class Kind(StrEnum):
    """Of what a run logged."""

    METRICS = "metrics"
    PARAMS = "params"
    TAGS = "tags"

    @property
    def one(self) -> str:
        """What one of them is called."""
        return self.value.removesuffix("s")


@dataclass(frozen=True)
class Facts:
    """What is known of a run.

    Attributes:
        id: MLflow's.
        status: as MLflow has it.
        metrics: last values.
        params: as text.
        tags: all of them.

    """

    id: str
    status: RunStatus = RunStatus.FINISHED
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def values(self, kind: Kind) -> Mapping[str, float] | Mapping[str, str]:
        """Return all of a kind by name."""
        match kind:
            case Kind.METRICS:
                return self.metrics
            case Kind.PARAMS:
                return self.params
            case Kind.TAGS:
                return self.tags

    def lacks(self, kind: Kind, name: str) -> str | None:
        """Say of a value that the run does not have that it has none, and what it has; None where it has it."""
        there = self.values(kind)
        if name not in there:
            names = sorted(there)
            more = f" and {len(names) - _NAMES_LISTED} more" if len(names) > _NAMES_LISTED else ""
            listed = ", ".join(map(_short, names[:_NAMES_LISTED])) or f"no {kind}"
            return f"run {self.id[:8]} has no {kind.one} {_short(name)}; it has: {listed}{more}"
        value = there[name]
        if isinstance(value, float) and math.isnan(value):
            return f"{_short(name)} of run {self.id[:8]} is NaN, which is no number"
        return None


@dataclass(frozen=True)
class Reference:
    """A value of the run's."""

    kind: Kind
    name: str


@dataclass(frozen=True)
class _Comparison:
    left: Reference | float | str
    sign: str
    right: Reference | float | str


@dataclass(frozen=True)
class _Not:
    part: "_Part"


@dataclass(frozen=True)
class _All:
    parts: "tuple[_Part, ...]"


@dataclass(frozen=True)
class _Any:
    parts: "tuple[_Part, ...]"


_Part = _Comparison | _Not | _All | _Any


@dataclass(frozen=True)
class Condition:
    """A condition that was read.

    Attributes:
        text: as it was written.
        references: the run's values that it asks for, each once, in the order of the text.

    """

    text: str
    references: tuple[Reference, ...]
    _root: _Part

    @property
    def first_metric(self) -> str | None:
        """The metric that is named first, if any is."""
        return next((found.name for found in self.references if found.kind is Kind.METRICS), None)

    def direction(self, metric: str) -> Direction | None:
        """Return which values of a metric it asks for: those above a bound, or below one; None if neither, or both."""
        found = set(_directions(self._root, Reference(Kind.METRICS, metric)))
        return found.pop() if len(found) == 1 else None


@dataclass(frozen=True)
class Verdict:
    """Whether something is so, and by what it was judged, in a sentence without a full stop."""

    holds: bool
    because: str


def read(text: str) -> Condition:
    """Read a condition.

    Raises:
        WrongCondition: it is none.

    """
    if not text.isprintable() and any(0xD800 <= ord(character) <= 0xDFFF for character in text):  # noqa: PLR2004
        raise WrongCondition("a condition is text, and this one has bytes that are none")
    if len(text) > LONGEST_CONDITION:
        raise WrongCondition(f"a condition has {LONGEST_CONDITION} characters at most, and this one has {len(text)}")
    return _Reader(text).condition()


def judge(condition: Condition, facts: Facts) -> Verdict:
    """Say whether a condition holds for a run. It does not where the run lacks any value that it names."""
    for asked in condition.references:
        if lacking := facts.lacks(asked.kind, asked.name):
            return Verdict(holds=False, because=lacking)
    shown = ", ".join(f"{_short(asked.name)} is {_shown(_value(asked, facts))}" for asked in condition.references)
    holds = _holds(condition._root, facts)  # noqa: SLF001 the tree is this module's own
    text = " ".join(condition.text.split())
    return Verdict(holds, f"{text} {'holds' if holds else 'does not hold'}: {shown}")


def holds(condition: Condition, facts: Facts) -> bool:
    """Say whether a condition holds for a run, as `judge` does and without the words: of many runs it is quicker."""
    for asked in condition.references:
        value = facts.values(asked.kind).get(asked.name, math.nan)
        if isinstance(value, float) and math.isnan(value):
            return False
    return _holds(condition._root, facts)  # noqa: SLF001 the tree is this module's own


def _directions(part: _Part, metric: Reference) -> Iterator[Direction]:
    match part:
        case _All(parts) | _Any(parts):
            for each in parts:
                yield from _directions(each, metric)
        case _Not(negated):
            yield from map(_OPPOSITE.__getitem__, _directions(negated, metric))
        case _Comparison(left, ("<" | "<=" | ">" | ">=") as sign, right) if metric in {left, right} and left != right:
            yield Direction.HIGHEST if (left == metric) == (sign[0] == ">") else Direction.LOWEST


def _holds(part: _Part, facts: Facts) -> bool:
    match part:
        case _All(parts):
            return all(_holds(each, facts) for each in parts)
        case _Any(parts):
            return any(_holds(each, facts) for each in parts)
        case _Not(negated):
            return not _holds(negated, facts)
        case _Comparison(left, sign, right):
            return _COMPARISONS[sign](_value(left, facts), _value(right, facts))


def _value(operand: Reference | float | str, facts: Facts) -> float | str:
    return facts.values(operand.kind)[operand.name] if isinstance(operand, Reference) else operand


def _shown(value: float | str) -> str:
    return _short(json.dumps(value, ensure_ascii=False)) if isinstance(value, str) else repr(value)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    place: int


def _tokens(text: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(text):
        kind = str(found.lastgroup)
        yield _Token(kind, found[kind], found.start(kind) + 1)
        if kind == "end":
            return


class _Reader:
    """A reader by recursive descent: any := all ("||" all)*, all := one ("&&" one)*."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._next = 0
        self._depth = 0
        self._references: dict[Reference, None] = {}

    def condition(self) -> Condition:
        root = self._any()
        if self._now.kind != "end":
            raise self._wrong("&&, || or the end")
        return Condition(self._text, tuple(self._references), root)

    @property
    def _now(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, *signs: str) -> str | None:
        """Go on if one of these comes next, and return it."""
        if self._now.kind != "sign" or self._now.text not in signs:
            return None
        self._next += 1
        return self._tokens[self._next - 1].text

    def _any(self) -> _Part:
        parts = [self._all()]
        while self._take("||"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else _Any(tuple(parts))

    def _all(self) -> _Part:
        parts = [self._one()]
        while self._take("&&"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else _All(tuple(parts))

    def _one(self) -> _Part:
        if self._take("!"):
            if not self._take("("):
                raise self._wrong("( after !")
            return _Not(self._bracketed())
        return self._bracketed() if self._take("(") else self._comparison()

    def _bracketed(self) -> _Part:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._wrong(f"no more than {_DEEPEST} brackets in each other")
        found = self._any()
        if not self._take(")"):
            raise self._wrong("&&, || or )")
        self._depth -= 1
        return found

    def _comparison(self) -> _Part:
        begins = self._now.place
        left = self._operand()
        sign = self._take(*_COMPARISONS)
        if not sign:
            raise self._wrong("a comparison (== != < <= > >=)")
        right = self._operand()
        self._check(left, sign, right, begins)
        return _Comparison(left, sign, right)

    def _check(self, left: Reference | float | str, sign: str, right: Reference | float | str, place: int) -> None:
        if not isinstance(left, Reference) and not isinstance(right, Reference):
            raise self._refused(place, "compare with metrics.NAME, params.NAME or tags.NAME")
        if _is_text(left) != _is_text(right):
            raise self._refused(
                place, "metrics are numbers, params and tags are text: one is not compared with another"
            )
        if _is_text(left) and sign not in _OF_TEXT:
            raise self._refused(place, f"{sign} is for numbers; params and tags are text, with == and !=")

    def _operand(self) -> Reference | float | str:
        token = self._now
        if token.kind == "number":
            self._next += 1
            return self._number(token)
        if token.kind == "text":
            self._next += 1
            return token.text[1:-1]
        if token.kind == "word" and token.text in list(Kind):
            self._next += 1
            found = Reference(Kind(token.text), self._name(token.text))
            self._references[found] = None
            return found
        raise self._wrong('metrics.NAME, params.NAME, tags.NAME, a number or a "text"')

    def _number(self, token: _Token) -> float:
        if _INTEGER.fullmatch(token.text):
            # An integer is kept, so that it is compared to the last digit.
            whole = int(token.text)
            if whole.bit_length() > _BITS_OF_AN_INTEGER:
                raise self._refused(token.place, f"{_short(token.text)} is too large: write it with an exponent")
            return whole
        number = float(token.text)
        if math.isinf(number):
            raise self._refused(token.place, f"{_short(token.text)} is too large")
        return number

    def _name(self, kind: str) -> str:
        if self._take("["):
            token = self._now
            if token.kind != "text":
                raise self._wrong(f'a name in quotes, as in {kind}["NAME"]')
            self._next += 1
            if not self._take("]"):
                raise self._wrong("]")
            return token.text[1:-1]
        if not self._take("."):
            raise self._wrong(f'{kind}.NAME or {kind}["NAME"]')
        token = self._now
        if token.kind not in {"word", "quoted"}:
            raise self._wrong(f"a name after {kind}.")
        self._next += 1
        if token.kind == "quoted":
            return token.text[1:-1]
        if self._now.text in {".", "/", "-", ":"} or self._now.kind == "number":
            raise self._refused(self._now.place, f'a name with other characters is written {kind}["NAME"]')
        return token.text

    def _wrong(self, expected: str) -> WrongCondition:
        token = self._now
        remedy = _REMEDIES.get(token.text)
        found = "the end" if token.kind == "end" else _shown(token.text)
        return self._refused(token.place, f"{remedy or f'expected {expected}'}; found {found}")

    def _refused(self, place: int, why: str) -> WrongCondition:
        return WrongCondition(f"{_shown(self._text)} is no condition: at character {place}: {why}")


def _is_text(operand: Reference | float | str) -> bool:
    return operand.kind is not Kind.METRICS if isinstance(operand, Reference) else isinstance(operand, str)
