"""Bringing MLflow to agree with attempts, beside the reconciling: a server that is down holds up nothing else."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import aiohttp
import yaml

from runyard.api.environment import identity_tags
from runyard.api.model import JsonObject, as_object
from runyard.api.records import MANIFEST_ARTIFACT, corrections, log_artifact, outcome_tags, primary, status_metrics
from runyard.api.status import TrackingFacts
from runyard.api.trainingrun import TRAINING_CONTAINER, Attempt, Outcome, TrainingRun
from runyard_operator.cluster import Cluster, ClusterError
from runyard_operator.mirror import Key, View
from runyard_operator.queue import pause_after
from runyard_operator.tracking import Tracking, TrackingError

log = logging.getLogger(__name__)

# How long a status waits for MLflow's part, so that one write says both.
_PATIENCE_SECONDS = 1.0
_FIRST_SEARCH_PAUSE, _LONGEST_SEARCH_PAUSE = timedelta(seconds=2), timedelta(seconds=30)


@dataclass
class Recording:
    """What MLflow was brought to say of one resource, as far as the resource's status may not know it yet."""

    run_ids: dict[str, str] = field(default_factory=dict)
    recorded: dict[str, Attempt] = field(default_factory=dict)
    """Attempts as MLflow was told of them, by their UIDs."""
    facts: TrackingFacts = field(default_factory=TrackingFacts)
    task: asyncio.Task[None] | None = None
    not_before: datetime | None = None
    failures: int = 0
    searches: int = 0

    def applied_to(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """Return the attempts with what is known of their runs."""
        return [
            attempt.model_copy(
                update={
                    "run_id": self.run_ids.get(attempt.uid, attempt.run_id),
                    "recorded_at": attempt.recorded_at or self._recorded_at(attempt),
                }
            )
            for attempt in attempts
        ]

    def _recorded_at(self, attempt: Attempt) -> datetime | None:
        """Return when it was recorded, unless something else was: until it is written down, an end can be seen anew."""
        told = self.recorded.get(attempt.uid)
        return told.recorded_at if told and outcome_tags(told) == outcome_tags(attempt) else None


def open_attempts(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Return those that MLflow has to be asked about: ended and not recorded, or running and without a run."""
    return [
        attempt
        for attempt in attempts
        if (attempt.outcome.is_final and not attempt.recorded_at)
        or (attempt.outcome is Outcome.RUNNING and not attempt.run_id)
    ]


@dataclass
class Recorder:
    """Records attempts, one task a resource; a task that ends asks for its resource to be looked at again."""

    cluster: Cluster
    tracking: Tracking
    log_tail_bytes: int
    now: Callable[[], datetime]
    changed: Callable[[Key], None]
    _recordings: dict[Key, Recording] = field(default_factory=dict)

    async def record(
        self, key: Key, run: TrainingRun, view: View, attempts: Sequence[Attempt]
    ) -> tuple[list[Attempt], TrackingFacts, timedelta | None]:
        """Have attempts recorded; return what is known of them now, and when to ask again.

        A task that takes longer than a moment goes on by itself.
        """
        recording = self._recordings.setdefault(key, Recording())
        wanted = open_attempts(recording.applied_to(attempts))
        if wanted and recording.task is None and self._is_due(recording, wanted):
            recording.task = asyncio.create_task(self._attend(key, recording, run, view, wanted))
        if recording.task:
            await asyncio.wait({recording.task}, timeout=_PATIENCE_SECONDS)
        left = recording.not_before - self.now() if recording.not_before and wanted else None
        return recording.applied_to(attempts), recording.facts, max(left, timedelta(0)) if left is not None else None

    def is_busy(self, key: Key) -> bool:
        """Whether a task is at work on a resource."""
        found = self._recordings.get(key)
        return found is not None and found.task is not None

    def forget(self, key: Key) -> None:
        """Forget what the resource's status says by now."""
        found = self._recordings.pop(key, None)
        if found and found.task:
            found.task.cancel()

    def _is_due(self, recording: Recording, wanted: Sequence[Attempt]) -> bool:
        # What has ended need not wait for the next search of what was running.
        is_news = recording.failures == 0 and any(attempt.outcome.is_final for attempt in wanted)
        return is_news or recording.not_before is None or recording.not_before <= self.now()

    async def _attend(
        self, key: Key, recording: Recording, run: TrainingRun, view: View, wanted: Sequence[Attempt]
    ) -> None:
        try:
            for attempt in wanted:
                await self._attend_to(recording, run, view, attempt)
            recording.failures = 0
            recording.facts = replace(recording.facts, problem=None)
            recording.not_before = self._next_search(recording, wanted)
        except Exception as error:  # whatever it is, it is reported, told in the status and tried again
            is_expected = isinstance(error, TrackingError | ClusterError | aiohttp.ClientError | TimeoutError)
            log.warning("%s/%s: not recorded yet: %s", *key[:2], error, exc_info=None if is_expected else error)
            recording.facts = replace(recording.facts, problem=str(error) or type(error).__name__)
            recording.not_before = self.now() + pause_after(recording.failures)
            recording.failures += 1
        finally:
            recording.task = None
            self.changed(key)

    def _next_search(self, recording: Recording, wanted: Sequence[Attempt]) -> datetime | None:
        if all(attempt.outcome.is_final or attempt.uid in recording.run_ids for attempt in wanted):
            recording.searches = 0
            return None
        pause = min(_FIRST_SEARCH_PAUSE * (1 << min(recording.searches, 8)), _LONGEST_SEARCH_PAUSE)
        recording.searches += 1
        return self.now() + pause

    async def _attend_to(self, recording: Recording, run: TrainingRun, view: View, attempt: Attempt) -> None:
        runs = await self.tracking.runs_of_pod(attempt.uid)
        chief = primary(runs)
        if chief is None and not attempt.outcome.is_final:
            return
        if chief is None:
            tags = identity_tags(run, attempt.uid)
            begun = attempt.started_at or self.now()
            chief = await self.tracking.create_run(run.experiment, attempt.pod, tags, begun)
            runs = [chief]
        recording.run_ids[attempt.uid] = chief.id
        url = self.tracking.url_of(chief)
        recording.facts = replace(recording.facts, url=url, experiment_id=chief.experiment_id)
        if not attempt.outcome.is_final:
            return
        for container, text in (await self.logs(run.metadata.namespace, view, attempt)).items():
            await self.tracking.upload(chief, log_artifact(attempt.pod, container), text)
        await self.tracking.upload(chief, MANIFEST_ARTIFACT, as_applied(view.body or {}))
        await self.tracking.apply(corrections(runs, attempt))
        recording.facts = replace(recording.facts, metrics=status_metrics(chief.metrics))
        recording.recorded[attempt.uid] = attempt.model_copy(update={"recorded_at": self.now()})

    async def logs(self, namespace: str, view: View, attempt: Attempt) -> dict[str, bytes]:
        """Return the end of each container's log, or for the training a sentence that says why there is none."""
        kept = view.logs.get(attempt.uid, {})
        pod = view.pods.get(attempt.uid)
        found: dict[str, bytes] = {}
        for container in pod.container_names if pod else [TRAINING_CONTAINER]:
            read = await self.cluster.log_tail(namespace, attempt.pod, container, self.log_tail_bytes)
            texts = [text for text in (read, kept.get(container)) if text is not None]
            if texts:
                found[container] = max(texts, key=len)
        return {**kept, **found, TRAINING_CONTAINER: _log_or_reason(found.get(TRAINING_CONTAINER), attempt)}


def _log_or_reason(text: bytes | None, attempt: Attempt) -> bytes:
    if text is None:
        why = attempt.message or "the pod was gone before it could be read"
        return f"There is no log of pod {attempt.pod} ({attempt.reason}): {why}\n".encode()
    return text or f"The log of pod {attempt.pod} is empty.\n".encode()


def as_applied(body: JsonObject) -> bytes:
    """Return the manifest as a person would apply it again."""
    metadata = as_object(body.get("metadata"))
    kept: JsonObject = {key: metadata[key] for key in ("name", "namespace", "labels", "annotations") if key in metadata}
    if annotations := as_object(kept.get("annotations")):
        ours = "kubectl.kubernetes.io/last-applied-configuration"
        kept["annotations"] = {key: value for key, value in annotations.items() if key != ours}
    manifest = {**{key: body.get(key) for key in ("apiVersion", "kind")}, "metadata": kept, "spec": body.get("spec")}
    return yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True).encode()
