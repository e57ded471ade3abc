"""Bringing MLflow to agree with attempts, beside the reconciling: a server that is down holds up nothing else."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from runyard.api import datasets, promotion_of_training, reuse
from runyard.api.environment import AssignedRun, identity_tags
from runyard.api.facts import JobState, Missing, TrackingFacts
from runyard.api.outcome import Attempt, Reason
from runyard.api.records import (
    ASSIGNED,
    MADE_TAG,
    NAME_TAG,
    NAMESPACE_TAG,
    OUTCOME_TAG,
    STAND_IN,
    Run,
    corrections,
    primary,
    source_correction,
)
from runyard.api.requirements import missing, needs_closing
from runyard.api.status import is_tracked, lacking
from runyard.api.trainingrun import RunMode, TrainingRun
from runyard.errors import TrackingUnavailable
from runyard_operator import metrics
from runyard_operator import unseen as unseen_pods
from runyard_operator.cluster import ClusterError
from runyard_operator.container_logs import ContainerLogs
from runyard_operator.decide import Decision, Earlier, standing_for
from runyard_operator.mirror import View
from runyard_operator.objects import Key
from runyard_operator.queue import pause_after
from runyard_operator.registry import Models
from runyard_operator.storing import has_no_log, store, store_soon
from runyard_operator.told import (
    Recording,
    are_unseen_sought,
    assigned_id,
    is_to_promote,
    open_attempts,
    require_late_ones,
    result_id,
)
from runyard_operator.tracking import ArtifactsUnreachable, ExperimentDeleted, MayStillCome, Tracking, TrackingError

log = logging.getLogger(__name__)

# How long a status waits for MLflow's part, so that one write says both.
_PATIENCE_SECONDS = 1.0
# With a request that hangs before it, this keeps what MLflow missed within half a minute of its return.
_LONGEST_PAUSE_SECONDS = 10.0


@dataclass
class Recorder:
    """Records attempts, one task a resource; a task that ends asks for its resource to be looked at again."""

    tracking: Tracking
    logs: ContainerLogs
    installation: str
    now: Callable[[], datetime]
    changed: Callable[[Key], None]
    late_for: Callable[[], timedelta]
    """How long what an earlier operator asked MLflow for may still come."""
    _recordings: dict[Key, Recording] = field(default_factory=dict)
    _since: datetime = field(init=False)

    def __post_init__(self) -> None:
        """Note since when pods are looked at."""
        self._since = self.now()

    async def record(
        self, key: Key, run: TrainingRun, view: View, decision: Decision
    ) -> tuple[list[Attempt], TrackingFacts, timedelta | None]:
        """Have attempts recorded; return what is known of them now, and when to ask again.

        A task that takes longer than a moment goes on by itself.
        """
        recording = self._recording(key, run)
        if decision.reused:
            url = self.tracking.url_of(decision.reused)
            recording.facts = TrackingFacts().with_results(decision.reused, url, run.spec.tracking)
        if run.spec.run_mode is RunMode.ASSIGNED and (run_id := assigned_id(run, recording)):
            recording.run_ids |= {attempt.uid: run_id for attempt in decision.attempts if not attempt.run_id}
        recording.note_written(run.status)
        attempts = recording.look_at(decision.attempts)
        if are_unseen_sought(recording, run, view, decision, self._since):
            recording.facts = replace(recording.facts, is_closed=False)
        wanted = open_attempts(attempts)
        closes = decision.job.state.is_final and not recording.facts.is_closed
        promotes = is_to_promote(recording, run, view, decision)
        ends = closes or promotes
        if (wanted or ends) and recording.task is None and recording.is_due(wanted, self.now(), ends=ends):
            work = self._attend(recording, key, run, view, wanted, decision if closes else None)
            await self._begin(key, recording, self._promoting(work, recording, run, decision) if promotes else work)
        pause = self._pause(recording) if wanted or ends else None
        found = recording.applied_to(decision.attempts)
        recording.note_count(run.status, found)
        return found, recording.facts, pause

    async def earlier(self, key: Key, run: TrainingRun) -> Earlier | None:
        """Return what MLflow has that may be the result of a training; None where that takes longer than a moment."""
        recording = self._recording(key, run)
        if recording.earlier is None and recording.task is None and recording.is_due((), self.now(), ends=False):
            await self._begin(key, recording, self._look_for_earlier(recording, run))
        # Once: by the next time it may have been deleted, or another may be there.
        found, recording.earlier = recording.earlier, None
        return found

    async def _look_for_earlier(self, recording: Recording, run: TrainingRun) -> None:
        listed = await self.tracking.results(reuse.expression(run), self.installation)
        found = reuse.earliest(listed, run.spec.tracking)
        recording.not_before = None
        recording.earlier = Earlier(found, reuse.reused_from(found, self.tracking.url_of(found)) if found else None)

    async def _begin(self, key: Key, recording: Recording, work: Coroutine[None, None, None]) -> None:
        """Have something done by a task, and wait a moment for it: nobody is to be held up by MLflow."""
        recording.is_left_alone = False
        task = recording.task = asyncio.create_task(self._guarded(key, recording, work))
        await asyncio.wait({task}, timeout=_PATIENCE_SECONDS)
        recording.is_left_alone = not task.done()

    async def assign(self, key: Key, run: TrainingRun) -> AssignedRun | None:
        """Return the run that all pods of a resource are to log into, made if it is not there.

        None where that takes longer than a moment; its end then asks for another look. None also where MLflow does not
        answer; `record` then says why.
        """
        recording = self._recording(key, run)
        if recording.assigned is None and recording.task is None and recording.is_due((), self.now(), ends=False):
            await self._begin(key, recording, self._assign(recording, key, run))
        # Once: by the next time it may have been deleted.
        found, recording.assigned = recording.assigned, None
        return found

    async def _assign(self, recording: Recording, key: Key, run: TrainingRun) -> None:
        found = await self._assigned(run, recording, key)
        recording.not_before = None
        recording.assigned = AssignedRun(found.id, found.experiment_id)
        recording.facts = recording.facts.of(found, self.tracking.url_of(found))

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
        fresh = Recording(facts=TrackingFacts(is_closed=is_tracked(run.status) or not needs_closing(run)))
        return self._recordings.setdefault(key, fresh)

    def _pause(self, recording: Recording) -> timedelta | None:
        if recording.task or recording.not_before is None:  # the end of a task asks for another look by itself
            return None
        return max(recording.not_before - self.now(), timedelta(0))

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
        recording.failures += 1
        if isinstance(error, MayStillCome):  # nothing is wrong that was not told before
            log.info("not recorded yet: %s", error)
            recording.not_before = self.now() + error.pause
            return
        is_expected = isinstance(error, TrackingError | ClusterError | TrackingUnavailable)
        log.warning("not recorded yet: %s", error, exc_info=None if is_expected else error)
        reason = Reason.EXPERIMENT_DELETED if isinstance(error, ExperimentDeleted) else Reason.TRACKING_UNAVAILABLE
        problem = str(error) or type(error).__name__
        recording.facts = replace(recording.facts, problem=problem, problem_reason=reason)
        recording.not_before = self.now() + pause_after(recording.failures - 1, _LONGEST_PAUSE_SECONDS)

    async def _attend(
        self,
        recording: Recording,
        key: Key,
        run: TrainingRun,
        view: View,
        wanted: Sequence[Attempt],
        ended: Decision | None,
    ) -> None:
        problems: list[TrackingError | ClusterError] = []
        to_store: list[tuple[Attempt, Run]] = []
        for attempt in wanted:
            try:
                if chief := await self._attend_to(recording, key, run, view, attempt):
                    to_store.append((attempt, chief))
            except (TrackingError, ClusterError) as error:  # the others may be had all the same
                problems.append(error)
        # What is true comes before what is stored: a run must not stay open because an artifact cannot be kept.
        if ended and not problems:
            await self._close(recording, key, run, view, ended)
        for attempt, chief in to_store:
            try:
                await self._store(recording, run, view, attempt, chief)
            except (TrackingError, ClusterError) as error:
                problems.append(error)
        if problems:
            raise problems[0]
        recording.not_before = recording.next_search(wanted, self.now())

    async def _promoting(
        self, recorded: Coroutine[None, None, None], recording: Recording, run: TrainingRun, decision: Decision
    ) -> None:
        """Promote the model of a training that succeeded, once MLflow agrees with all of it."""
        await recorded
        require_late_ones(recording, self.now(), self.late_for())
        asked = run.spec.promote
        run_id = result_id(recording, run, decision)
        if asked is None:
            return
        if run_id is None:  # a pod that nobody saw, and that started no run
            recording.facts = replace(recording.facts, promotion=promotion_of_training.of_nothing())
            return
        chief = await self.tracking.live_run(run_id)
        lacks, by = lacking(run, recording.facts), f"TrainingRun {run.metadata.namespace}/{run.metadata.name}"
        try:
            found = await promotion_of_training.promote(Models(self.tracking), asked, chief, lacks, by)
        except TrackingError as error:
            recording.asked_at = self.now() if error.may_be_done else None
            raise
        recording.not_before = recording.asked_at = None
        recording.facts = replace(recording.facts, promotion=found)

    async def _attend_to(
        self, recording: Recording, key: Key, run: TrainingRun, view: View, attempt: Attempt
    ) -> Run | None:
        """Bring an attempt's runs to agree with it; return the one that its logs are still to be stored with."""
        runs = await self.tracking.runs_of_pod(attempt.uid)
        if view.body is None and (told := await self._told(key, runs)):
            # The resource went unseen, and all may have been on record: nothing of that is changed. A run that all
            # attempts share ends with the last.
            its_own = [found for found in told if found.status.is_open and found.tags.get(MADE_TAG) != ASSIGNED]
            chief = primary(told)
            # Its operator was killed before it was stored.
            lacks_log = chief is not None and await has_no_log(self.tracking, attempt, chief)
            is_stored = not lacks_log or (chief and await self._store_first(recording, run, view, attempt, chief))
            await self.tracking.apply(corrections(its_own, attempt, None))
            if not is_stored:
                return chief
            self._is_recorded(recording, attempt)
            return None
        is_assigned = run.spec.run_mode is RunMode.ASSIGNED
        chief = await self._assigned(run, recording, key) if is_assigned else primary(runs)
        if chief is None and not attempt.outcome.is_final:
            return None
        if chief is None:
            tags = {**identity_tags(run, attempt.uid, self.installation), MADE_TAG: STAND_IN}
            chief = await self._made(recording, run, attempt.pod, tags, attempt.started_at or self.now())
            runs = [chief]
        recording.run_ids[attempt.uid] = chief.id
        # MLflow may be told of an earlier one after the last: the status goes on telling of that.
        is_told, url = is_assigned or attempt.uid == recording.last, self.tracking.url_of(chief)
        if is_told:
            recording.facts = recording.facts.of(chief, url)
        inputs = datasets.inputs(run.spec.datasets or [], attempt.datasets or [])
        if not attempt.outcome.is_final:
            await self.tracking.apply(source_correction(chief, attempt))
            await self.tracking.log_inputs(chief, inputs)
            return None
        # An assigned run goes on with the next attempt, and ends as the resource does.
        of_result = reuse.result_tags(run)
        is_stored = await self._store_first(recording, run, view, attempt, chief)
        await self.tracking.apply(corrections(runs, attempt, None if is_assigned else chief, of_result))
        await self.tracking.log_inputs(chief, inputs)
        if is_told:
            recording.facts = recording.facts.with_results(chief, url, run.spec.tracking)
        if is_stored:
            self._is_recorded(recording, attempt)
            return None
        return chief

    def _is_recorded(self, recording: Recording, attempt: Attempt) -> None:
        recording.recorded[attempt.uid] = attempt.model_copy(update={"recorded_at": self.now()})

    async def _told(self, key: Key, runs: Sequence[Run]) -> Sequence[Run]:
        """Return the runs of a pod if MLflow was told how it ended, or the one that was assigned to its resource."""
        if any(OUTCOME_TAG in found.tags for found in runs):
            return runs
        return [found for found in await self._runs_of(key) if found.tags.get(MADE_TAG) == ASSIGNED]

    async def _store(self, recording: Recording, run: TrainingRun, view: View, attempt: Attempt, chief: Run) -> None:
        """Store an attempt's manifest and its logs, which is the last thing that is recorded of it."""
        try:
            await store(self.tracking, self.logs, run.metadata.namespace, view, attempt, chief)
        except ArtifactsUnreachable as error:
            lost = Missing(Reason.ARTIFACTS_UNREACHABLE, str(error), is_of_success=False)
            recording.facts = replace(recording.facts, missing=lost)
        self._is_recorded(recording, attempt)

    async def _store_first(
        self, recording: Recording, run: TrainingRun, view: View, attempt: Attempt, chief: Run
    ) -> bool:
        """Store what is of a deleted resource before its run is closed; return whether that was done.

        Nothing but the open run leads the next operator to it.
        """
        is_asked = view.is_deleted and not recording.failures
        return is_asked and await store_soon(self.tracking, self.logs, run.metadata.namespace, view, attempt, chief)

    async def _assigned(self, run: TrainingRun, recording: Recording, key: Key) -> Run:
        """Return the run of the whole resource; one that was deleted, or is not there yet, is made."""
        run_id = assigned_id(run, recording)
        found = await self.tracking.live_run(run_id) if run_id else None
        if found is None:
            # It may have been made just before a crash, or by a call whose answer was lost.
            found = primary([item for item in await self._runs_of(key) if item.tags.get(MADE_TAG) == ASSIGNED])
        if found is None:
            tags = {**identity_tags(run, installation=self.installation), MADE_TAG: ASSIGNED}
            found = await self._made(recording, run, run.metadata.name, tags, self.now())
            await self.tracking.schedule(found)
        recording.facts = replace(recording.facts, run_id=found.id)
        return found

    async def _runs_of(self, key: Key) -> list[Run]:
        """Return the runs of a resource, by its name too: a UID is a tag that anybody can read and write."""
        runs = await self.tracking.runs_of_resource(key.uid)
        named = {NAMESPACE_TAG: key.namespace, NAME_TAG: key.name}
        return [found for found in runs if named.items() <= found.tags.items()]

    async def _made(
        self, recording: Recording, run: TrainingRun, name: str, tags: dict[str, str], begun: datetime
    ) -> Run:
        """Make a run, unless one was asked for a moment ago that may come yet."""
        require_late_ones(recording, self.now(), self.late_for())
        try:
            found = await self.tracking.create_run(run.experiment, name, tags, begun)
        except TrackingError as error:
            recording.asked_at = self.now() if error.may_be_done else None
            raise
        recording.asked_at = None
        return found

    async def _unseen(
        self, recording: Recording, key: Key, run: TrainingRun, view: View, ended: Decision, last: Attempt
    ) -> list[Attempt]:
        """Return the pods that nobody saw, of which MLflow was not brought to say how they ended."""
        if not view.is_deleted:
            recording.unseen = unseen_pods.attempts(await self._runs_of(key), run, view.job, ended, self.now())
            return recording.unseen
        # Once: the runs by which they are known are open no more when what they left is stored at last.
        if recording.left_open is None:
            found = unseen_pods.left_open(await self._runs_of(key), ended.attempts, last, self.now())
            recording.left_open = found
        return [attempt for attempt in recording.left_open if attempt.uid not in recording.recorded]

    async def _close(self, recording: Recording, key: Key, run: TrainingRun, view: View, ended: Decision) -> None:
        """Look at what a resource that has ended should have logged, and end the run assigned to it."""
        # It may be deleted while MLflow is asked; the next task is then for that.
        is_deleted, unseen = view.is_deleted, list[tuple[Attempt, Run]]()
        last = standing_for(run.metadata.name, ended.attempts, ended.job)
        if are_unseen_sought(recording, run, view, ended, self._since):
            found = await self._unseen(recording, key, run, view, ended, last)
            if not is_deleted:
                last = standing_for(run.metadata.name, recording.look_at(ended.attempts), ended.job)
            for attempt in found:
                if chief := await self._attend_to(recording, key, run, view, attempt):
                    unseen.append((attempt, chief))
            if is_deleted and view.body is None:
                shared = [found for found in await self._runs_of(key) if found.tags.get(MADE_TAG) == ASSIGNED]
                left_open = [found for found in shared if found.status.is_open]
                await self.tracking.apply(corrections(left_open, last, None))
        if needs_closing(run):
            runs = await self.tracking.runs_of_pod(last.uid)
            if run.spec.run_mode is RunMode.ASSIGNED and (ended.attempts or assigned_id(run, recording)):
                chief = await self._assigned(run, recording, key)
                await self.tracking.apply(corrections([chief], last, chief, reuse.result_tags(run)))
                recording.facts = recording.facts.with_results(chief, self.tracking.url_of(chief), run.spec.tracking)
                runs = [*runs, chief]
            if ended.job.state is JobState.COMPLETE:
                lacks = recording.facts.missing or missing(run.spec.tracking, runs)
                recording.facts = replace(recording.facts, missing=lacks)
        recording.facts = replace(recording.facts, is_closed=True)
        for attempt, chief in unseen:
            await self._store(recording, run, view, attempt, chief)
        recording.is_swept = is_deleted
