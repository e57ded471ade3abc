"""What became of each pod: its state as an attempt, and the cause of its end."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from runyard.api.trainingrun import Attempt, Outcome, Reason
from runyard_operator.objects import FAILED_BECAUSE, Job, Pod, Terminated

_IMAGE_WAITS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "RegistryUnavailable",
}
_DISRUPTIONS = {
    "PreemptionByScheduler": Reason.PREEMPTED,
    "EvictionByEvictionAPI": Reason.EVICTED,
    "TerminationByKubelet": Reason.EVICTED,
}


def observed(pods: Iterable[Pod], before: Sequence[Attempt], job: Job | None, now: datetime) -> list[Attempt]:
    """Return all attempts, oldest first: those that are remembered, and those whose pods are new.

    What was final stays as it was; a remembered pod that is gone without an end seen has ended unseen.
    """

    def age(pod: Pod) -> tuple[datetime, str]:
        return (pod.metadata.creation_timestamp or now, pod.metadata.name)

    present = {pod.metadata.uid: pod for pod in pods}
    remembered = {attempt.uid for attempt in before}
    oldest = min((age(present[uid]) for uid in remembered if uid in present), default=None)
    others = sorted((pod for uid, pod in present.items() if uid not in remembered), key=age)
    # A status remembers the last attempts only; the pods of earlier ones may still be there.
    forgotten = [pod for pod in others if oldest is not None and age(pod) < oldest]
    return [
        *(_of_pod(pod, None, job, now) for pod in forgotten),
        *(_again(attempt, present.get(attempt.uid), job, now) for attempt in before),
        *(_of_pod(pod, None, job, now) for pod in others[len(forgotten) :]),
    ]


def image_wait(pod: Pod) -> str | None:
    """Return what the kubelet says of an image it cannot get; None where no image is waited for."""
    for container in [*pod.status.init_container_statuses, *pod.status.container_statuses]:
        waiting = container.state.waiting
        if waiting and waiting.reason in _IMAGE_WAITS:
            return f"{waiting.reason}: {waiting.message}".removesuffix(": ")
    return None


def _again(attempt: Attempt, pod: Pod | None, job: Job | None, now: datetime) -> Attempt:
    if attempt.outcome.is_final:
        return attempt
    return _of_pod(pod, attempt, job, now) if pod else _vanished(attempt, job, now)


def _of_pod(pod: Pod, earlier: Attempt | None, job: Job | None, now: datetime) -> Attempt:
    terminated = _end_of_training(pod)
    running = pod.training.state.running if pod.training else None
    started = (terminated or running).started_at if (terminated or running) else None  # type: ignore[union-attr]
    base = Attempt(
        pod=pod.metadata.name,
        uid=pod.metadata.uid,
        node=pod.spec.node_name,
        outcome=Outcome.PENDING,
        started_at=started or pod.status.start_time or pod.metadata.creation_timestamp,
        # What a pod waited for explains its end only if it never came to run.
        message=earlier.message if earlier and not (terminated or running) else None,
        run_id=earlier.run_id if earlier else None,
    )
    if pod.status.phase == "Succeeded":
        return _ended(base, Outcome.SUCCEEDED, Reason.COMPLETED, terminated, now)
    if pod.status.phase == "Failed":
        outcome, reason = _cause(pod, terminated, job, now)
        return _ended(base, outcome, reason, terminated, now, pod.status.message)
    if running is not None:
        return base.model_copy(update={"outcome": Outcome.RUNNING})
    # A pod on its way out waits for nothing any more; what it waited for is then why it ended.
    kept = base.message if pod.metadata.deletion_timestamp else None
    return base.model_copy(update={"message": _waits_for(pod) or kept})


def _end_of_training(pod: Pod) -> Terminated | None:
    """Return how the training container ended; of one that it cannot find, the kubelet only makes up a code."""
    found = pod.training.state.terminated if pod.training else None
    return None if found and found.reason == "ContainerStatusUnknown" else found


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


def _cause(pod: Pod, terminated: Terminated | None, job: Job | None, now: datetime) -> tuple[Outcome, str]:
    if terminated and terminated.reason == "OOMKilled":
        return Outcome.FAILED, Reason.OOM_KILLED
    if disruption := pod.condition("DisruptionTarget"):
        return Outcome.CANCELLED, _DISRUPTIONS.get(disruption.reason, Reason.EVICTED)
    if pod.status.reason == "Evicted":
        return Outcome.CANCELLED, Reason.EVICTED
    if pod.metadata.deletion_timestamp or pod.status.reason == "DeadlineExceeded":
        return _why_stopped(job, now)
    return Outcome.FAILED, Reason.ERROR


def _why_stopped(job: Job | None, now: datetime) -> tuple[Outcome, str]:
    """Return why a pod was deleted: what the Job says of itself, else someone did it by hand."""
    if job is None or job.metadata.deletion_timestamp:
        return Outcome.CANCELLED, Reason.CANCELLED
    if reason := job.metadata.annotations.get(FAILED_BECAUSE):
        return Outcome.FAILED, reason
    ending = job.condition("FailureTarget") or job.condition("Failed")
    if (ending and ending.reason == "DeadlineExceeded") or _is_overdue(job, now):
        return Outcome.FAILED, Reason.DEADLINE_EXCEEDED
    if job.spec.suspend:
        return Outcome.CANCELLED, Reason.SUSPENDED
    return Outcome.CANCELLED, Reason.POD_DELETED


def _is_overdue(job: Job, now: datetime) -> bool:
    """Whether the deadline has passed: the Job controller deletes the pods before it says so."""
    limit, started = job.spec.active_deadline_seconds, job.status.start_time
    return limit is not None and started is not None and now >= started + timedelta(seconds=limit)


def _vanished(attempt: Attempt, job: Job | None, now: datetime) -> Attempt:
    outcome, reason = _why_stopped(job, now)
    return attempt.model_copy(
        update={
            "outcome": outcome,
            "reason": str(reason),
            "finished_at": now,
            "message": attempt.message or "the pod is gone, and its end was not seen",
        }
    )


def _waits_for(pod: Pod) -> str | None:
    if image := image_wait(pod):
        return image
    if unscheduled := pod.condition("PodScheduled", "False"):
        return f"{unscheduled.reason}: {unscheduled.message}"
    waiting = pod.training.state.waiting if pod.training else None
    if waiting and waiting.message:
        return f"{waiting.reason}: {waiting.message}"
    return None


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")[:1024]
