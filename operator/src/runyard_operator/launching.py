"""The making of a Job, and what is in the way of it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from runyard.api import parameters
from runyard.api.environment import AssignedRun, Platform
from runyard.api.model import JsonObject
from runyard.api.trainingrun import RunMode, TrainingRun
from runyard.errors import Problem
from runyard_operator import jobs
from runyard_operator.cluster import Cluster, ClusterError, Refused
from runyard_operator.mirror import View
from runyard_operator.objects import Job, Key
from runyard_operator.paths import own_path
from runyard_operator.recording import Recorder

log = logging.getLogger(__name__)

# How long it is nobody's business that a Job cannot be made.
_TOLD_AFTER = timedelta(seconds=10)


@dataclass
class Launcher:
    """What making a Job needs."""

    cluster: Cluster
    platform: Platform
    recorder: Recorder
    now: Callable[[], datetime]

    async def launch(self, key: Key, run: TrainingRun, view: View) -> str | None:
        """Create the Job; return what is in the way of it for now.

        Raises:
            Refused: the API server will never have it.
            ClusterError: the API server does not answer, or not as it should.

        """
        try:
            found = await self._created(key, run, view)
        except ClusterError as error:
            if self._may_pass(error, view):
                raise
            log.warning("the Job cannot be made yet: %s", error)
            return str(error)
        if isinstance(found, str):
            return found
        if found is not None and not found.is_of(key):
            message = f"a Job {key.job_name} of somebody else's is in the way: delete it"
            raise Refused([Problem("metadata.name", message)])
        if found:
            view.see_job(found)
        return None

    def _may_pass(self, error: ClusterError, view: View) -> bool:
        """Whether it is too early to tell: a quota forbids it; whatever else is in the way passes, or lasts a while."""
        since = view.confirmed_at or self.now()
        return error.status != HTTPStatus.FORBIDDEN and self.now() - since < _TOLD_AFTER

    async def refused_besides(self, key: Key, run: TrainingRun, view: View) -> list[Problem]:
        """Return what the API server has against the Job of a resource whose parameters are wrong.

        Nothing, where it does not say: as by a quota, or while a webhook is down, which have no say in what is wrong.
        """
        spec = run.spec.model_copy(update={"parameters": parameters.usable(run.spec)})
        likely = run.model_copy(update={"spec": spec})
        try:
            await self._try(key, likely, jobs.job(likely, self.platform))
        except Refused as error:
            return list(error.problems)
        except ClusterError as error:
            if self._may_pass(error, view):
                raise
            log.warning("the Job cannot be tried: %s", error)
        return []

    async def _created(self, key: Key, run: TrainingRun, view: View) -> Job | str | None:
        """Return the Job, made or there already, or what it has to wait for."""
        assigned = None
        if run.spec.run_mode is RunMode.ASSIGNED:
            assigned = await self._assigned(key, run, view)
            if assigned is None:
                return "waits for MLflow, where its run is to be made first"
        if run.spec.workers > 1:
            await self.cluster.create_service(key.namespace, jobs.service(run))
        manifest = jobs.job(run, self.platform, assigned)
        try:
            made = await self.cluster.create_job(key.namespace, manifest)
        except Refused as error:
            raise _own(error, run, manifest) from error
        return made or await self.cluster.job(key.namespace, key.job_name)

    async def _assigned(self, key: Key, run: TrainingRun, view: View) -> AssignedRun | None:
        if not view.is_tried:  # no run is made for a Job that cannot be
            await self._try(key, run, jobs.job(run, self.platform))
            view.is_tried = True
        return await self.recorder.assign(key, run)

    async def _try(self, key: Key, run: TrainingRun, manifest: JsonObject) -> None:
        try:
            await self.cluster.create_job(key.namespace, manifest, dry_run=True)
        except Refused as error:
            raise _own(error, run, manifest) from error


def _own(refusal: Refused, run: TrainingRun, job: JsonObject) -> Refused:
    """Return the API server's complaints of a Job with their paths in the TrainingRun."""
    return Refused([Problem(own_path(found.path, run, job), found.message) for found in refusal.problems])
