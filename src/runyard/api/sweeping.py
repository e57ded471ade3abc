"""How a sweep goes on, given what became of its trials: functions from values to values."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice

from pydantic import JsonValue

from runyard.api import trials
from runyard.api.direction import Direction
from runyard.api.sweep_status import TrialCounts
from runyard.api.trainingsweep import TrainingSweepSpec


class TrialState(StrEnum):
    """How a trial stands or ended."""

    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    PRUNED = "Pruned"


@dataclass(frozen=True)
class Trial:
    """A trial that was begun."""

    index: int
    state: TrialState
    value: float | None = None
    """Of the objective's metric; every trial that succeeded has one."""
    run_id: str | None = None
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    """What it was tried with, as far as the sweep chose it."""
    message: str | None = None
    """Why it failed, or why MLflow does not say what it came to, in a sentence."""


@dataclass(frozen=True)
class Step:
    """What follows from how the trials stand."""

    begin: tuple[int, ...] = ()
    """The trials to begin, by index."""
    is_over: bool = False
    """Whether none is going on and none will begin."""
    has_failed_too_often: bool = False


def next_step(spec: TrainingSweepSpec, states: Mapping[int, TrialState]) -> Step:
    """Return what to do next. Trials that were begun are among the states, whatever became of them.

    None is begun twice, never more go on than may, and the first that is missing begins first.
    """
    running = sum(state is TrialState.RUNNING for state in states.values())
    failed = sum(state is TrialState.FAILED for state in states.values())
    is_enough = spec.max_failed_trials is not None and failed > spec.max_failed_trials
    missing = (index for index in range(trials.total(spec)) if index not in states)
    if is_enough or (first := next(missing, None)) is None:
        return Step(is_over=running == 0, has_failed_too_often=is_enough)
    room = spec.parallelism - running
    if spec.suspend or room <= 0:
        return Step()
    return Step((first, *islice(missing, room - 1)))


def counts(spec: TrainingSweepSpec, found: Iterable[Trial]) -> TrialCounts:
    """Return how many trials there are of each kind."""
    states = [trial.state for trial in found]
    return TrialCounts(
        total=trials.total(spec),
        running=states.count(TrialState.RUNNING),
        succeeded=states.count(TrialState.SUCCEEDED),
        failed=states.count(TrialState.FAILED),
        pruned=states.count(TrialState.PRUNED),
    )


def best(found: Iterable[Trial], direction: Direction) -> Trial | None:
    """Return the trial with the best value; of equals the first. What is no number is not compared."""
    chosen: Trial | None = None
    for trial in sorted(found, key=lambda trial: trial.index):
        if trial.state is not TrialState.SUCCEEDED or trial.value is None or not math.isfinite(trial.value):
            continue
        if chosen is None or chosen.value is None or direction.is_better(trial.value, chosen.value):
            chosen = trial
    return chosen


def ranked(found: Iterable[Trial], direction: Direction) -> list[Trial]:
    """Return trials, the best first; those without a value come last, in their order."""
    sign = -1 if direction is Direction.HIGHEST else 1

    def place(trial: Trial) -> tuple[bool, float, int]:
        has_value = trial.state is TrialState.SUCCEEDED and trial.value is not None and math.isfinite(trial.value)
        return not has_value, sign * trial.value if has_value and trial.value is not None else 0, trial.index

    return sorted(found, key=place)
