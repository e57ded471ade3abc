"""All that an operator does about sweeps, put together."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import kopf

from runyard.api.trainingrun import GROUP
from runyard.api.trainingsweep import PLURAL, Algorithm
from runyard_operator import logs, metrics
from runyard_operator.cluster import Cluster, ClusterError
from runyard_operator.liveness import Watches
from runyard_operator.objects import Key
from runyard_operator.queue import ReconcileQueue
from runyard_operator.settings import Settings
from runyard_operator.trainingsweeps import handlers
from runyard_operator.trainingsweeps.choosing import ByIndex, Chooser
from runyard_operator.trainingsweeps.closing import Closer
from runyard_operator.trainingsweeps.parents import Parents
from runyard_operator.trainingsweeps.pruning import Pruner
from runyard_operator.trainingsweeps.reconcile import SweepReconciler
from runyard_operator.trainingsweeps.sight import Sights
from runyard_operator.trainingsweeps.studies import ByStudy

log = logging.getLogger(__name__)

_DEFINITION_SECONDS = 60


class Sweeps:
    """A queue of their own, so that a hundred sweeps that wait for MLflow hold up no training."""

    def __init__(self, cluster: Cluster, settings: Settings, report: Callable[[Key, Exception], None]) -> None:
        """Begin with nothing known; `report` is told of what fails."""
        self.sights = Sights()
        self.queue = ReconcileQueue(self._attend, report)
        self.are_served = False
        """Whether the cluster has the definition of sweeps."""
        self._cluster, self._namespaces, self._has_optuna = cluster, settings.namespaces, settings.has_optuna
        self._reconciler: SweepReconciler | None = None
        self._closer: Closer | None = None
        metrics.SWEEPS.set_function(lambda: len(self.sights))
        metrics.SWEEPS_QUEUED.set_function(lambda: self.queue.depth)

    async def prepare(
        self, registry: kopf.OperatorRegistry, watches: Watches, parents: Parents, now: Callable[[], datetime]
    ) -> None:
        """Have sweeps watched, if the cluster knows any such thing, and be ready to look after them.

        Raises:
            ClusterError: the API server does not answer.

        """
        self.are_served = await self._cluster.serves(PLURAL)
        by_index = ByIndex()
        choosers: dict[Algorithm, Chooser] = {Algorithm.GRID: by_index, Algorithm.RANDOM: by_index}
        if self._has_optuna:
            choosers[Algorithm.OPTUNA] = ByStudy()
        pruner = Pruner(parents)
        self._reconciler = SweepReconciler(self._cluster, self.sights, parents, pruner, choosers, now)
        studies = choosers.get(Algorithm.OPTUNA)
        self._closer = Closer(self._cluster, parents, self.sights, self._namespaces, studies)
        if self.are_served:
            handlers.register(registry, self.queue, self.sights)
            watches.expect(handlers.WATCHED)

    async def look(self, pause: timedelta, stop: asyncio.Event) -> None:
        """Look, now and then, for what no event tells: runs left open, or the definition where there is none yet."""
        if self.are_served and self._closer:
            await self._closer.run(pause)
        else:
            await self._await_definition(stop)

    async def _attend(self, key: Key) -> timedelta | None:
        if self._reconciler is None:
            return None
        with logs.about(key.namespace, key.name), metrics.reconcile():
            return await self._reconciler.reconcile(key)

    async def _await_definition(self, stop: asyncio.Event) -> None:
        log.warning("there is no definition of %s.%s in this cluster: no sweep is looked at until it is", PLURAL, GROUP)
        while True:
            await asyncio.sleep(_DEFINITION_SECONDS)
            try:
                is_served = await self._cluster.serves(PLURAL)
            except ClusterError as error:
                log.warning("whether sweeps are defined is not known: %s", error)
                continue
            if is_served:
                # kopf decides at its start what it watches.
                log.info("%s.%s is defined now: this process ends, and the next one looks at sweeps", PLURAL, GROUP)
                stop.set()
                return
