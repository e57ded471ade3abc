"""Which attempts a status lists: a resource has room for so many."""

from collections.abc import Sequence
from itertools import dropwhile

from runyard.api.outcome import Attempt, TrainingRunStatus

ATTEMPTS_KEPT = 10


def of_one(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Drop the oldest, but none that MLflow does not agree with yet, and none after one of those."""
    spare = len(attempts) - ATTEMPTS_KEPT
    kept = dropwhile(lambda item: item[0] < spare and item[1].recorded_at, enumerate(attempts))
    return [attempt for _, attempt in kept]


def of_workers(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Keep the last of each worker, what MLflow does not agree with yet and what came after that, and ten more.

    Of 512 workers a status has room for little: all were given the same code and the same data, which the first tells.
    """
    last = {attempt.worker: attempt.uid for attempt in attempts}
    waiting: set[int | None] = set()
    older = []
    for attempt in attempts:
        if not attempt.recorded_at:
            waiting.add(attempt.worker)
        if attempt.worker not in waiting and last[attempt.worker] != attempt.uid:
            older.append(attempt.uid)
    dropped = set(older[: max(len(older) - ATTEMPTS_KEPT, 0)])
    return [
        attempt.model_copy(update={} if attempt.worker == 0 else {"source": None, "datasets": None})
        for attempt in attempts
        if attempt.uid not in dropped
    ]


def count(before: TrainingRunStatus, attempts: Sequence[Attempt]) -> int:
    """Return how many attempts there were, those that are no longer listed included."""
    listed = {attempt.uid for attempt in before.attempts}
    return (before.attempt_count or 0) + sum(attempt.uid not in listed for attempt in attempts)


def numbered(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Number each worker's attempts, oldest first: its last is always listed, and says how many it has had."""
    last: dict[int | None, int] = {}
    found = []
    for attempt in attempts:
        number = attempt.number or last.get(attempt.worker, 0) + 1
        last[attempt.worker] = max(number, last.get(attempt.worker, 0))
        found.append(attempt.model_copy(update={"number": number}))
    return found


def reached(count: int, attempts: Sequence[Attempt]) -> int:
    """Return which attempt a resource is at: its workers share one, so that it is not how many pods there were."""
    return max((attempt.number for attempt in attempts if attempt.number), default=count)
