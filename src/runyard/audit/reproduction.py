"""How long it takes to get an earlier result again, and whether it comes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from runyard.api.records import UID_TAG, RunStatus
from runyard.api.repetition import DIFFERENCE_TAG, REPRODUCES_TAG, VARIES_TAG, VERDICT_TAG, Verdict, is_faithful
from runyard.audit.measures import Finding, Measure, Name, Times, counted, duration
from runyard.history import LoggedRun
from runyard.trees import topmost, trees

_REMEDY = (
    "`runyard reproduce RUN` trains an earlier run again and compares; `runyard diff` says what is not the same where "
    "the result is not."
)
_COMPARED = {Verdict.REPRODUCED, Verdict.DIFFERS}


@dataclass(frozen=True)
class Reproduction:
    """An earlier result, asked for again as it was.

    Attributes:
        earlier: the earlier run's ID, as the tag has it.
        runs: the runs of all attempts, the first first.
        took: from the first one's start to the last one's end; None while it goes on.
        verdict: what came of it; None while it goes on, where somebody stopped it, and where nobody has compared.
        difference: the greatest of a metric, in parts of what it was; None where there is none, or it is not on record.

    """

    earlier: str
    runs: tuple[LoggedRun, ...]
    took: timedelta | None
    verdict: Verdict | None
    difference: float | None = None


def reproductions(runs: Sequence[LoggedRun]) -> list[Reproduction]:
    """Return all reproductions among runs, the newest first: not what was repeated with something changed.

    Attempts of one TrainingRun for one earlier run are one; runs below one that has the tag count with it, since they
    have the tags of their TrainingRun too.
    """
    faithful = [run for run in runs if not run.tags.get(VARIES_TAG)]
    found = [_of(earlier, sorted(group, key=_age)) for (_, earlier), group in _repetitions(faithful).items()]
    return sorted(found, key=lambda one: _age(one.runs[0]), reverse=True)


def _repetitions(runs: Sequence[LoggedRun]) -> dict[tuple[str, str], list[LoggedRun]]:
    groups: dict[tuple[str, str], list[LoggedRun]] = {}
    for run in topmost(runs, lambda run: run.tags.get(REPRODUCES_TAG)):
        groups.setdefault((run.tags.get(UID_TAG) or run.id, run.tags[REPRODUCES_TAG]), []).append(run)
    return groups


def reproduction(runs: Sequence[LoggedRun]) -> Measure:
    """Measure what share of the earlier results that were asked for again came out the same, and how long it took."""
    by_earlier: dict[str, list[Reproduction]] = {}
    every = reproductions(runs)
    for one in every:
        by_earlier.setdefault(one.earlier, []).append(one)
    asked = {one.earlier for one in every if one.verdict}
    same = {one.earlier for one in every if one.verdict is Verdict.REPRODUCED}
    names = {run.id: run.name for run in runs}
    behind = sorted(
        (_worst_first(tried, earlier in same), _finding(earlier, names.get(earlier, earlier), tried))
        for earlier, tried in by_earlier.items()
    )
    open_count = sum(one.took is None for one in every)
    silent = sum(one.took is not None and one.verdict is None for one in every)
    varied = len(_repetitions([run for run in runs if run.tags.get(VARIES_TAG)]))
    results = sum(tree.root.status is RunStatus.FINISHED and not is_faithful(tree.root.tags) for tree in trees(runs))
    apart = "".join(
        f" {counted(count, 'repetition')} {words}."
        for count, words in (
            (open_count, "not ended"),
            (silent, "without a verdict not counted"),
            (varied, "with something changed not counted"),
        )
        if count
    )
    return Measure(
        name=Name.REPRODUCTION,
        count=len(same),
        of=len(asked),
        what="earlier results asked for again",
        meaning=(
            f"{counted(len(asked), 'earlier result')} {'was' if len(asked) == 1 else 'were'} asked for again, and "
            f"{len(same):,} came out the same; there {'is' if results == 1 else 'are'} "
            f"{counted(results, 'finished result')} to ask for.{apart}"
        ),
        remedy=_REMEDY,
        behind=tuple(finding for _, finding in behind),
        times=Times.of(one.took for one in every if one.took is not None and one.verdict in _COMPARED),
        facts={
            "results": results,
            "asked": len(asked),
            "succeeded": len(same),
            "reproductions": len(every),
            "open": open_count,
            "withoutVerdict": silent,
            "varied": varied,
        },
    )


def _of(earlier: str, attempts: Sequence[LoggedRun]) -> Reproduction:
    ends = [run.finished_at for run in attempts if run.finished_at]
    if not ends or any(run.status.is_open for run in attempts):
        return Reproduction(earlier, tuple(attempts), None, None)
    # A retry's is the later; one that came to the same is not undone by a run beside it.
    told = [run for run in attempts if _verdict(run)]
    same = [run for run in told if _verdict(run) is Verdict.REPRODUCED]
    run = (same or told or attempts)[-1]
    took = max(max(ends) - attempts[0].started_at, timedelta())
    return Reproduction(earlier, tuple(attempts), took, _verdict(run) or _of_status(run), _difference(run))


def _verdict(run: LoggedRun) -> Verdict | None:
    text = run.tags.get(VERDICT_TAG)
    # What somebody stopped says nothing of the result.
    return Verdict(text) if text in list(Verdict) and run.status is not RunStatus.KILLED else None


def _of_status(run: LoggedRun) -> Verdict | None:
    """Return what a run shows that nobody has compared."""
    return Verdict.FAILED if run.status is RunStatus.FAILED else None


def _difference(run: LoggedRun) -> float | None:
    try:
        found = float(run.tags.get(DIFFERENCE_TAG, ""))
    except ValueError:  # anybody can write a tag
        return None
    return found if found > 0 else None


def _finding(earlier: str, name: str, tried: Sequence[Reproduction]) -> Finding:
    words = ", ".join("not ended" if one.took is None else f"{_said(one)} after {duration(one.took)}" for one in tried)
    return Finding((earlier, *(run.id for one in tried for run in one.runs)), name, words)


def _said(one: Reproduction) -> str:
    if one.verdict is None:
        return "stopped" if one.runs[-1].status is RunStatus.KILLED else "no verdict"
    if one.verdict in {Verdict.FAILED, Verdict.CANNOT}:
        return "failed"
    said = "the same" if one.verdict is Verdict.REPRODUCED else "not the same"
    if one.difference is None:
        return said
    return (
        f"{said} ({f'off by {100 * one.difference:.2g} %' if math.isfinite(one.difference) else 'off beyond measure'})"
    )


def _worst_first(tried: Sequence[Reproduction], is_same: bool) -> tuple[bool, float, str]:  # noqa: FBT001 a sort key
    longest = max((one.took.total_seconds() for one in tried if one.took), default=0.0)
    return is_same, -longest, tried[0].earlier


def _age(run: LoggedRun) -> tuple[float, str]:
    return run.started_at.timestamp(), run.id
