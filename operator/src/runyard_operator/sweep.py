"""Looking, now and then, for what no event tells: runs that were left open, and runs that were deleted in MLflow."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from runyard.api.model import JsonObject
from runyard.api.records import NAME_TAG, NAMESPACE_TAG, POD_TAG, UID_TAG, Run, corrections
from runyard.api.status import TRACKED, is_settled, with_tracked
from runyard.api.trainingrun import Reason, TrainingRun
from runyard_operator.cluster import Cluster, ClusterError
from runyard_operator.mirror import Key, Mirror
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
        if not self.mirror.is_settled(key):
            self.look_at(key)  # going on, or deleted unseen: either way reconciling knows what to do
            return
        body = await self.cluster.training_run(key.namespace, key.name)
        resource = TrainingRun.model_validate({**(body or {}), "spec": {}})
        ended = next((found for found in resource.status.attempts if found.uid == run.tags.get(POD_TAG)), None)
        if body is None or resource.metadata.uid != key.uid or ended is None:
            return
        log.info("%s/%s: run %s was left open", key.namespace, key.name, run.id)
        await self.tracking.apply(corrections([run], ended, None))

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


def _lenient(body: JsonObject) -> TrainingRun:
    return TrainingRun.model_validate({**body, "spec": {}})
