"""Audits in the background: they read a folder of artifacts a run, which takes longer than anybody waits."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from runyard.api.records import RunStatus
from runyard.audit import Evidence, Report, gather, measured
from runyard.dashboard.owning import evidence_of, is_shown
from runyard.errors import RunyardError
from runyard.history import NoSuchExperiment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runyard.history import History, LoggedRun

WEEK = timedelta(days=7)
WEEKS = 12
# How long one is good for, and how many are kept.
_FRESH_SECONDS = 300.0
_MOST_KEPT = 8
_MOST_WAITING = 6
# When one that came to nothing is tried again.
_AGAIN_SECONDS = 5.0

log = logging.getLogger(__name__)


class TooManyAudits(RunyardError):
    """More audits are wanted than will be taken soon."""

    exit_code = 4


@dataclass(frozen=True)
class Subject:
    """What is audited.

    Attributes:
        experiment: its name; None: the whole server.
        days: only what began in so many days; None: ever.
        namespaces: only runs of these, and of nobody; None: of all.

    """

    experiment: str | None
    days: int | None
    namespaces: frozenset[str] | None = None


@dataclass(frozen=True)
class Week:
    """The measures of what began in seven days.

    Attributes:
        begins: the first moment.
        report: of the runs that began, and the versions that were promoted, in it.

    """

    begins: datetime
    report: Report


@dataclass(frozen=True)
class Audit:
    """How an audit stands.

    Attributes:
        report: what was found last; None: nothing yet.
        weeks: the measures week by week, the oldest first.
        done: how many folders the one that goes on has read.
        of: of how many.
        is_going_on: whether one goes on.
        problem: why the last one came to nothing.
        ended_at: when the last one ended, on this machine's clock that never goes back.

    """

    report: Report | None = None
    weeks: tuple[Week, ...] = ()
    done: int = 0
    of: int = 0
    is_going_on: bool = False
    problem: str = ""
    ended_at: float = float("-inf")


def by_week(evidence: Evidence, experiment: str | None, now: datetime) -> tuple[Week, ...]:
    """Take the measures of each of the last twelve weeks; those before the first run are left out."""
    if not evidence.runs:
        return ()
    first = min(run.started_at for run in evidence.runs)
    begins = [now - WEEK * number for number in range(WEEKS, 0, -1)]
    return tuple(
        Week(begin, measured(_within(evidence, begin, begin + WEEK), experiment, begin))
        for begin in begins
        if begin + WEEK > first
    )


def _within(evidence: Evidence, begin: datetime, end: datetime) -> Evidence:
    known = {run.id: run for run in evidence.runs}
    # A tree of runs is one result, of the week in which it began.
    begun = {run.id: _root(run, known).started_at for run in evidence.runs}
    runs = [run for run in evidence.runs if begin <= begun[run.id] < end]
    others = [*evidence.elsewhere, *(run for run in evidence.runs if not begin <= begun[run.id] < end)]
    earlier = [run for run in evidence.runs if begun[run.id] < begin and run.status is RunStatus.FINISHED]
    uids = {run.tags.get("runyard.dev/pod") for run in runs} - {None}
    return replace(
        evidence,
        runs=runs,
        before=[*evidence.before, *earlier],
        # Of an attempt that began before the week, what it logged counts.
        elsewhere=[run for run in others if run.tags.get("runyard.dev/pod") in uids],
        versions=[version for version in evidence.versions if begin <= version.promoted_at < end],
    )


def _root(run: LoggedRun, known: Mapping[str, LoggedRun]) -> LoggedRun:
    seen = {run.id}
    while (above := known.get(run.parent_id or "")) and above.id not in seen:
        run = above
        seen.add(run.id)
    return run


class Auditor:
    """Takes audits, one after the other, when somebody asks for one that is older than five minutes."""

    def __init__(self, history: History, owner: Callable[[LoggedRun], str | None]) -> None:
        """Begin with none.

        Args:
            history: of what.
            owner: returns the namespace that a run is of.

        """
        self._history = history
        self._owner = owner
        self._kept: OrderedDict[Subject, Audit] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, "audit")

    def get(self, subject: Subject) -> Audit:
        """Return how an audit stands, and begin a new one where it is old.

        Raises:
            TooManyAudits: more are wanted than will be taken soon.

        """
        with self._lock:
            waiting = sum(audit.is_going_on for audit in self._kept.values())
            if subject not in self._kept and waiting >= _MOST_WAITING:
                raise TooManyAudits(f"{waiting} other audits are wanted first: come back in a minute")
            found = self._kept.setdefault(subject, Audit())
            self._kept.move_to_end(subject)
            if not found.is_going_on and time.monotonic() - found.ended_at > _FRESH_SECONDS:
                found = self._kept[subject] = replace(found, is_going_on=True, done=0, of=0)
                self._pool.submit(self._take, subject)
            idle = [each for each, audit in self._kept.items() if not audit.is_going_on and each != subject]
            for each in idle[: max(0, len(self._kept) - _MOST_KEPT)]:
                del self._kept[each]
            return found

    def close(self) -> None:
        """Begin no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _take(self, subject: Subject) -> None:
        now = datetime.now(UTC)
        since = now - timedelta(days=subject.days) if subject.days else None
        try:
            evidence = gather(
                self._history, subject.experiment, since, lambda done, of: self._note(subject, done=done, of=of)
            )
            if subject.namespaces is not None:
                evidence = evidence_of(evidence, partial(self._shows, subject.namespaces))
            report = measured(evidence, subject.experiment, since)
            weeks = by_week(evidence, subject.experiment, now)
        except NoSuchExperiment:  # it is gone since; which there are is not for everybody
            self._give_up(subject, f'there is no experiment "{subject.experiment}"')
        except RunyardError as error:
            log.warning("%s", error)
            self._give_up(subject, str(error))
        except Exception as error:  # whatever it is, who waits must not wait for ever
            log.exception("the audit came to nothing")
            self._give_up(subject, f"the audit came to nothing: {type(error).__name__}")
        else:
            self._note(subject, report=report, weeks=weeks, is_going_on=False, problem="", ended_at=time.monotonic())

    def _shows(self, namespaces: frozenset[str], run: LoggedRun) -> bool:
        return is_shown(self._owner(run), namespaces)

    def _give_up(self, subject: Subject, problem: str) -> None:
        again_at = time.monotonic() - _FRESH_SECONDS + _AGAIN_SECONDS
        self._note(subject, is_going_on=False, problem=problem, ended_at=again_at)

    def _note(self, subject: Subject, **changes: object) -> None:
        with self._lock:
            self._kept[subject] = replace(self._kept[subject], **changes)  # type: ignore[arg-type]  # by name
