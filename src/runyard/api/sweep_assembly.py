"""The status of a sweep, made from how its trials stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from runyard.api.conditions import Conditions, cut, duration, listed_problems
from runyard.api.outcome import Phase, Reason, TrackingStatus
from runyard.api.parameters import text_of
from runyard.api.status import ACCEPTED, RUNNING, SUCCEEDED, TRACKED
from runyard.api.sweep_status import BestTrial, TrainingSweepStatus
from runyard.api.sweeping import Step, Trial, TrialState, best, counts
from runyard.api.trainingsweep import TrainingSweep
from runyard.errors import Problem

_LONGEST_VALUE = 200


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is known of a sweep."""

    trials: Sequence[Trial]
    """All that were begun."""
    step: Step
    parent: TrackingStatus | None = None
    obstacle: str | None = None
    """Why no trial begins, though one should."""
    is_told: bool = False
    """Whether MLflow agrees with the end."""
    problem: str | None = None
    """Why MLflow does not agree."""


def assemble(sweep: TrainingSweep, seen: Standing, now: datetime) -> TrainingSweepStatus:
    """Return the status that the facts amount to; the same facts give the same status."""
    tally = counts(sweep.spec, seen.trials)
    phase = _phase(sweep, seen)
    reason, message = _verdict(sweep, seen, phase)
    conditions = Conditions(sweep, now)
    conditions.set(ACCEPTED, "True", Reason.ACCEPTED)
    conditions.set(RUNNING, "True" if tally.running else "False", phase.value)
    conditions.set(SUCCEEDED, _SUCCEEDED.get(phase, "Unknown"), reason, message or "")
    is_over = seen.step.is_over
    if is_over and seen.is_told:
        conditions.set(TRACKED, "True", Reason.RECORDED, "MLflow agrees with the sweep and its trials")
    elif seen.problem:
        conditions.set(TRACKED, "False", Reason.TRACKING_UNAVAILABLE, seen.problem)
    else:
        conditions.set(TRACKED, "Unknown", Reason.IN_PROGRESS)
    started = sweep.status.start_time or (now if seen.trials else None)
    completed = (sweep.status.completion_time or now) if is_over else None
    ended = tally.succeeded + tally.failed + tally.pruned
    return TrainingSweepStatus(
        observed_generation=sweep.metadata.generation,
        phase=phase,
        message=message,
        conditions=conditions.found,
        start_time=started,
        completion_time=completed,
        duration=duration(started, completed),
        begun=max((trial.index + 1 for trial in seen.trials), default=0),
        trials=tally,
        progress=f"{ended}/{tally.total}",
        best=best_of(sweep, seen.trials),
        tracking=seen.parent or sweep.status.tracking,
    )


def refused(
    sweep: TrainingSweep, problems: Sequence[Problem], now: datetime, parent: TrackingStatus | None = None
) -> TrainingSweepStatus:
    """Return the status of a sweep that cannot be begun as it is; `parent` is its run, where that is made already."""
    message = listed_problems(problems)
    conditions = Conditions(sweep, now)
    conditions.set(ACCEPTED, "False", Reason.INVALID_SPEC, message)
    conditions.set(RUNNING, "False", Reason.INVALID_SPEC)
    conditions.set(SUCCEEDED, "False", Reason.INVALID_SPEC, message)
    if parent:
        conditions.set(TRACKED, "Unknown", Reason.IN_PROGRESS)
    else:
        conditions.set(TRACKED, "True", Reason.NOTHING_TO_RECORD, "no trial was begun")
    return sweep.status.model_copy(
        update={
            "observed_generation": sweep.metadata.generation,
            "phase": Phase.FAILED,
            "message": message,
            "conditions": conditions.found,
            "completion_time": sweep.status.completion_time or now,
            "tracking": parent or sweep.status.tracking,
        }
    )


def best_of(sweep: TrainingSweep, trials: Sequence[Trial]) -> BestTrial | None:
    """Return the best trial, as a status has it."""
    found = best(trials, sweep.spec.objective.wanted)
    if found is None or found.value is None:
        return None
    return BestTrial(
        trial=trial_name(sweep, found.index),
        value=repr(found.value),
        run_id=found.run_id,
        parameters={name: cut(text_of(value), _LONGEST_VALUE) for name, value in found.parameters.items()},
    )


def trial_name(sweep: TrainingSweep, index: int) -> str:
    """Return the name of a trial's TrainingRun: that none is made twice follows from it."""
    return f"{sweep.metadata.name}-{index}"


_SUCCEEDED = {Phase.SUCCEEDED: "True", Phase.FAILED: "False"}


def _phase(sweep: TrainingSweep, seen: Standing) -> Phase:
    if seen.step.is_over:
        has_result = any(trial.state is TrialState.SUCCEEDED for trial in seen.trials)
        return Phase.SUCCEEDED if has_result and not seen.step.has_failed_too_often else Phase.FAILED
    if any(trial.state is TrialState.RUNNING for trial in seen.trials):
        return Phase.RUNNING
    return Phase.SUSPENDED if sweep.spec.suspend else Phase.PENDING


def _verdict(sweep: TrainingSweep, seen: Standing, phase: Phase) -> tuple[str, str | None]:
    """Return why it ended, or what it waits for."""
    tally = counts(sweep.spec, seen.trials)
    match phase:
        case Phase.SUCCEEDED:
            return Reason.COMPLETED, None
        case Phase.FAILED if seen.step.has_failed_too_often:
            limit = sweep.spec.max_failed_trials
            return Reason.TOO_MANY_FAILED, f"{tally.failed} trials failed, more than maxFailedTrials: {limit}"
        case Phase.FAILED:
            metric = sweep.spec.objective.metric
            return Reason.NO_RESULT, f"no trial succeeded and logged {metric}: see what became of the first"
    return phase.value, _waits_for(sweep, seen, tally.failed)


def _waits_for(sweep: TrainingSweep, seen: Standing, failed: int) -> str | None:
    if seen.step.has_failed_too_often:
        return f"{failed} trials failed: no other begins, and those that run are waited for"
    if seen.obstacle:
        return seen.obstacle
    if sweep.spec.suspend:
        return "no further trial begins until spec.suspend is false"
    untold = next((trial for trial in seen.trials if trial.state is TrialState.RUNNING and trial.message), None)
    if untold is None:
        return None
    return f"{trial_name(sweep, untold.index)} has ended, and waits for MLflow to say so: {untold.message}"
