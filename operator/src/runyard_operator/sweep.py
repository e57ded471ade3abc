"""Looking, now and then, for what no event tells: runs that were left open, and runs that were deleted in MLflow."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from runyard.api.model import JsonObject
from runyard.api.outcome import Attempt, Outcome, Reason, TrainingRunStatus
from runyard.api.records import NAME_TAG, NAMESPACE_TAG, POD_TAG, UID_TAG, Run, corrections
from runyard.api.status import SUCCEEDED, TRACKED, is_settled, with_tracked
from runyard.api.trainingrun import TrainingRun
from runyard_operator.attempts import observed
from runyard_operator.cluster import Cluster, ClusterError
from runyard_operator.mirror import Mirror
from runyard_operator.objects import Key
from runyard_operator.tracking import Tracking, TrackingError

log = logging.getLogger(__name__)

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
        """Sweep until cancelled; a sweep that fails is reported, and the next one comes in its time."""
        await asyncio.sleep(min(pause, _FIRST_AFTER).total_seconds())
        while True:
            try:
                await self.sweep()
            except (TrackingError, ClusterError) as error:
                log.warning("the sweep was not finished: %s", error)
            await asyncio.sleep(pause.total_seconds())

    async def sweep(self) -> None:
        """Close runs that nobody will close, and find runs that are gone."""
        for run in await self.tracking.open_runs(self.installation):
            await self._close(run)
        for namespace in self.namespaces or [""]:
            async for page in self.cluster.training_runs(namespace):
                await self._find_deleted(page)

    async def _close(self, run: Run) -> None:
        key = Key(run.tags[NAMESPACE_TAG], run.tags[NAME_TAG], run.tags[UID_TAG])
        if self.namespaces and key.namespace not in self.namespaces:
            return
        pod_uid = run.tags.get(POD_TAG, "")
        if self.mirror.is_settled(key) or self.mirror.is_buried(key):
            ended = await self._end_of(key, pod_uid)
        else:
            self.look_at(key)  # going on, or deleted unseen: either way reconciling knows what to do
            ended = await self._end_unseen(key, pod_uid)
        if ended:
            log.info("%s/%s: run %s was left open", key.namespace, key.name, run.id)
            await self.tracking.apply(corrections([run], ended, None))

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
        pod = next((pod for pod in await self.cluster.pods(key) if pod.metadata.uid == pod_uid), None)
        if pod:
            return observed([pod], TrainingRunStatus(), None, self.now())[0] if pod.has_ended else None
        return self._lost(pod_uid, Reason.POD_DELETED if is_there else Reason.CANCELLED)

    async def _end_unseen(self, key: Key, pod_uid: str) -> Attempt | None:
        """Return the end of a pod that came and went while no operator looked, of a resource that goes on."""
        if not pod_uid or self._sees(key, pod_uid):  # as of nearly every run that goes on
            return None
        pods = {pod.metadata.uid for pod in await self.cluster.pods(key)}
        body = await self.cluster.training_run(key.namespace, key.name)
        if body is None or (resource := _lenient(body)).metadata.uid != key.uid:
            return None
        known = {*pods, *(attempt.uid for attempt in resource.status.attempts)}
        return None if pod_uid in known or self._sees(key, pod_uid) else self._lost(pod_uid, Reason.POD_DELETED)

    def _sees(self, key: Key, pod_uid: str) -> bool:
        return key in self.mirror and pod_uid in self.mirror.view(key).pods

    def _lost(self, pod_uid: str, reason: Reason) -> Attempt:
        return Attempt(pod=pod_uid, uid=pod_uid, outcome=Outcome.CANCELLED, reason=reason.value, finished_at=self.now())

    async def _find_deleted(self, bodies: Sequence[JsonObject]) -> None:
        settled = [found for found in map(_lenient, bodies) if is_settled(found) and found.status.tracking]
        by_run = {str(found.status.tracking.run_id): found for found in settled if found.status.tracking}
        there = await self.tracking.live_ids(list(by_run))
        for run_id, resource in by_run.items():
            await self._mark(resource, run_id, is_there=run_id in there)

    async def _mark(self, resource: TrainingRun, run_id: str, *, is_there: bool) -> None:
        """Say on a resource that its run was deleted, or that it is back."""
        tracked = resource.status.condition(TRACKED)
        match tracked.reason if tracked else None, is_there:
            case Reason.RECORDED, False:
                news = ("False", Reason.RUN_DELETED, f"run {run_id} was deleted in MLflow, or its experiment was")
            case Reason.RUN_DELETED, True:
                news = ("True", Reason.RECORDED, f"run {run_id} is back in MLflow")
            case _:
                return
        log.info("%s/%s: %s", resource.metadata.namespace, resource.metadata.name, news[2])
        await self.cluster.patch_status(resource, with_tracked(resource, *news, self.now()))


def _standing_for(resource: TrainingRun) -> Attempt:
    """Return the end of a resource whose outcome is known, as that of one attempt."""
    verdict = resource.status.condition(SUCCEEDED)
    return Attempt(
        pod=resource.metadata.name,
        uid="",
        outcome=Outcome.SUCCEEDED if verdict and verdict.status == "True" else Outcome.FAILED,
        reason=verdict.reason if verdict else None,
        finished_at=resource.status.completion_time,
    )


def _lenient(body: JsonObject) -> TrainingRun:
    return TrainingRun.model_validate({**body, "spec": {}})
