"""The order of steps for one TrainingRun: look, decide, act, record, and write down what is so."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import aiohttp
import yaml
from pydantic import ValidationError

from runyard.api import parameters
from runyard.api.environment import identity_tags
from runyard.api.model import JsonObject
from runyard.api.records import (
    MANIFEST_ARTIFACT,
    POD_TAG,
    corrections,
    log_artifact,
    primary,
    status_metrics,
)
from runyard.api.status import TrackingFacts, assemble, is_final, is_settled, refused
from runyard.api.trainingrun import (
    TRAINING_CONTAINER,
    Attempt,
    Outcome,
    Reason,
    TrainingRun,
    TrainingRunStatus,
)
from runyard.errors import Problem
from runyard_operator import events, jobs
from runyard_operator.cluster import Cluster, ClusterError, JobRefused
from runyard_operator.decide import Decision, Observed, decide
from runyard_operator.objects import Pod
from runyard_operator.settings import Settings
from runyard_operator.tracking import Tracking, TrackingError

log = logging.getLogger(__name__)

_FIND_RUN_AGAIN = timedelta(seconds=5)


class Key(NamedTuple):
    """A resource, and not its later namesake."""

    namespace: str
    name: str
    uid: str


class NotRecorded(Exception):
    """MLflow does not agree yet; the resource's status says why."""


@dataclass
class Reconciler:
    """What reconciling needs, and the little that it remembers between two looks.

    Memory is only for what cannot be read again: logs of pods on their way out, and resources already deleted.
    """

    cluster: Cluster
    tracking: Tracking
    settings: Settings
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _logs: dict[str, bytes] = field(default_factory=dict)
    _departed: dict[Key, TrainingRun] = field(default_factory=dict)

    def depart(self, key: Key, last_seen: JsonObject) -> None:
        """Remember a deleted resource until its runs are closed."""
        self._departed[key] = _lenient(last_seen)

    async def reconcile(self, key: Key) -> timedelta | None:
        """Bring a resource, its Job and its runs to where they should be; return when to look again.

        Raises:
            NotRecorded: MLflow could not be brought to agree; all else is done.
            ClusterError: the API server refused something that it should not.

        """
        body = await self.cluster.training_run(key.namespace, key.name)
        if body is None or _uid(body) != key.uid:
            await self._bury(key)
            return None
        try:
            run = TrainingRun.model_validate(body)
        except ValidationError as error:
            await self._refuse(_lenient(body), _problems(error))
            return None
        if is_settled(run) or run.metadata.deletion_timestamp:
            return None
        if not is_final(run.status) and (found := parameters.problems(run.spec)):
            await self._refuse(run, found)
            return None
        return await self._advance(key, run, body)

    async def _advance(self, key: Key, run: TrainingRun, body: JsonObject) -> timedelta | None:
        job = await self.cluster.job(key.namespace, jobs.job_name(run))
        if job is not None and not job.is_owned_by(key.uid):
            problem = Problem("metadata.name", f"a Job {job.metadata.name} of somebody else's is in the way: delete it")
            await self._refuse(run, [problem])
            return None
        pods = await self.cluster.pods(key.namespace, key.uid)
        decision = decide(Observed(run, job, pods, self.now()), self.settings.image_pull_grace)
        try:
            await self._act(run, decision)
        except JobRefused as error:
            await self._refuse(run, error.problems)
            return None
        await self._keep_logs(key, pods)
        attempts, facts = await self._record(run, body, decision)
        status = assemble(run, decision.job, attempts, facts, self.now())
        await self._write(run, status)
        if facts.problem:
            raise NotRecorded(facts.problem)
        waits_for_run = any(found.outcome is Outcome.RUNNING and not found.run_id for found in attempts)
        return decision.look_again_after or (_FIND_RUN_AGAIN if waits_for_run else None)

    async def _act(self, run: TrainingRun, decision: Decision) -> None:
        if decision.create_job:
            await self.cluster.create_job(run.metadata.namespace, jobs.job(run, self.settings.tracking_uri))
        if decision.patch_job and decision.job.name:
            await self.cluster.patch_job(run.metadata.namespace, decision.job.name, decision.patch_job)

    async def _keep_logs(self, key: Key, pods: tuple[Pod, ...]) -> None:
        """Read the log of each pod that is about to go, while there is one to read."""
        for pod in pods:
            if not pod.metadata.deletion_timestamp:
                continue
            tail = await self._log_tail(key.namespace, pod.metadata.name)
            if tail is not None and len(tail) >= len(self._logs.get(pod.metadata.uid, b"")):
                self._logs[pod.metadata.uid] = tail

    async def _log_tail(self, namespace: str, pod: str) -> bytes | None:
        return await self.cluster.log_tail(namespace, pod, TRAINING_CONTAINER, self.settings.log_tail_bytes)

    async def _record(
        self, run: TrainingRun, body: JsonObject, decision: Decision
    ) -> tuple[list[Attempt], TrackingFacts]:
        """Bring MLflow to agree with every ended attempt; a failure is told in the facts and stops nothing."""
        recorded: list[Attempt] = []
        facts = TrackingFacts()
        for attempt in decision.attempts:
            if attempt.recorded_at or facts.problem:
                recorded.append(attempt)
                continue
            try:
                done, facts = await self._record_attempt(run, body, attempt)
                recorded.append(done)
            except (TrackingError, ClusterError, aiohttp.ClientError) as error:
                recorded.append(attempt)
                facts = replace(facts, problem=str(error))
        return recorded, facts

    async def _record_attempt(
        self, run: TrainingRun, body: JsonObject, attempt: Attempt
    ) -> tuple[Attempt, TrackingFacts]:
        if attempt.outcome is Outcome.PENDING or (attempt.outcome is Outcome.RUNNING and attempt.run_id):
            return attempt, TrackingFacts()
        runs = await self.tracking.runs_of_pod(attempt.uid)
        chief = primary(runs)
        if not attempt.outcome.is_final:
            if chief is None:
                return attempt, TrackingFacts()
            facts = TrackingFacts(self.tracking.url_of(chief), chief.experiment_id)
            return attempt.model_copy(update={"run_id": chief.id}), facts
        if chief is None:
            chief = await self.tracking.create_run(
                run.experiment,
                attempt.pod,
                identity_tags(run, attempt.uid),
                attempt.started_at or self.now(),
            )
            runs = [chief]
        await self.tracking.upload(chief, log_artifact(attempt.pod), await self._log_of(run, attempt))
        await self.tracking.upload(chief, MANIFEST_ARTIFACT, _as_applied(body))
        await self.tracking.apply(corrections(runs, attempt))
        self._logs.pop(attempt.uid, None)
        facts = TrackingFacts(self.tracking.url_of(chief), chief.experiment_id, status_metrics(chief.metrics))
        return attempt.model_copy(update={"run_id": chief.id, "recorded_at": self.now()}), facts

    async def _log_of(self, run: TrainingRun, attempt: Attempt) -> bytes:
        """Return the log's tail, or a sentence that says why there is none."""
        read = await self._log_tail(run.metadata.namespace, attempt.pod)
        kept = self._logs.get(attempt.uid)
        found = max((text for text in (read, kept) if text is not None), key=len, default=None)
        if found is None:
            why = attempt.message or "the pod was gone before it could be read"
            return f"There is no log of pod {attempt.pod} ({attempt.reason}): {why}\n".encode()
        return found or f"The log of pod {attempt.pod} is empty.\n".encode()

    async def _bury(self, key: Key) -> None:
        """Close what a deleted resource left open, once its pods are gone."""
        run = self._departed.get(key)
        if run is None:
            return
        pods = await self.cluster.pods(key.namespace, key.uid)
        await self._keep_logs(key, pods)
        if pods:
            return  # the end of each comes as an event
        for attempt in self._orphans(run, await self._pods_with_open_runs(key)):
            runs = await self.tracking.runs_of_pod(attempt.uid)
            chief = primary(runs)
            if chief is not None:
                await self.tracking.upload(chief, log_artifact(attempt.pod), await self._log_of(run, attempt))
                await self.tracking.apply(corrections(runs, attempt))
            self._logs.pop(attempt.uid, None)
        del self._departed[key]

    async def _pods_with_open_runs(self, key: Key) -> set[str]:
        runs = await self.tracking.runs_of_resource(key.uid)
        return {found.tags.get(POD_TAG, "") for found in runs if found.status.is_open}

    def _orphans(self, run: TrainingRun, pod_uids: set[str]) -> list[Attempt]:
        known = {attempt.uid: attempt.pod for attempt in run.status.attempts}
        return [
            Attempt(
                pod=known.get(uid, uid),
                uid=uid,
                outcome=Outcome.CANCELLED,
                reason=Reason.CANCELLED,
                finished_at=self.now(),
                message="the TrainingRun was deleted",
            )
            for uid in sorted(pod_uids)
        ]

    async def _refuse(self, run: TrainingRun, problems: list[Problem]) -> None:
        await self._write(run, refused(run, problems, self.now()))

    async def _write(self, run: TrainingRun, status: TrainingRunStatus) -> None:
        if status == run.status:
            return
        await self.cluster.patch_status(run, status)
        for event in events.between(run.status, status):
            try:
                await self.cluster.record_event(run, event, self.now())
            except (ClusterError, aiohttp.ClientError) as error:
                # An event is a courtesy; the status above is the record.
                log.warning("%s/%s: no event: %s", run.metadata.namespace, run.metadata.name, error)


def _lenient(body: JsonObject) -> TrainingRun:
    """Read a resource of which only metadata and status are needed, whatever its spec says."""
    return TrainingRun.model_validate({**body, "spec": {}})


def _uid(body: JsonObject) -> str:
    metadata = body.get("metadata")
    return str(metadata.get("uid")) if isinstance(metadata, dict) else ""


def _problems(error: ValidationError) -> list[Problem]:
    return [Problem(".".join(map(str, found["loc"])), found["msg"]) for found in error.errors()]


def _as_applied(body: JsonObject) -> bytes:
    """Return the manifest as a person would apply it again."""
    metadata = body.get("metadata")
    kept: JsonObject = {
        key: value
        for key, value in (metadata if isinstance(metadata, dict) else {}).items()
        if key in {"name", "namespace", "labels", "annotations"}
    }
    annotations = kept.get("annotations")
    if isinstance(annotations, dict):
        annotations.pop("kubectl.kubernetes.io/last-applied-configuration", None)
    manifest = {key: body[key] for key in ("apiVersion", "kind", "spec") if key in body}
    ordered = {
        "apiVersion": manifest["apiVersion"],
        "kind": manifest["kind"],
        "metadata": kept,
        "spec": manifest["spec"],
    }
    return yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True).encode()
