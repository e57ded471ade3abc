"""The status of a sweep, from how its trials stand."""

from datetime import timedelta
from typing import Any

import pytest

from runyard.api.outcome import Phase, TrackingStatus
from runyard.api.sweep_assembly import Standing, assemble, refused
from runyard.api.sweep_status import TrainingSweepStatus
from runyard.api.sweeping import Trial, TrialState, next_step
from runyard.api.trainingrun import TrainingRun
from runyard.api.trainingsweep import TrainingSweep
from runyard.api.trial_runs import manifest
from runyard.errors import Problem
from runyard.validation import parse
from tests.support.factories import NOW, at
from tests.support.sweep_refusals import RIGHT

R, S, F, P = TrialState.RUNNING, TrialState.SUCCEEDED, TrialState.FAILED, TrialState.PRUNED


def sweep(status: TrainingSweepStatus | None = None, **spec: Any) -> TrainingSweep:
    metadata = {"name": "wine", "namespace": "team", "uid": "u1", "generation": 3}
    given = {**RIGHT, "parameters": {"a": {"values": [1, 2, 3]}}, **spec}
    found = TrainingSweep.model_validate({"metadata": metadata, "spec": given})
    return found.model_copy(update={"status": status or TrainingSweepStatus()})


def standing(asked: TrainingSweep, *found: Trial, **more: Any) -> Standing:
    step = next_step(asked.spec, {trial.index: trial.state for trial in found})
    return Standing(trials=found, step=step, **more)


def conditions(status: TrainingSweepStatus) -> dict[str, tuple[str, str]]:
    return {found.type: (found.status, found.reason) for found in status.conditions}


def done(index: int, value: float) -> Trial:
    return Trial(index, S, value, f"r{index}", {"a": index + 1})


ALL = (done(0, 0.5), done(1, 0.9), done(2, 0.7))


@pytest.mark.parametrize(
    ("spec", "trials", "more", "phase", "verdict", "message"),
    [
        ({}, (), {}, "Pending", ("Unknown", "Pending"), None),
        ({}, (Trial(0, R),), {}, "Running", ("Unknown", "Running"), None),
        ({}, (Trial(0, R), done(1, 1.0)), {"obstacle": "no room"}, "Running", ("Unknown", "Running"), "no room"),
        (
            {"suspend": True},
            (),
            {},
            "Suspended",
            ("Unknown", "Suspended"),
            "no further trial begins until spec.suspend is false",
        ),
        (
            {},
            (Trial(0, R, message="MLflow is away"),),
            {},
            "Running",
            ("Unknown", "Running"),
            "wine-0 has ended, and waits for MLflow to say so: MLflow is away",
        ),
        ({}, ALL, {}, "Succeeded", ("True", "Completed"), None),
        ({}, (done(0, 0.5), Trial(1, F), Trial(2, P)), {}, "Succeeded", ("True", "Completed"), None),
        (
            {},
            (Trial(0, F), Trial(1, F), Trial(2, P)),
            {},
            "Failed",
            ("False", "NoResult"),
            "no trial succeeded and logged f1: see what became of the first",
        ),
        (
            {"maxFailedTrials": 0},
            (Trial(0, F), done(1, 1.0)),
            {},
            "Failed",
            ("False", "TooManyFailed"),
            "1 trials failed, more than maxFailedTrials: 0",
        ),
        (
            {"maxFailedTrials": 0},
            (Trial(0, F), Trial(1, R)),
            {},
            "Running",
            ("Unknown", "Running"),
            "1 trials failed: no other begins, and those that run are waited for",
        ),
    ],
)
def test_how_it_stands(
    spec: dict[str, Any],
    trials: tuple[Trial, ...],
    more: dict[str, Any],
    phase: str,
    verdict: tuple[str, str],
    message: str | None,
) -> None:
    asked = sweep(**spec)
    found = assemble(asked, standing(asked, *trials, **more), NOW)
    assert (found.phase, conditions(found)["Succeeded"], found.message) == (phase, verdict, message)
    assert conditions(found)["Accepted"] == ("True", "Accepted")
    assert (found.completion_time is not None) == (phase in {"Succeeded", "Failed"})
    assert found.observed_generation == 3


def test_the_best_is_named_with_all_its_digits() -> None:
    asked = sweep()
    found = assemble(asked, standing(asked, *ALL[:2], done(2, 0.1 + 0.2)), NOW)
    assert found.best
    assert found.best.to_json() == {"trial": "wine-1", "value": "0.9", "runId": "r1", "parameters": {"a": "2"}}
    lowest = sweep(objective={"metric": "loss"})
    found = assemble(lowest, standing(lowest, *ALL[:2], done(2, 0.1 + 0.2)), NOW)
    assert found.best
    assert (found.best.trial, found.best.value) == ("wine-2", "0.30000000000000004")


def test_the_same_facts_give_the_same_status_and_times_stay() -> None:
    asked = sweep()
    parent = TrackingStatus(run_id="p")
    first = assemble(asked, standing(asked, Trial(0, R), parent=parent), at(0))
    again = assemble(sweep(first), standing(asked, Trial(0, R), parent=parent), at(60))
    assert again == first
    over = assemble(sweep(first), standing(asked, *ALL), at(90))
    assert (over.duration, over.tracking) == ("1m30s", parent)
    assert assemble(sweep(over), standing(asked, *ALL), at(99)) == over


def test_mlflow_agrees_or_does_not_yet() -> None:
    asked = sweep()
    for more, expected in (
        ({}, ("Unknown", "InProgress")),
        ({"problem": "it is away"}, ("False", "TrackingUnavailable")),
        ({"is_told": True}, ("True", "Recorded")),
    ):
        assert conditions(assemble(asked, standing(asked, *ALL, **more), NOW))["Tracked"] == expected


def test_what_is_refused_has_failed_for_good() -> None:
    found = refused(sweep(), [Problem("spec.a", "no"), Problem("spec.b", "no")], NOW)
    assert (found.phase, found.message) == (Phase.FAILED, "spec.a: no; spec.b: no")
    assert conditions(found)["Tracked"] == ("True", "NothingToRecord")
    found = refused(sweep(), [Problem("spec.a", "no")], NOW, TrackingStatus(run_id="p"))
    assert conditions(found)["Tracked"] == ("Unknown", "InProgress")


def test_the_training_of_a_trial_is_one_that_anybody_could_apply() -> None:
    template = {"image": "x", "args": ["$(params.a)"], "parameters": {"c": "x"}, "tracking": {"requireMetrics": ["b"]}}
    body = manifest(sweep(template=template), 7, {"a": 0.5}, "p")
    run = parse(body)
    assert (run.metadata.name, run.metadata.namespace) == ("wine-7", "team")
    assert run.metadata.labels == {"runyard.dev/sweep": "wine", "runyard.dev/trial": "7"}
    assert run.metadata.annotations == {"runyard.dev/parent-run": "p"}
    assert run.spec.parameters == {"c": "x", "a": 0.5}
    assert run.spec.tracking.require_metrics == ["f1", "b"]
    assert isinstance(run, TrainingRun)


def test_durations_begin_with_the_first_trial() -> None:
    asked = sweep()
    assert assemble(asked, standing(asked), NOW).start_time is None
    assert assemble(asked, standing(asked, Trial(0, R)), NOW + timedelta(1)).start_time == NOW + timedelta(1)
