"""What MLflow was brought to say of a resource so far, and what follows from it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runyard.api import listed
from runyard.api.environment import AssignedRun
from runyard.api.facts import JobState, TrackingFacts
from runyard.api.outcome import Attempt, Outcome, TrainingRunStatus
from runyard.api.records import outcome_tags
from runyard.api.status import is_told, is_tracked
from runyard.api.trainingrun import RunMode, TrainingRun
from runyard_operator import unseen
from runyard_operator.decide import Decision, Earlier, standing_for
from runyard_operator.mirror import View
from runyard_operator.tracking import MAY_STILL_COME, MayStillCome

_FIRST_SEARCH_PAUSE, _LONGEST_SEARCH_PAUSE = timedelta(seconds=2), timedelta(minutes=2)


@dataclass
class Recording:
    """What MLflow was brought to say of one resource, as far as the resource's status may not know it yet."""

    run_ids: dict[str, str] = field(default_factory=dict)
    recorded: dict[str, Attempt] = field(default_factory=dict)
    """Attempts as MLflow was told of them, by their UIDs."""
    facts: TrackingFacts = field(default_factory=TrackingFacts)
    last: str = ""
    """The UID of the last attempt: of several runs the status tells of its run."""
    task: asyncio.Task[None] | None = None
    is_left_alone: bool = False
    """Whether nobody waits for the task any more, so that its end has to be told."""
    not_before: datetime | None = None
    failures: int = 0
    searches: int = 0
    assigned: AssignedRun | None = None
    """The run that all pods are to log into, as it was just seen."""
    earlier: Earlier | None = None
    """What may be the result of a training that is not begun, as it was just seen."""
    asked_at: datetime | None = None
    """When something was to be made, and no answer came: it may be there, or come yet."""
    is_swept: bool = False
    """Whether runs of pods that nobody saw were looked for, of a resource that is gone."""
    unseen: list[Attempt] | None = None
    """The pods that nobody saw, of a resource that is there and has ended; None where they were not looked for."""
    left_open: list[Attempt] | None = None
    """The pods that only their open runs told of when a resource that is gone was looked at; None before that."""
    count: int | None = None
    """How many attempts a status has that was written with the pods that nobody saw."""

    def applied_to(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """Return the attempts, and those that nobody saw, with what is known of their runs."""
        return [
            self._as_told(attempt).model_copy(update={"run_id": self.run_ids.get(attempt.uid, attempt.run_id)})
            for attempt in unseen.merged(attempts, self.unseen or ())
        ]

    def is_due(self, wanted: Sequence[Attempt], now: datetime, *, ends: bool) -> bool:
        """Whether MLflow is to be asked now: about attempts, or because the resource ends."""
        # What has ended need not wait for the next search of what was running.
        is_news = self.failures == 0 and (ends or any(attempt.outcome.is_final for attempt in wanted))
        return is_news or self.not_before is None or self.not_before <= now

    def next_search(self, wanted: Sequence[Attempt], now: datetime) -> datetime | None:
        """Return when to look again for runs that were not there yet; None where all are."""
        if all(attempt.outcome.is_final or attempt.uid in self.run_ids for attempt in wanted):
            self.searches = 0
            return None
        pause = min(_FIRST_SEARCH_PAUSE * (1 << min(self.searches, 8)), _LONGEST_SEARCH_PAUSE)
        self.searches += 1
        return now + pause

    def note_written(self, status: TrainingRunStatus) -> None:
        """Take note of a status as it is now: what was written down with it is listed there, or was dropped since."""
        if self.count is not None and (status.attempt_count or 0) >= self.count:
            self.unseen = []

    def note_count(self, status: TrainingRunStatus, attempts: Sequence[Attempt]) -> None:
        """Take note of what is to be written, over a status as it is now."""
        if self.unseen:
            self.count = listed.count(status, attempts)

    def look_at(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """Return the attempts as `applied_to` does, and take note of which is the last."""
        found = self.applied_to(attempts)
        self.last = found[-1].uid if found else ""
        return found

    def _as_told(self, attempt: Attempt) -> Attempt:
        """Return it as MLflow was told; until it is written down, an end can be seen anew, and be another."""
        told = self.recorded.get(attempt.uid)
        is_the_same = told and not attempt.recorded_at and outcome_tags(told) == outcome_tags(attempt)
        return told if told and is_the_same else attempt


def open_attempts(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Return those that MLflow has to be asked about: ended and not recorded, or running and without a run."""
    return [
        attempt
        for attempt in attempts
        if (attempt.outcome.is_final and not attempt.recorded_at)
        or (attempt.outcome is Outcome.RUNNING and not attempt.run_id)
    ]


def is_to_promote(recording: Recording, run: TrainingRun, view: View, decision: Decision) -> bool:
    """Whether a training that succeeded is to be promoted, and what came of that is not known."""
    is_success = decision.job.state is JobState.COMPLETE and not view.is_deleted
    return is_success and run.spec.promote is not None and recording.facts.promotion is None and not is_told(run.status)


def are_unseen_sought(recording: Recording, run: TrainingRun, view: View, decision: Decision, since: datetime) -> bool:
    """Whether there may be runs of pods that came and went while no operator looked, and nobody asked for them yet."""
    if view.is_deleted:
        return not recording.is_swept
    is_over = decision.job.state.is_final and recording.unseen is None
    return is_over and not is_tracked(run.status) and unseen.may_be(run.status, view.job, decision, since)


def result_id(recording: Recording, run: TrainingRun, decision: Decision) -> str | None:
    """Return the run that stands for a training that succeeded, which was just recorded or is in its status."""
    if decision.job.reused_from:
        return decision.job.reused_from.run_id
    if run.spec.run_mode is RunMode.ASSIGNED:
        return assigned_id(run, recording)
    last = standing_for(run.metadata.name, recording.applied_to(decision.attempts), decision.job)
    return last.run_id or (run.status.tracking.run_id if run.status.tracking else None)


def require_late_ones(recording: Recording, now: datetime, of_earlier: timedelta) -> None:
    """Make nothing while a request that nobody waits for any more may still come to MLflow.

    Args:
        recording: what this process asked for.
        now: the time.
        of_earlier: for how long requests of an earlier process may still come.

    Raises:
        MayStillCome: it says until when.

    """
    of_ours = recording.asked_at + MAY_STILL_COME - now if recording.asked_at else timedelta(0)
    if (pause := max(of_ours, of_earlier)) > timedelta(0):
        raise MayStillCome(pause)


def assigned_id(run: TrainingRun, recording: Recording) -> str | None:
    """Return the run that is assigned to a whole resource, as far as that is known."""
    return recording.facts.run_id or (run.status.tracking.run_id if run.status.tracking else None)
