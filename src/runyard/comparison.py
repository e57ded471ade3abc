"""Runs side by side: which is the best, in what two differ, and what that explains."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from runyard.api.direction import Direction, direction_of
from runyard.api.model import JsonObject, as_object
from runyard.api.records import IMAGE_TAG
from runyard.api.source import COMMIT_TAG
from runyard.errors import RunyardError
from runyard.history import LoggedRun


class NothingToCompare(RunyardError):
    """No run has what runs are to be compared by."""

    exit_code = 2


def ranked(runs: Iterable[LoggedRun], metric: str, direction: Direction) -> list[LoggedRun]:
    """Return the runs that have the metric, the best first; of equals the one that was there first.

    Raises:
        NothingToCompare: none has it; the message lists those that there are.

    """
    every = list(runs)
    found = [run for run in every if has(run, metric)]
    if not found:
        there = ", ".join(sorted({name for run in every for name in run.metrics})) or "none"
        raise NothingToCompare(f'no run has the metric "{metric}" as a number; there are: {there}')
    sign = -1 if direction is Direction.HIGHEST else 1
    return sorted(found, key=lambda run: (sign * run.metrics[metric], run.started_at, run.id))


def has(run: LoggedRun, metric: str) -> bool:
    """Whether a run has a value of a metric, and it is a number."""
    return not math.isnan(run.metrics.get(metric, math.nan))


def winners(runs: Sequence[LoggedRun], metric: str, direction: Direction | None = None) -> list[LoggedRun]:
    """Return the best of several runs, those that share it included; none where all have the same, or none has any.

    Args:
        runs: several.
        metric: by which.
        direction: which values are better; None: as its name says.

    """
    if not any(has(run, metric) for run in runs):
        return []
    best = ranked(runs, metric, direction or direction_of(metric))[0].metrics[metric]
    found = [run for run in runs if run.metrics.get(metric) == best]
    return [] if len(found) == len(runs) else found


def varying(values: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the names whose values are not the same in all of several."""
    names = sorted({name for found in values for name in found})
    return [name for name in names if len({found.get(name) for found in values}) > 1]


class Kind(StrEnum):
    """What decides a result."""

    PARAMETERS = "parameters"
    SEEDS = "seeds"
    CODE = "code"
    DATA = "data"
    ENVIRONMENT = "environment"


@dataclass(frozen=True)
class Difference:
    """One thing that two runs do not share; None where a run does not have it."""

    kind: Kind
    name: str
    one: str | None
    other: str | None


@dataclass(frozen=True)
class MetricChange:
    """A metric of both runs, or of one."""

    name: str
    one: float | None
    other: float | None

    @property
    def change(self) -> float | None:
        """The second run's minus the first's; None where either has none, or no number."""
        if self.is_same:
            return None if self.one is None or math.isnan(self.one) else 0.0
        if self.one is None or self.other is None:
            return None
        change = self.other - self.one
        return None if math.isnan(change) else change

    @property
    def is_same(self) -> bool:
        """Whether both have the same value to the last bit; what is no number in both is the same."""
        if self.one is None or self.other is None:
            return self.one is self.other
        return self.one == self.other or (math.isnan(self.one) and math.isnan(self.other))


@dataclass(frozen=True)
class Diff:
    """Two runs side by side.

    Attributes:
        differences: in what they differ, of all that decides a result.
        metrics: every metric of either.
        unknown: what is not recorded, or not all of it, of one run or both.

    """

    differences: tuple[Difference, ...]
    metrics: tuple[MetricChange, ...]
    unknown: tuple[Kind, ...]

    @property
    def same_metrics(self) -> bool:
        """Whether each metric has the same value to the last bit."""
        return all(metric.is_same for metric in self.metrics)

    def explanation(self) -> str:
        """Say in a sentence or two what explains the difference."""
        kinds = list(dict.fromkeys(found.kind for found in self.differences))
        unknown = f" Not recorded of both: {_listed(self.unknown)}." if self.unknown else ""
        metrics = "the same metrics" if self.same_metrics else "different metrics"
        if not kinds:
            known = [kind for kind in Kind if kind not in self.unknown]
            begun = f"The same {_listed(known)}" if known else "Nothing is recorded that decides a result"
            if self.same_metrics:
                return f"{begun}, and {metrics}.{unknown}"
            return f"{begun}, yet {metrics}: what decides them is not recorded.{unknown}"
        names = [found.name for found in self.differences]
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")  # noqa: PLR2004
        verb = "differ" if len(kinds) > 1 or kinds[0] in {Kind.PARAMETERS, Kind.SEEDS} else "differs"
        return f"{_listed(kinds).capitalize()} {verb} ({shown}): {metrics}.{unknown}"


def diff(one: LoggedRun, other: LoggedRun, one_from: JsonObject, other_from: JsonObject) -> Diff:
    """Compare two runs.

    Args:
        one: a run.
        other: another.
        one_from: the first one's provenance.json; empty where it has none.
        other_from: the second one's.

    """
    differences: list[Difference] = []
    unknown: list[Kind] = []
    facts = [(_facts(run, found)) for run, found in ((one, one_from), (other, other_from))]
    for kind in Kind:
        first, second = facts[0][kind], facts[1][kind]
        if first is None or second is None:
            unknown.append(kind)
            continue
        if any(_is_partial(kind, found) for found in (one_from, other_from)):
            unknown.append(kind)
        names = varying([first, second])
        differences.extend(Difference(kind, name, first.get(name), second.get(name)) for name in names)
    names = sorted({*one.metrics, *other.metrics})
    metrics = tuple(MetricChange(name, one.metrics.get(name), other.metrics.get(name)) for name in names)
    return Diff(tuple(differences), metrics, tuple(unknown))


def _facts(run: LoggedRun, provenance: JsonObject) -> dict[Kind, Mapping[str, str] | None]:
    """Return what is known of each kind; None: nothing is."""
    code = as_object(provenance.get("code"))
    commit = str(code.get("commit") or run.tags.get(COMMIT_TAG) or "")
    known_code = {"commit": commit, "uncommitted": code.get("diff"), "script": provenance.get("script")}
    environment = {
        "image": provenance.get("image") or run.tags.get(IMAGE_TAG, "").rpartition("@")[2],
        "python": provenance.get("python"),
        **as_object(provenance.get("packages")),
    }
    data = {**run.datasets, **as_object(provenance.get("datasets"))}
    return {
        Kind.PARAMETERS: run.params,
        Kind.SEEDS: _texts(as_object(provenance.get("seeds"))) or None,
        Kind.CODE: _texts(known_code) or None,
        Kind.DATA: _texts(data) or None,
        Kind.ENVIRONMENT: _texts(environment) or None,
    }


def _is_partial(kind: Kind, provenance: JsonObject) -> bool:
    """Whether a run says of itself that not all of a kind is known."""
    members = {Kind.CODE: ("commit", "diff"), Kind.ENVIRONMENT: ("packages",)}.get(kind, ())
    return any(name.partition("/")[0] in members for name in as_object(provenance.get("left_out")))


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None and value != ""}


def _listed(kinds: Sequence[Kind]) -> str:
    """Return words with commas and an `and`.

    >>> _listed([Kind.CODE, Kind.DATA, Kind.ENVIRONMENT])
    'code, data and environment'
    """
    words = [kind.value for kind in kinds]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
