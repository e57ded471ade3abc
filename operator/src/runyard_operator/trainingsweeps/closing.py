"""Looking, now and then, for runs of sweeps that were deleted while no operator looked."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from runyard.api.model import as_object
from runyard.api.records import Run, RunStatus
from runyard_operator import metrics
from runyard_operator.cluster import Cluster, ClusterError
from runyard_operator.tracking import TrackingError
from runyard_operator.trainingsweeps.choosing import Chooser, Unavailable
from runyard_operator.trainingsweeps.parents import Parents, sweep_of
from runyard_operator.trainingsweeps.sight import Sights

log = logging.getLogger(__name__)

# A start has enough to do.
_FIRST_AFTER = timedelta(seconds=30)


@dataclass
class Closer:
    """Sets runs KILLED whose sweeps are gone."""

    cluster: Cluster
    parents: Parents
    sights: Sights
    namespaces: Sequence[str]
    studies: Chooser | None = None
    """What has chosen the trials of some, and remembers them."""

    async def run(self, pause: timedelta) -> None:
        """Look until cancelled; what fails is reported, and is looked at again in its time."""
        await asyncio.sleep(min(pause, _FIRST_AFTER).total_seconds())
        while True:
            try:
                await self.close_all()
            except (TrackingError, ClusterError) as error:
                log.warning("closing runs of sweeps was not finished: %s", error)
                metrics.SWEEP_ERRORS.inc()
            except Exception:
                log.exception("closing runs of sweeps was not finished")
                metrics.SWEEP_ERRORS.inc()
            await asyncio.sleep(pause.total_seconds())

    async def close_all(self) -> None:
        """Close each run whose sweep the API server does not have.

        Raises:
            TrackingError, ClusterError: of the first that could not be; the others were all the same.

        """
        problems: list[TrackingError | ClusterError] = []
        for run in await self.parents.open_runs():
            try:
                await self._close(run)
            except (TrackingError, ClusterError) as error:  # its namespace may be one that may not be read
                problems.append(error)
        if problems:
            raise problems[0]

    async def _close(self, run: Run) -> None:
        key = sweep_of(run)
        if key is None or key in self.sights or (self.namespaces and key.namespace not in self.namespaces):
            return
        found = await self.cluster.training_sweep(key.namespace, key.name)
        if found is None or as_object(found.get("metadata")).get("uid") != key.uid:
            log.info("run %s is closed: its sweep %s is gone", run.id, key)
            await self.parents.close(run, RunStatus.KILLED)
            try:
                if self.studies:
                    await self.studies.leave(key)
            except Unavailable as error:  # its run is closed: nothing leads here again
                log.warning("the trials of the sweep %s go on in its study: %s", key, error)
