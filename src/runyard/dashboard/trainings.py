"""TrainingRuns of a cluster as they stand: read once for all who look, a second at most before."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runyard import pod_logs
from runyard.cluster import ClusterUnavailable
from runyard.dashboard import changes
from runyard.dashboard.kept import Kept
from runyard.dashboard.logs import MOST_LINES
from runyard.dashboard.reads import Reads
from runyard.errors import RunyardError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runyard.api.trainingrun import TrainingRun
    from runyard.cluster import Cluster
    from runyard.dashboard.changes import Change

MOST = 1_000
_FRESH_SECONDS = 1.0
_AT_ONCE = 2
_LOGS_AT_ONCE = 8
# Somebody waits for a change to be made, and would not know whether it was.
_CHANGE_SECONDS = 10.0
_RIGHTS_SECONDS = 30.0


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
    """The TrainingRuns of a cluster, or of some of its namespaces."""

    def __init__(self, cluster: Cluster, namespaces: Sequence[str] = ()) -> None:
        """Begin with none.

        Args:
            cluster: asked as its client may.
            namespaces: those whose TrainingRuns are shown; none: all.

        """
        self._cluster = cluster
        self._namespaces = tuple(namespaces)
        self._reads = Reads("the cluster", at_once=_AT_ONCE, silence=ClusterUnavailable)
        # A kubelet that hangs must not keep the list from being read.
        self._reads_of_logs = Reads("the pod's node", at_once=_LOGS_AT_ONCE, silence=ClusterUnavailable)
        self._changes = Reads("the cluster", _CHANGE_SECONDS, _AT_ONCE, silence=ClusterUnavailable)
        self._rights: Kept[tuple[str, str], bool] = Kept()
        self._stand = Stand()
        self._asked_at = float("-inf")
        self._asking = threading.Lock()

    def look(self) -> Stand:
        """Return how they stand, or stood when the cluster last answered."""
        with self._asking:
            if time.monotonic() - self._asked_at > _FRESH_SECONDS:
                try:
                    self._stand = Stand(tuple(self._reads.one("every", self._listed)), read_at=time.time())
                except RunyardError as error:
                    self._stand = Stand(self._stand.every, str(error), self._stand.read_at)
                self._asked_at = time.monotonic()
            return self._stand

    def _listed(self) -> list[TrainingRun]:
        return self._cluster.every(self._namespaces, at_most=MOST)

    def log(self, namespace: str, pod: str) -> bytes:
        """Return the last 200 lines that a pod has printed.

        Raises:
            NoLog: the pod is gone, or its container has not begun.
            Forbidden: who runs the dashboard may not read it.
            ClusterUnavailable: the cluster does not answer, or the pod's node does not.

        """
        return self._reads_of_logs.one(
            (namespace, pod), lambda: pod_logs.end(self._cluster, namespace, pod, MOST_LINES)
        )

    def possible(self, training: TrainingRun) -> list[Change]:
        """Return what can be done about a training, and is allowed to who runs the dashboard.

        Raises:
            ClusterUnavailable: the cluster does not answer.

        """
        namespace = training.metadata.namespace
        return [change for change in changes.possible(training) if self._may(changes.verb(training, change), namespace)]

    def _may(self, verb: str, namespace: str) -> bool:
        def read(_: bool | None) -> tuple[bool, float]:  # noqa: FBT001
            right = self._reads.one(("may", verb, namespace), lambda: self._cluster.may(verb, namespace))
            return right, _RIGHTS_SECONDS

        return self._rights.get((verb, namespace), read)

    def change(self, training: TrainingRun, change: Change) -> str:
        """Do what is asked; return the name of the TrainingRun to look at then, empty where it is deleted.

        Raises:
            NotPossible: the training does not stand so.
            Refused: the API server does not do it.
            ClusterUnavailable: the cluster does not answer: it may be done all the same.

        """
        made = self._changes.one(None, lambda: changes.make(self._cluster, training, change))
        with self._asking:  # who asked is to see it
            self._asked_at = float("-inf")
        return made

    def close(self) -> None:
        """Read no more."""
        self._changes.close()
        self._reads.close()
        self._reads_of_logs.close()
