"""How long it takes to get an earlier result again, and whether it comes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from runyard.api.records import UID_TAG, RunStatus
from runyard.audit.measures import Finding, Measure, Name, Times, counted, duration
from runyard.audit.trees import topmost, trees
from runyard.history import LoggedRun

REPRODUCES_TAG = "runyard.dev/reproduces"
REPRODUCED_TAG = "runyard.dev/reproduced"

_REMEDY = (
    "`runyard reproduce RUN` trains an earlier run again and compares; `runyard diff` says what is not the same where "
    "the result is not."
)


@dataclass(frozen=True)
class Reproduction:
    """An earlier result, asked for again.

    Attributes:
        earlier: the earlier run's ID, as the tag has it.
        runs: the runs of all attempts, the first first.
        took: from the first one's start to the last one's end; None while it goes on.
        is_same: the verdict; None where there is none.

    """

    earlier: str
    runs: tuple[LoggedRun, ...]
    took: timedelta | None
    is_same: bool | None


def reproductions(runs: Sequence[LoggedRun]) -> list[Reproduction]:
    """Return all reproductions among runs, the newest first.

    Attempts of one TrainingRun for one earlier run are one; runs below one that has the tag count with it, since
    children take over their parent's tags.
    """
    groups: dict[tuple[str, str], list[LoggedRun]] = {}
    for run in topmost(runs, lambda run: run.tags.get(REPRODUCES_TAG)):
        groups.setdefault((run.tags.get(UID_TAG) or run.id, run.tags[REPRODUCES_TAG]), []).append(run)
    found = [_of(earlier, sorted(group, key=_age)) for (_, earlier), group in groups.items()]
    return sorted(found, key=lambda one: _age(one.runs[0]), reverse=True)


def reproduction(runs: Sequence[LoggedRun]) -> Measure:
    """Measure what share of the earlier results that were asked for again came out the same, and how long it took."""
    by_earlier: dict[str, list[Reproduction]] = {}
    every = reproductions(runs)
    for one in every:
        by_earlier.setdefault(one.earlier, []).append(one)
    ended = [one for one in every if one.took is not None]
    asked = {one.earlier for one in ended}
    same = {one.earlier for one in ended if one.is_same}
    times = Times.of(one.took for one in ended if one.took is not None)
    names = {run.id: run.name for run in runs}
    behind = sorted(
        (_worst_first(tried, earlier in same), _finding(earlier, names.get(earlier, earlier), tried))
        for earlier, tried in by_earlier.items()
    )
    open_count = len(every) - len(ended)
    results = sum(
        tree.root.status is RunStatus.FINISHED and REPRODUCES_TAG not in tree.root.tags for tree in trees(runs)
    )
    going_on = f"; {counted(open_count, 'reproduction')} not ended" if open_count else ""
    return Measure(
        name=Name.REPRODUCTION,
        count=len(same),
        of=len(asked),
        what="earlier results asked for again",
        meaning=(
            f"{len(asked):,} of {counted(results, 'finished result')} {'was' if len(asked) == 1 else 'were'} asked for "
            f"again, and {len(same):,} came out the same{going_on}."
        ),
        remedy=_REMEDY,
        behind=tuple(finding for _, finding in behind),
        times=times,
        facts={
            "results": results,
            "asked": len(asked),
            "succeeded": len(same),
            "reproductions": len(every),
            "open": open_count,
        },
    )


def _of(earlier: str, attempts: Sequence[LoggedRun]) -> Reproduction:
    ends = [run.finished_at for run in attempts if run.finished_at]
    is_over = not any(run.status.is_open for run in attempts) and ends
    verdicts = {run.tags.get(REPRODUCED_TAG) for run in attempts}
    is_same = True if "true" in verdicts else False if "false" in verdicts else None
    took = max(max(ends) - attempts[0].started_at, timedelta()) if is_over else None
    return Reproduction(earlier, tuple(attempts), took, is_same)


def _finding(earlier: str, name: str, tried: Sequence[Reproduction]) -> Finding:
    words = ", ".join(
        "not ended" if one.took is None else f"{_VERDICTS[one.is_same]} after {duration(one.took)}" for one in tried
    )
    return Finding((earlier, *(run.id for one in tried for run in one.runs)), name, words)


_VERDICTS = {True: "the same", False: "not the same", None: "no verdict"}


def _worst_first(tried: Sequence[Reproduction], is_same: bool) -> tuple[bool, float, str]:  # noqa: FBT001 a sort key
    longest = max((one.took.total_seconds() for one in tried if one.took), default=0.0)
    return is_same, -longest, tried[0].earlier


def _age(run: LoggedRun) -> tuple[float, str]:
    return run.started_at.timestamp(), run.id
