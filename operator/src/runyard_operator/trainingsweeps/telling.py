"""What is told of a sweep beside its status: events, figures, and that MLflow agrees with its end."""

from collections.abc import Iterator
from datetime import datetime

from runyard.api.conditions import Conditions
from runyard.api.outcome import Phase, Reason
from runyard.api.status import SUCCEEDED, TRACKED
from runyard.api.sweep_status import TrainingSweepStatus, TrialCounts
from runyard.api.trainingsweep import TrainingSweep
from runyard_operator import metrics
from runyard_operator.events import NORMAL, WARNING, Event


def is_told(status: TrainingSweepStatus) -> bool:
    """Whether MLflow agrees with the end of a sweep, or never will."""
    tracked = status.condition(TRACKED)
    return tracked is not None and (tracked.status == "True" or tracked.reason == Reason.RUN_DELETED)


def closed(sweep: TrainingSweep, problem: str | None, now: datetime, *, is_there: bool) -> TrainingSweepStatus:
    """Return the status of a sweep that has ended, once MLflow agrees, or with why it does not yet.

    Args:
        sweep: the sweep.
        problem: why MLflow was not told.
        now: the time.
        is_there: whether MLflow has its run.

    """
    conditions = Conditions(sweep, now)
    for found in sweep.status.conditions:
        if found.type != TRACKED:
            conditions.set(found.type, found.status, found.reason, found.message)
    tracked = sweep.status.condition(TRACKED)
    if tracked and is_told(sweep.status):
        conditions.set(TRACKED, tracked.status, tracked.reason, tracked.message)
    elif problem:
        conditions.set(TRACKED, "False", Reason.TRACKING_UNAVAILABLE, problem)
    elif not is_there:
        conditions.set(TRACKED, "False", Reason.RUN_DELETED, "the sweep's run was deleted in MLflow")
    else:
        conditions.set(TRACKED, "True", Reason.RECORDED, "MLflow agrees with the sweep and its trials")
    return sweep.status.model_copy(
        update={"conditions": conditions.found, "observed_generation": sweep.metadata.generation}
    )


def between(before: TrainingSweepStatus, after: TrainingSweepStatus) -> Iterator[Event]:
    """Return what happened between two statuses; nothing for a status seen twice. Trials have events of their own."""
    if after.tracking and not before.tracking:
        yield Event(NORMAL, "Begun", "Begin", f"Its trials' runs are below run {after.tracking.run_id}")
    if after.phase is Phase.SUSPENDED and before.phase is not Phase.SUSPENDED:
        yield Event(NORMAL, "Suspended", "Suspend", "No further trial begins until spec.suspend is false")
    if after.best and (before.best is None or before.best.trial != after.best.trial):
        yield Event(NORMAL, "BestTrial", "Compare", f"{after.best.trial} is the best so far, with {after.best.value}")
    verdict, earlier = after.condition(SUCCEEDED), before.condition(SUCCEEDED)
    if verdict and verdict.status != "Unknown" and (earlier is None or earlier.status == "Unknown"):
        if verdict.status == "True":
            best = f"; the best is {after.best.trial}" if after.best else ""
            yield Event(NORMAL, "Succeeded", "Finish", f"{after.progress} trials ended in {after.duration}{best}")
        else:
            yield Event(WARNING, "Failed", "Finish", f"{verdict.reason}: {verdict.message}")
    tracked, was = after.condition(TRACKED), before.condition(TRACKED)
    if tracked and tracked.status == "False" and (was is None or was.status != "False"):
        yield Event(WARNING, "NotTracked", "Record", tracked.message)


def count(before: TrainingSweepStatus, after: TrainingSweepStatus) -> None:
    """Count the trials that ended between two statuses, and the sweep's own end."""
    old, new = before.trials or TrialCounts(), after.trials or TrialCounts()
    for name in ("succeeded", "failed", "pruned"):
        more = getattr(new, name) - getattr(old, name)
        if more > 0:
            metrics.SWEEP_TRIALS.labels(name.capitalize()).inc(more)
    verdict, earlier = after.condition(SUCCEEDED), before.condition(SUCCEEDED)
    if verdict and verdict.status != "Unknown" and (earlier is None or earlier.status == "Unknown"):
        outcome = "Succeeded" if verdict.status == "True" else "Failed"
        metrics.SWEEP_OUTCOMES.labels(outcome, verdict.reason).inc()
