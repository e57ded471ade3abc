"""What to do about a TrainingRun, given all that was observed: a function from values to values."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from runyard.api.model import JsonObject
from runyard.api.status import SUCCEEDED, JobFacts, JobState, is_final
from runyard.api.trainingrun import Attempt, Reason, TrainingRun
from runyard_operator import attempts, jobs
from runyard_operator.objects import FAILED_BECAUSE, Job, Pod


@dataclass(frozen=True)
class Observed:
    """One look at the cluster."""

    run: TrainingRun
    job: Job | None
    pods: tuple[Pod, ...]
    now: datetime


@dataclass(frozen=True)
class Decision:
    """What is so, and the at most one change to the Job that follows from it."""

    job: JobFacts
    attempts: tuple[Attempt, ...]
    create_job: bool = False
    patch_job: JsonObject | None = None
    look_again_after: timedelta | None = None


def decide(seen: Observed, image_pull_grace: timedelta) -> Decision:
    """Return what to do. The same observation gives the same decision, and none once the Job has ended."""
    found = tuple(attempts.observed(seen.pods, seen.run.status.attempts, seen.job, seen.now))
    if is_final(seen.run.status):
        return Decision(_remembered(seen.run), found)
    if seen.job is None:
        return _without_job(seen, found)
    facts = job_facts(seen.job, seen.pods)
    if facts.state.is_final:
        return Decision(facts, found)
    if drift := jobs.drift(seen.run, seen.job):
        return Decision(facts, found, patch_job={"spec": drift})
    return _about_images(seen, facts, found, image_pull_grace)


def job_facts(job: Job, pods: tuple[Pod, ...] = ()) -> JobFacts:
    """Return how a Job stands. Its own reason counts unless it only says that attempts failed."""
    name, started, digest = job.metadata.name, job.status.start_time, _image_digest(pods)
    if ended := job.condition("Complete"):
        finished = job.status.completion_time or ended.last_transition_time
        return JobFacts(JobState.COMPLETE, name, None, None, started, finished, digest)
    if failed := job.condition("Failed"):
        reason = job.metadata.annotations.get(FAILED_BECAUSE)
        message = None
        if reason is None and failed.reason == "DeadlineExceeded":
            reason, message = (
                Reason.DEADLINE_EXCEEDED,
                "spec.activeDeadlineSeconds passed before the training ended",
            )
        return JobFacts(JobState.FAILED, name, reason, message, started, failed.last_transition_time, digest)
    state = JobState.SUSPENDED if job.spec.suspend else JobState.RUNNING
    return JobFacts(state, name, None, None, started, None, digest)


def _remembered(run: TrainingRun) -> JobFacts:
    """Return the facts that a final status was made from: what happens to the Job later changes nothing."""
    status = run.status
    verdict = status.condition(SUCCEEDED)
    succeeded = verdict is not None and verdict.status == "True"
    return JobFacts(
        JobState.COMPLETE if succeeded else JobState.FAILED,
        status.job,
        verdict.reason if verdict else None,
        verdict.message if verdict else None,
        status.start_time,
        status.completion_time,
        status.image_digest,
    )


def _without_job(seen: Observed, found: tuple[Attempt, ...]) -> Decision:
    if seen.run.status.job is None:
        return Decision(JobFacts(JobState.WAITING, jobs.job_name(seen.run)), found, create_job=True)
    gone = JobFacts(
        JobState.FAILED,
        seen.run.status.job,
        Reason.JOB_DELETED,
        "the Job was deleted before it ended; to train again, create a new TrainingRun",
        seen.run.status.start_time,
        seen.run.status.completion_time or seen.now,
    )
    return Decision(gone, found)


def _about_images(seen: Observed, facts: JobFacts, found: tuple[Attempt, ...], grace: timedelta) -> Decision:
    """End a Job whose image cannot be had; a Job would wait for it for ever."""
    waiting = [pod for pod in seen.pods if attempts.image_wait(pod)]
    if not waiting or FAILED_BECAUSE in (seen.job.metadata.annotations if seen.job else {}):
        return Decision(facts, found)
    since = min(pod.metadata.creation_timestamp or seen.now for pod in waiting)
    left = since + grace - seen.now
    if left > timedelta(0):
        return Decision(facts, found, look_again_after=left)
    return Decision(facts, found, patch_job=jobs.failure(Reason.IMAGE_PULL))


def _image_digest(pods: tuple[Pod, ...]) -> str | None:
    ids = [pod.training.image_id for pod in pods if pod.training and pod.training.image_id]
    return ids[-1] if ids else None
