"""Pods that came and went while no operator looked: what the Job and MLflow still tell of them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from runyard.api.facts import JobFacts, JobState
from runyard.api.outcome import Attempt, Outcome, Reason, TrainingRunStatus
from runyard.api.records import OUTCOME_TAG, POD_TAG, Run, RunStatus, primary
from runyard.api.trainingrun import TrainingRun
from runyard_operator.attempts import UNSEEN
from runyard_operator.decide import Decision, standing_for
from runyard_operator.objects import Job

# How far the API server's clock may be behind the operator's.
_CLOCK_SKEW = timedelta(seconds=10)


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


def attempts(runs: Sequence[Run], run: TrainingRun, job: Job | None, ended: Decision, now: datetime) -> list[Attempt]:
    """Return an attempt for each pod that only its runs tell of, oldest first.

    The last of them ended as the Job did, where no other pod can have, and of several workers as many; of the others
    nobody knows.

    Args:
        runs: all of the resource's.
        run: the resource, as it was last written.
        job: if it is there.
        ended: how the Job ended, and the attempts that are known.
        now: the time.

    """
    status = run.status
    # Runs of attempts that the status has dropped say how they ended.
    are_dropped = (status.attempt_count or 0) > len(status.attempts)
    known = {attempt.uid for attempt in ended.attempts}
    of_pods: dict[str, list[Run]] = {}
    for found_run in sorted(runs, key=lambda each: each.start_time_ms):
        pod = found_run.tags.get(POD_TAG, "")
        if pod and pod not in known and not (are_dropped and OUTCOME_TAG in found_run.tags):
            of_pods.setdefault(pod, []).append(found_run)
    found = [_attempt(pod, its_runs, ended.job.finished_at or now) for pod, its_runs in of_pods.items()]
    decisive = _decisive(found, run, job, ended)
    outcome, reason = _end_of(ended.job)
    of_job = {"outcome": outcome, "reason": str(reason), "message": f"{UNSEEN}: this is its Job's"}
    return [attempt.model_copy(update=of_job if attempt.uid in decisive else {}) for attempt in found]


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
    chief = primary(runs)
    # The script's own word, where there is no other.
    has_failed = chief is not None and chief.status is RunStatus.FAILED
    return Attempt(
        pod=pod,
        uid=pod,
        outcome=Outcome.FAILED if has_failed else Outcome.CANCELLED,
        reason=Reason.ERROR if has_failed else Reason.POD_DELETED,
        message=f"{UNSEEN}: this is its run's" if has_failed else UNSEEN,
        started_at=datetime.fromtimestamp(runs[0].start_time_ms / 1000, UTC),
        finished_at=finished_at,
    )


def _decisive(found: Sequence[Attempt], run: TrainingRun, job: Job | None, ended: Decision) -> set[str]:
    """Return the UIDs of those of the pods that nobody saw whose end must be the Job's, oldest first."""
    if ended.job.state is not JobState.COMPLETE:
        last = found[-1:]
        begun = [attempt.started_at for attempt in (*ended.attempts, *last)]
        is_last = all(at and begun[-1] and at < begun[-1] for at in begun[:-1])
        return {attempt.uid for attempt in last if is_last}
    lacking = run.spec.workers - sum(attempt.outcome is Outcome.SUCCEEDED for attempt in ended.attempts)
    # What was cancelled its Job has not counted.
    cancelled = sum(attempt.outcome is Outcome.CANCELLED for attempt in ended.attempts)
    known = max(len(ended.attempts), run.status.attempt_count or 0) - cancelled + len(found)
    # Then a pod that started no run may be the one that succeeded, and not one whose run failed.
    is_one_missing = job is None or job.status.succeeded + job.status.failed > known
    last = found[-lacking:] if lacking > 0 else []
    return {attempt.uid for attempt in last if not (is_one_missing and attempt.outcome is Outcome.FAILED)}


def _end_of(job: JobFacts) -> tuple[Outcome, Reason | str]:
    if job.state is JobState.COMPLETE:
        return Outcome.SUCCEEDED, Reason.COMPLETED
    if job.reason == Reason.JOB_DELETED:  # its pods went with it
        return Outcome.CANCELLED, Reason.CANCELLED
    end = standing_for("", (), job)
    return end.outcome, end.reason or Reason.ERROR
