"""Runs side by side: which is the best, in what two differ, and what that explains."""

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from runyard.api.direction import Direction, direction_of
from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.records import IMAGE_TAG, MADE_TAG, SWEEP
from runyard.api.source import COMMIT_TAG
from runyard.errors import RunyardError
from runyard.history import LoggedRun
from runyard.trees import ancestors
from runyard.words import listed

# Of MLflow's own about the machine, such as system/cpu_utilization_percentage: no result of a training.
MACHINE_METRICS = "system/"
_SHOWN = 6


class NothingToCompare(RunyardError):
    """No run has what runs are to be compared by."""

    exit_code = 2


def ranked(runs: Iterable[LoggedRun], metric: str, direction: Direction) -> list[LoggedRun]:
    """Return the runs that have the metric, the best first; of equals the one that was there first.

    A run that another one is a part of comes after that one where both have the same value: it has it from there, and
    the model is there too.

    Raises:
        NothingToCompare: none has it; the message lists those that there are.

    """
    every = list(runs)
    found = [run for run in every if has(run, metric)]
    if not found:
        there = ", ".join(sorted({name for run in every for name in run.metrics})) or "none"
        raise NothingToCompare(f'no run has the metric "{metric}" as a number; there are: {there}')
    sign = -1 if direction is Direction.HIGHEST else 1
    above = levels_above_equals(every, metric)
    return sorted(found, key=lambda run: (sign * run.metrics[metric], above.get(run.id, 0), run.started_at, run.id))


def levels_above_equals(runs: Iterable[LoggedRun], metric: str) -> dict[str, int]:
    """Return by ID the runs of which a part has the same value of a metric, and how many levels below it is at most."""
    by_id = {run.id: run for run in runs}
    found: dict[str, int] = {}
    for run in by_id.values():
        if has(run, metric):
            for levels, above in enumerate(ancestors(run, by_id), 1):
                if above.metrics.get(metric) == run.metrics[metric]:
                    found[above.id] = max(levels, found.get(above.id, 0))
    return found


def is_summary(run: LoggedRun) -> bool:
    """Whether a run only repeats the best of a sweep's trials, which lie below it."""
    return run.tags.get(MADE_TAG) == SWEEP


def has(run: LoggedRun, metric: str) -> bool:
    """Whether a run has a value of a metric, and it is a number."""
    return not math.isnan(run.metrics.get(metric, math.nan))


def winners(runs: Sequence[LoggedRun], metric: str, direction: Direction | None = None) -> list[LoggedRun]:
    """Return the best of several runs, those that share it included; none where all have the same, or none has any.

    Runs that only repeat the best of a sweep's trials are not among them.

    Args:
        runs: several.
        metric: by which.
        direction: which values are better; None: as its name says.

    """
    runs = [run for run in runs if not is_summary(run)]
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
    """What decides a result, and the hardware, which should not."""

    PARAMETERS = "parameters"
    SEEDS = "seeds"
    CODE = "code"
    DATA = "data"
    ENVIRONMENT = "environment"
    HARDWARE = "hardware"

    @property
    def decides(self) -> bool:
        """Whether two results may differ because of it, and be reproducible; as the fingerprint has it."""
        return self is not Kind.HARDWARE


@dataclass(frozen=True)
class Difference:
    """One thing that two runs do not share.

    Attributes:
        kind: what it is a part of.
        name: its own.
        one: what the first run says of it; None where it says that there is none.
        other: what the second one says.

    """

    kind: Kind
    name: str
    one: str | None
    other: str | None


@dataclass(frozen=True)
class Alone:
    """Something that one of two runs has on record, and the other one not: nobody knows whether they share it.

    Attributes:
        kind: what it is a part of; None: it is a metric.
        name: its own.
        value: what that run says of it.
        is_first: whether it is the first run that does.

    """

    kind: Kind | None
    name: str
    value: str | float
    is_first: bool


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

    def is_within(self, tolerance: float) -> bool:
        """Whether both have the same value; two that are no numbers are the same, and an infinity is only itself.

        Args:
            tolerance: how far apart they may be, relative to the larger one: |a - b| <= tolerance · max(|a|, |b|).

        """
        if self.is_same or self.one is None or self.other is None:
            return self.is_same
        return math.isclose(self.one, self.other, rel_tol=tolerance, abs_tol=0.0)


@dataclass(frozen=True)
class Diff:
    """Two runs side by side.

    Attributes:
        differences: in what they differ, of what both have on record.
        metrics: every metric of both, without those of the machine.
        alone: what one of them alone has on record.
        unknown: what is not recorded, or not all of it, of one run or both.
        tolerance: by how much metrics may differ and be the same.

    """

    differences: tuple[Difference, ...]
    metrics: tuple[MetricChange, ...]
    alone: tuple[Alone, ...]
    unknown: tuple[Kind, ...]
    tolerance: float = 0.0

    @property
    def same_metrics(self) -> bool:
        """Whether each metric of both has the same value: to the last bit, or as far as is allowed."""
        return all(metric.is_within(self.tolerance) for metric in self.metrics)

    @property
    def is_same(self) -> bool:
        """Whether nothing that decides a result differs, and no metric."""
        return self.same_metrics and not any(found.kind.decides for found in self.differences)

    def explanation(self, *, same_metrics: bool | None = None) -> str:
        """Say in a sentence or two what explains the difference.

        Args:
            same_metrics: whether the metrics are the same, where somebody else compared them; None: as here.

        """
        kinds = list(dict.fromkeys(found.kind for found in self.differences))
        is_same = self.same_metrics if same_metrics is None else same_metrics
        metrics = "the same metrics" if is_same else "different metrics"
        more = self._not_known()
        if not self.metrics and same_metrics is None:
            metrics = "no metric of both"
        shown = _some([found.name for found in self.differences])
        if not any(kind.decides for kind in kinds):
            known = [kind for kind in Kind if kind not in self.unknown and kind not in kinds]
            begun = f"The same {listed(known)}" if known else "Nothing is recorded that decides a result"
            if is_same:
                return f"{begun}, and {metrics}{f' on other hardware ({shown})' if kinds else ''}.{more}"
            why = f"the hardware differs ({shown})" if kinds else "what decides them is not recorded"
            return f"{begun}, yet {metrics}: {why}.{more}"
        verb = "differ" if len(kinds) > 1 or kinds[0] in {Kind.PARAMETERS, Kind.SEEDS} else "differs"
        return f"{listed(kinds).capitalize()} {verb} ({shown}): {metrics}.{more}"

    def _not_known(self) -> str:
        told = [found.name for found in self.alone if found.kind not in self.unknown]
        unknown = f" Not recorded of both: {listed(self.unknown)}." if self.unknown else ""
        return unknown + (f" Recorded of one alone: {_some(told)}." if told else "")


def of_result(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics without MLflow's own of the machine, which are no result."""
    return {name: value for name, value in metrics.items() if not name.startswith(MACHINE_METRICS)}


def diff(
    one: LoggedRun, other: LoggedRun, one_from: JsonObject, other_from: JsonObject, tolerance: float = 0.0
) -> Diff:
    """Compare two runs in what both have on record.

    Args:
        one: a run.
        other: another.
        one_from: the first one's provenance.json; empty where it has none.
        other_from: the second one's.
        tolerance: by how much metrics may differ, relative to the larger of two; 0: not at all.

    """
    differences: list[Difference] = []
    alone: list[Alone] = []
    unknown: list[Kind] = []
    packages = [as_object(found.get("packages")) for found in (one_from, other_from)]
    known = (_facts(one, one_from, packages[1]), _facts(other, other_from, packages[0]))
    for kind in Kind:
        first, second = known[0][kind], known[1][kind]
        is_partial = any(_is_partial(kind, found) for found in (one_from, other_from))
        if is_partial or bool(first) != bool(second) or not (first or kind is Kind.PARAMETERS):
            unknown.append(kind)
        for name in sorted({*first, *second}):
            if name in first and name in second:
                if first[name] != second[name]:
                    differences.append(Difference(kind, name, first[name], second[name]))
            else:
                value = first[name] if name in first else second[name]
                alone.append(Alone(kind, name, value or "none", is_first=name in first))
    mine, theirs = of_result(one.metrics), of_result(other.metrics)
    metrics = [MetricChange(name, mine[name], theirs[name]) for name in sorted({*mine} & {*theirs})]
    alone += [Alone(None, name, mine[name], is_first=True) for name in sorted({*mine} - {*theirs})]
    alone += [Alone(None, name, theirs[name], is_first=False) for name in sorted({*theirs} - {*mine})]
    return Diff(tuple(differences), tuple(metrics), tuple(alone), tuple(unknown), tolerance)


def _facts(run: LoggedRun, provenance: JsonObject, installed_there: Iterable[str]) -> dict[Kind, dict[str, str | None]]:
    """Return what is on record of each kind; None: that there is none."""
    code, packages = as_object(provenance.get("code")), as_object(provenance.get("packages"))
    commit = str(code.get("commit") or run.tags.get(COMMIT_TAG) or "")
    known_code: dict[str, str | None] = {**_texts({"commit": commit, "script": provenance.get("script")})}
    if code.get("diff"):
        known_code["uncommitted"] = str(code["diff"])
    elif code.get("commit") and not _is_partial(Kind.CODE, provenance):
        known_code["uncommitted"] = None
    environment: dict[str, object] = {
        "image": provenance.get("image") or run.tags.get(IMAGE_TAG, "").rpartition("@")[2],
        "python": provenance.get("python"),
        **packages,
    }
    # A list of packages is whole: what is not on it is not installed.
    absent = dict.fromkeys(name for name in installed_there if name not in packages) if packages else {}
    command = shlex.join(map(str, as_list(provenance.get("command"))))
    # Among them are the manifest's, which the script need not have logged.
    recorded = _texts(as_object(provenance.get("parameters")))
    return {
        Kind.PARAMETERS: {**_texts({"command": command}), **recorded, **run.params},
        Kind.SEEDS: {**_texts(as_object(provenance.get("seeds")))},
        Kind.CODE: known_code,
        Kind.DATA: {**_texts({**run.datasets, **as_object(provenance.get("datasets"))})},
        Kind.ENVIRONMENT: {**absent, **_workers(provenance), **_texts(environment)},
        Kind.HARDWARE: _hardware(as_object(provenance.get("hardware"))),
    }


def _workers(provenance: JsonObject) -> dict[str, str | None]:
    """Return how many processes trained together; None where nobody said that there were several."""
    found = provenance.get("workers")
    return {"workers": None if found is None else str(found)} if "workers" in provenance else {}


def _hardware(found: JsonObject) -> dict[str, str | None]:
    """Return what may change a result's last digits: how much memory there is does not."""
    given = {"architecture": found.get("machine"), "processor": found.get("processor"), "cpus": found.get("cpus")}
    known: dict[str, str | None] = {**_texts(given)}
    return {**known, "gpus": ", ".join(map(str, as_list(found["gpus"]))) or None} if "gpus" in found else known


def _is_partial(kind: Kind, provenance: JsonObject) -> bool:
    """Whether a run says of itself that not all of a kind is known."""
    members = {Kind.CODE: ("commit", "diff"), Kind.ENVIRONMENT: ("packages",)}.get(kind, ())
    return any(name.partition("/")[0] in members for name in as_object(provenance.get("left_out")))


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None and value != ""}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
