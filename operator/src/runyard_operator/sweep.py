"""Looking, now and then, for what no event tells: runs that were left open, and runs that were deleted in MLflow."""

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from runyard.api.model import JsonObject, as_object
from runyard.api.outcome import Attempt, Outcome, Phase, Reason, TrainingRunStatus
from runyard.api.records import NAME_TAG, NAMESPACE_TAG, POD_TAG, UID_TAG, Run, corrections
from runyard.api.requirements import missing
from runyard.api.status import TRACKED, is_final, is_settled, with_tracked
from runyard.api.trainingrun import TrainingRun
from runyard_operator import events, logs, metrics
from runyard_operator.attempts import observed
from runyard_operator.cluster import Cluster, ClusterError
from runyard_operator.decide import remembered, standing_for
from runyard_operator.mirror import Mirror
from runyard_operator.objects import Key
from runyard_operator.tracking import ArtifactsUnreachable, Tracking, TrackingError, require_reachable
from runyard_operator.writing import record_events

log = logging.getLogger(__name__)

# Tags can be written by anybody, and lead to requests.
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
_UID = re.compile(r"[-A-Za-z0-9]{1,64}")

# A start has enough to do.
_FIRST_AFTER = timedelta(seconds=30)


@dataclass
class Sweeper:
    """Sweeps both ways; what it finds open leads to the same reconciling as an event would."""

    cluster: Cluster
    tracking: Tracking
    mirror: Mirror
    installation: str
    namespaces: Sequence[str]
    now: Callable[[], datetime]
    look_at: Callable[[Key], None]

    async def run(self, pause: timedelta) -> None:
        """Sweep until cancelled; what fails is reported, and the next sweep comes in its time."""
        await asyncio.sleep(min(pause, _FIRST_AFTER).total_seconds())
        while True:
            await self.sweep()
            await asyncio.sleep(pause.total_seconds())

    async def sweep(self) -> None:
        """Close runs that nobody will close, and find runs that are gone; each part is guarded by itself."""
        await self._guarded("closing runs", self._close_all())
        for namespace in self.namespaces or [""]:
            await self._guarded("looking for deleted runs", self._find_all_deleted(namespace))

    async def _guarded(self, what: str, work: Coroutine[None, None, None]) -> None:
        """Do a part of a sweep; one that fails keeps none of the others from being done."""
        try:
            await work
        except (TrackingError, ClusterError) as error:
            log.warning("%s was not finished: %s", what, error)
            metrics.SWEEP_ERRORS.inc()
        except Exception:
            log.exception("%s was not finished", what)
            metrics.SWEEP_ERRORS.inc()

    async def _close_all(self) -> None:
        for run in await self.tracking.open_runs(self.installation):
            if (key := _key_of(run)) and (not self.namespaces or key.namespace in self.namespaces):
                with logs.about(key.namespace, key.name):
                    await self._guarded(f"closing run {run.id}", self._close(key, run))

    async def _close(self, key: Key, run: Run) -> None:
        pod_uid = run.tags.get(POD_TAG, "")
        if self.mirror.is_settled(key) or self.mirror.is_buried(key):
            ended = await self._end_of(key, pod_uid)
        else:
            self.look_at(key)  # going on, or deleted unseen: either way reconciling knows what to do
            ended = await self._end_unseen(key, pod_uid)
        # Its script may have ended it since it was listed.
        if ended and (now := await self.tracking.live_run(run.id)) and now.status.is_open:
            log.info("run %s was left open", run.id)
            await self.tracking.apply(corrections([now], ended, None))

    async def _end_of(self, key: Key, pod_uid: str) -> Attempt | None:
        """Return the end of a pod whose resource is done with, or of the resource itself; None where it goes on."""
        body = await self.cluster.training_run(key.namespace, key.name)
        resource = _lenient(body) if body else None
        is_there = resource is not None and resource.metadata.uid == key.uid
        if resource and is_there:
            if not pod_uid:
                return _standing_for(resource)
            if found := next((found for found in resource.status.attempts if found.uid == pod_uid), None):
                return found
            if _has_succeeded_unseen(resource):
                return _standing_for(resource)
        pod = next((pod for pod in await self.cluster.pods(key) if pod.metadata.uid == pod_uid), None)
        if pod:
            return observed([pod], TrainingRunStatus(), None, self.now())[0] if pod.has_ended else None
        return self._lost(pod_uid, Reason.POD_DELETED if is_there else Reason.CANCELLED)

    async def _end_unseen(self, key: Key, pod_uid: str) -> Attempt | None:
        """Return the end of a pod that is on record, or came and went unseen, of a resource that goes on."""
        if not pod_uid:
            return None
        if recorded := self._recorded(key, pod_uid):
            return recorded
        if self._sees(key, pod_uid):  # as of nearly every run that goes on
            return None
        pods = {pod.metadata.uid for pod in await self.cluster.pods(key)}
        body = await self.cluster.training_run(key.namespace, key.name)
        if body is None or (resource := _lenient(body)).metadata.uid != key.uid:
            return None
        if is_final(resource.status):  # what its Job says is said of its pods
            return None
        known = {*pods, *(attempt.uid for attempt in resource.status.attempts)}
        return None if pod_uid in known or self._sees(key, pod_uid) else self._lost(pod_uid, Reason.POD_DELETED)

    def _recorded(self, key: Key, pod_uid: str) -> Attempt | None:
        """Return the attempt that a pod was, if it is on record: what is open of it came, or came back, after that."""
        body = self.mirror.view(key).body if key in self.mirror else None
        attempts = _lenient(body).status.attempts if body else []
        return next((found for found in attempts if found.uid == pod_uid and found.recorded_at), None)

    def _sees(self, key: Key, pod_uid: str) -> bool:
        return key in self.mirror and pod_uid in self.mirror.view(key).pods

    def _lost(self, pod_uid: str, reason: Reason) -> Attempt:
        return Attempt(pod=pod_uid, uid=pod_uid, outcome=Outcome.CANCELLED, reason=reason.value, finished_at=self.now())

    async def _find_all_deleted(self, namespace: str) -> None:
        async for page in self.cluster.training_runs(namespace):
            await self._guarded("looking for deleted runs", self._find_deleted(page))

    async def _find_deleted(self, bodies: Sequence[JsonObject]) -> None:
        settled = [found for found in map(_lenient, bodies) if is_settled(found) and found.status.tracking]
        # Several may share a run, which one of them logged and the others use again.
        there = await self.tracking.live_ids(sorted({run_id for found in settled for run_id in _run_ids(found)}))
        for resource in settled:
            with logs.about(resource.metadata.namespace, resource.metadata.name):
                gone = [run_id for run_id in _run_ids(resource) if run_id not in there]
                await self._guarded("a mark", self._mark(resource, gone))

    async def _mark(self, resource: TrainingRun, gone: Sequence[str]) -> None:
        """Say on a resource that runs of it were deleted, or that all are back."""
        tracked = resource.status.condition(TRACKED)
        said = tracked.message if tracked and tracked.reason == Reason.RUN_DELETED else None
        if gone:
            which = f"run {gone[0]} was" if len(gone) == 1 else f"runs {', '.join(gone)} were"
            news = ("False", Reason.RUN_DELETED, f"{which} deleted in MLflow, or its experiment was")
        elif said is not None:
            news = await self._back(resource)
        else:
            return
        if news[2] == said:
            return
        log.info("%s", news[2])
        status = with_tracked(resource, *news, self.now())
        if await self.cluster.patch_status(resource, status):
            happened = events.between(resource.status, status, retries=0)
            await record_events(self.cluster, resource, happened, self.now())

    async def _back(self, resource: TrainingRun) -> tuple[str, Reason, str]:
        """Return what is to be said of a resource of which a run was deleted, when all are there again."""
        run_id = _run_ids(resource)[0]
        run = await self.tracking.run(run_id)
        try:
            if not resource.status.reused_from:  # what another training stored is no matter of this one
                require_reachable(run)
        except ArtifactsUnreachable as error:
            return "False", Reason.ARTIFACTS_UNREACHABLE, str(error)
        if resource.status.phase is Phase.SUCCEEDED:
            runs = [run]
            for attempt in resource.status.attempts[-1:]:
                runs += await self.tracking.runs_of_pod(attempt.uid)
            if lacks := missing(resource.spec.tracking, runs):
                return "False", lacks.reason, lacks.message
        return "True", Reason.RECORDED, f"run {run_id} is back in MLflow"


def _run_ids(resource: TrainingRun) -> list[str]:
    """Return the run that a status is told of, and the others of its attempts."""
    told = [resource.status.tracking.run_id] if resource.status.tracking else []
    its_own = [] if resource.status.reused_from else [attempt.run_id for attempt in resource.status.attempts]
    return list(dict.fromkeys(run_id for run_id in [*told, *its_own] if run_id))


def _key_of(run: Run) -> Key | None:
    """Return the resource that a run says it is of; None where its tags name none that could be."""
    namespace, name, uid = (run.tags.get(tag, "") for tag in (NAMESPACE_TAG, NAME_TAG, UID_TAG))
    if _LABEL.fullmatch(namespace) and _SUBDOMAIN.fullmatch(name) and _UID.fullmatch(uid):
        return Key(namespace, name, uid)
    log.warning("run %s is open, and its tags name no TrainingRun: it is left to whoever changed them", run.id)
    return None


def _has_succeeded_unseen(resource: TrainingRun) -> bool:
    """Whether the pod that succeeded was never seen: what is open then is its run."""
    outcomes = {attempt.outcome for attempt in resource.status.attempts}
    return resource.status.phase is Phase.SUCCEEDED and Outcome.SUCCEEDED not in outcomes


def _standing_for(resource: TrainingRun) -> Attempt:
    """Return the end of a resource whose outcome is known, as that of one attempt."""
    return standing_for(resource.metadata.name, resource.status.attempts, remembered(resource))


def _lenient(body: JsonObject) -> TrainingRun:
    tracking = as_object(as_object(body.get("spec")).get("tracking"))
    known = {key: tracking[key] for key in ("requireModel", "requireMetrics") if key in tracking}
    return TrainingRun.model_validate({**body, "spec": {"tracking": known}})
