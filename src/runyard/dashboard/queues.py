"""Where trainings stand among those that wait for the same queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runyard.api.outcome import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runyard.api.trainingrun import TrainingRun


@dataclass(frozen=True)
class Place:
    """A place in a queue.

    Attributes:
        number: how many were made no later, with itself.
        of: how many wait.

    """

    number: int
    of: int


def places(every: Sequence[TrainingRun]) -> dict[tuple[str, str], Place]:
    """Return, by namespace and name, where each that waits for a queue stands by its age.

    A LocalQueue is its namespace's own. Kueue goes by priorities, and by what there is room for, too.

    Args:
        every: all TrainingRuns, the newest first.

    """
    waiting: dict[tuple[str, str], list[str]] = {}
    for each in reversed(every):
        if each.spec.queue_name is not None and each.status.phase is Phase.QUEUED:
            waiting.setdefault((each.metadata.namespace, each.spec.queue_name), []).append(each.metadata.name)
    return {
        (namespace, name): Place(number, len(names))
        for (namespace, _), names in waiting.items()
        for number, name in enumerate(names, 1)
    }


def place(training: TrainingRun, every: Sequence[TrainingRun]) -> Place | None:
    """Return where one of them stands; None where it waits for no queue."""
    return places(every).get((training.metadata.namespace, training.metadata.name))
