"""What a training should have logged, and what is missing of it."""

from collections.abc import Sequence

from runyard.api.facts import Missing
from runyard.api.outcome import Reason
from runyard.api.records import Run
from runyard.api.trainingrun import RunMode, Tracking, TrainingRun

_NAMED = 8  # metrics that a message names


def needs_closing(run: TrainingRun) -> bool:
    """Whether something is to be done in MLflow at the end of the resource, besides each attempt's."""
    wanted = run.spec.tracking
    if run.status.reused_from:  # another's run, of which all is told
        return False
    return run.spec.run_mode is RunMode.ASSIGNED or wanted.require_model or bool(wanted.require_metrics)


def missing(wanted: Tracking, runs: Sequence[Run]) -> Missing | None:
    """Return what none of a training's runs has, though it should."""
    logged = {name for run in runs for name in run.metrics}
    lacks_model = wanted.require_model and not any(run.model for run in runs)
    if absent := [name for name in wanted.require_metrics if name not in logged]:
        there = ", ".join(sorted(logged)[:_NAMED]) or "none"
        said = f"the training succeeded without logging {', '.join(absent)}; it logged: {there}"
        return Missing(Reason.METRICS_MISSING, f"{said}; nor did it log a model" if lacks_model else said)
    if lacks_model:
        return Missing(Reason.MODEL_MISSING, "the training succeeded without logging a model")
    return None
