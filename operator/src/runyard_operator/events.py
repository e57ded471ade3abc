"""Events that tell a resource's story: one for each step between two statuses."""

from collections.abc import Iterator
from dataclasses import dataclass

from runyard.api.status import SUCCEEDED, TRACKED
from runyard.api.trainingrun import Attempt, Outcome, Phase, TrainingRunStatus

NORMAL, WARNING = "Normal", "Warning"


@dataclass(frozen=True)
class Event:
    """One line of `kubectl describe`."""

    kind: str
    reason: str
    action: str
    note: str


def between(before: TrainingRunStatus, after: TrainingRunStatus) -> Iterator[Event]:
    """Return what happened between two statuses; nothing for a status seen twice."""
    if after.job and not before.job:
        yield Event(NORMAL, "JobCreated", "Launch", f"Created Job {after.job}")
    known = {attempt.uid: attempt for attempt in before.attempts}
    for attempt in after.attempts:
        yield from _of_attempt(known.get(attempt.uid), attempt)
    if after.phase is Phase.SUSPENDED and before.phase is not Phase.SUSPENDED:
        yield Event(NORMAL, "Suspended", "Suspend", "No pod runs until spec.suspend is false")
    if (verdict := after.condition(SUCCEEDED)) and verdict.status != _status(before, SUCCEEDED):
        if verdict.status == "True":
            yield Event(NORMAL, "Succeeded", "Finish", "The training succeeded")
        if verdict.status == "False":
            yield Event(WARNING, "Failed", "Finish", f"{verdict.reason}: {verdict.message}".removesuffix(": "))
    if (tracked := after.condition(TRACKED)) and tracked.status != _status(before, TRACKED):
        if tracked.status == "True" and after.attempts:
            yield Event(NORMAL, "Tracked", "Record", tracked.message)
        if tracked.status == "False":
            yield Event(WARNING, "NotTracked", "Record", tracked.message)


def _of_attempt(before: Attempt | None, after: Attempt) -> Iterator[Event]:
    if before is not None and before.outcome is after.outcome:
        return
    if after.outcome is Outcome.RUNNING:
        yield Event(NORMAL, "AttemptStarted", "Run", f"Pod {after.pod} runs on {after.node}")
    elif after.outcome is Outcome.SUCCEEDED:
        yield Event(NORMAL, "AttemptSucceeded", "Run", f"Pod {after.pod} completed")
    elif after.outcome.is_final:
        code = "" if after.exit_code is None else f", exit code {after.exit_code}"
        yield Event(WARNING, "AttemptFailed", "Run", f"Pod {after.pod} ended: {after.reason}{code}")


def _status(status: TrainingRunStatus, condition: str) -> str:
    found = status.condition(condition)
    return found.status if found else "Unknown"
