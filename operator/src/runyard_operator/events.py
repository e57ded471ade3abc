"""Events that tell a resource's story: one for each step between two statuses."""

from collections.abc import Iterator
from dataclasses import dataclass

from runyard.api.outcome import Attempt, Outcome, Phase, Reason, TrainingRunStatus
from runyard.api.status import PROMOTED, SUCCEEDED, TRACKED, condition_status

NORMAL, WARNING = "Normal", "Warning"
# The kubelet's word where a Secret or ConfigMap that a container's environment is from, or a key of it, is missing.
_UNCONFIGURED = "CreateContainerConfigError: "


@dataclass(frozen=True)
class Event:
    """One line of `kubectl describe`."""

    kind: str
    reason: str
    action: str
    note: str


def between(before: TrainingRunStatus, after: TrainingRunStatus, *, retries: int) -> Iterator[Event]:
    """Return what happened between two statuses; nothing for a status seen twice.

    A training that ends is one event, however it ends, since each is a write of its own; the Job and its pod have
    theirs. So an attempt's end is told where it is not the training's.

    Args:
        before: the status that was.
        after: the one that is.
        retries: how often a failure may be tried again.

    """
    known = {attempt.uid: attempt for attempt in before.attempts}
    for attempt in after.attempts:
        earlier = known.get(attempt.uid)
        if not (earlier and earlier.outcome.is_final) and _is_news(attempt, retries):
            code = "" if attempt.exit_code is None else f", exit code {attempt.exit_code}"
            whose = f" of the container {attempt.container}" if code and attempt.container else ""
            yield Event(WARNING, "AttemptFailed", "Run", f"Pod {attempt.pod} ended: {attempt.reason}{code}{whose}")
    stuck = next((attempt for attempt in after.attempts if _cannot_begin(attempt)), None)
    if stuck and not any(_cannot_begin(attempt) for attempt in before.attempts):  # of many workers one tells it
        yield Event(WARNING, "CannotBegin", "Run", f"Pod {stuck.pod} begins once this is mended: {stuck.message}")
    if after.phase is Phase.SUSPENDED and before.phase not in {None, Phase.SUSPENDED}:
        yield Event(NORMAL, "Suspended", "Suspend", "No pod runs until spec.suspend is false")
    yield from _of_outcome(before, after)
    tracked, earlier_word = after.condition(TRACKED), before.condition(TRACKED)
    was = (earlier_word.status, earlier_word.reason) if earlier_word else ("", "")
    if tracked and tracked.status == "True" and was[0] == "False":
        yield Event(NORMAL, "Tracked", "Record", tracked.message)
    if tracked and tracked.status == "False" and was != ("False", tracked.reason):
        yield Event(WARNING, "NotTracked", "Record", tracked.message)
    yield from _of_promotion(before, after)


def _of_outcome(before: TrainingRunStatus, after: TrainingRunStatus) -> Iterator[Event]:
    if (verdict := after.condition(SUCCEEDED)) and verdict.status != condition_status(before, SUCCEEDED):
        if verdict.status == "True" and after.reused_from:
            yield Event(NORMAL, "Reused", "Finish", verdict.message)
        elif verdict.status == "True":
            run = f"; its run is {after.tracking.run_id}" if after.tracking else ""
            yield Event(NORMAL, "Succeeded", "Finish", f"The training succeeded in {after.duration}{run}")
        if verdict.status == "False" and verdict.reason == Reason.PRUNED:
            yield Event(NORMAL, "Pruned", "Finish", verdict.message)
        elif verdict.status == "False":
            yield Event(WARNING, "Failed", "Finish", f"{verdict.reason}: {verdict.message}".removesuffix(": "))


def _of_promotion(before: TrainingRunStatus, after: TrainingRunStatus) -> Iterator[Event]:
    promoted = after.condition(PROMOTED)
    if promoted and promoted.status != condition_status(before, PROMOTED):
        if promoted.status == "True":
            yield Event(NORMAL, "Promoted", "Promote", promoted.message)
        # That a training failed is an event already.
        if promoted.status == "False" and promoted.reason not in {Reason.TRAINING_FAILED, Reason.INVALID_SPEC}:
            yield Event(NORMAL, "NotPromoted", "Promote", f"{promoted.reason}: {promoted.message}")


def _cannot_begin(attempt: Attempt) -> bool:
    """Whether a pod waits for what somebody must give it, such as a Secret: nothing else tells of it, nor ends it."""
    return attempt.outcome is Outcome.PENDING and (attempt.message or "").startswith(_UNCONFIGURED)


def _is_news(attempt: Attempt, retries: int) -> bool:
    """Whether no other event tells of an attempt's end: its training's own, or that of a suspension."""
    if attempt.outcome is Outcome.FAILED:
        return retries > 0
    return attempt.outcome is Outcome.CANCELLED and attempt.reason not in {
        Reason.CANCELLED,
        Reason.SUSPENDED,
        Reason.PRUNED,
    }
