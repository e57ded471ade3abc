"""The steps of a sweep on this machine: trials begin, and end early where they are worse, until all is done."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from runyard import local
from runyard.api import trial_runs
from runyard.api.outcome import Reason, TrackingStatus
from runyard.api.pruning import History, to_prune
from runyard.api.status import TRACKED
from runyard.api.sweep_assembly import Standing, assemble
from runyard.api.sweeping import Step, Trial, TrialState, next_step
from runyard.api.trainingrun import TrainingRun
from runyard.api.trainingsweep import TrainingSweep
from runyard.api.trial_states import state_of
from runyard.errors import InvalidManifest, Problem, RunyardError, TrackingUnavailable
from runyard.process import Stopper, interruptible, interruptions_held
from runyard.sweep import choosing, leftovers, memory
from runyard.sweep.choosing import Chooser, StudyUnavailable
from runyard.sweep.memory import Memory

_LOOK_SECONDS = 1.0
_PRUNE_SECONDS = 2.0


class SweepInterrupted(RunyardError):
    """It was interrupted; the same command goes on with it."""

    exit_code = 130


class SweepGoesOnElsewhere(RunyardError):
    """Another command is at work on the same sweep."""

    exit_code = 2


@dataclass(frozen=True)
class Options:
    """How a sweep is run."""

    folder: Path
    """The manifest's, in which the trials' commands start."""
    tracking: local.Tracking
    parallelism: int | None = None
    """How many trials at a time; None: as the manifest says."""
    studies: Path = Path(".runyard")
    """Folder for Optuna's database."""
    anew: bool = False
    """Whether what there is of it is left alone, and all is begun again."""


@dataclass(frozen=True)
class Finished:
    """A sweep that has ended, with its status, and its trials by index."""

    sweep: TrainingSweep
    trials: dict[int, Trial]


def run(wanted: TrainingSweep, options: Options, told: Callable[[TrainingSweep, Trial | None], None]) -> Finished:
    """Run a sweep to its end, or go on with it where it was interrupted.

    Args:
        wanted: the sweep.
        options: where, and how.
        told: is given the sweep with its status at the beginning, and with each trial as it ends.

    Raises:
        RunyardError: a trial cannot be run on this machine, as `local.check` says.
        SweepGoesOnElsewhere: another command is at work on it.
        TrackingUnavailable: MLflow does not answer; what it was told is kept.
        StudyMissing, StudyUnavailable: so with Optuna's database.
        SweepInterrupted: Ctrl-C or SIGTERM came; what has ended is kept.

    """
    if options.parallelism is not None:
        spec = wanted.spec.model_copy(update={"parallelism": options.parallelism})
        wanted = wanted.model_copy(update={"spec": spec})
    namespace = wanted.metadata.namespace or "default"
    named = wanted.metadata.model_copy(update={"namespace": namespace, "generation": 1})
    wanted = wanted.model_copy(update={"metadata": named})
    _check(wanted)
    where = (str(options.folder.absolute()), os.uname().nodename, options.tracking.uri)
    uid = memory.identity(wanted, *where)
    wanted = wanted.model_copy(update={"metadata": named.model_copy(update={"uid": uid})})
    with interruptions_held(), _alone(uid):
        with interruptible():
            known = memory.opened(options.tracking.open(), wanted, anew=options.anew)
            leftovers.end(known.parent.id)
            chooser = choosing.chooser(wanted.spec, options.studies, known.parent.id)
            states = known.trials(chooser.known)
            known.begin_again()
        begun = datetime.fromtimestamp(known.parent.start_time_ms / 1000, UTC)
        wanted = wanted.model_copy(update={"status": wanted.status.model_copy(update={"start_time": begun})})
        return _Sweep(wanted, options, told, known, chooser, states).run()


@dataclass
class _Sweep:
    """A sweep at work; `states` has every trial that was begun, whatever became of it."""

    wanted: TrainingSweep
    options: Options
    told: Callable[[TrainingSweep, Trial | None], None]
    known: Memory
    chooser: Chooser
    states: dict[int, Trial]
    futures: dict[Future[TrainingRun], int] = field(default_factory=dict)
    stoppers: dict[int, Stopper] = field(default_factory=dict)
    histories: dict[str, History] = field(default_factory=dict)
    """Of trials that have ended, by their runs."""
    failure: TrackingUnavailable | StudyUnavailable | None = None
    is_interrupted: bool = False

    def run(self) -> Finished:
        self.told(self._described(), None)
        with ThreadPoolExecutor(self.wanted.spec.parallelism) as pool:
            try:
                self._go_on(pool)
            finally:
                for stopper in self.stoppers.values():  # an error of ours must not leave trainings behind
                    stopper.stop(Reason.CANCELLED, "interrupted")
        if not self._is_ending:
            self._finish_study()
        found = self._described()
        self.known.end(found)
        if self.is_interrupted:
            raise SweepInterrupted(f"interrupted at {found.status.progress} trials: the same command goes on with them")
        if self.failure:
            raise type(self.failure)(f"{self.failure}: the same command goes on with the sweep")
        return Finished(found, self.states)

    def _go_on(self, pool: ThreadPoolExecutor) -> None:
        pruned_at = datetime.now(UTC)
        while True:
            step = self._step()
            try:
                for index in step.begin:
                    self._begin(pool, index)
            except StudyUnavailable as error:
                self.failure = error
            if not self.futures and (step.is_over or self._is_ending):
                return
            try:
                with interruptible():
                    done, _ = wait(self.futures, _LOOK_SECONDS, FIRST_COMPLETED)
                    if (datetime.now(UTC) - pruned_at).total_seconds() >= _PRUNE_SECONDS:
                        self._prune()
                        pruned_at = datetime.now(UTC)
            except KeyboardInterrupt:
                self.is_interrupted = True
                for index in self.futures.values():
                    self.stoppers[index].stop(Reason.CANCELLED, "interrupted")
                continue
            for future in done:
                self._end(future)

    @property
    def _is_ending(self) -> bool:
        return self.is_interrupted or self.failure is not None

    def _step(self) -> Step:
        step = next_step(self.wanted.spec, {index: trial.state for index, trial in self.states.items()})
        return replace(step, begin=()) if self._is_ending else step

    def _begin(self, pool: ThreadPoolExecutor, index: int) -> None:
        tried = self.chooser.choose(index, [*self.states.values()])
        stopper = self.stoppers[index] = Stopper()
        self.states[index] = Trial(index, TrialState.RUNNING, parameters=tried)
        training = _training(self.wanted, index, tried, self.known.parent.id)
        options = self.options
        future = pool.submit(local.run, training, options.folder, options.tracking, stopper=stopper)
        self.futures[future] = index

    def _finish_study(self) -> None:
        try:
            self.chooser.finish([*self.states.values()])
        except StudyUnavailable as error:
            self.failure = error

    def _end(self, future: Future[TrainingRun]) -> None:
        index = self.futures.pop(future)
        del self.stoppers[index]
        begun = self.states.pop(index)
        try:
            result = future.result()
        except TrackingUnavailable as error:
            self.failure = error
            return
        last = result.status.attempts[-1] if result.status.attempts else None
        if last and last.reason == Reason.CANCELLED:
            return  # it is begun anew by the next command
        trial = state_of(index, result, self.wanted.spec.objective.metric, begun.parameters)
        if trial.state is TrialState.RUNNING:  # MLflow was not told how it ended, so that nobody would know
            tracked = result.status.condition(TRACKED)
            self.failure = TrackingUnavailable(tracked.message if tracked else "MLflow was not told of a trial's end")
            return
        self.states[index] = trial
        self.told(self._described(), trial)

    def _prune(self) -> None:
        asked = self.wanted.spec.pruning
        if asked is None or not self.futures:
            return
        try:
            going_on = {
                index: self.known.history(run.id)
                for index, run in self.known.running().items()
                if index in self.stoppers
            }
            ended = [self._history(trial) for trial in self.states.values() if trial.state is TrialState.SUCCEEDED]
        except TrackingUnavailable:
            return  # it is asked again in a moment; a trial whose end cannot be recorded says so
        for index, why in to_prune(going_on, ended, asked, self.wanted.spec.objective.wanted).items():
            if self.stoppers[index].asked is None:
                self.stoppers[index].stop(Reason.PRUNED, why)

    def _history(self, trial: Trial) -> History:
        run_id = trial.run_id or ""
        if run_id not in self.histories:
            self.histories[run_id] = self.known.history(run_id)
        return self.histories[run_id]

    def _described(self) -> TrainingSweep:
        parent = TrackingStatus(experiment_id=self.known.parent.experiment_id, run_id=self.known.parent.id)
        seen = [self.states[index] for index in sorted(self.states)]
        step = self._step()
        standing = Standing(trials=seen, step=step, parent=parent, is_told=step.is_over)
        return self.wanted.model_copy(update={"status": assemble(self.wanted, standing, datetime.now(UTC))})


def _training(
    sweep: TrainingSweep, index: int, tried: Mapping[str, JsonValue], parent_run_id: str | None
) -> TrainingRun:
    return TrainingRun.model_validate(trial_runs.manifest(sweep, index, tried, parent_run_id))


def _check(wanted: TrainingSweep) -> None:
    """Refuse what cannot be run on this machine, with the paths of the sweep."""
    if wanted.spec.suspend:
        raise local.NeedsCluster("spec.suspend: true: `runyard sweep` would begin nothing: leave it out")
    tried: dict[str, JsonValue] = dict.fromkeys(wanted.spec.parameters, 0)
    try:
        local.check(_training(wanted, 0, tried, None))
    except InvalidManifest as error:
        problems = [Problem(_own(found.path), found.message) for found in error.problems]
        raise InvalidManifest(wanted.metadata.name, problems, wanted.kind) from error
    except (local.NeedsCluster, local.NothingToRun) as error:
        raise type(error)(_own(str(error)).replace("`runyard run`", "`runyard sweep`")) from error


def _own(text: str) -> str:
    return text.replace("spec.", "spec.template.", 1)


@contextmanager
def _alone(uid: str) -> Iterator[None]:
    """Hold a sweep against a second command on this machine: a lock that its holder's end releases, however it ends."""
    path = Path(tempfile.gettempdir()) / f"runyard-sweep-{os.getuid()}-{uid[:16]}.lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SweepGoesOnElsewhere(
                "another `runyard sweep` is at work on this sweep: wait for its end, or begin another one with --new"
            ) from error
        yield
