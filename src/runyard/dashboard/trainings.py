"""TrainingRuns of a cluster as they stand: read once for all who look, a second at most before."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runyard.cluster import ClusterUnavailable
from runyard.dashboard.reads import Reads
from runyard.errors import RunyardError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runyard.api.trainingrun import TrainingRun

MOST = 1_000
_FRESH_SECONDS = 1.0
_AT_ONCE = 2


@dataclass(frozen=True)
class Stand:
    """How they stood.

    Attributes:
        every: the newest first, a thousand at most.
        problem: why that may be old; empty where it is not.
        read_at: when they were read, in seconds since 1970; None: never.

    """

    every: Sequence[TrainingRun] = ()
    problem: str = ""
    read_at: float | None = None

    @property
    def version(self) -> str:
        """Something that is another one whenever there is something else to see."""
        newest = max((run.metadata.version for run in self.every), default=0)
        return f"{len(self.every)}-{newest}-{int(bool(self.problem))}"

    def one(self, namespace: str, name: str) -> TrainingRun | None:
        """Return one of them; None where there is none of that name."""
        return next(
            (run for run in self.every if (run.metadata.namespace, run.metadata.name) == (namespace, name)), None
        )


class Trainings:
    """The TrainingRuns that a function lists."""

    def __init__(self, listing: Callable[[], Sequence[TrainingRun]]) -> None:
        """Begin with none."""
        self._listing = listing
        self._reads = Reads("the cluster", at_once=_AT_ONCE, silence=ClusterUnavailable)
        self._stand = Stand()
        self._asked_at = float("-inf")
        self._asking = threading.Lock()

    def look(self) -> Stand:
        """Return how they stand, or stood when the cluster last answered."""
        with self._asking:
            if time.monotonic() - self._asked_at > _FRESH_SECONDS:
                try:
                    self._stand = Stand(tuple(self._reads.one(self._listing)), read_at=time.time())
                except RunyardError as error:
                    self._stand = Stand(self._stand.every, str(error), self._stand.read_at)
                self._asked_at = time.monotonic()
            return self._stand

    def close(self) -> None:
        """Read no more."""
        self._reads.close()
