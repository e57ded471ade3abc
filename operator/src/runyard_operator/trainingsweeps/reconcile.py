"""The order of steps for one sweep: look, decide, begin trials, end bad ones, and write down what is so."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import JsonValue, ValidationError

from runyard.api import sweep_checks, trial_runs
from runyard.api.model import JsonObject, as_object
from runyard.api.outcome import TrackingStatus
from runyard.api.records import PRUNED_ANNOTATION, SWEEP_TAG
from runyard.api.status import SUCCEEDED
from runyard.api.sweep_assembly import Standing, assemble, refused, trial_name
from runyard.api.sweep_status import TrainingSweepStatus
from runyard.api.sweeping import Trial, TrialState, next_step
from runyard.api.trainingrun import ObjectMeta, TrainingRunSpec
from runyard.api.trainingsweep import Algorithm, Objective, ParameterSpace, TrainingSweep, TrainingSweepSpec
from runyard.errors import Problem
from runyard_operator.cluster import Cluster, ClusterError, Refused
from runyard_operator.objects import Key
from runyard_operator.tracking import MayStillCome, TrackingError
from runyard_operator.trainingsweeps import telling
from runyard_operator.trainingsweeps.choosing import Chooser, Unavailable
from runyard_operator.trainingsweeps.parents import Parents
from runyard_operator.trainingsweeps.pruning import Pruner
from runyard_operator.trainingsweeps.sight import Child, Sights, View, deleted, trial_of
from runyard_operator.writing import NO_WAIT, SMALL_CHANGE_WAITS, record_events, write_status

log = logging.getLogger(__name__)

# What the watches showed of a sweep is compared with the API server this often.
_CONFIRM_EVERY = timedelta(minutes=5)
_OBSTACLE_PAUSE = timedelta(seconds=10)
_PRUNE_EVERY = timedelta(seconds=5)


@dataclass
class SweepReconciler:
    """What reconciling sweeps needs."""

    cluster: Cluster
    sights: Sights
    parents: Parents
    pruner: Pruner
    choosers: Mapping[Algorithm, Chooser]
    now: Callable[[], datetime]

    async def reconcile(self, key: Key) -> timedelta | None:
        """Bring a sweep and its trials to where they should be; return when to look again.

        Raises:
            ClusterError: the API server refused something that it should not.
            TrackingError: MLflow was not told of a deleted sweep.

        """
        if key not in self.sights:
            return None
        view = self.sights.view(key)
        if not view.is_deleted and (view.body is None or view.is_in_doubt):
            await self._read(key, view)
        if view.is_deleted:
            return await self._bury(key, view)
        sweep, problems = _parsed(view.body or {})
        if _is_final(sweep.status):
            return await self._close(key, sweep, view)
        if sweep.metadata.deletion_timestamp:
            return None  # its trials go with it, and the event of its end follows
        if problems := problems or self._problems(sweep):
            return await self._write(key, sweep, view, refused(sweep, problems, self.now()))
        return await self._advance(key, sweep, view)

    def _problems(self, sweep: TrainingSweep) -> list[Problem]:
        """Return what is wrong with a sweep that nothing was begun of."""
        if sweep.status.begun:
            return []
        return [*sweep_checks.problems(sweep.spec), *([] if sweep.spec.algorithm in self.choosers else [_NO_OPTUNA])]

    async def _read(self, key: Key, view: View) -> None:
        found = await self.cluster.training_sweep(key.namespace, key.name)
        if found is None or as_object(found.get("metadata")).get("uid") != key.uid:
            view.is_deleted = True
            return
        view.body, view.is_in_doubt = found, False

    async def _advance(self, key: Key, sweep: TrainingSweep, view: View) -> timedelta | None:
        if view.listed_at is None or self.now() - view.listed_at >= _CONFIRM_EVERY:
            await self._list(key, sweep, view)
        trials = _trials(sweep, view)
        step = next_step(sweep.spec, _states(trials))
        parent, obstacle, problem = sweep.status.tracking, None, None
        try:
            parent = parent or await self.parents.ensure(key, sweep)
        except TrackingError as error:
            # That something may still come is nothing that is wrong.
            problem = None if isinstance(error, MayStillCome) else str(error)
            obstacle = f"waits for MLflow, where its run is to be made first: {error}" if step.begin else None
        if parent and step.begin:
            try:
                obstacle = await self._begin(key, sweep, view, step.begin, parent)
            except Refused as error:
                if not trials:
                    return await self._write(key, sweep, view, refused(sweep, _own(error), self.now(), parent))
                obstacle = f"no further trial begins: {error}"
            trials = _trials(sweep, view)
        pause, prune_problem = await self._prune(key, sweep, view)
        seen = Standing(
            trials=trials,
            step=next_step(sweep.spec, _states(trials)),
            parent=parent,
            obstacle=obstacle,
            problem=problem or prune_problem,
        )
        write_later = await self._write(key, sweep, view, assemble(sweep, seen, self.now()))
        pauses = (pause, write_later, _OBSTACLE_PAUSE if obstacle or parent is None else None)
        return min((found for found in pauses if found is not None), default=_CONFIRM_EVERY)

    async def _list(self, key: Key, sweep: TrainingSweep, view: View) -> None:
        found: dict[int, Child] = {}
        async for page in self.cluster.training_runs(key.namespace, f"{SWEEP_TAG}={sweep.metadata.name}"):
            for body in page:
                trial = trial_of(body)
                if trial and trial[0] == key:
                    found[trial[1]] = trial[2]
        view.see_all(found)
        view.listed_at = self.now()

    async def _begin(
        self, key: Key, sweep: TrainingSweep, view: View, begin: Sequence[int], parent: TrackingStatus
    ) -> str | None:
        """Create trials, the first first; return what is in the way of the next.

        Raises:
            Refused: the API server will never have it.

        """
        chooser = self.choosers.get(sweep.spec.algorithm)
        if chooser is None:  # as it was when the sweep was begun
            return str(_NO_OPTUNA)
        for index in begin:
            try:
                tried = await chooser.choose(key, sweep, index, _trials(sweep, view))
            except Unavailable as error:
                return str(error)
            manifest = trial_runs.manifest(sweep, index, tried, parent.run_id)
            try:
                made = await self.cluster.create_training_run(key.namespace, manifest)
                made = made or await self.cluster.training_run(key.namespace, trial_name(sweep, index))
            except ClusterError as error:
                log.warning("trial %d cannot be made yet: %s", index, error)
                return str(error)
            name = trial_name(sweep, index)
            if made is None:  # no event need follow by which it would be tried again
                return f"a TrainingRun {name} was in the way of a trial, and is gone: it is tried again in a moment"
            found = trial_of(made)
            if found is None or found[0] != key:
                return f"a TrainingRun {name} of somebody else's is in the way of a trial: delete it"
            view.see(index, found[2])
        return None

    async def _prune(self, key: Key, sweep: TrainingSweep, view: View) -> tuple[timedelta | None, str | None]:
        """End trials that are worse than the others; return when to look again, and why it could not be found out."""
        if sweep.spec.pruning is None:
            return None, None
        try:
            chosen = await self.pruner.chosen(key, sweep, view.children)
        except TrackingError as error:
            return _PRUNE_EVERY, str(error)
        for index, why in chosen.items():
            log.info("trial %d is ended: %s", index, why)
            annotations: JsonObject = {PRUNED_ANNOTATION: why}
            await self.cluster.annotate_training_run(key.namespace, trial_name(sweep, index), annotations)
            view.children[index] = view.children[index]._replace(is_told_to_end=True)
        return _PRUNE_EVERY, None

    async def _close(self, key: Key, sweep: TrainingSweep, view: View) -> timedelta | None:
        """Have MLflow agree with a sweep that has ended, and look at it no more."""
        problem, is_there = None, True
        if not telling.is_told(sweep.status):
            try:
                is_there = await self.parents.end(key, sweep)
            except TrackingError as error:
                problem = str(error)
            view.is_study_open = not await self._finish_study(key, sweep, view)
        elif sweep.status.observed_generation == sweep.metadata.generation:
            if view.is_study_open and not await self._finish_study(key, sweep, view):
                return _OBSTACLE_PAUSE
            self._forget(key, sweep.metadata.version)
            return None
        status = telling.closed(sweep, problem, self.now(), is_there=is_there)
        await self._write(key, sweep, view, status, at_once=True)
        return _OBSTACLE_PAUSE if problem else timedelta(0)

    async def _finish_study(self, key: Key, sweep: TrainingSweep, view: View) -> bool:
        """Let what chose know the last results, for who looks at its study; return whether it does."""
        chooser = self.choosers.get(sweep.spec.algorithm)
        if chooser is None or not sweep.status.begun:
            return True
        if view.listed_at is None:  # the operator that ended it was another
            await self._list(key, sweep, view)
        try:
            await chooser.finish(key, sweep, _trials(sweep, view))
        except Unavailable as error:
            log.warning("the last results are not in the study: %s", error)
            return False
        return True

    async def _bury(self, key: Key, view: View) -> timedelta | None:
        """Close the run of a deleted sweep; its trials are deleted with it."""
        sweep, _ = _parsed(view.body or {"metadata": {"namespace": key.namespace, "name": key.name, "uid": key.uid}})
        if not _is_final(sweep.status):
            sweep = sweep.model_copy(update={"status": sweep.status.model_copy(update={"phase": None})})
        if not telling.is_told(sweep.status):
            await self.parents.end(key, sweep)
            # Of one that was never seen it is not known by what its trials were chosen.
            chooser = self.choosers.get(sweep.spec.algorithm if view.body else Algorithm.OPTUNA)
            try:
                if chooser:
                    await chooser.leave(key)
            except Unavailable as error:
                log.warning("the trials of a deleted sweep go on in the study: %s", error)
                return _OBSTACLE_PAUSE
        self._forget(key, 1 << 62)
        return None

    def _forget(self, key: Key, version: int) -> None:
        self.sights.forget(key, version)
        self.parents.forget(key)
        self.pruner.forget(key)

    async def _write(
        self, key: Key, sweep: TrainingSweep, view: View, status: TrainingSweepStatus, *, at_once: bool = False
    ) -> timedelta | None:
        """Write a status that says something new; return how long a small change has still to wait."""
        urgent = at_once or _is_urgent(sweep.status, status)
        body = await write_status(
            self.cluster, sweep, view, status, self.now(), NO_WAIT if urgent else SMALL_CHANGE_WAITS
        )
        if not isinstance(body, dict):
            return body
        self.sights.see_sweep(key, body)
        telling.count(sweep.status, status)
        await record_events(self.cluster, sweep, telling.between(sweep.status, status), self.now())
        return timedelta(0) if _is_final(status) else None


_NO_OPTUNA = Problem(
    "spec.algorithm",
    'Invalid value: "Optuna": this operator has no database for Optuna: set operator.sweeps.optuna.enabled in the '
    "chart, or say Grid or Random",
)


def _trials(sweep: TrainingSweep, view: View) -> list[Trial]:
    """Return all trials that were begun, in their order; of one that is gone without a trace, that it was deleted."""
    begun = max([sweep.status.begun or 0, *(index + 1 for index in view.children)])
    found = []
    for index in range(begun):
        child = view.children.get(index)
        trial = child.trial if child else deleted(Trial(index, TrialState.RUNNING))
        tried: dict[str, JsonValue] = {
            name: value for name, value in trial.parameters.items() if name in sweep.spec.parameters
        }
        found.append(replace(trial, parameters=tried))
    return found


def _states(trials: Sequence[Trial]) -> dict[int, TrialState]:
    return {trial.index: trial.state for trial in trials}


def _is_final(status: TrainingSweepStatus) -> bool:
    found = status.condition(SUCCEEDED)
    return found is not None and found.status != "Unknown"


def _is_urgent(before: TrainingSweepStatus, after: TrainingSweepStatus) -> bool:
    """Whether people or programs wait for what is new in a status."""
    return before.phase != after.phase or _is_final(after) != _is_final(before) or before.tracking != after.tracking


def _own(refusal: Refused) -> list[Problem]:
    """Return the API server's complaints of a trial with their paths in the sweep."""
    told = [found for found in refusal.problems if found.path != "<nil>"]  # which says that there may be more
    return [Problem(found.path.replace("spec", "spec.template", 1), found.message) for found in told]


def _parsed(body: JsonObject) -> tuple[TrainingSweep, list[Problem]]:
    """Read a sweep, and what is wrong with it; then as far as metadata and status go."""
    try:
        return TrainingSweep.model_validate(body), []
    except ValidationError as error:
        problems = [Problem(".".join(map(str, found["loc"])), found["msg"]) for found in error.errors()]
    metadata = ObjectMeta.model_validate(body.get("metadata", {}))
    status = TrainingSweepStatus.model_validate(body.get("status", {}))
    return TrainingSweep(metadata=metadata, status=status, spec=_UNREADABLE), problems


_UNREADABLE = TrainingSweepSpec(
    template=TrainingRunSpec(), parameters={"-": ParameterSpace()}, objective=Objective(metric="-")
)
