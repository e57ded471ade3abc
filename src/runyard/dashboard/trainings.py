"""TrainingRuns of a cluster as they stand: read once for all who look, a second at most before."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from runyard import pod_logs, rights
from runyard.cluster import ClusterUnavailable, Refused
from runyard.dashboard import changes
from runyard.dashboard.accounts import answering
from runyard.dashboard.kept import Kept
from runyard.dashboard.logs import MOST_LINES
from runyard.dashboard.reads import Reads
from runyard.errors import RunyardError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runyard.api.trainingrun import TrainingRun
    from runyard.cluster import Cluster
    from runyard.dashboard.accounts import Looker
    from runyard.dashboard.changes import Change

MOST = 1_000
_FRESH_SECONDS = 1.0
_REST = 4
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
        read: of how many these are the newest.
        is_cut: whether there are more than were read.
        problem: why that may be old; empty where it is not.
        read_at: when they were read, in seconds since 1970; None: never.
        is_part: whether there may be others, which who looks may not see.

    """

    every: Sequence[TrainingRun] = ()
    read: int = 0
    is_cut: bool = False
    problem: str = ""
    read_at: float | None = None
    is_part: bool = False

    @property
    def version(self) -> str:
        """Something that is another one whenever there is something else to see."""
        newest = max((run.metadata.version for run in self.every), default=0)
        return f"{len(self.every) if self.is_part else self.read}-{newest}-{int(bool(self.problem))}"

    @property
    def left_out(self) -> str:
        """Which are not here, in a sentence; empty where all are."""
        if self.is_part:
            return (
                f"Those that you may see of the newest {MOST:,} TrainingRuns: kubectl has older ones."
                if self.is_cut
                else ""
            )
        if self.is_cut:
            return (
                f"The newest {len(self.every):,} of the first {self.read:,} TrainingRuns, by namespace and name: there "
                "are more, and of these none is looked at. Name the namespaces that are to be shown (--namespace)."
            )
        if self.read > len(self.every):
            return f"The newest {len(self.every):,} of {self.read:,} TrainingRuns; kubectl has them all."
        return ""

    def one(self, namespace: str, name: str) -> TrainingRun | None:
        """Return one of them; None where there is none of that name."""
        return next(
            (run for run in self.every if (run.metadata.namespace, run.metadata.name) == (namespace, name)), None
        )

    def of(self, looker: Looker) -> Stand:
        """Return those that somebody may see."""
        namespaces = looker.namespaces(run.metadata.namespace for run in self.every)
        if namespaces is None:
            return self
        shown = tuple(run for run in self.every if run.metadata.namespace in namespaces)
        return replace(self, every=shown, is_cut=self.is_cut or self.read > len(self.every), is_part=True)


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
        self._rights: Kept[tuple[str, str, str], bool] = Kept()
        self._stand = Stand()
        self._asked_at = float("-inf")
        self._fresh_seconds = _FRESH_SECONDS
        self._asking = threading.Lock()

    def look(self) -> Stand:
        """Return how they stand, or stood when the cluster last answered."""
        with self._asking:
            if time.monotonic() - self._asked_at > self._fresh_seconds:
                began = time.monotonic()
                try:
                    found = self._cluster.every(self._namespaces, MOST, ask=partial(self._reads.one, None))
                    self._stand = Stand(tuple(found.runs), found.read, found.is_cut, read_at=time.time())
                except RunyardError as error:
                    self._stand = replace(self._stand, problem=str(error))
                self._asked_at = time.monotonic()
                # Very many take several requests, which are not to be all that the API server has to do.
                self._fresh_seconds = max(_FRESH_SECONDS, _REST * (self._asked_at - began))
            return self._stand

    def look_for(self, namespace: str, name: str) -> Stand:
        """Return how they stand, with one that was made since the last look, or is not among the newest."""
        stand = self.look()
        if stand.one(namespace, name) or (self._namespaces and namespace not in self._namespaces):
            return stand
        try:
            found = self._reads.one(("training", namespace, name), partial(self._cluster.get, name, namespace))
        except Refused:  # there is none, or none that may be read
            return stand
        except RunyardError as error:
            return replace(stand, problem=str(error))
        return replace(stand, every=(found, *stand.every))

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
        return allowed(training, self._may)

    def _may(self, verb: str, namespace: str, name: str) -> bool:
        def read(_: bool | None) -> tuple[bool, float]:  # noqa: FBT001
            asked = ("may", verb, namespace, name)
            return self._reads.one(asked, lambda: rights.may(self._cluster, verb, namespace, name)), _RIGHTS_SECONDS

        return self._rights.get((verb, namespace, name), read)

    def change(self, training: TrainingRun, change: Change, cluster: Cluster | None = None) -> str:
        """Do what is asked; return the name of the TrainingRun to look at then, empty where it is deleted.

        Args:
            training: what is to be changed.
            change: how.
            cluster: by whose rights; None: by those of who runs the dashboard.

        Raises:
            NotPossible: the training does not stand so.
            Refused: the API server does not do it.
            ClusterUnavailable: the cluster does not answer: it may be done all the same.

        """
        made = self._changes.one(None, lambda: changes.make(cluster or self._cluster, training, change))
        with self._asking:  # who asked is to see it
            self._asked_at = float("-inf")
        return made

    def seen_by(self, looker: Looker) -> SeenTrainings:
        """Return them as somebody may see and change them."""
        return SeenTrainings(self, looker)

    def close(self) -> None:
        """Read no more."""
        self._changes.close()
        self._reads.close()
        self._reads_of_logs.close()


class SeenTrainings:
    """TrainingRuns as somebody may see and change them, by rights of their own."""

    def __init__(self, trainings: Trainings, looker: Looker) -> None:
        """Begin; nothing is asked."""
        self._trainings = trainings
        self._looker = looker

    def look(self) -> Stand:
        """Return how those stand that they may list, or stood when the cluster last answered."""
        return self._trainings.look().of(self._looker)

    def look_for(self, namespace: str, name: str) -> Stand:
        """Return how they stand, with one that was made since the last look, if they may see it."""
        if not self._looker.sees(namespace):
            return self.look()
        return self._trainings.look_for(namespace, name).of(self._looker)

    def possible(self, training: TrainingRun) -> list[Change]:
        """Return what can be done about a training, and is allowed to them.

        Raises:
            ClusterUnavailable: the cluster does not answer.

        """
        return allowed(training, self._looker.may)

    def change(self, training: TrainingRun, change: Change) -> str:
        """Do what is asked, by their rights; return the name of the TrainingRun to look at then.

        Raises:
            NotPossible: the training does not stand so.
            Refused: the API server does not do it.
            NotSignedIn: their token is not known any more.
            ClusterUnavailable: the cluster does not answer: it may be done all the same.

        """
        with answering():
            return self._trainings.change(training, change, self._looker.cluster)


def allowed(training: TrainingRun, may: Callable[[str, str, str], bool]) -> list[Change]:
    """Return what can be done about a training by somebody, given what they may."""
    where = training.metadata

    def is_allowed(change: Change) -> bool:
        verb = changes.verb(training, change)
        # Of what is made the API server gives the name.
        return may(verb, where.namespace, "" if verb == "create" else where.name)

    return [change for change in changes.possible(training) if is_allowed(change)]
