"""Pods that came and went while no operator looked: what the Job and MLflow still tell of them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from runyard.api.facts import JobFacts, JobState
from runyard.api.outcome import Attempt, Outcome, Reason, TrainingRunStatus
from runyard.api.records import OUTCOME_TAG, POD_TAG, Run, RunStatus, primary
from runyard_operator.decide import Decision, standing_for
from runyard_operator.objects import Job

# How far the API server's clock may be behind the operator's.
_CLOCK_SKEW = timedelta(seconds=10)
_SAID = "the pod is gone, and its end was not seen"


def may_be(status: TrainingRunStatus, job: Job | None, ended: Decision, since: datetime) -> bool:
    """Whether a Job that has ended may have had pods besides those that are known.

    Args:
        status: as it was last written.
        job: if it is there.
        ended: how it ended, and the attempts that are known.
        since: since when this operator looks: who looked at all of a Job's life has seen its pods.

    """
    if ended.job.reused_from:
        return False
    begun = job.metadata.creation_timestamp if job else status.start_time
    known = max(len(ended.attempts), status.attempt_count or 0)
    counted = job.status.succeeded + job.status.failed if job else 0
    went_unwatched = begun is not None and begun < since + _CLOCK_SKEW
    return went_unwatched or counted > known or not standing_for("", ended.attempts, ended.job).uid


def attempts(runs: Sequence[Run], status: TrainingRunStatus, ended: Decision, now: datetime) -> list[Attempt]:
    """Return an attempt for each pod that only its runs tell of, oldest first.

    The last of them ended as the Job did, where no other pod can have; of the others nobody knows.

    Args:
        runs: all of the resource's.
        status: as it was last written.
        ended: how the Job ended, and the attempts that are known.
        now: the time.

    """
    # Runs of attempts that the status has dropped say how they ended.
    are_dropped = (status.attempt_count or 0) > len(status.attempts)
    known = {attempt.uid for attempt in ended.attempts}
    of_pods: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.start_time_ms):
        pod = run.tags.get(POD_TAG, "")
        if pod and pod not in known and not (are_dropped and OUTCOME_TAG in run.tags):
            of_pods.setdefault(pod, []).append(run)
    found = [_attempt(pod, its_runs, ended.job.finished_at or now) for pod, its_runs in of_pods.items()]
    if found and _is_decisive(found[-1], of_pods[found[-1].uid], ended):
        outcome, reason = _end_of(ended.job)
        found[-1] = found[-1].model_copy(
            update={"outcome": outcome, "reason": str(reason), "message": f"{_SAID}: this is its Job's"}
        )
    return found


def left_open(runs: Sequence[Run], known: Sequence[Attempt], last: Attempt, now: datetime) -> list[Attempt]:
    """Return an attempt for each pod of a deleted resource that only its open runs tell of.

    Args:
        runs: all of the resource's.
        known: the attempts that are known.
        last: says how the resource ended.
        now: the time.

    """
    pods = {run.tags.get(POD_TAG, "") for run in runs if run.status.is_open}
    said = "the TrainingRun was deleted"
    end = Attempt(pod="", uid="", outcome=Outcome.CANCELLED, reason=Reason.CANCELLED, finished_at=now, message=said)
    if last.outcome is Outcome.SUCCEEDED and not last.uid:  # no attempt that is known has succeeded
        end = last
    unknown = sorted(pods - {attempt.uid for attempt in known} - {""})
    return [end.model_copy(update={"pod": uid, "uid": uid}) for uid in unknown]


def merged(known: Sequence[Attempt], unseen: Sequence[Attempt]) -> list[Attempt]:
    """Return known attempts in their order, and unseen ones among them, each before the first that began later."""
    found, listed = list(known), {attempt.uid for attempt in known}
    for attempt in unseen:
        if attempt.uid not in listed and attempt.started_at:
            later = (
                at for at, other in enumerate(found) if (other.started_at or attempt.started_at) > attempt.started_at
            )
            found.insert(next(later, len(found)), attempt)
    return found


def _attempt(pod: str, runs: Sequence[Run], finished_at: datetime) -> Attempt:
    return Attempt(
        pod=pod,
        uid=pod,
        outcome=Outcome.CANCELLED,
        reason=Reason.POD_DELETED,
        message=_SAID,
        started_at=datetime.fromtimestamp(runs[0].start_time_ms / 1000, UTC),
        finished_at=finished_at,
    )


def _is_decisive(last: Attempt, runs: Sequence[Run], ended: Decision) -> bool:
    """Whether the Job's end must be that of the last of the pods that nobody saw."""
    if ended.job.state is JobState.COMPLETE:
        chief = primary(runs)
        has_failed = chief is not None and chief.status is RunStatus.FAILED
        return not has_failed and all(attempt.outcome is not Outcome.SUCCEEDED for attempt in ended.attempts)
    return all(
        attempt.started_at and last.started_at and attempt.started_at < last.started_at for attempt in ended.attempts
    )


def _end_of(job: JobFacts) -> tuple[Outcome, Reason | str]:
    if job.state is JobState.COMPLETE:
        return Outcome.SUCCEEDED, Reason.COMPLETED
    if job.reason == Reason.JOB_DELETED:  # its pods went with it
        return Outcome.CANCELLED, Reason.CANCELLED
    end = standing_for("", (), job)
    return end.outcome, end.reason or Reason.ERROR
