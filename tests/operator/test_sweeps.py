"""Sweeps at a real API server and a real MLflow, with the Job controller and the kubelet played by the test."""

import json

import pytest

from tests.operator.actors import Actors, condition
from tests.operator.sweeps import Sweep
from tests.support.mlflow_server import MlflowRest, tags_of
from tests.support.waiting import wait_for


@pytest.fixture
def sweep(actors: Actors, mlflow: MlflowRest) -> Sweep:
    return Sweep(actors, mlflow)


def test_a_grid_is_tried_a_few_trials_at_a_time_and_the_best_is_named(sweep: Sweep) -> None:
    uid = sweep.apply()["metadata"]["uid"]
    trials = sweep.wait_for_trials("wine-0", "wine-1")
    first = trials["wine-0"]
    assert first["metadata"]["labels"] == {"runyard.dev/sweep": "wine", "runyard.dev/trial": "0"}
    [owner] = first["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("TrainingSweep", "wine", uid, True)
    assert [trial["spec"]["parameters"] for trial in trials.values()] == [{"x": 1}, {"x": 3}]
    [parent] = sweep.parents()
    assert parent["info"]["status"] == "RUNNING"
    [container] = sweep.actors.wait_for_job("wine-0")["spec"]["template"]["spec"]["containers"]
    [context] = [each["value"] for each in container["env"] if each["name"] == "MLFLOW_RUN_CONTEXT"]
    assert json.loads(context)["mlflow.parentRunId"] == parent["info"]["run_id"]
    assert json.loads(context)["runyard.dev/trial"] == "0"

    sweep.end("wine-0", 0.5)
    sweep.wait_for_trials("wine-0", "wine-1", "wine-2")
    best = sweep.end("wine-1", 0.9)
    sweep.end("wine-2", 0.7)
    status = sweep.wait_for_phase("Succeeded")

    assert status["trials"] == {"total": 3, "running": 0, "succeeded": 3, "failed": 0, "pruned": 0}
    assert status["best"] == {"trial": "wine-1", "value": "0.9", "runId": best, "parameters": {"x": "3"}}
    assert (status["progress"], status["begun"]) == ("3/3", 3)
    assert {found["type"]: found["status"] for found in status["conditions"]} == {
        "Accepted": "True",
        "Running": "False",
        "Succeeded": "True",
        "Tracked": "True",
    }
    [parent] = sweep.parents()
    assert (parent["info"]["status"], parent["info"]["run_id"]) == ("FINISHED", status["tracking"]["runId"])
    assert [(found["key"], found["value"]) for found in parent["data"]["metrics"]] == [("f1", 0.9)]
    assert tags_of(parent)["runyard.dev/best-run"] == best
    told = {event["reason"] for event in sweep.actors.items("events.events.k8s.io")}
    assert {"Begun", "BestTrial", "Succeeded"} <= told


def test_too_many_failures_end_it(sweep: Sweep) -> None:
    sweep.apply(maxFailedTrials=1, parallelism=1)
    sweep.wait_for_trials("wine-0")
    sweep.end("wine-0", exit_code=1)
    sweep.wait_for_trials("wine-0", "wine-1")
    sweep.end("wine-1")  # without the metric
    status = sweep.wait_for_phase("Failed")
    assert status["message"] == "2 trials failed, more than maxFailedTrials: 1"
    assert condition(status, "Succeeded")["reason"] == "TooManyFailed"
    assert set(sweep.trials) == {"wine-0", "wine-1"}
    assert sweep.parents()[0]["info"]["status"] == "FAILED"


def test_a_bad_trial_is_ended_early(sweep: Sweep) -> None:
    sweep.apply(parallelism=3, pruning={"afterSteps": 2, "minTrials": 2})
    sweep.wait_for_trials("wine-0", "wine-1", "wine-2")
    sweep.end("wine-0", 0.5, 0.6)
    sweep.end("wine-1", 0.5, 0.8)
    pod, run_id = sweep.run("wine-2", 0.1, 0.2)

    def ended() -> bool:
        return bool(sweep.actors.wait_for_job("wine-2")["spec"].get("activeDeadlineSeconds") == 1)

    wait_for("its Job has a deadline that is over", ended, timeout_seconds=60)
    # The Job controller fails it, and deletes its pod.
    sweep.actors.delete("pod", pod["metadata"]["name"])
    sweep.actors.end_job(sweep.actors.wait_for_job("wine-2"), "Failed", "DeadlineExceeded")
    status = sweep.wait_for_phase("Succeeded")
    assert status["trials"] == {"total": 3, "running": 0, "succeeded": 2, "failed": 0, "pruned": 1}
    trial = sweep.actors.wait_for_phase("wine-2", "Failed")
    verdict = condition(trial, "Succeeded")
    assert verdict["reason"] == "Pruned"
    assert verdict["message"] == "0.2 at step 2 is worse than 0.7, the median of 2 other trials"
    run = sweep.mlflow.run(run_id)
    assert (run["info"]["status"], tags_of(run)["runyard.dev/reason"]) == ("KILLED", "Pruned")


def test_a_suspended_sweep_begins_nothing_until_it_goes_on(sweep: Sweep) -> None:
    sweep.apply(suspend=True)
    assert sweep.wait_for_phase("Suspended")["message"] == "no further trial begins until spec.suspend is false"
    assert sweep.trials == {}
    sweep.actors.patch_spec("trainingsweep", "wine", {"suspend": False, "maxTrials": 1})
    sweep.wait_for_trials("wine-0")
    sweep.end("wine-0", 0.5)
    assert sweep.wait_for_phase("Succeeded")["progress"] == "1/1"
    # What is final is not begun again, whatever is edited later.
    sweep.actors.patch_spec("trainingsweep", "wine", {"maxTrials": 3})
    wait_for("the edit is seen", lambda: sweep.status["observedGeneration"] == 3)
    assert set(sweep.trials) == {"wine-0"}
    assert sweep.status["phase"] == "Succeeded"


def test_a_trial_that_is_deleted_counts_as_failed(sweep: Sweep) -> None:
    sweep.apply(maxTrials=2)
    sweep.wait_for_trials("wine-0", "wine-1")
    sweep.actors.delete("trainingrun", "wine-0")
    sweep.end("wine-1", 0.5)
    status = sweep.wait_for_phase("Succeeded")
    assert (status["trials"]["failed"], status["trials"]["succeeded"]) == (1, 1)
    assert set(sweep.trials) == {"wine-1"}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            {"parameters": {"x": {"min": 0, "max": 1.5}}},
            "spec.parameters[x].step: Required value: a grid needs steps, or values: between two fractions lie others",
        ),
        (
            {"template": {"image": "x", "args": ["$(params.y)"]}},
            'spec.template.args[0]: Invalid value: "$(params.y)": spec.parameters has no "y"; it has: x',
        ),
    ],
)
def test_what_cannot_be_tried_is_said(sweep: Sweep, spec: dict[str, object], said: str) -> None:
    sweep.apply(**spec)
    status = sweep.wait_for_phase("Failed")
    assert status["message"] == said
    assert condition(status, "Accepted")["status"] == "False"
    assert sweep.trials == {}
    assert sweep.parents() == []


def test_a_trial_that_the_api_server_refuses_ends_the_sweep_with_its_words(sweep: Sweep) -> None:
    # With the objective it would be one more than a TrainingRun may require.
    metrics = [f"m{index}" for index in range(64)]
    sweep.apply(template={"image": "x", "tracking": {"requireMetrics": metrics}})
    status = sweep.wait_for_phase("Failed")
    assert status["message"] == "spec.template.tracking.requireMetrics: Too many: 65: must have at most 64 items"
    assert sweep.trials == {}
    assert [parent["info"]["status"] for parent in sweep.parents()] == ["FAILED"]


def test_somebody_elses_training_is_not_taken_for_a_trial(sweep: Sweep) -> None:
    sweep.actors.apply("wine-0", suspend=True)
    sweep.apply()
    message = sweep.wait_for_message("somebody else")
    assert message == "a TrainingRun wine-0 of somebody else's is in the way of a trial: delete it"
    sweep.actors.delete("trainingrun", "wine-0")
    sweep.wait_for_trials("wine-0", "wine-1")


def test_a_deleted_sweep_closes_its_run(sweep: Sweep) -> None:
    sweep.apply(maxTrials=1)
    sweep.wait_for_trials("wine-0")
    [parent] = sweep.parents()
    sweep.actors.delete("trainingsweep", "wine")
    run_id = parent["info"]["run_id"]
    wait_for("its run is closed", lambda: sweep.mlflow.run(run_id)["info"]["status"] == "KILLED")
