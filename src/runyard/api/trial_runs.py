"""The TrainingRun of a trial."""

from collections.abc import Mapping

from pydantic import JsonValue

from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.records import PARENT_ANNOTATION, SWEEP_TAG, TRIAL_TAG
from runyard.api.sweep_assembly import trial_name
from runyard.api.trainingrun import API_VERSION, KIND
from runyard.api.trainingsweep import KIND as SWEEP_KIND
from runyard.api.trainingsweep import TrainingSweep


def manifest(sweep: TrainingSweep, index: int, tried: Mapping[str, JsonValue], parent_run_id: str | None) -> JsonObject:
    """Return the manifest of a trial's TrainingRun, which its sweep owns.

    Args:
        sweep: the sweep.
        index: the trial's.
        tried: what it is tried with.
        parent_run_id: the MLflow run that its runs are children of.

    """
    given = sweep.metadata
    owner: JsonObject = {
        "apiVersion": API_VERSION,
        "kind": SWEEP_KIND,
        "name": given.name,
        "uid": given.uid,
        "controller": True,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": trial_name(sweep, index),
            "namespace": given.namespace,
            "labels": {**(given.labels or {}), SWEEP_TAG: given.name, TRIAL_TAG: str(index)},
            "annotations": {PARENT_ANNOTATION: parent_run_id} if parent_run_id else {},
            "ownerReferences": [owner],
        },
        "spec": _spec(sweep, tried),
    }


def _spec(sweep: TrainingSweep, tried: Mapping[str, JsonValue]) -> JsonObject:
    spec = sweep.spec.template.to_json()
    tracking, metric = as_object(spec.get("tracking")), sweep.spec.objective.metric
    # So that its value is on the TrainingRun, and that it is said where there is none.
    asked = [name for name in as_list(tracking.get("requireMetrics")) if name != metric]
    spec["tracking"] = {**tracking, "requireMetrics": [metric, *asked]}
    spec["parameters"] = {**as_object(spec.get("parameters")), **tried}
    return spec
