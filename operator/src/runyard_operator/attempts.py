"""What became of each pod: its state as an attempt, and the cause of its end."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from runyard.api.outcome import Attempt, Outcome, Reason, TrainingRunStatus
from runyard.api.trainingrun import TRAINING_CONTAINER
from runyard_operator import preparing
from runyard_operator.objects import (
    FAILED_BECAUSE,
    UNKNOWN_END,
    ContainerStatus,
    Job,
    ObjectCondition,
    Pod,
    Terminated,
)

_IMAGE_WAITS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "RegistryUnavailable",
}
# Whatever else disrupts a pod evicts it: the eviction API, and the kubelet, when memory or disk is short or the node
# shuts down. A taint of a kind that lets nothing stay is nearly always that of a node that does not answer.
_DISRUPTIONS = {
    "PreemptionByScheduler": Reason.PREEMPTED,
    "DeletionByTaintManager": Reason.NODE_LOST,
    "DeletionByPodGC": Reason.NODE_LOST,
}
# How a container ends that is told to, and how far its node's clock may be behind the API server's.
_SIGNALLED = {128 + 9, 128 + 15}
_CLOCK_SKEW = timedelta(seconds=10)
UNSEEN = "the pod is gone, and its end was not seen"
# What a container's own end is the cause of.
_OF_A_CONTAINER = {Reason.ERROR, Reason.OOM_KILLED}


def observed(pods: Iterable[Pod], status: TrainingRunStatus, job: Job | None, now: datetime) -> list[Attempt]:
    """Return all attempts, oldest first: those that are remembered, and those whose pods are new.

    What was final stays as it was; a remembered pod that is gone without an end seen has ended unseen.
    """
    before = status.attempts
    present = {pod.metadata.uid: pod for pod in pods}
    remembered = {attempt.uid for attempt in before}
    # Pods of attempts that the status has dropped may still be there.
    listed_since = _first_begun(before) if (status.attempt_count or 0) > len(before) else {}
    new = [
        pod
        for pod in by_age(pods)
        if pod.metadata.uid not in remembered
        and not (pod.worker in listed_since and pod.metadata.creation_timestamp < listed_since[pod.worker])
    ]
    last = {attempt.worker: attempt.uid for attempt in before} | {pod.worker: "" for pod in new}
    found = [
        *(
            _again(attempt, present.get(attempt.uid), job, now, is_last=last[attempt.worker] == attempt.uid)
            for attempt in before
        ),
        *(_of_pod(pod, None, job, now) for pod in new),
    ]
    # After a restart pods are seen in any order. Each attempt begins after the one before it has ended.
    return sorted(found, key=lambda attempt: _begun_at(attempt, present.get(attempt.uid), now))


def _first_begun(listed: Iterable[Attempt]) -> dict[int | None, datetime]:
    """Return when the first of each worker's listed attempts began: those that were dropped had ended before."""
    found: dict[int | None, datetime] = {}
    for attempt in listed:
        if attempt.started_at:
            found[attempt.worker] = min(attempt.started_at, found.get(attempt.worker, attempt.started_at))
    return found


def _begun_at(attempt: Attempt, pod: Pod | None, now: datetime) -> datetime:
    """Return when an attempt began, or its pod was made where a node's clock has it begin later than the next one."""
    begun = attempt.started_at or now
    return min(begun, pod.metadata.creation_timestamp) if pod else begun


def by_age(pods: Iterable[Pod]) -> list[Pod]:
    """Return pods in the order in which they were made."""
    return sorted(pods, key=lambda pod: (pod.metadata.creation_timestamp, pod.metadata.name))


def image_wait(pod: Pod) -> str | None:
    """Return what the kubelet says of an image it cannot get; None where no image is waited for.

    A pod that is gone, or is to go, waits for nothing, whatever was said of its containers last.
    """
    if pod.has_ended or pod.metadata.deletion_timestamp:
        return None
    for container in [*pod.status.init_container_statuses, *pod.status.container_statuses]:
        waiting = container.state.waiting
        if waiting and waiting.reason in _IMAGE_WAITS:
            return f"{waiting.reason}: {waiting.message}".removesuffix(": ")
    return None


def _again(attempt: Attempt, pod: Pod | None, job: Job | None, now: datetime, *, is_last: bool) -> Attempt:
    if attempt.outcome.is_final:
        return attempt
    if pod:
        return _of_pod(pod, attempt, job, now)
    outcome, reason = _why_gone(attempt, job, now, is_last=is_last)
    # What never got its image came to nothing else, and what was told to go went; what only waited may have gone on.
    is_explained = attempt.message and (attempt.reason or reason == Reason.IMAGE_PULL)
    return attempt.model_copy(
        update={
            "outcome": outcome,
            "reason": str(reason),
            "finished_at": now,
            "message": attempt.message if is_explained else "; ".join(filter(None, (attempt.message, UNSEEN))),
        }
    )


def _why_gone(attempt: Attempt, job: Job | None, now: datetime, *, is_last: bool) -> tuple[Outcome, Reason | str]:
    if job and is_last and job.has_completed(attempt.worker):
        return Outcome.SUCCEEDED, Reason.COMPLETED
    if attempt.reason:  # it was being disrupted when it was last seen
        return Outcome.CANCELLED, attempt.reason
    # A Job starts no pod after one that it has ended for a reason of its own.
    return _why_stopped(job, now, attempt.worker) if is_last else (Outcome.CANCELLED, Reason.POD_DELETED)


def _of_pod(pod: Pod, earlier: Attempt | None, job: Job | None, now: datetime) -> Attempt:
    terminated = pod.end_of_training
    running = pod.training.state.running if pod.training else None
    ran = terminated or running
    began = ran.started_at if ran else None
    prepared, made = preparing.report(pod), pod.metadata.creation_timestamp
    base = Attempt(
        pod=pod.metadata.name,
        worker=pod.worker,
        number=earlier.number if earlier else None,
        uid=pod.metadata.uid,
        node=pod.spec.node_name,
        outcome=Outcome.PENDING,
        # Of a program that could not be started, the kubelet says that it was in 1970.
        # Nor does anything begin before it is made, which a node whose clock is behind may say.
        started_at=max(began or pod.status.start_time or made, made),
        # What a pod waited for explains its end only if it never came to run.
        message=earlier.message if earlier and not ran else None,
        source=(prepared.source if prepared else None) or (earlier.source if earlier else None),
        datasets=(prepared.datasets if prepared else None) or (earlier.datasets if earlier else None),
        image_digest=(pod.training.image_id if pod.training else None) or (earlier.image_digest if earlier else None),
        run_id=earlier.run_id if earlier else None,
    )
    if pod.status.phase == "Succeeded":
        return _ended(base, *_of_success(pod, earlier, job), terminated, now)
    if pod.status.phase == "Failed":
        return _failed(base, pod, earlier, job, now)
    base = base.model_copy(update=_why_leaving(pod, earlier, job))
    if running is not None:
        return base.model_copy(update={"outcome": Outcome.RUNNING})
    if terminated:
        message = f"the training has ended with exit code {terminated.exit_code}, and {_still(pod)}"
        return base.model_copy(update={"outcome": Outcome.RUNNING, "message": message})
    # A pod on its way out waits for nothing any more; what it waited for is then why it ended.
    kept = base.message if pod.metadata.deletion_timestamp else None
    return base.model_copy(update={"message": _waits_for(pod) or kept})


def _of_success(pod: Pod, earlier: Attempt | None, job: Job | None) -> tuple[Outcome, Reason | str]:
    """Return what a pod's success is: told to go with its Job, it has stopped well, and not trained to the end.

    A Job that is suspended or deleted does not count it; one that fails may, and fails all the same. Of a pod that was
    deleted by hand the Job counts it.
    """
    end, asked_at = pod.end_of_training, pod.deletion_asked_at
    # Times are whole seconds; within one it is likelier that a training heard the signal than that it was just done.
    was_told = asked_at and end and end.finished_at and end.finished_at >= asked_at
    if not was_told or asked_at is None or (job and job.condition("Complete")):
        return Outcome.SUCCEEDED, Reason.COMPLETED
    outcome, reason = _why_stopped(job, asked_at, pod.worker)
    counts = job is not None and job.has_completed(pod.worker) and not job.failing and outcome is not Outcome.FAILED
    if counts:
        return Outcome.SUCCEEDED, Reason.COMPLETED
    if earlier and earlier.reason == Reason.SUSPENDED and outcome is not Outcome.FAILED:
        return Outcome.CANCELLED, Reason.SUSPENDED
    return (Outcome.SUCCEEDED, Reason.COMPLETED) if reason == Reason.POD_DELETED else (outcome, reason)


def _failed(base: Attempt, pod: Pod, earlier: Attempt | None, job: Job | None, now: datetime) -> Attempt:
    terminated, unprepared = pod.end_of_training, preparing.failed(pod)
    is_training = terminated is not None and terminated.exit_code != 0
    other = None if unprepared or is_training else _other_failure(pod)
    guilty = unprepared.end if unprepared else other.state.terminated if other else terminated
    outcome, reason = _cause(pod, guilty, job)
    is_of_container = outcome is Outcome.FAILED and reason in _OF_A_CONTAINER
    if unprepared and is_of_container:
        return _ended(base, outcome, unprepared.reason, None, unprepared.end.finished_at or now, unprepared.message)
    if other and is_of_container:
        return _ended(base.model_copy(update={"container": other.name}), outcome, reason, guilty, now)
    if outcome is Outcome.CANCELLED and earlier and earlier.reason == Reason.SUSPENDED:
        reason = Reason.SUSPENDED  # as it was when the pod was told to go, though it may have been resumed since
    disruption = pod.condition("DisruptionTarget")
    told = disruption.message if disruption and outcome is Outcome.CANCELLED else ""
    return _ended(base, outcome, reason, terminated, now, pod.status.message or told)


def _why_leaving(pod: Pod, earlier: Attempt | None, job: Job | None) -> dict[str, str | None]:
    """Return what is known, before its end, of why a pod is to go: this may be the last that is heard of it."""
    if disruption := pod.condition("DisruptionTarget"):
        return {"reason": str(_disrupted_by(disruption)), "message": disruption.message or None}
    was_suspended = earlier is not None and earlier.reason == Reason.SUSPENDED
    if was_suspended or (pod.metadata.deletion_timestamp and job and job.spec.suspend):
        return {"reason": str(Reason.SUSPENDED)}
    return {}


def _other_failure(pod: Pod) -> ContainerStatus | None:
    """Return the container besides the training's that failed first: it is why the pod has failed."""
    statuses = [*pod.status.init_container_statuses, *pod.status.container_statuses]
    failed = [
        (found.state.terminated.finished_at, place, found)
        for place, found in enumerate(statuses)
        if found.name != TRAINING_CONTAINER
        and found.state.terminated
        and found.state.terminated.exit_code
        and found.state.terminated.reason != UNKNOWN_END
    ]
    dated = [(at, place, found) for at, place, found in failed if at]
    return min(dated, key=lambda item: item[:2])[2] if dated else failed[0][2] if failed else None


def _still(pod: Pod) -> str:
    names = ", ".join(pod.others_running)
    if not names:  # containers that go with the training take their time to
        return "its pod is about to end"
    return f"its pod waits for {names}: make that an init container with restartPolicy Always, which ends with it"


def _ended(
    base: Attempt,
    outcome: Outcome,
    reason: str,
    terminated: Terminated | None,
    now: datetime,
    message: str = "",
) -> Attempt:
    said = message or (_last_line(terminated.message) if terminated and outcome is not Outcome.SUCCEEDED else "")
    return base.model_copy(
        update={
            "outcome": outcome,
            "reason": str(reason),
            "exit_code": terminated.exit_code if terminated else None,
            "finished_at": (terminated.finished_at if terminated else None) or now,
            "message": said or (None if outcome is Outcome.SUCCEEDED else base.message),
        }
    )


def _cause(pod: Pod, terminated: Terminated | None, job: Job | None) -> tuple[Outcome, Reason | str]:
    if terminated and terminated.reason == "OOMKilled":
        return Outcome.FAILED, Reason.OOM_KILLED
    if disruption := pod.condition("DisruptionTarget"):
        return Outcome.CANCELLED, _disrupted_by(disruption)
    if pod.status.reason == "Evicted":
        # Without the mark of a disruption: a pod that filled more of the disk than it may, whose doing that is, or one
        # that a node in need did not take in.
        return (Outcome.FAILED if pod.was_taken_in else Outcome.CANCELLED), Reason.EVICTED
    if pod.status.reason == "DeadlineExceeded":  # of the pod's own, which its template may have
        return Outcome.FAILED, Reason.DEADLINE_EXCEEDED
    asked_at = pod.deletion_asked_at
    if asked_at and not _ended_before(terminated, asked_at):
        return _why_stopped(job, asked_at, pod.worker)
    return Outcome.FAILED, Reason.ERROR


def _ended_before(terminated: Terminated | None, asked_at: datetime) -> bool:
    """Whether a container had ended by itself when its pod's deletion was asked for, by two machines' clocks."""
    if terminated is None or terminated.finished_at is None:
        return False
    skew = _CLOCK_SKEW if terminated.exit_code in _SIGNALLED else timedelta(0)
    return terminated.finished_at + skew < asked_at


def _disrupted_by(disruption: ObjectCondition) -> Reason:
    return _DISRUPTIONS.get(disruption.reason, Reason.EVICTED)


def _why_stopped(job: Job | None, when: datetime, worker: int | None) -> tuple[Outcome, Reason | str]:
    """Return why a pod was stopped at a moment: what the Job says of itself, else someone did it by hand."""
    if job is None or job.metadata.deletion_timestamp:
        return Outcome.CANCELLED, Reason.CANCELLED
    if reason := job.metadata.annotations.get(FAILED_BECAUSE):
        return (Outcome.CANCELLED if reason == Reason.PRUNED else Outcome.FAILED), reason
    ending = job.failing
    if (ending and ending.reason == "DeadlineExceeded") or _is_overdue(job, when):
        return Outcome.FAILED, Reason.DEADLINE_EXCEEDED
    if job.spec.suspend:
        return Outcome.CANCELLED, Reason.SUSPENDED
    if ending and worker is not None:  # another worker's failure ended them all
        return Outcome.CANCELLED, Reason.CANCELLED
    return Outcome.CANCELLED, Reason.POD_DELETED


def _is_overdue(job: Job, when: datetime) -> bool:
    """Whether the deadline had passed: the Job controller deletes the pods before it says so."""
    limit, started = job.spec.active_deadline_seconds, job.status.start_time
    return limit is not None and started is not None and when >= started + timedelta(seconds=limit)


def _waits_for(pod: Pod) -> str | None:
    if image := image_wait(pod):
        return image
    if unscheduled := pod.condition("PodScheduled", "False"):
        return f"{unscheduled.reason}: {unscheduled.message}"
    waiting = pod.training.state.waiting if pod.training else None
    if waiting and waiting.message:
        return f"{waiting.reason}: {waiting.message}"
    return "source and datasets are being fetched" if preparing.is_going_on(pod) else None


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")[:1024]
