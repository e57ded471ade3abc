"""How a trial stands, read from its TrainingRun."""

from collections.abc import Mapping
from dataclasses import replace

from pydantic import JsonValue

from runyard.api.outcome import Reason
from runyard.api.status import SUCCEEDED, TRACKED, is_final, is_tracked
from runyard.api.sweeping import Trial, TrialState
from runyard.api.trainingrun import TrainingRun


def state_of(index: int, run: TrainingRun, metric: str, tried: Mapping[str, JsonValue]) -> Trial:
    """Return a trial as its TrainingRun has it.

    One that has succeeded goes on until MLflow has said what it came to.

    Args:
        index: the trial's.
        run: its TrainingRun.
        metric: the one that trials are judged by.
        tried: what it is tried with.

    """
    status = run.status
    run_id = status.tracking.run_id if status.tracking else None
    trial = Trial(index, TrialState.RUNNING, run_id=run_id, parameters=tried)
    verdict = status.condition(SUCCEEDED)
    if verdict is None or not is_final(status):
        return trial
    if verdict.status != "True":
        state = TrialState.PRUNED if verdict.reason == Reason.PRUNED else TrialState.FAILED
        said = f"{verdict.reason}: {verdict.message}".removesuffix(": ")
        return Trial(index, state, run_id=run_id, parameters=tried, message=said)
    if not is_tracked(status):
        tracked = status.condition(TRACKED)
        return replace(trial, message=tracked.message or None if tracked else None)
    value = (status.metrics or {}).get(metric)
    if value is None:
        message = f"it succeeded without logging {metric}"
        return Trial(index, TrialState.FAILED, run_id=run_id, parameters=tried, message=message)
    return Trial(index, TrialState.SUCCEEDED, float(value), run_id, tried)
