"""The status of a TrainingRun, made from what is known of its Job and its attempts."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from runyard.api import listed
from runyard.api.conditions import Conditions, duration, listed_problems
from runyard.api.duplicates import fingerprint
from runyard.api.facts import JobFacts, JobState, Missing, TrackingFacts
from runyard.api.outcome import (
    Attempt,
    Condition,
    Outcome,
    Phase,
    Reason,
    TrackingStatus,
    TrainingRunStatus,
)
from runyard.api.trainingrun import TrainingRun
from runyard.errors import Problem

ACCEPTED, RUNNING, SUCCEEDED, TRACKED, PROMOTED = "Accepted", "Running", "Succeeded", "Tracked", "Promoted"

_KILLED = 128 + 9

# Why MLflow does not agree, where trying again changes nothing.
_SETTLED = {Reason.MODEL_MISSING, Reason.METRICS_MISSING, Reason.RUN_DELETED, Reason.ARTIFACTS_UNREACHABLE}


def is_final(status: TrainingRunStatus) -> bool:
    """Whether the outcome is known; it never changes after that."""
    found = status.condition(SUCCEEDED)
    return found is not None and found.status != "Unknown"


def is_tracked(status: TrainingRunStatus) -> bool:
    """Whether the outcome is known, and MLflow agrees with it or never will."""
    tracked = status.condition(TRACKED)
    return is_final(status) and tracked is not None and (tracked.status == "True" or tracked.reason in _SETTLED)


def is_told(status: TrainingRunStatus) -> bool:
    """Whether all of the outcome is known, in MLflow and of its promotion: no more of it changes."""
    return is_tracked(status) and (
        status.condition(PROMOTED) is None or condition_status(status, PROMOTED) != "Unknown"
    )


def lacking(run: TrainingRun, tracking: TrackingFacts) -> Missing | None:
    """Return what a training that succeeded should have logged, and did not, as it is known or was told."""
    tracked = run.status.condition(TRACKED)
    if tracked and tracked.reason in {Reason.MODEL_MISSING, Reason.METRICS_MISSING}:
        return Missing(Reason(tracked.reason), tracked.message)
    return tracking.missing if tracking.missing and tracking.missing.is_of_success else None


def is_settled(run: TrainingRun) -> bool:
    """Whether nothing is left to do: all is told, also to whoever has edited the resource since."""
    return is_told(run.status) and run.status.observed_generation == run.metadata.generation


def acknowledged(run: TrainingRun) -> TrainingRunStatus:
    """Return what is told of a resource, for who edited it since: `kubectl wait` believes no older condition."""
    now = {"observed_generation": run.metadata.generation}
    conditions = [found.model_copy(update=now) for found in run.status.conditions]
    return run.status.model_copy(update={**now, "conditions": conditions})


def is_urgent(before: TrainingRunStatus, after: TrainingRunStatus) -> bool:
    """Whether people or programs wait for what is new in a status: a phase, an outcome, the Job's name."""
    return any(
        (before.phase, before.job, condition_status(before, name))
        != (after.phase, after.job, condition_status(after, name))
        for name in (ACCEPTED, SUCCEEDED)
    ) or any(
        condition_status(after, name) == news != condition_status(before, name)
        for name, news in ((TRACKED, "True"), (PROMOTED, "True"), (PROMOTED, "False"))
    )


def is_only_waiting(before: TrainingRunStatus, after: TrainingRunStatus) -> bool:
    """Whether nothing is new but that the Job has begun, and its pod waits to run, and nobody says for what."""
    return _without_waiting(before) == _without_waiting(after)


def _without_waiting(status: TrainingRunStatus) -> TrainingRunStatus:
    told = [found for found in status.attempts if found.outcome is not Outcome.PENDING or found.message]
    unsaid = dict.fromkeys(("start_time", "attempt_count", "attempt_number"))
    return status.model_copy(update={"attempts": told, **unsaid})


def condition_status(status: TrainingRunStatus, condition: str) -> str:
    """Return a condition's status; Unknown where the condition is not there."""
    found = status.condition(condition)
    return found.status if found else "Unknown"


def refused(run: TrainingRun, problems: Sequence[Problem], now: datetime) -> TrainingRunStatus:
    """Return the status of a resource that cannot be run as it is."""
    message = listed_problems(problems)
    conditions = Conditions(run, now)
    conditions.set(ACCEPTED, "False", Reason.INVALID_SPEC, message)
    conditions.set(RUNNING, "False", Reason.INVALID_SPEC)
    conditions.set(SUCCEEDED, "False", Reason.INVALID_SPEC, message)
    conditions.set(TRACKED, "True", Reason.NOTHING_TO_RECORD, "no pod ran")
    if run.spec.promote:
        conditions.set(PROMOTED, "False", Reason.INVALID_SPEC, "nothing was trained")
    return run.status.model_copy(
        update={
            "observed_generation": run.metadata.generation,
            "phase": Phase.FAILED,
            "message": message,
            "conditions": conditions.found,
            "completion_time": run.status.completion_time or now,
        }
    )


def accepted(run: TrainingRun, now: datetime) -> TrainingRunStatus:
    """Return the status of a resource that can be run, before anything is known of it."""
    return _with(run, now, (ACCEPTED, "True", Reason.ACCEPTED, ""))


def doubted(run: TrainingRun, problems: Sequence[Problem], now: datetime) -> TrainingRunStatus:
    """Return the status of a resource that cannot be run as it is, and has begun when it could be."""
    return _with(run, now, (ACCEPTED, "False", Reason.INVALID_SPEC, listed_problems(problems)))


def assemble(
    run: TrainingRun, job: JobFacts, attempts: Sequence[Attempt], tracking: TrackingFacts, now: datetime
) -> TrainingRunStatus:
    """Return the status that the facts amount to; the same facts give the same status."""
    last = deciding(attempts, job.state)
    count = listed.count(run.status, attempts)
    has_workers = run.spec.workers > 1
    attempts = listed.numbered(attempts) if has_workers else attempts
    phase = _phase(job, attempts)
    reason, message = _verdict(run, job, last)
    conditions = Conditions(run, now)
    conditions.set(ACCEPTED, "True", Reason.ACCEPTED)
    conditions.set(RUNNING, "True" if phase is Phase.RUNNING else "False", phase.value)
    conditions.set(SUCCEEDED, _succeeded(job), reason, message or "")
    is_recorded = job.state.is_final and tracking.is_closed and all(found.recorded_at for found in attempts)
    said = run.status.condition(TRACKED) if is_tracked(run.status) else None
    conditions.set(TRACKED, *(_told(said) if said else _tracked(job, count, tracking, is_recorded=is_recorded)))
    if run.spec.promote:
        said = run.status.condition(PROMOTED) if condition_status(run.status, PROMOTED) != "Unknown" else None
        promoted = _promoted(job, reason, tracking, is_recorded=is_recorded)
        conditions.set(PROMOTED, *(_told(said) if said else promoted))
    completed = job.finished_at if job.state.is_final else None
    # A Job that is resumed says that it started then.
    started = run.status.start_time or job.started_at
    previous = run.status.tracking or TrackingStatus()
    found = last.run_id if last else job.reused_from.run_id if job.reused_from else None
    run_id = tracking.run_id or found or previous.run_id
    # What one attempt logged is not the next one's.
    known = run.status.metrics if previous.run_id == run_id else None
    metrics = (known if tracking.metrics is None else tracking.metrics) or {}
    return TrainingRunStatus(
        observed_generation=run.metadata.generation,
        phase=phase,
        message=message,
        conditions=conditions.found,
        start_time=started,
        completion_time=completed,
        duration=duration(started, completed),
        job=job.name,
        attempt_count=count,
        attempt_number=listed.reached(count, attempts),
        attempts=listed.of_workers(attempts) if has_workers else listed.of_one(attempts),
        source=(last.source if last else None) or run.status.source,
        tracking=TrackingStatus(
            experiment_id=tracking.experiment_id or previous.experiment_id,
            run_id=run_id,
            url=tracking.url or previous.url,
            model=previous.model if tracking.metrics is None else tracking.model,
        )
        if run_id
        else None,
        metrics=metrics or None,
        metric=_headline(metrics, run.spec.tracking.require_metrics),
        image_digest=job.image_digest or run.status.image_digest,
        fingerprint=run.status.fingerprint or fingerprint(run.spec),
        reused_from=job.reused_from,
    )


def with_tracked(run: TrainingRun, status: str, reason: Reason, message: str, now: datetime) -> TrainingRunStatus:
    """Return the status with another word on whether MLflow agrees."""
    return _with(run, now, (TRACKED, status, reason, message))


def _with(run: TrainingRun, now: datetime, condition: tuple[str, str, str, str]) -> TrainingRunStatus:
    conditions = Conditions(run, now)
    conditions.found = [found for found in run.status.conditions if found.type != condition[0]]
    conditions.set(*condition)
    return run.status.model_copy(update={"conditions": conditions.found})


def _headline(metrics: Mapping[str, str], asked: Sequence[str]) -> str | None:
    name = next((name for name in [*asked, *sorted(metrics)] if name in metrics), None)
    return None if name is None else f"{name}={float(metrics[name]):.4g}"


def deciding(attempts: Sequence[Attempt], state: JobState) -> Attempt | None:
    """Return the attempt that stands for all: the last, or of several workers one that tells why they ended so.

    That is the last that failed, or that was taken away for a reason of its own, and where not all succeeded it is
    none that did.
    """
    workers = [found for found in attempts if found.worker is not None]
    if not workers or state is JobState.COMPLETE:
        return attempts[-1] if attempts else None
    for choice in (
        [found for found in workers if found.outcome is Outcome.FAILED],
        [found for found in workers if found.outcome is Outcome.CANCELLED and found.reason != Reason.CANCELLED],
    ):
        if ended := [found for found in choice if found.finished_at]:
            return max(ended, key=lambda found: (found.finished_at, found.pod))
    others = [found for found in workers if found.outcome is not Outcome.SUCCEEDED]
    return (others or workers)[-1]


def _phase(job: JobFacts, attempts: Sequence[Attempt]) -> Phase:
    match job.state:
        case JobState.COMPLETE:
            return Phase.SUCCEEDED
        case JobState.FAILED:
            return Phase.FAILED
        case JobState.SUSPENDED:
            return Phase.SUSPENDED
        case JobState.QUEUED:
            return Phase.QUEUED
    # A Job says that it is complete a moment after its pod is.
    goes_on = any(found.outcome in {Outcome.RUNNING, Outcome.SUCCEEDED} for found in attempts)
    return Phase.RUNNING if goes_on else Phase.PENDING


def _succeeded(job: JobFacts) -> str:
    return {JobState.COMPLETE: "True", JobState.FAILED: "False"}.get(job.state, "Unknown")


def _verdict(run: TrainingRun, job: JobFacts, last: Attempt | None) -> tuple[str, str | None]:
    """Return why it ended, or what it waits for: the Job's word first, then the last attempt's."""
    match job.state:
        case JobState.COMPLETE:
            return job.reason or Reason.COMPLETED, job.message or None
        case JobState.FAILED:
            if last and last.outcome is Outcome.SUCCEEDED:
                last = None  # it is not why
            reason = job.reason or (last.reason if last else None) or Reason.ERROR
            # An empty message is one that was written with the verdict, which never changes.
            return reason, (job.message if job.message is not None or last is None else _why(last)) or None
        case JobState.SUSPENDED:
            return Reason.SUSPENDED, "no pod runs until spec.suspend is false"
        case JobState.QUEUED:
            return Reason.QUEUED, _waits_for_queue(run.spec.queue_name)
    return _progress(job, last)


def _why(last: Attempt) -> str | None:
    """Return why an attempt failed, for a person: what a program says last is not always the cause."""
    said = f": {last.message}" if last.message else ""
    if last.reason == Reason.OOM_KILLED and last.container:
        return f"out of memory in the container {last.container}: raise its limit in podTemplate"
    if last.reason == Reason.OOM_KILLED:
        return f"out of memory: raise resources.limits.memory. Last line{said or ': none'}"
    if last.reason == Reason.ERROR and last.exit_code is not None:
        # A container runtime that is busy can miss that it was the kernel, for want of memory.
        hint = " (killed: from outside, or out of memory)" if last.exit_code == _KILLED else ""
        where = f" of the container {last.container}" if last.container else ""
        return f"exit code {last.exit_code}{where}{hint}{said}"
    return last.message


def _waits_for_queue(name: str | None) -> str:
    """Return what a queued training waits for; of a queue that is not there nobody tells, nor of a missing Kueue."""
    return f'waits for queue "{name}" (Kueue) to admit it; `kubectl get localqueue {name}` shows whether it is there'


def _progress(job: JobFacts, last: Attempt | None) -> tuple[str, str | None]:
    if last and last.outcome is Outcome.SUCCEEDED:
        return Reason.RUNNING, None
    if last and last.outcome.is_final:
        but = f"; {job.message}" if job.message else ""
        return Reason.ATTEMPT_ENDED, f"attempt {last.pod} ended: {last.reason}{but}"
    reason = Reason.RUNNING if last and last.outcome is Outcome.RUNNING else Reason.PENDING
    return reason, job.message or (last.message if last else None)


def _tracked(job: JobFacts, count: int, tracking: TrackingFacts, *, is_recorded: bool) -> tuple[str, str, str]:
    """Return the condition's status, reason and message."""
    if tracking.problem and not is_recorded:
        return "False", tracking.problem_reason, tracking.problem
    if not is_recorded:
        return "Unknown", Reason.IN_PROGRESS, ""
    if job.reused_from:
        return "True", Reason.RECORDED, "MLflow has the result already"
    if tracking.missing and (job.state is JobState.COMPLETE or not tracking.missing.is_of_success):
        return "False", tracking.missing.reason, tracking.missing.message
    return "True", Reason.RECORDED, f"MLflow agrees with {count} attempt{'' if count == 1 else 's'}"


def _promoted(job: JobFacts, reason: str, tracking: TrackingFacts, *, is_recorded: bool) -> tuple[str, str, str]:
    """Return the condition's status, reason and message."""
    if job.state is JobState.FAILED:
        return "False", Reason.TRAINING_FAILED, f"the training did not succeed: {reason}"
    if found := tracking.promotion:
        return str(found.is_promoted), found.reason, found.message
    if is_recorded and tracking.problem:
        return "Unknown", Reason.TRACKING_UNAVAILABLE, tracking.problem
    return "Unknown", Reason.IN_PROGRESS, ""


def _told(said: Condition) -> tuple[str, str, str]:
    return said.status, said.reason, said.message
