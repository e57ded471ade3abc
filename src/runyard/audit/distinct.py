"""Experiments that were done twice: runs with one fingerprint."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from runyard.api.records import RunStatus
from runyard.api.repetition import is_faithful
from runyard.audit.measures import Finding, Measure, Name, counted, duration, listed
from runyard.comparison import MetricChange, of_result
from runyard.history import LoggedRun
from runyard.provenance import FINGERPRINT_TAG
from runyard.trees import topmost, trees

_REMEDY = (
    "Before training, look for `provenance.collect(parameters=…).fingerprint` among the tags of earlier runs. Where "
    "metrics differ though the fingerprint is one, something decides them that is not recorded: mostly a seed."
)


@dataclass(frozen=True)
class Repeated:
    """Runs that finished with one fingerprint, the first first; two at least."""

    fingerprint: str
    runs: tuple[LoggedRun, ...]

    @property
    def again(self) -> timedelta:
        """How long all but the first took."""
        return sum((max(run.duration or timedelta(), timedelta()) for run in self.runs[1:]), timedelta())

    @property
    def differing(self) -> list[str]:
        """Metrics that two or more have, and not with the same value to the last bit."""
        first: dict[str, float] = {}
        found = set()
        for run in self.runs:
            for name, value in of_result(run.metrics).items():
                if not MetricChange(name, first.setdefault(name, value), value).is_same:
                    found.add(name)
        return sorted(found)


def fingerprinted(runs: Sequence[LoggedRun]) -> dict[str, list[LoggedRun]]:
    """Return the runs that finished by their fingerprints, those of one the first first.

    A run below one with a fingerprint counts with it, and those of one tree that share one are one; what reproduces an
    earlier run as it was does so on purpose, and is left out.
    """
    root_of = {run.id: tree.root for tree in trees(runs) for run in tree.runs}
    finished = [
        run
        for run in topmost(runs, lambda run: run.tags.get(FINGERPRINT_TAG))
        if run.status is RunStatus.FINISHED and not any(is_faithful(one.tags) for one in (run, root_of[run.id]))
    ]
    found: dict[str, dict[str, LoggedRun]] = {}
    for run in sorted(finished, key=lambda run: (run.started_at, run.id)):
        found.setdefault(run.tags[FINGERPRINT_TAG], {}).setdefault(root_of[run.id].id, run)
    return {fingerprint: list(group.values()) for fingerprint, group in found.items()}


def repeated(runs: Sequence[LoggedRun], before: Sequence[LoggedRun] = ()) -> list[Repeated]:
    """Return what was done more than once, that which took the longest again first.

    Args:
        runs: those that are looked at.
        before: runs of before; what was done then is done again, and is not looked at by itself.

    """
    earlier = fingerprinted(before)
    groups = [
        Repeated(name, (*earlier.get(name, [])[:1], *found))
        for name, found in fingerprinted(runs).items()
        if len(found) > 1 or name in earlier
    ]
    return sorted(groups, key=lambda group: (-group.again, -len(group.runs), group.fingerprint))


def distinct(runs: Sequence[LoggedRun], before: Sequence[LoggedRun] = ()) -> Measure:
    """Measure what share of the runs with a fingerprint is no repetition of an earlier one.

    Args:
        runs: those that are looked at.
        before: runs of before, which they may repeat.

    """
    of = sum(map(len, fingerprinted(runs).values()))
    groups = repeated(runs, before)
    repeats = sum(len(group.runs) - 1 for group in groups)
    again = sum((group.again for group in groups), timedelta())
    differing = sum(bool(group.differing) for group in groups)
    without = sum(
        tree.root.status is RunStatus.FINISHED and not any(run.tags.get(FINGERPRINT_TAG) for run in tree.runs)
        for tree in trees(runs)
    )
    said = f"None of {counted(of, 'run')} with a fingerprint repeats another." if of else "No run has a fingerprint."
    if groups:
        said = (
            f"{repeats:,} of {of:,} runs with a fingerprint repeat an earlier one, which took {duration(again)}; "
            f"metrics differ in {differing} of {counted(len(groups), 'group')}."
        )
    unknown = f" {counted(without, 'finished run')} without a fingerprint could not be judged." if without else ""
    return Measure(
        name=Name.DISTINCT,
        count=of - repeats,
        of=of,
        what="finished runs with a fingerprint",
        meaning=f"{said}{unknown}",
        remedy=_REMEDY,
        behind=tuple(_finding(group) for group in groups),
        facts={
            "groups": len(groups),
            "repeats": repeats,
            "secondsAgain": round(again.total_seconds()),
            "groupsThatDiffer": differing,
            "withoutFingerprint": without,
        },
    )


def _finding(group: Repeated) -> Finding:
    first, *rest = group.runs
    metrics = f"metrics differ: {listed(group.differing, 3)}" if group.differing else "the same metrics"
    says = f"{counted(len(rest), 'time')} again, which took {duration(group.again)}; {metrics}"
    return Finding(tuple(run.id for run in group.runs), first.name, says)
