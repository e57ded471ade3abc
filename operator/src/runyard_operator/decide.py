"""What to do about a TrainingRun, given all that was observed: a function from values to values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from runyard.api import reuse
from runyard.api.facts import JobFacts, JobState
from runyard.api.model import JsonObject
from runyard.api.outcome import Attempt, Outcome, Reason, ReusedFrom
from runyard.api.records import PRUNED_ANNOTATION, Run
from runyard.api.status import SUCCEEDED, deciding, is_final
from runyard.api.trainingrun import OnDuplicate, TrainingRun
from runyard_operator import attempts, jobs
from runyard_operator.objects import FAILED_BECAUSE, Job, Pod

# MLflow's answer asks for another look by itself; this is for where there is none.
_EARLIER_PAUSE = timedelta(seconds=10)


@dataclass(frozen=True)
class Earlier:
    """What MLflow has of a training that asks for the same: a run that is the result, or nothing."""

    run: Run | None = None
    reused_from: ReusedFrom | None = None


@dataclass(frozen=True)
class Observed:
    """One look at the cluster."""

    run: TrainingRun
    job: Job | None
    pods: tuple[Pod, ...]
    now: datetime
    image_waits: Mapping[str, datetime] = field(default_factory=dict)
    """Since when each pod, by its UID, is known to wait for an image that cannot be had."""
    earlier: Earlier | None = None
    """None while MLflow was not asked, or does not answer."""


@dataclass(frozen=True)
class Decision:
    """What is so, and the at most one change to the Job that follows from it."""

    job: JobFacts
    attempts: tuple[Attempt, ...]
    create_job: bool = False
    patch_job: JsonObject | None = None
    look_again_after: timedelta | None = None
    reused: Run | None = None
    """The run that is the result, as MLflow has it, where that was just found."""


def decide(seen: Observed, image_pull_grace: timedelta) -> Decision:
    """Return what to do. The same observation gives the same decision, and none once the Job has ended."""
    found = tuple(attempts.observed(seen.pods, seen.run.status, seen.job, seen.now))
    if is_final(seen.run.status):
        return Decision(remembered(seen.run), found)
    if seen.job is None:
        return _without_job(seen, found)
    facts = job_facts(seen.job, seen.pods, is_queued=seen.run.spec.queue_name is not None)
    if facts.state.is_final:
        return Decision(replace(facts, message=_why_pruned(seen.run, facts)), found)
    if (
        PRUNED_ANNOTATION in (seen.run.metadata.annotations or {})
        and FAILED_BECAUSE not in seen.job.metadata.annotations
    ):
        return Decision(facts, found, patch_job=jobs.failure(Reason.PRUNED))
    if drift := jobs.drift(seen.run, seen.job):
        return Decision(facts, found, patch_job={"spec": drift})
    return _about_images(seen, facts, found, image_pull_grace)


def decide_on_deleted(seen: Observed) -> Decision:
    """Return what came of a resource that is gone, once all its pods have ended.

    What was so before stays: that a training had succeeded is not undone by its resource's deletion.
    """
    run = seen.run
    # A Job that goes with its resource says nothing of why its pods do, but one that had ended does.
    ended = seen.job if seen.job and seen.job.has_ended else None
    found = tuple(attempts.observed(seen.pods, run.status, ended, seen.now))
    if is_final(run.status):
        return Decision(remembered(run), found)
    if seen.job and (facts := job_facts(seen.job, seen.pods)).state.is_final:
        return Decision(facts, found)
    # Of one whose deletion went unseen, the number of workers is not known: each that is known had a pod.
    workers = max([run.spec.workers, *(attempt.worker + 1 for attempt in found if attempt.worker is not None)])
    if _have_succeeded(found, workers):
        return Decision(JobFacts(state=JobState.COMPLETE, finished_at=found[-1].finished_at), found)
    return Decision(JobFacts(state=JobState.FAILED, reason=Reason.CANCELLED, finished_at=seen.now), found)


def standing_for(name: str, found: Sequence[Attempt], job: JobFacts) -> Attempt:
    """Return the attempt that says how a whole resource ended."""
    is_complete = job.state is JobState.COMPLETE
    wanted = {Outcome.SUCCEEDED} if is_complete else {Outcome.FAILED, Outcome.CANCELLED}
    if last := deciding([attempt for attempt in found if attempt.outcome in wanted], job.state):
        return last
    failed = Outcome.CANCELLED if job.reason in {Reason.CANCELLED, Reason.PRUNED} else Outcome.FAILED
    outcome = Outcome.SUCCEEDED if is_complete else failed
    return Attempt(pod=name, uid="", outcome=outcome, reason=job.reason, finished_at=job.finished_at)


def job_facts(job: Job, pods: tuple[Pod, ...] = (), *, is_queued: bool = False) -> JobFacts:
    """Return how a Job stands. Its own reason counts unless it only says that attempts failed."""
    suspended = JobState.QUEUED if is_queued else JobState.SUSPENDED
    facts = JobFacts(
        state=suspended if job.spec.suspend else JobState.RUNNING,
        name=job.metadata.name,
        started_at=job.status.start_time,
        image_digest=_image_digest(pods),
    )
    if ended := job.condition("Complete"):
        finished = job.status.completion_time or ended.last_transition_time
        return replace(facts, state=JobState.COMPLETE, finished_at=finished)
    if failed := job.condition("Failed"):
        facts = replace(facts, state=JobState.FAILED, finished_at=failed.last_transition_time)
        if reason := job.metadata.annotations.get(FAILED_BECAUSE):
            return replace(facts, reason=reason)
        if failed.reason == "DeadlineExceeded":
            message = "spec.activeDeadlineSeconds passed before the training ended"
            return replace(facts, reason=Reason.DEADLINE_EXCEEDED, message=message)
    return facts


def _why_pruned(run: TrainingRun, facts: JobFacts) -> str | None:
    return (run.metadata.annotations or {}).get(PRUNED_ANNOTATION) if facts.reason == Reason.PRUNED else facts.message


def remembered(run: TrainingRun) -> JobFacts:
    """Return the facts that a final status was made from: what happens to the Job later changes nothing."""
    status = run.status
    verdict = status.condition(SUCCEEDED)
    return JobFacts(
        state=JobState.COMPLETE if verdict and verdict.status == "True" else JobState.FAILED,
        name=status.job,
        reason=verdict.reason if verdict else None,
        message=verdict.message if verdict else None,
        started_at=status.start_time,
        finished_at=status.completion_time,
        image_digest=status.image_digest,
        reused_from=status.reused_from,
    )


def may_be_reused(run: TrainingRun, job: Job | None) -> bool:
    """Whether another training's result may take the place of a Job, which is not made yet."""
    has_begun = job is not None or run.status.job is not None or is_final(run.status)
    return run.spec.on_duplicate is OnDuplicate.REUSE and not has_begun and run.metadata.deletion_timestamp is None


def _without_job(seen: Observed, found: tuple[Attempt, ...]) -> Decision:
    is_leaving = seen.run.metadata.deletion_timestamp is not None
    if may_be_reused(seen.run, seen.job):
        if seen.earlier is None:
            waits = JobFacts(state=JobState.WAITING, message="waits for MLflow, where an earlier result is looked for")
            return Decision(waits, found, look_again_after=_EARLIER_PAUSE)
        if seen.earlier.run and (reused_from := seen.earlier.reused_from):
            return Decision(reuse.job_facts(reused_from, seen.now), found, reused=seen.earlier.run)
    if seen.run.status.job is None and not is_leaving:
        # What the Job will say of itself, so that its first event changes nothing.
        idle = JobState.SUSPENDED if seen.run.spec.suspend else JobState.WAITING
        state = JobState.QUEUED if seen.run.spec.queue_name else idle
        return Decision(JobFacts(state=state, name=jobs.job_name(seen.run)), found, create_job=True)
    if _have_succeeded(found, seen.run.spec.workers):
        done = JobFacts(
            state=JobState.COMPLETE,
            name=seen.run.status.job,
            started_at=seen.run.status.start_time,
            finished_at=found[-1].finished_at,
        )
        return Decision(done, found)
    gone = JobFacts(
        state=JobState.FAILED,
        name=seen.run.status.job,
        reason=Reason.CANCELLED if is_leaving else Reason.JOB_DELETED,
        message="the TrainingRun is being deleted"
        if is_leaving
        else "the Job was deleted before it ended; to train again, create a new TrainingRun",
        started_at=seen.run.status.start_time,
        finished_at=seen.run.status.completion_time or seen.now,
    )
    return Decision(gone, found)


def _have_succeeded(found: tuple[Attempt, ...], workers: int) -> bool:
    """Whether the training was done when its Job went."""
    if workers == 1:
        return bool(found) and found[-1].outcome is Outcome.SUCCEEDED
    return len({attempt.worker for attempt in found if attempt.outcome is Outcome.SUCCEEDED}) >= workers


def _about_images(seen: Observed, facts: JobFacts, found: tuple[Attempt, ...], grace: timedelta) -> Decision:
    """End a Job whose image cannot be had; a Job would wait for it for ever."""
    waiting = [pod for pod in seen.pods if attempts.image_wait(pod)]
    is_over = FAILED_BECAUSE in (seen.job.metadata.annotations if seen.job else {})
    if not waiting or is_over or facts.state is not JobState.RUNNING:
        return Decision(facts, found)
    # Not since the pod was made: it may have waited for a node, or for its data, and then met a registry's hiccup.
    since = min(seen.image_waits.get(pod.metadata.uid, seen.now) for pod in waiting)
    left = since + grace - seen.now
    if left > timedelta(0):
        return Decision(facts, found, look_again_after=left)
    return Decision(facts, found, patch_job=jobs.failure(Reason.IMAGE_PULL))


def _image_digest(pods: tuple[Pod, ...]) -> str | None:
    ids = [pod.training.image_id for pod in attempts.by_age(pods) if pod.training and pod.training.image_id]
    return ids[-1] if ids else None
