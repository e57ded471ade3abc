"""The order of steps for one TrainingRun: look, decide, act, record, and write down what is so."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

import aiohttp
from pydantic import ValidationError

from runyard.api import parameters
from runyard.api.model import JsonObject, as_object
from runyard.api.records import POD_TAG, corrections, log_artifact, primary
from runyard.api.status import assemble, is_final, is_settled, is_urgent, refused
from runyard.api.trainingrun import Attempt, Outcome, Reason, TrainingRun, TrainingRunStatus
from runyard.errors import Problem
from runyard_operator import events, jobs
from runyard_operator.cluster import Cluster, ClusterError, JobRefused
from runyard_operator.decide import Decision, Observed, decide
from runyard_operator.mirror import Key, Mirror, View
from runyard_operator.recording import Recorder
from runyard_operator.settings import Settings
from runyard_operator.tracking import Tracking

log = logging.getLogger(__name__)

# Small changes of a status, such as a pod's node, wait this long for the next, so that both are one write.
_SMALL_CHANGE_WAITS = timedelta(seconds=2)
# What the watches showed of a resource that is not settled is compared with the API server this often.
_CONFIRM_EVERY = timedelta(minutes=5)


@dataclass
class Reconciler:
    """What reconciling needs."""

    cluster: Cluster
    tracking: Tracking
    settings: Settings
    mirror: Mirror
    recorder: Recorder
    now: Callable[[], datetime]

    async def reconcile(self, key: Key) -> timedelta | None:
        """Bring a resource, its Job and its runs to where they should be; return when to look again.

        Raises:
            ClusterError: the API server refused something that it should not.

        """
        if self.mirror.is_settled(key):  # what asked for it came too late
            self.recorder.forget(key)
            return None
        pause = await self._reconcile(key)
        if key not in self.mirror:
            return pause
        return _CONFIRM_EVERY if pause is None else min(pause, _CONFIRM_EVERY)

    async def _reconcile(self, key: Key) -> timedelta | None:
        view = self.mirror.view(key)
        view.confirmed_at = view.confirmed_at or self.now()
        if self.now() - view.confirmed_at >= _CONFIRM_EVERY:
            await self._confirm(key, view)
        # Its children were seen first, or it was gone before the operator came. And a Job is created only after a look
        # of now: an older one may be from before the Job was written down and deleted.
        if not view.is_deleted and (view.body is None or (view.job is None and not _names_job(view.body))):
            found = await self.cluster.training_run(key.namespace, key.name)
            if found is None or _uid(found) != key.uid:
                view.is_deleted = True
            else:
                self.mirror.see_resource(key, found)
        if view.is_deleted:
            return await self._bury(key, view)
        body = view.body or {}
        try:
            run = TrainingRun.model_validate(body)
        except ValidationError as error:
            return await self._refuse(key, lenient(body), _problems(error))
        if is_settled(run):
            self.mirror.settle(key)
            self.recorder.forget(key)
            return None
        if run.metadata.deletion_timestamp:
            return None
        if not is_final(run.status) and (problems := parameters.problems(run.spec)):
            return await self._refuse(key, run, problems)
        return await self._advance(key, run, view)

    async def _advance(self, key: Key, run: TrainingRun, view: View) -> timedelta | None:
        await self._confirm_absences(key, run, view)
        pods = tuple(view.pods.values())
        decision = decide(Observed(run, view.job, pods, self.now()), self.settings.image_pull_grace)
        try:
            await self._act(key, run, view, decision)
        except JobRefused as error:
            return await self._refuse(key, run, error.problems)
        await self._keep_logs(key, view)
        attempts, facts, ask_again = await self.recorder.record(key, run, view, decision.attempts)
        status = assemble(run, decision.job, attempts, facts, self.now())
        write_later = await self._write(key, run, view, status)
        pauses = (decision.look_again_after, ask_again, write_later)
        return min((pause for pause in pauses if pause is not None), default=None)

    async def _confirm(self, key: Key, view: View) -> None:
        """Forget what is gone without a word: a watch that expired tells of what is there, and not of deletions."""
        if not view.is_deleted:
            view.body = None  # it is read again
        if view.job and not view.job.has_ended and not await self.cluster.job(key.namespace, view.job.metadata.name):
            view.job = None
        await self._list_pods(key, view)
        view.confirmed_at = self.now()

    async def _confirm_absences(self, key: Key, run: TrainingRun, view: View) -> None:
        """Ask the API server for what should be there and was not seen."""
        is_over = is_final(run.status)
        if not is_over and view.job is None and run.status.job:
            found = await self.cluster.job(key.namespace, run.status.job)
            if found:
                view.see_job(found)
        # A verdict is about all pods, and the Job's end can be seen before the last of them.
        is_verdict = not is_over and view.job is not None and view.job.has_ended
        is_any_missing = any(
            not attempt.outcome.is_final and attempt.uid not in view.pods for attempt in run.status.attempts
        )
        if is_verdict or is_any_missing:
            await self._list_pods(key, view)

    async def _list_pods(self, key: Key, view: View) -> None:
        known = frozenset(view.pods)
        view.see_pods(await self.cluster.pods(key.namespace, key.uid), known)

    async def _act(self, key: Key, run: TrainingRun, view: View, decision: Decision) -> None:
        if decision.create_job:
            manifest = jobs.job(run, self.settings.tracking_uri)
            name = jobs.job_name(run)
            found = await self.cluster.create_job(key.namespace, manifest) or await self.cluster.job(
                key.namespace, name
            )
            if found is not None and not found.is_owned_by(key.uid):
                message = f"a Job {name} of somebody else's is in the way: delete it"
                raise JobRefused([Problem("metadata.name", message)])
            if found:
                view.see_job(found)
        if decision.patch_job and decision.job.name:
            patched = await self.cluster.patch_job(key.namespace, decision.job.name, decision.patch_job)
            if patched:
                view.see_job(patched)
            elif view.job and not view.job.has_ended:
                view.job = None

    async def _keep_logs(self, key: Key, view: View) -> None:
        """Read the logs of each pod that is about to go, while there is something to read."""
        for uid, pod in list(view.pods.items()):  # events come in meanwhile
            if not pod.metadata.deletion_timestamp:
                continue
            kept = view.logs.setdefault(uid, {})
            for container in pod.container_names:
                limit = self.settings.log_tail_bytes
                tail = await self.cluster.log_tail(key.namespace, pod.metadata.name, container, limit)
                if tail is not None and len(tail) >= len(kept.get(container, b"")):
                    kept[container] = tail

    async def _bury(self, key: Key, view: View) -> timedelta | None:
        """Close what a deleted resource left open, once its pods are gone."""
        if self.recorder.is_busy(key):
            return None  # it may be making a run just now; its end asks for another look
        await self._list_pods(key, view)
        await self._keep_logs(key, view)
        if any(not pod.has_ended for pod in view.pods.values()):
            return None  # the end of each comes as an event
        run = lenient(view.body or {})
        for attempt in await self._orphans(key, run):
            runs = await self.tracking.runs_of_pod(attempt.uid)
            chief = primary(runs)
            if chief is not None:
                for container, text in (await self.recorder.logs(key.namespace, view, attempt)).items():
                    await self.tracking.upload(chief, log_artifact(attempt.pod, container), text)
                await self.tracking.apply(corrections(runs, attempt))
        self.mirror.forget(key)
        self.recorder.forget(key)
        return None

    async def _orphans(self, key: Key, run: TrainingRun) -> list[Attempt]:
        """Return the attempts of a deleted resource that have open runs, as cancelled."""
        runs = await self.tracking.runs_of_resource(key.uid)
        pods = {found.tags.get(POD_TAG, "") for found in runs if found.status.is_open}
        names = {attempt.uid: attempt.pod for attempt in run.status.attempts}
        return [
            Attempt(
                pod=names.get(uid, uid),
                uid=uid,
                outcome=Outcome.CANCELLED,
                reason=Reason.CANCELLED,
                finished_at=self.now(),
                message="the TrainingRun was deleted",
            )
            for uid in sorted(pods)
        ]

    async def _refuse(self, key: Key, run: TrainingRun, problems: Sequence[Problem]) -> timedelta | None:
        return await self._write(key, run, self.mirror.view(key), refused(run, problems, self.now()))

    async def _write(self, key: Key, run: TrainingRun, view: View, status: TrainingRunStatus) -> timedelta | None:
        """Write a status that says something new; return how long a small change has still to wait."""
        if status == run.status:
            view.small_change_since = None
            return None
        if not is_urgent(run.status, status):
            view.small_change_since = view.small_change_since or self.now()
            left = view.small_change_since + _SMALL_CHANGE_WAITS - self.now()
            if left > timedelta(0):
                return left
        view.small_change_since = None
        try:
            body = await self.cluster.patch_status(run, status)
        except ClusterError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            # Somebody has changed the resource since: take what it is now, and decide again.
            view.body, body = None, None
            return timedelta(0)
        if body is None:
            return None  # gone; its deletion comes as an event
        self.mirror.see_resource(key, body)
        await self._tell(run, status)
        if is_settled(run.model_copy(update={"status": status})):
            self.mirror.settle(key)
            self.recorder.forget(key)
        return None

    async def _tell(self, run: TrainingRun, status: TrainingRunStatus) -> None:
        for event in events.between(run.status, status):
            try:
                await self.cluster.record_event(run, event, self.now())
            except (ClusterError, aiohttp.ClientError, TimeoutError) as error:
                # An event is a courtesy; the status is the record.
                log.warning("%s/%s: no event: %s", run.metadata.namespace, run.metadata.name, error)


def lenient(body: JsonObject) -> TrainingRun:
    """Read a resource of which only metadata and status are needed, whatever its spec says."""
    return TrainingRun.model_validate({**body, "spec": {}})


def _uid(body: JsonObject) -> str:
    return str(as_object(body.get("metadata")).get("uid"))


def _names_job(body: JsonObject) -> bool:
    return "job" in as_object(body.get("status"))


def _problems(error: ValidationError) -> list[Problem]:
    return [Problem(".".join(map(str, found["loc"])), found["msg"]) for found in error.errors()]
