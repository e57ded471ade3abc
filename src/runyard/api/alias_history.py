"""The history of an alias, kept as tags of the registered model, and what it says the alias should be.

MLflow moves an alias by one write, and the last one wins: nothing there compares before it sets. So whoever moves an
alias first writes down that it does, and then puts the alias where all that was written down says it should be, until
it is there. `replay` is that: the same for everybody who has read the same. docs/promotion.md has the protocol.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field, ValidationError

from runyard.api.direction import Direction
from runyard.api.model import Model, Time

LONGEST_REASON = 1_500
# Registered models have room for 5,000 characters a tag, and JSON writes some of them as two.
_LONGEST_TAG = 5_000
_PREFIX = "runyard.dev/alias."
_KEY = re.compile(
    r"runyard\.dev/alias\.(?P<alias>[A-Za-z0-9_-]{1,100})\.(?P<number>[0-9]{6})\.(?P<token>[a-z0-9-]{1,40})"
)
# Whoever has not ended its entry after that does not live any more.
_LONGEST_MOVE = timedelta(hours=1)

_Version = Annotated[int, Field(ge=1)]


class Change(StrEnum):
    """How an alias came to another version."""

    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"
    # By something that writes no history, as MLflow's own pages.
    MOVED = "Moved"


class Record(Model):
    """What is written down of one move.

    Attributes:
        change: which kind it is.
        version: that is to have the alias; None: none is.
        instead_of: the version that had it when this was decided; None: none did.
        run_id: the run of the version.
        metric: the metric that decided, if one did.
        value: of the run, as text that gives the same float back.
        direction: which values are better.
        must_be_better: whether it takes the alias only from what it is better than.
        at: when it was decided.
        by: who asked for it, as they called themselves.
        because: why.
        settled: whether the alias was seen to be where it should, with this written down.

    """

    change: Change
    version: _Version | None = None
    instead_of: _Version | None = None
    run_id: Annotated[str, Field(max_length=32)] | None = None
    metric: Annotated[str, Field(max_length=250)] | None = None
    value: Annotated[str, Field(max_length=40)] | None = None
    direction: Direction = Direction.HIGHEST
    must_be_better: bool = False
    at: Time
    by: Annotated[str, Field(max_length=200)] = ""
    because: Annotated[str, Field(max_length=LONGEST_REASON)] = ""
    settled: bool = False


@dataclass(frozen=True)
class Entry:
    """A record in its place.

    Attributes:
        alias: which it is of.
        number: one more than the highest that its writer had read, so that who writes later has a higher one.
        token: tells those of one number apart.
        record: what is written.

    """

    alias: str
    number: int
    token: str
    record: Record

    @property
    def key(self) -> str:
        """The tag's name."""
        return f"{_PREFIX}{self.alias}.{self.number:06d}.{self.token}"

    @property
    def value(self) -> str:
        """The tag's value."""
        return json.dumps(self.record.to_json(), ensure_ascii=False, separators=(",", ":"))

    @property
    def settled(self) -> "Entry":
        """The same, once it is done."""
        return replace(self, record=self.record.model_copy(update={"settled": True}))

    def is_open(self, now: datetime) -> bool:
        """Whether its writer may still be moving the alias."""
        return not self.record.settled and now - self.record.at < _LONGEST_MOVE


@dataclass(frozen=True)
class Course:
    """What came of a history.

    Attributes:
        line: the versions that had the alias one after the other, rolled back ones left out, the first before all is
            None: none had it.
        overtaken: entries that did not come to have the alias, since something better, or of which that is not known,
            had been written down meanwhile.

    """

    line: tuple[int | None, ...]
    overtaken: tuple[Entry, ...]

    @property
    def holder(self) -> int | None:
        """The version that should have the alias."""
        return self.line[-1]


def entries(tags: Mapping[str, str]) -> list[Entry]:
    """Return what a registered model's tags tell, of all aliases, in the order in which it counts.

    Anybody may write tags: what is no entry is none.
    """
    found = []
    for key, value in tags.items():
        named = _KEY.fullmatch(key)
        if named is None or len(value) > _LONGEST_TAG:
            continue
        try:
            record = Record.model_validate_json(value)
        except (ValidationError, RecursionError):
            continue
        if record.at.tzinfo is not None and not (record.must_be_better and _number(record) is None):
            found.append(Entry(named["alias"], int(named["number"]), named["token"], record))
    # Of what is written at once, first that which takes the alias in any case: the others must be better than that.
    return sorted(
        found,
        key=lambda entry: (entry.number, entry.record.must_be_better, entry.record.version or 0, entry.token),
    )


def reason(text: str) -> str:
    """Return a text as it is written down: one line, cut where there is no room."""
    line = " ".join("".join(found if found.isprintable() else " " for found in text).split())
    return line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 1]}…"


def next_number(history: Sequence[Entry]) -> int:
    """Return the number of what is written next."""
    return max((entry.number for entry in history), default=0) + 1


def replay(history: Sequence[Entry]) -> Course:
    """Say from an alias's history who should have it.

    Args:
        history: of one alias, in order.

    """
    values = {
        (entry.record.version, entry.record.metric): value
        for entry in history
        if (value := _number(entry.record)) is not None
    }
    line: list[int | None] = [None]
    overtaken = []
    for entry in history:
        record = entry.record
        now = line[-1]
        # It was decided against another version than the one that has the alias by now.
        if record.must_be_better and now not in {None, record.version, record.instead_of}:
            rival, value = values.get((now, record.metric)), _number(record)
            if rival is None or value is None or not record.direction.is_better(value, rival):
                overtaken.append(entry)
                continue
        if record.change is Change.ROLLED_BACK and record.version in line:
            while line[-1] != record.version:
                line.pop()
        elif now != record.version:
            line.append(record.version)
    return Course(tuple(line), tuple(overtaken))


def _number(record: Record) -> float | None:
    try:
        return None if record.value is None else float(record.value)
    except ValueError:
        return None
