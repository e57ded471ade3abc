"""Thresholds that make an audit a gate: which measures must reach what."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from runyard.audit.measures import Measure, Name, duration
from runyard.errors import RunyardError

_TIMED = (Name.REPRODUCTION, Name.PROMOTION)


class WrongThreshold(RunyardError):
    """A threshold names no measure, or no value that one can have."""

    exit_code = 2


class BelowThreshold(RunyardError):
    """A measure does not reach its threshold."""


@dataclass(frozen=True)
class Least:
    """The least percentage that a measure may have."""

    measure: Name
    percent: float

    def __str__(self) -> str:
        """Write it as people read it."""
        return f"at least {self.percent:g} %"

    def failure(self, found: Measure) -> str | None:
        """Say by how much the measure misses it; None where it does not.

        What has nothing to look at reaches no threshold above 0: a gate that looked at nothing must not be green.
        """
        if found.value is None:
            return _nothing(found, str(self)) if self.percent > 0 else None
        if found.value >= self.percent:
            return None
        return (
            f"{found.name} is {found.percent} ({found.count} of {found.of} {found.what}), "
            f"{_points(self.percent - found.value)} below {self.percent:g} %"
        )


@dataclass(frozen=True)
class Longest:
    """The longest median time that a measure may have."""

    measure: Name
    time: timedelta

    def __str__(self) -> str:
        """Write it as people read it."""
        return f"median at most {duration(self.time)}"

    def failure(self, found: Measure) -> str | None:
        """Say by how much the measure misses it; None where it does not."""
        if found.times is None:
            return _nothing(found, str(self))
        if found.times.median <= self.time:
            return None
        return (
            f"{found.name} takes {duration(found.times.median)} (median of {found.times.count}), "
            f"{duration(found.times.median - self.time)} longer than {duration(self.time)}"
        )


Threshold = Least | Longest


def least(text: str) -> Least:
    """Read MEASURE=PERCENT.

    Raises:
        WrongThreshold: there is no such measure, or the value is no percentage.

    """
    name, given = _split("--fail-under", text, list(Name), "90")
    try:
        percent = float(given.removesuffix("%"))
    except ValueError:
        percent = math.nan
    if not 0 <= percent <= 100:  # noqa: PLR2004 per cent
        raise WrongThreshold(f"--fail-under {text}: {given!r} is no percentage: give a number from 0 to 100")
    # As a share it would be a gate that everything passes.
    if 0 < percent < 1 and not given.endswith("%"):
        raise WrongThreshold(f"--fail-under {text}: give per cent, {percent * 100:g}; or {given}% if that is meant")
    return Least(name, percent)


def longest(text: str) -> Longest:
    """Read MEASURE=TIME.

    Raises:
        WrongThreshold: there is no such measure of a time, or the value is no time.

    """
    name, given = _split("--fail-over", text, _TIMED, "2h")
    time = length(given)
    if time is None:
        raise WrongThreshold(f"--fail-over {text}: {given!r} is no time: give a number and s, m, h, d or w, such as 2h")
    return Longest(name, time)


def length(text: str) -> timedelta | None:
    """Read a length of time: a number and its unit; None where it is none.

    >>> length("90m"), length("30d"), length("1.5h"), length("soon")
    (datetime.timedelta(seconds=5400), datetime.timedelta(days=30), datetime.timedelta(seconds=5400), None)
    """
    units = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
    number, unit = text.strip()[:-1], text.strip()[-1:]
    if unit not in units or not number.replace(".", "", 1).isdecimal():
        return None
    try:
        return timedelta(seconds=float(number) * units[unit])
    except OverflowError:
        return None


def failures(thresholds: Sequence[Threshold], measures: Sequence[Measure]) -> list[str]:
    """Say of each threshold that is not reached by how much."""
    by_name = {measure.name: measure for measure in measures}
    found = [threshold.failure(by_name[threshold.measure]) for threshold in thresholds]
    return [failure for failure in found if failure]


def _split(option: str, text: str, names: Sequence[Name], example: str) -> tuple[Name, str]:
    name, equals, value = text.partition("=")
    if name not in list(names):
        there = ", ".join(names)
        raise WrongThreshold(f'{option} {text}: there is no measure "{name}" for it; there are: {there}')
    if not equals or not value.strip():
        raise WrongThreshold(f"{option} {text}: give a value, such as {name}={example}")
    return Name(name), value.strip()


def _nothing(found: Measure, wanted: str) -> str:
    return f"{found.name} has nothing to look at (no {found.what}), so it is not {wanted}"


def _points(difference: float) -> str:
    """Write a difference of percentages; one that is small is not called none.

    >>> _points(10.0), _points(0.004)
    ('10 points', '0.004 points')
    """
    return f"{difference:.2f}".rstrip("0").rstrip(".") + " points" if difference >= 0.01 else f"{difference:.1g} points"  # noqa: PLR2004
