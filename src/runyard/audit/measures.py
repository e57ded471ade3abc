"""What a measure is: a share of something, the runs behind it, and where it says how long, the times."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum


class Name(StrEnum):
    """The five measures."""

    REPRODUCTION = "reproduction"
    METADATA = "metadata"
    PROMOTION = "promotion"
    DISTINCT = "distinct"
    COMPLETENESS = "completeness"


@dataclass(frozen=True)
class Times:
    """How long something took, of several times that it was done.

    Attributes:
        count: how many there are.
        median: half of them took no longer.
        p90: nine of ten took no longer.

    """

    count: int
    median: timedelta
    p90: timedelta

    @classmethod
    def of(cls, lengths: Iterable[timedelta]) -> "Times | None":
        """Return the times of several; None of none."""
        seconds = [length.total_seconds() for length in lengths]
        if not seconds:
            return None
        median, p90 = (timedelta(seconds=percentile(seconds, share)) for share in (0.5, 0.9))
        return cls(len(seconds), median, p90)


@dataclass(frozen=True)
class Finding:
    """One thing behind a measure.

    Attributes:
        runs: IDs, the one that it is about first; none where it is about a model whose run is unknown.
        name: what people call it.
        says: what there is to say of it.

    """

    runs: tuple[str, ...]
    name: str
    says: str


@dataclass(frozen=True)
class Measure:
    """One of the five.

    Attributes:
        name: which.
        count: of how many what is measured holds.
        of: how many were looked at.
        what: the word for those.
        meaning: a sentence that says what was found.
        remedy: a sentence that says how to improve it.
        behind: the runs behind it, the worst first.
        times: how long it took, of those measures that are about time; None where nothing was done.
        facts: more numbers, by names that docs/audit.md explains.

    """

    name: Name
    count: int
    of: int
    what: str
    meaning: str
    remedy: str
    behind: tuple[Finding, ...] = ()
    times: Times | None = None
    facts: Mapping[str, int] = field(default_factory=dict)
    unit: str = "%"

    @property
    def value(self) -> float | None:
        """The share in percent, from 0 to 100, of which more is better; None where there was nothing to look at."""
        return 100 * self.count / self.of if self.of else None

    @property
    def percent(self) -> str:
        """The value as text, rounded down: what is not quite 100 % is never called so.

        >>> Measure(Name.DISTINCT, 1999, 2000, "runs", "", "").percent
        '99.9 %'
        """
        if not self.of:
            return "-"
        tenths = 1000 * self.count // self.of
        return f"{tenths // 10}.{tenths % 10} %"


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile as NumPy's `percentile` does by default: linear between the two nearest of the sorted values.

    Args:
        values: one or more.
        share: which, from 0 to 1: 0.5 is the median.

    >>> percentile([1, 2, 3, 10], 0.5)
    2.5
    """
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below, above = ordered[math.floor(position)], ordered[math.ceil(position)]
    # Not beyond either by a rounding error.
    return min(max(below + (above - below) * (position - math.floor(position)), below), above)


def listed(words: Sequence[str], at_most: int = 6) -> str:
    """Return words with commas and an `and`, of very many the first.

    >>> listed(["log"]), listed(["log", "model", "metrics"]), listed(["a", "b", "c", "d"], at_most=2)
    ('log', 'log, model and metrics', 'a, b and 2 more')
    """
    shown = [*words[:at_most], *([f"{len(words) - at_most} more"] if len(words) > at_most else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def counted(number: int, one: str, several: str = "") -> str:
    """Return a number and its noun.

    >>> counted(1, "run"), counted(1200, "run"), counted(2, "copy", "copies")
    ('1 run', '1,200 runs', '2 copies')
    """
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def lacking(number: int, of: int, one: str, parts: Mapping[str, int]) -> str:
    """Say how many of several lack something, and what.

    >>> lacking(3, 10, "run", {"log": 1, "model": 0, "metrics": 2})
    '3 of 10 runs lack something: log 1 and metrics 2.'
    >>> lacking(0, 10, "run", {"log": 0}), lacking(0, 0, "run", {})
    ('None of 10 runs lacks anything.', 'There are no runs.')
    """
    if not of:
        return f"There are no {one}s."
    if not number:
        return f"None of {counted(of, one)} lacks anything."
    words = [f"{part} {count:,}" for part, count in parts.items() if count]
    verb = "lacks" if number == 1 else "lack"
    return f"{number:,} of {counted(of, one)} {verb} something: {listed(words, at_most=len(words))}."


def duration(time: timedelta) -> str:
    """Return a length of time as people read it, in its largest unit.

    >>> duration(timedelta(hours=1.5)), duration(timedelta(days=12)), duration(timedelta(seconds=0.25))
    ('1.5h', '12d', '0.25s')
    """
    seconds = time.total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{float(f'{seconds / size:.3g}'):,g}{unit}"
    return f"{seconds:.3g}s"
