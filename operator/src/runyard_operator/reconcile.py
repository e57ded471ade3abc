"""The order of steps for one TrainingRun: look, decide, act, record, and write down what is so."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import ValidationError

from runyard.api import checks
from runyard.api.facts import JobState
from runyard.api.model import JsonObject, as_object
from runyard.api.outcome import Outcome, TrainingRunStatus
from runyard.api.status import (
    acknowledged,
    assemble,
    doubted,
    is_final,
    is_only_waiting,
    is_settled,
    is_told,
    is_urgent,
    refused,
)
from runyard.api.trainingrun import TrainingRun
from runyard.errors import Problem
from runyard_operator import events, metrics
from runyard_operator.attempts import image_wait
from runyard_operator.cluster import Cluster, ClusterError, Refused
from runyard_operator.decide import Decision, Observed, decide, decide_on_deleted, may_be_reused
from runyard_operator.launching import Launcher
from runyard_operator.mirror import Mirror, View
from runyard_operator.objects import Job, Key, lenient
from runyard_operator.recording import Recorder
from runyard_operator.settings import Settings
from runyard_operator.told import open_attempts
from runyard_operator.writing import NO_WAIT, SMALL_CHANGE_WAITS, WAITING_POD_WAITS, record_events, write_status

log = logging.getLogger(__name__)

# How soon a Job's first pod is there, if nothing is in the way; and how often to see whether that is gone.
_PODS_COME_WITHIN, _OBSTACLE_PAUSE, _LONGEST_OBSTACLE_PAUSE = (timedelta(seconds=pause) for pause in (4, 10, 120))
# A Job's own pause before it tries again: doubled with each pod that failed.
_FIRST_BACKOFF, _LONGEST_BACKOFF = timedelta(seconds=10), timedelta(minutes=10)
# What the watches showed of a resource that is not settled is compared with the API server this often.
_CONFIRM_EVERY = timedelta(minutes=5)


@dataclass
class Reconciler:
    """What reconciling needs."""

    cluster: Cluster
    settings: Settings
    launcher: Launcher
    mirror: Mirror
    recorder: Recorder
    now: Callable[[], datetime]
    is_alone: Callable[[], bool]
    """Whether no request of an earlier operator can still come to the API server."""

    async def reconcile(self, key: Key) -> timedelta | None:
        """Bring a resource, its Job and its runs to where they should be; return when to look again.

        Raises:
            ClusterError: the API server refused something that it should not.

        """
        if self.mirror.is_buried(key):
            return None
        if self.mirror.is_settled(key):  # what asked for it came too late, or its Job does not know how long it has
            self.recorder.forget(key)
            if expiring := self.mirror.expiring(key):
                await self._expire(key, *expiring)
            return None
        pause = await self._reconcile(key)
        if key not in self.mirror:
            return pause
        return _CONFIRM_EVERY if pause is None else min(pause, _CONFIRM_EVERY)

    async def _reconcile(self, key: Key) -> timedelta | None:
        view = self.mirror.view(key)
        view.confirmed_at = view.confirmed_at or self.now()
        if self.now() - view.confirmed_at >= _CONFIRM_EVERY:
            with metrics.step("confirm"):
                await self._confirm(key, view)
        if not view.is_deleted and (view.body is None or view.is_in_doubt or self._may_be_behind(view)):
            with metrics.step("read"):
                await self._read(key, view)
        if view.is_deleted:
            return await self._bury(key, view)
        run, problems = _parsed(view.body or {})
        if is_told(run.status):
            return await self._leave(key, run, view)
        if problems:
            return await self._refuse(key, run, view, problems)
        # What was begun is seen to its end, whatever its specification was changed to since.
        has_begun = run.status.job or view.job
        if not has_begun and (problems := checks.problems(run.spec)) and not await self._finds_job(key, view):
            return await self._refuse(key, run, view, [*problems, *await self.launcher.refused_besides(key, run, view)])
        return await self._advance(key, run, view)

    async def _finds_job(self, key: Key, view: View) -> bool:
        """Whether the resource has a Job all the same, made just before its status could say so."""
        found = await self.cluster.job(key.namespace, key.job_name)
        if found is None or not found.is_of(key):
            return False
        view.see_job(found)
        return True

    def _may_be_behind(self, view: View) -> bool:
        """Whether a Job is about to be created on a look that may be from before it was written down and deleted.

        What this process wrote it has in view; what an earlier one wrote may still be on its way.
        """
        return view.job is None and not _names_job(view.body or {}) and not self.is_alone()

    async def _read(self, key: Key, view: View) -> None:
        before = view.body
        found = await self.cluster.training_run(key.namespace, key.name)
        if found is None or _uid(found) != key.uid:
            view.is_deleted = True
            return
        self.mirror.see_resource(key, found)
        view.is_in_doubt = False
        # A store that was restored from a copy goes back in its versions: what was read is so, unless an event came
        # meanwhile, which may also have shown that nothing is left to do.
        if view.body is before:
            view.body = found

    async def _advance(self, key: Key, run: TrainingRun, view: View) -> timedelta | None:
        with metrics.step("observe"):
            await self._confirm_absences(key, run, view)
            if run.metadata.deletion_timestamp and not run.status.job and view.job is None:
                await self._finds_job(key, view)
        pods = tuple(view.pods.values())
        view.image_waits = {
            uid: view.image_waits.get(uid, self.now()) for uid, pod in view.pods.items() if image_wait(pod)
        }
        earlier = await self.recorder.earlier(key, run) if may_be_reused(run, view.job) else None
        if earlier and earlier.run:  # a Job that was made before its resource could say so goes on
            await self._finds_job(key, view)
        seen = Observed(run, view.job, pods, self.now(), view.image_waits, earlier)
        decision = decide(seen, self.settings.image_pull_grace)
        try:
            with metrics.step("act"):
                decision = await self._act(key, run, view, decision)
        except Refused as error:
            return await self._refuse(key, run, view, error.problems)
        decision = await self._explain(key, run, view, decision)
        self.recorder.logs.keep(key, view, run.status)
        with metrics.step("record"):
            attempts, facts, ask_again = await self.recorder.record(key, run, view, decision)
        status = assemble(run, decision.job, attempts, facts, self.now())
        with metrics.step("write"):
            write_later = await self._write(key, run, view, status)
        pauses = (decision.look_again_after, ask_again, write_later)
        return min((pause for pause in pauses if pause is not None), default=None)

    async def _confirm(self, key: Key, view: View) -> None:
        """Forget what is gone without a word: a watch that expired tells of what is there, and not of deletions."""
        view.is_in_doubt = True
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
        # A verdict is about all pods, and the end of their Job, or its deletion, can be seen before the last of them.
        is_verdict = not is_over and (view.job.has_ended if view.job else run.status.job is not None)
        is_any_missing = any(
            not attempt.outcome.is_final and attempt.uid not in view.pods for attempt in run.status.attempts
        )
        if is_verdict or is_any_missing:
            await self._list_pods(key, view)
        # How a pod ended that went unseen its Job knows, and knew before the pod could go.
        is_asked = is_any_missing and view.job and not view.job.has_ended
        if is_asked and view.job and (now := await self.cluster.job(key.namespace, view.job.metadata.name)):
            view.see_job(now)

    async def _list_pods(self, key: Key, view: View) -> None:
        known = frozenset(view.pods)
        view.see_pods(await self.cluster.pods(key), known)

    async def _act(self, key: Key, run: TrainingRun, view: View, decision: Decision) -> Decision:
        """Do what was decided; return the decision with what keeps it from being done."""
        if decision.create_job:
            obstacle = await self.launcher.launch(key, run, view)
            if view.job is None:
                waits = replace(decision.job, name=None, message=obstacle)
                return replace(decision, job=waits, look_again_after=_OBSTACLE_PAUSE)
        if decision.patch_job and decision.job.name:
            patched = await self.cluster.patch_job(key.namespace, decision.job.name, decision.patch_job)
            if patched:
                view.see_job(patched)
            elif view.job and not view.job.has_ended:
                view.job = None
        return decision

    async def _explain(self, key: Key, run: TrainingRun, view: View, decision: Decision) -> Decision:
        """Add why there is no pod, or too few, or why one does not begin: controller and kubelet say so in events."""
        if view.job is None or decision.job.state is not JobState.RUNNING:
            return decision
        going_on = [found for found in decision.attempts if not found.outcome.is_final]
        waiting = [found for found in going_on if found.outcome is Outcome.PENDING and not found.message]
        done = [found for found in decision.attempts if found.outcome is Outcome.SUCCEEDED]
        if not waiting and len(going_on) + len(done) >= run.spec.workers:
            return decision
        ends = [found.finished_at for found in decision.attempts if found.finished_at and found not in done]
        since = max([view.job.status.start_time or view.job.metadata.creation_timestamp, *ends])
        about, comes_within = view.job.metadata.uid, _PODS_COME_WITHIN
        if waiting:
            since, about = waiting[0].started_at or since, waiting[0].uid
        elif failures := sum(found.outcome is Outcome.FAILED for found in decision.attempts):
            comes_within += min(_FIRST_BACKOFF * (1 << min(failures - 1, 10)), _LONGEST_BACKOFF)
        waited = self.now() - since
        if waited < comes_within:
            return replace(decision, look_again_after=comes_within - waited)
        # Each look has the API server read all events of a namespace: what has waited long is looked at seldom.
        pause = min(max(waited / 4, _OBSTACLE_PAUSE), _LONGEST_OBSTACLE_PAUSE)
        try:
            with metrics.step("explain"):
                message = await self.cluster.last_warning(key.namespace, about, since)
        except ClusterError as error:  # a courtesy, as an event is
            log.warning("why it waits is not known: %s", error)
            message = None
        if message and not waiting and decision.attempts:
            message = f"no further pod begins: {message}"
        job = replace(decision.job, message=message or decision.job.message)
        return replace(decision, job=job, look_again_after=min(pause, decision.look_again_after or pause))

    async def _bury(self, key: Key, view: View) -> timedelta | None:
        """Close what a deleted resource left open, once its pods are gone."""
        await self._list_pods(key, view)
        run = _buried(key, view)
        self.recorder.logs.keep(key, view, run.status)
        if self.recorder.is_busy(key):
            return None  # it may be making a run just now; its end asks for another look
        if any(not pod.has_ended for pod in view.pods.values()):
            return None  # the end of each comes as an event
        ended = decide_on_deleted(Observed(run, view.job, tuple(view.pods.values()), self.now()))
        recorded, facts, ask_again = await self.recorder.record(key, run, view, ended)
        if self.recorder.is_busy(key):
            return None
        if facts.problem or not facts.is_closed or open_attempts(recorded):
            return ask_again or _OBSTACLE_PAUSE
        self.mirror.bury(key)
        self.recorder.forget(key)
        return None

    async def _refuse(self, key: Key, run: TrainingRun, view: View, problems: Sequence[Problem]) -> timedelta | None:
        """Say what is wrong, and that nothing comes of it; of what has begun, only what is wrong."""
        if run.status.job or view.job:
            return await self._write(key, run, view, doubted(run, problems, self.now())) or _OBSTACLE_PAUSE
        return await self._write(key, run, view, refused(run, problems, self.now()))

    async def _write(self, key: Key, run: TrainingRun, view: View, status: TrainingRunStatus) -> timedelta | None:
        """Write a status that says something new; return how long a small change has still to wait."""
        body = await write_status(self.cluster, run, view, status, self.now(), _waits(run.status, status))
        if not isinstance(body, dict):
            return body
        self.mirror.see_resource(key, body)
        metrics.count_outcome(run.status, status)
        happened = events.between(run.status, status, retries=run.spec.backoff_limit)
        await record_events(self.cluster, run, happened, self.now())
        written = TrainingRun.model_validate(body)
        if is_settled(written):
            await self._settle(key, written, view)
        return None

    async def _leave(self, key: Key, run: TrainingRun, view: View) -> timedelta | None:
        """Do no more about a resource of which all is told: an edit since changes nothing of what was."""
        if is_settled(run):
            await self._settle(key, run, view)
            return None
        return await self._write(key, run, view, acknowledged(run))

    async def _settle(self, key: Key, run: TrainingRun, view: View) -> None:
        """Leave a resource of which all is told, and have its Job removed when it should be."""
        job, ttl = view.job, run.spec.ttl_seconds_after_finished
        if ttl is not None and run.status.job and job is None:
            job = await self.cluster.job(key.namespace, run.status.job)
        await self._expire(key, job, ttl)
        self.mirror.settle(key, run.metadata.version, ttl)
        self.recorder.forget(key)

    async def _expire(self, key: Key, job: Job | None, ttl_seconds: int | None) -> None:
        """Say to a Job how long it has. It is told only when all that it says is on record."""
        if job and job.spec.ttl_seconds_after_finished != ttl_seconds:
            patch: JsonObject = {"spec": {"ttlSecondsAfterFinished": ttl_seconds}}
            if patched := await self.cluster.patch_job(key.namespace, job.metadata.name, patch):
                self.mirror.see_job(key, patched)  # else it is told again before its own event comes


def _waits(before: TrainingRunStatus, after: TrainingRunStatus) -> timedelta:
    """Return how long what is new in a status waits for more."""
    if is_urgent(before, after):
        return NO_WAIT
    return WAITING_POD_WAITS if is_only_waiting(before, after) else SMALL_CHANGE_WAITS


def _buried(key: Key, view: View) -> TrainingRun:
    """Return what is known of a deleted resource; of one whose deletion was not seen, no more than its name."""
    if view.body is None:
        metadata = {"namespace": key.namespace, "name": key.name, "uid": key.uid}
        return lenient({"metadata": metadata})  # type: ignore[dict-item]
    return _parsed(view.body)[0]


def _parsed(body: JsonObject) -> tuple[TrainingRun, list[Problem]]:
    """Read a resource, and what is wrong with it; then as far as metadata and status go."""
    try:
        return TrainingRun.model_validate(body), []
    except ValidationError as error:
        return lenient(body), [Problem(".".join(map(str, found["loc"])), found["msg"]) for found in error.errors()]


def _uid(body: JsonObject) -> str:
    return str(as_object(body.get("metadata")).get("uid"))


def _names_job(body: JsonObject) -> bool:
    return "job" in as_object(body.get("status"))
