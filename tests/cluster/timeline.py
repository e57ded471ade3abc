"""When a client of the API server saw what: which Jobs were made, how each ended, what its TrainingRun said then.

And which pods there were, and how far each came.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPException
from typing import Any, Protocol

TRAINING_RUNS = "/apis/runyard.dev/v1alpha1/trainingruns"
_WATCHES = {
    "Job": "/apis/batch/v1/jobs?watch=true",
    "Pod": "/api/v1/pods?labelSelector=runyard.dev/uid&watch=true",
    "TrainingRun": f"{TRAINING_RUNS}?watch=true",
}
_SILENCE_SECONDS = 3600.0
_AGAIN_SECONDS = 0.2


class Watched(Protocol):
    """An API server that can be watched."""

    def lines(self, path: str, silence_seconds: float) -> Iterator[dict[str, Any]]:
        """Follow a watch until it ends, or brings nothing for so long."""


@dataclass
class Seen:
    """What was seen of one TrainingRun; moments are seconds of this machine's clock, which the node shares."""

    jobs: set[str] = field(default_factory=set)
    """The UIDs of the Jobs that were made for it: a second one, made after the first is gone, has the same name."""
    pods: dict[str, str] = field(default_factory=dict)
    """Its pods by their UIDs, those that are gone too, and the phase that each was in when it was last heard of."""
    job_ended: float | None = None
    job_ended_dated: float | None = None
    """As the API server dates it, in whole seconds."""
    job_deleted: float | None = None
    told: float | None = None
    """When its outcome was seen."""
    last_write: float | None = None
    tracked: list[tuple[float, str, str]] = field(default_factory=list)
    """When `Tracked` was first seen with which status and reason."""
    deleted: float | None = None
    is_noted: bool = False
    """Whether its time is among the figures."""

    @property
    def truth_seconds(self) -> float | None:
        """How long after the Job's end the outcome was seen, both by the same client; 0 where it was known before."""
        if self.job_ended is None or self.told is None:
            return None
        return max(0.0, self.told - self.job_ended)


def second_jobs(made: Mapping[str, set[str]]) -> list[str]:
    """Return a sentence for each TrainingRun for which more than one Job was made, be it one after the other."""
    return [f"{len(jobs)} Jobs were made for TrainingRun {uid}" for uid, jobs in made.items() if len(jobs) > 1]


class Timeline:
    """Watches all Jobs, pods and TrainingRuns of a cluster, in threads."""

    def __init__(self, api: Watched) -> None:
        """Begin to watch."""
        self._api = api
        self._seen: dict[str, Seen] = defaultdict(Seen)
        self._changed = threading.Condition()
        self._is_over = False
        for kind in _WATCHES:
            threading.Thread(target=self._follow, args=(kind,), daemon=True, name=f"watch of {kind}").start()

    def close(self) -> None:
        """Look at nothing any more; the threads end with the process."""
        self._is_over = True

    def of(self, uid: str) -> Seen:
        """Return what was seen of a TrainingRun."""
        with self._changed:
            return self._seen[uid]

    def wait_for_outcome(self, uid: str, timeout_seconds: float = 10) -> Seen:
        """Wait until both ends were seen: a watch may be behind the reads of a test."""
        with self._changed:
            self._changed.wait_for(lambda: self._seen[uid].truth_seconds is not None, timeout_seconds)
            return self._seen[uid]

    def jobs(self) -> dict[str, set[str]]:
        """Return the UIDs of all Jobs that were made for TrainingRuns, by TrainingRun."""
        with self._changed:
            return {uid: set(seen.jobs) for uid, seen in self._seen.items() if seen.jobs}

    def pods(self) -> dict[str, dict[str, str]]:
        """Return the phase that each pod was in last, by TrainingRun and the pod's UID."""
        with self._changed:
            return {uid: dict(seen.pods) for uid, seen in self._seen.items() if seen.pods}

    def _follow(self, kind: str) -> None:
        while not self._is_over:
            try:
                for event in self._api.lines(_WATCHES[kind], _SILENCE_SECONDS):
                    self._take(kind, event, time.time())
                    if self._is_over:
                        return
            except (OSError, HTTPException, ValueError):
                # The API server is away: that is one of the faults.
                time.sleep(_AGAIN_SECONDS)

    def _take(self, kind: str, event: dict[str, Any], now: float) -> None:
        body = event["object"]
        if body.get("kind") != kind:
            return
        metadata, status = body["metadata"], body.get("status", {})
        conditions = {found["type"]: found for found in status.get("conditions", [])}
        with self._changed:
            owner = metadata.get("labels", {}).get("runyard.dev/uid")
            if kind == "TrainingRun":
                self._take_run(event["type"], metadata["uid"], conditions, now)
            elif owner and kind == "Pod":
                self._seen[owner].pods[metadata["uid"]] = status.get("phase", "")
            elif owner:
                self._seen[owner].jobs.add(metadata["uid"])
                self._take_job(event["type"], owner, conditions, now)
            self._changed.notify_all()

    def _take_job(self, what: str, uid: str, conditions: dict[str, Any], now: float) -> None:
        ended = [conditions[kind] for kind in ("Complete", "Failed") if kind in conditions]
        seen = self._seen[uid]
        if what == "DELETED":
            seen.job_deleted = now
        if ended and seen.job_ended is None:
            seen.job_ended = now
            seen.job_ended_dated = datetime.fromisoformat(ended[0]["lastTransitionTime"]).timestamp()

    def _take_run(self, what: str, uid: str, conditions: dict[str, Any], now: float) -> None:
        seen = self._seen[uid]
        if what == "DELETED":
            seen.deleted = now
            return
        seen.last_write = now
        if seen.told is None and conditions.get("Succeeded", {}).get("status") in {"True", "False"}:
            seen.told = now
        if tracked := conditions.get("Tracked"):
            word = (tracked["status"], tracked["reason"])
            if not seen.tracked or seen.tracked[-1][1:] != word:
                seen.tracked.append((now, *word))
