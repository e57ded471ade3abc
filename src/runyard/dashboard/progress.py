"""What there is to see of a training while it goes on, besides its resource: its log's end and its metrics' courses."""

from __future__ import annotations

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runyard.api.records import log_artifact
from runyard.api.status import is_final
from runyard.comparison import of_result
from runyard.dashboard.kept import Kept
from runyard.dashboard.logs import Log, last_lines
from runyard.dashboard.owning import is_shown
from runyard.errors import RunyardError
from runyard.history import NoSuchRun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runyard.api.outcome import Attempt
    from runyard.api.trainingrun import TrainingRun
    from runyard.dashboard.site import Site
    from runyard.dashboard.trainings import Trainings
    from runyard.history import LoggedRun

MOST_DRAWN = 6
# How many metrics are asked for their courses, of which many may have one value.
MOST_ASKED = 12
_LOG_SECONDS, _COURSES_SECONDS = 1.5, 3.0
# The operator keeps up to 16 MiB of each.
_LARGEST_LOG = 16 * 1024 * 1024
_AT_ONCE = 8


@dataclass(frozen=True)
class Courses:
    """Which metrics of a run can be drawn.

    Attributes:
        run_id: the run; empty where there is none yet.
        drawn: those that have several steps, six at most.
        asked: of how many it is known.
        of: how many the run has, without those of the machine.
        says: why nothing newer is known; empty where it is.
        seen: what it was that was seen.

    """

    run_id: str = ""
    drawn: tuple[str, ...] = ()
    asked: int = 0
    of: int = 0
    says: str = ""
    seen: tuple[object, ...] = ()


@dataclass(frozen=True)
class Progress:
    """How far it has come.

    Attributes:
        log: of the attempt that is looked at.
        courses: of its run.

    """

    log: Log
    courses: Courses

    @property
    def version(self) -> str:
        """Something that is another one whenever there is something else to see."""
        return hashlib.sha256(repr((self.log, self.courses)).encode()).hexdigest()[:16]


def attempt(training: TrainingRun, pod: str | None) -> Attempt | None:
    """Return the attempt of a pod; without one the newest, of several workers that of the first.

    None where there is none.
    """
    attempts = training.status.attempts
    if pod:
        return next((each for each in attempts if each.pod == pod), None)
    first = [each for each in attempts if not each.worker]
    listed = first or attempts
    return listed[-1] if listed else None


class Going:
    """Reads how far trainings have come, once for all who look."""

    def __init__(self, site: Site, trainings: Trainings) -> None:
        """Begin with nothing read."""
        self._site = site
        self._trainings = trainings
        self._logs: Kept[tuple[str, str, str, str], Log] = Kept()
        self._courses: Kept[tuple[str, str], Courses] = Kept()
        # The cluster and MLflow are asked side by side: who waits for both waits no longer than for one.
        self._pool = ThreadPoolExecutor(_AT_ONCE, "logs")

    def look(self, training: TrainingRun, pod: str | None = None) -> Progress:
        """Return how far a training has come.

        Args:
            training: which.
            pod: of which of its attempts; None: the newest.

        """
        looked_at = attempt(training, pod)
        log = self._pool.submit(self.log, training, looked_at)
        return Progress(log.result(), self.courses(training, looked_at))

    def log(self, training: TrainingRun, looked_at: Attempt | None) -> Log:
        """Return the end of an attempt's log: the node's while it goes on, and then what MLflow keeps."""
        if looked_at is None:
            return Log(says="No pod ran." if is_final(training.status) else "No attempt has begun yet.")
        run_id = looked_at.run_id or _run_of(training)
        namespace = training.metadata.namespace

        def read(before: Log | None) -> tuple[Log, float]:
            try:
                found = self._kept(namespace, looked_at, run_id) if looked_at.recorded_at and run_id else None
                found = found or self._live(namespace, looked_at)
            except RunyardError as error:
                found = replace(before or Log(looked_at.pod), says=_sentence(looked_at, error))
            return found, math.inf if found.is_final else _LOG_SECONDS

        # An attempt that is recorded is asked for elsewhere.
        return self._logs.get((namespace, looked_at.uid, looked_at.pod, str(looked_at.recorded_at)), read)

    def _live(self, namespace: str, looked_at: Attempt) -> Log:
        text = last_lines(self._trainings.log(namespace, looked_at.pod))
        return Log(looked_at.pod, text, "" if text else "It has printed nothing yet.")

    def _kept(self, namespace: str, looked_at: Attempt, run_id: str) -> Log | None:
        """Return the log that the operator left with the attempt's run; None where it did not."""
        path = log_artifact(looked_at.pod)
        site = self._site

        run = self._own(namespace, site.run(run_id))
        content = site.reads.one(("log", run_id, path), lambda: site.history.content(run, path, _LARGEST_LOG))
        if content is None:
            return None
        return Log(looked_at.pod, last_lines(content), f"The end of it; MLflow has it all as {path}.", is_final=True)

    def courses(self, training: TrainingRun, looked_at: Attempt | None) -> Courses:
        """Return which metrics of an attempt's run have a course: those that must be logged first, then by name."""
        run_id = (looked_at.run_id if looked_at else None) or _run_of(training)
        if not run_id:
            return Courses()
        wanted = training.spec.tracking.require_metrics
        namespace = training.metadata.namespace

        def read(before: Courses | None) -> tuple[Courses, float]:
            try:
                return self._read_courses(namespace, run_id, wanted, before), _COURSES_SECONDS
            except NoSuchRun as error:
                return Courses(says=str(error)), _COURSES_SECONDS
            except RunyardError as error:
                return replace(before or Courses(run_id), says=str(error)), _COURSES_SECONDS

        return self._courses.get((namespace, run_id), read)

    def _read_courses(self, namespace: str, run_id: str, wanted: Sequence[str], before: Courses | None) -> Courses:
        site = self._site
        run = self._own(namespace, site.run(run_id))
        seen = tuple(sorted(run.metrics.items()))
        # The same to the last digit, and NaN as NaN: nothing was logged since.
        if before and repr(before.seen) == repr(seen):
            return replace(before, says="")
        names = _in_order(of_result(run.metrics), wanted)
        asked = names[:MOST_ASKED]
        courses = site.courses.of([(run, name) for name in asked])
        drawn = tuple(name for name, found in zip(asked, courses, strict=True) if found.has_several_steps)
        return Courses(run_id, drawn[:MOST_DRAWN], len(asked), len(names), seen=seen)

    def _own(self, namespace: str, run: LoggedRun) -> LoggedRun:
        """Return a run that a TrainingRun's status names, unless it is of another namespace than that.

        Raises:
            NoSuchRun: it is: who may see the one need not see the other.
            TrackingUnavailable: MLflow does not answer.

        """
        if not is_shown(self._site.owner(run), [namespace]):
            raise NoSuchRun(f"run {run.id} is of no training in namespace {namespace}")
        return run

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _run_of(training: TrainingRun) -> str | None:
    return training.status.tracking.run_id if training.status.tracking else None


def _in_order(metrics: Mapping[str, float], wanted: Sequence[str]) -> list[str]:
    return sorted(metrics, key=lambda name: (name not in wanted, name))


def _sentence(looked_at: Attempt, error: RunyardError) -> str:
    said = str(error).rstrip(".")
    if looked_at.outcome.is_final and not looked_at.recorded_at:
        return f"The pod's log cannot be read ({said}). The operator has not stored it in MLflow yet."
    return f"The log cannot be read: {said}."
