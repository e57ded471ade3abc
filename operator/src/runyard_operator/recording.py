"""Bringing MLflow to agree with attempts, beside the reconciling: a server that is down holds up nothing else."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import yaml

from runyard.api import datasets
from runyard.api.environment import AssignedRun, identity_tags
from runyard.api.model import JsonObject, as_object
from runyard.api.outcome import Attempt, Outcome, Reason
from runyard.api.records import (
    ASSIGNED,
    MADE_TAG,
    MANIFEST_ARTIFACT,
    STAND_IN,
    Run,
    corrections,
    log_artifact,
    outcome_tags,
    primary,
    source_correction,
    status_metrics,
)
from runyard.api.requirements import missing, needs_closing
from runyard.api.status import JobState, TrackingFacts, deciding
from runyard.api.trainingrun import TRAINING_CONTAINER, RunMode, TrainingRun
from runyard_operator import metrics
from runyard_operator.cluster import Cluster, ClusterError
from runyard_operator.decide import Decision
from runyard_operator.jobs import parameters_of
from runyard_operator.mirror import View
from runyard_operator.objects import Key
from runyard_operator.queue import pause_after
from runyard_operator.tracking import ExperimentDeleted, Tracking, TrackingError

log = logging.getLogger(__name__)

# How long a status waits for MLflow's part, so that one write says both.
_PATIENCE_SECONDS = 1.0
_FIRST_SEARCH_PAUSE, _LONGEST_SEARCH_PAUSE = timedelta(seconds=2), timedelta(seconds=30)
_LOG_PATIENCE = timedelta(minutes=2)


@dataclass
class Recording:
    """What MLflow was brought to say of one resource, as far as the resource's status may not know it yet."""

    run_ids: dict[str, str] = field(default_factory=dict)
    recorded: dict[str, Attempt] = field(default_factory=dict)
    """Attempts as MLflow was told of them, by their UIDs."""
    facts: TrackingFacts = field(default_factory=TrackingFacts)
    task: asyncio.Task[None] | None = None
    is_left_alone: bool = False
    """Whether nobody waits for the task any more, so that its end has to be told."""
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
    installation: str
    log_tail_bytes: int
    now: Callable[[], datetime]
    changed: Callable[[Key], None]
    _recordings: dict[Key, Recording] = field(default_factory=dict)

    async def record(
        self, key: Key, run: TrainingRun, view: View, decision: Decision
    ) -> tuple[list[Attempt], TrackingFacts, timedelta | None]:
        """Have attempts recorded; return what is known of them now, and when to ask again.

        A task that takes longer than a moment goes on by itself.
        """
        recording = self._recording(key, run)
        if run.spec.run_mode is RunMode.ASSIGNED and (run_id := _assigned_id(run, recording)):
            recording.run_ids |= {attempt.uid: run_id for attempt in decision.attempts if not attempt.run_id}
        wanted = open_attempts(recording.applied_to(decision.attempts))
        closes = decision.job.state.is_final and not recording.facts.is_closed
        if (wanted or closes) and recording.task is None and self._is_due(recording, wanted, closes=closes):
            work = self._attend(recording, run, view, wanted, decision if closes else None)
            recording.task = asyncio.create_task(self._guarded(key, recording, work))
        if task := recording.task:
            await asyncio.wait({task}, timeout=_PATIENCE_SECONDS)
            recording.is_left_alone = not task.done()
        pause = self._pause(recording) if wanted or closes else None
        return recording.applied_to(decision.attempts), recording.facts, pause

    async def assign(self, key: Key, run: TrainingRun) -> AssignedRun | None:
        """Return the run that all pods of a resource are to log into, made if it is not there.

        None where MLflow does not answer; `record` then says why, and when to ask again.
        """
        recording = self._recording(key, run)
        if recording.not_before and recording.not_before > self.now():
            return None
        try:
            found = await self._assigned(run, recording)
        except TrackingError as error:
            self._failed(recording, error)
            return None
        recording.failures, recording.not_before = 0, None
        url = self.tracking.url_of(found)
        recording.facts = replace(
            recording.facts, problem=None, run_id=found.id, experiment_id=found.experiment_id, url=url
        )
        return AssignedRun(found.id, found.experiment_id)

    def is_busy(self, key: Key) -> bool:
        """Whether a task is at work on a resource."""
        found = self._recordings.get(key)
        return found is not None and found.task is not None

    def forget(self, key: Key) -> None:
        """Forget what the resource's status says by now."""
        found = self._recordings.pop(key, None)
        if found and found.task:
            found.task.cancel()

    async def finish(self) -> None:
        """Wait for what is being recorded."""
        if tasks := [recording.task for recording in self._recordings.values() if recording.task]:
            await asyncio.wait(tasks)

    def _recording(self, key: Key, run: TrainingRun) -> Recording:
        fresh = Recording(facts=TrackingFacts(is_closed=not needs_closing(run)))
        return self._recordings.setdefault(key, fresh)

    def _pause(self, recording: Recording) -> timedelta | None:
        return max(recording.not_before - self.now(), timedelta(0)) if recording.not_before else None

    def _is_due(self, recording: Recording, wanted: Sequence[Attempt], *, closes: bool) -> bool:
        # What has ended need not wait for the next search of what was running.
        is_news = recording.failures == 0 and (closes or any(attempt.outcome.is_final for attempt in wanted))
        return is_news or recording.not_before is None or recording.not_before <= self.now()

    async def _guarded(self, key: Key, recording: Recording, work: Coroutine[None, None, None]) -> None:
        try:
            with metrics.recording():
                await work
            recording.failures = 0
            recording.facts = replace(recording.facts, problem=None)
        except Exception as error:  # noqa: BLE001 whatever it is, it is reported, told in the status and tried again
            self._failed(recording, error)
        finally:
            recording.task = None
            if recording.is_left_alone:
                self.changed(key)

    def _failed(self, recording: Recording, error: Exception) -> None:
        is_expected = isinstance(error, TrackingError | ClusterError)
        log.warning("not recorded yet: %s", error, exc_info=None if is_expected else error)
        reason = Reason.EXPERIMENT_DELETED if isinstance(error, ExperimentDeleted) else Reason.TRACKING_UNAVAILABLE
        problem = str(error) or type(error).__name__
        recording.facts = replace(recording.facts, problem=problem, problem_reason=reason)
        recording.not_before = self.now() + pause_after(recording.failures)
        recording.failures += 1

    async def _attend(
        self,
        recording: Recording,
        run: TrainingRun,
        view: View,
        wanted: Sequence[Attempt],
        ended: Decision | None,
    ) -> None:
        problems: list[TrackingError | ClusterError] = []
        for attempt in wanted:
            try:
                await self._attend_to(recording, run, view, attempt)
            except (TrackingError, ClusterError) as error:  # the others may be had all the same
                problems.append(error)
        if ended and not problems:
            await self._close(recording, run, ended)
        if problems:
            raise problems[0]
        recording.not_before = self._next_search(recording, wanted)

    def _next_search(self, recording: Recording, wanted: Sequence[Attempt]) -> datetime | None:
        if all(attempt.outcome.is_final or attempt.uid in recording.run_ids for attempt in wanted):
            recording.searches = 0
            return None
        pause = min(_FIRST_SEARCH_PAUSE * (1 << min(recording.searches, 8)), _LONGEST_SEARCH_PAUSE)
        recording.searches += 1
        return self.now() + pause

    async def _attend_to(self, recording: Recording, run: TrainingRun, view: View, attempt: Attempt) -> None:
        runs = await self.tracking.runs_of_pod(attempt.uid)
        is_assigned = run.spec.run_mode is RunMode.ASSIGNED
        chief = await self._assigned(run, recording) if is_assigned else primary(runs)
        if chief is None and not attempt.outcome.is_final:
            return
        if chief is None:
            tags = {**identity_tags(run, attempt.uid, self.installation), MADE_TAG: STAND_IN}
            begun = attempt.started_at or self.now()
            chief = await self.tracking.create_run(run.experiment, attempt.pod, tags, begun)
            runs = [chief]
        recording.run_ids[attempt.uid] = chief.id
        url = self.tracking.url_of(chief)
        recording.facts = replace(recording.facts, url=url, experiment_id=chief.experiment_id)
        inputs = datasets.inputs(run.spec.datasets or [], attempt.datasets or [])
        if not attempt.outcome.is_final:
            await self.tracking.apply(source_correction(chief, attempt))
            await self.tracking.log_inputs(chief, inputs)
            return
        # An assigned run goes on with the next attempt, and ends as the resource does. What is true comes before
        # what is stored: a run must not stay open because an artifact cannot be kept.
        await self.tracking.apply(corrections(runs, attempt, None if is_assigned else chief))
        await self.tracking.log_inputs(chief, inputs)
        for container, text in (await self.logs(run.metadata.namespace, view, attempt)).items():
            await self.tracking.upload(chief, log_artifact(attempt.pod, container), text)
        await self.tracking.upload(chief, MANIFEST_ARTIFACT, as_applied(view.body or {}, parameters_of(view.job)))
        recording.facts = replace(recording.facts, metrics=status_metrics(chief.metrics, run.spec.tracking))
        recording.recorded[attempt.uid] = attempt.model_copy(update={"recorded_at": self.now()})

    async def _assigned(self, run: TrainingRun, recording: Recording) -> Run:
        """Return the run of the whole resource; one that was deleted, or is not there yet, is made."""
        run_id = _assigned_id(run, recording)
        found = await self.tracking.live_run(run_id) if run_id else None
        if found is None:
            # It may have been made just before a crash, or by a call whose answer was lost.
            runs = await self.tracking.runs_of_resource(run.metadata.uid)
            found = primary([item for item in runs if item.tags.get(MADE_TAG) == ASSIGNED])
        if found is None:
            tags = {**identity_tags(run, installation=self.installation), MADE_TAG: ASSIGNED}
            found = await self.tracking.create_run(run.experiment, run.metadata.name, tags, self.now())
            await self.tracking.schedule(found)
        recording.facts = replace(recording.facts, run_id=found.id)
        return found

    async def _close(self, recording: Recording, run: TrainingRun, ended: Decision) -> None:
        """Look at what a resource that has ended should have logged, and end the run assigned to it."""
        last = _standing_for(run, ended)
        runs = await self.tracking.runs_of_pod(last.uid)
        if run.spec.run_mode is RunMode.ASSIGNED and (ended.attempts or _assigned_id(run, recording)):
            chief = await self._assigned(run, recording)
            await self.tracking.apply(corrections([chief], last, chief))
            recording.facts = replace(recording.facts, metrics=status_metrics(chief.metrics, run.spec.tracking))
            runs = [*runs, chief]
        recording.facts = replace(recording.facts, missing=missing(run.spec.tracking, runs), is_closed=True)

    async def logs(self, namespace: str, view: View, attempt: Attempt) -> dict[str, bytes]:
        """Return the end of each container's log, or for the training a sentence that says why there is none."""
        kept = view.logs.get(attempt.uid, {})
        pod = view.pods.get(attempt.uid)
        found: dict[str, bytes] = {}
        for container in pod.container_names if pod else [TRAINING_CONTAINER]:
            read = await self._log_tail(namespace, attempt, container)
            texts = [text for text in (read, kept.get(container)) if text is not None]
            if texts:
                found[container] = max(texts, key=len)
        return {**kept, **found, TRAINING_CONTAINER: _log_or_reason(found.get(TRAINING_CONTAINER), attempt)}

    async def _log_tail(self, namespace: str, attempt: Attempt, container: str) -> bytes | None:
        try:
            return await self.cluster.log_tail(namespace, attempt.pod, container, self.log_tail_bytes)
        except ClusterError as error:
            # A kubelet that restarts answers soon; one whose node is lost never does.
            if attempt.finished_at and self.now() - attempt.finished_at < _LOG_PATIENCE:
                raise
            log.warning("the log of pod %s is given up: %s", attempt.pod, error)
            return f"The log of pod {attempt.pod} could not be read: {error}\n".encode()


def _assigned_id(run: TrainingRun, recording: Recording) -> str | None:
    return recording.facts.run_id or (run.status.tracking.run_id if run.status.tracking else None)


def _standing_for(run: TrainingRun, ended: Decision) -> Attempt:
    """Return the attempt that says how the whole resource ended."""
    is_complete = ended.job.state is JobState.COMPLETE
    succeeded = [found for found in ended.attempts if is_complete and found.outcome is Outcome.SUCCEEDED]
    if found := deciding(succeeded or ended.attempts):
        return found
    outcome = Outcome.SUCCEEDED if is_complete else Outcome.FAILED
    ended_at = ended.job.finished_at
    return Attempt(pod=run.metadata.name, uid="", outcome=outcome, reason=ended.job.reason, finished_at=ended_at)


def _log_or_reason(text: bytes | None, attempt: Attempt) -> bytes:
    # Of a pod without a node, the API server gives an empty log.
    if text is None or (not text and attempt.node is None):
        why = attempt.message or "the pod was gone before it could be read"
        return f"There is no log of pod {attempt.pod} ({attempt.reason}): {why}\n".encode()
    return text or f"The log of pod {attempt.pod} is empty.\n".encode()


def as_applied(body: JsonObject, parameters: JsonObject | None) -> bytes:
    """Return the manifest as a person would apply it again, with the parameters that were trained with."""
    metadata = as_object(body.get("metadata"))
    kept: JsonObject = {key: metadata[key] for key in ("name", "namespace", "labels", "annotations") if key in metadata}
    if annotations := as_object(kept.get("annotations")):
        ours = "kubectl.kubernetes.io/last-applied-configuration"
        kept["annotations"] = {key: value for key, value in annotations.items() if key != ours}
    spec = {**as_object(body.get("spec"))}
    if parameters is not None:
        spec.pop("parameters", None)
        spec |= {"parameters": parameters} if parameters else {}
    manifest = {**{key: body.get(key) for key in ("apiVersion", "kind")}, "metadata": kept, "spec": spec}
    return yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True).encode()
