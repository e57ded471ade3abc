"""Several pods and several attempts in one record, and what becomes of Jobs."""

import json
import time

import pytest

from tests.cluster.training import End, Finished, Trainings, condition, of_script, of_shell
from tests.support.mlflow_server import tags_of
from tests.support.waiting import wait_for

_COMPLETED: End = ("Succeeded", "Completed", 0)
_WORKER = 'echo "worker $RANK of $WORLD_SIZE"; [ "$RANK" = 1 ] && { sleep 3; exit 3; }; sleep 86400'


@pytest.fixture(scope="module", autouse=True)
def begun(trainings: Trainings) -> None:
    storage = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    trainings.kubectl.apply(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "marker"}, "spec": storage},
        of_shell("one-fails", _WORKER, workers=2, podTemplate={"spec": {"terminationGracePeriodSeconds": 1}}),
        of_script("all-succeed", "meets.py", workers=3),
        of_script(
            "one-run",
            "two_attempts_in_one_run.py",
            "/marker/file",
            backoffLimit=1,
            tracking={"run": "Assigned"},
            volumes=[{"name": "marker", "persistentVolumeClaim": {"claimName": "marker"}}],
            volumeMounts=[{"name": "marker", "mountPath": "/marker"}],
        ),
        *(
            of_script(name, "quickstart_log.py", experiment=experiment, tracking={"run": "Assigned"})
            for name, experiment in (("named-alike", "Quickstart log"), ("named-otherwise", "Another"))
        ),
        of_shell("no-model", "true", tracking={"requireModel": True}),
        of_script("no-metric", "two_runs.py", tracking={"requireMetrics": ["number", "f1"]}),
        of_shell("short-lived", "echo short", ttlSecondsAfterFinished=3),
        of_shell("edited", "echo as before; sleep 5"),
        of_shell("queued", "echo admitted", queueName="team"),
    )


def _assert_workers(done: Finished, phase: str, reason: str, ends: dict[int, End], printed: dict[int, str]) -> None:
    """Assert that all sides agree, the workers in whichever order they began; they log into one run."""
    workers = [attempt["worker"] for attempt in done.status["attempts"]]
    assert sorted(workers) == sorted(ends)
    done.assert_agreement(phase, reason, [ends[worker] for worker in workers], *(printed[worker] for worker in workers))
    assert len(done.runs) == 1


def test_one_of_several_workers_fails(trainings: Trainings) -> None:
    done = trainings.finish("one-fails")
    [code] = [attempt.get("exitCode") for attempt in done.status["attempts"] if attempt["worker"] == 0]
    assert code in {None, 137, 143}, "a pod that is deleted need not say"
    ends: dict[int, End] = {0: ("Cancelled", "Cancelled", code), 1: ("Failed", "Error", 3)}
    _assert_workers(done, "Failed", "Error", ends, {worker: f"worker {worker} of 2" for worker in ends})


def test_several_workers_meet_and_succeed(trainings: Trainings) -> None:
    done = trainings.finish("all-succeed")
    said = {0: "met 1, 2", 1: "worker 1 of 3 was met", 2: "worker 2 of 3 was met"}
    _assert_workers(done, "Succeeded", "Completed", dict.fromkeys(said, _COMPLETED), said)


def test_an_assigned_run_outlasts_a_retry(trainings: Trainings) -> None:
    done = trainings.finish("one-run")
    done.assert_agreement("Succeeded", "Completed", [("Failed", "Error", 1), _COMPLETED], "first", "second")
    assert len(done.runs) == 1
    assert done.status["metrics"] == {"attempt": "2.0"}


def test_an_assigned_run_is_of_the_experiment_that_the_script_names(trainings: Trainings) -> None:
    done = trainings.finish("named-alike")
    done.assert_agreement("Succeeded", "Completed", [_COMPLETED], "accuracy ")
    [run] = done.runs
    assert tags_of(run)["runyard.dev/made"] == "assigned"


def test_an_assigned_run_and_a_script_that_names_another_experiment(trainings: Trainings) -> None:
    done = trainings.finish("named-otherwise")
    done.assert_agreement("Failed", "Error", [("Failed", "Error", 1)], "Cannot start run with ID")
    assert "active experiment ID does not match environment run ID" in done.status["message"]


def test_a_model_that_should_have_been_logged(trainings: Trainings) -> None:
    done = trainings.finish("no-model", tracked="ModelMissing")
    done.assert_agreement("Succeeded", "Completed", [_COMPLETED], "is empty")
    assert condition(done.status, "Tracked")["message"] == "the training succeeded without logging a model"


def test_a_metric_that_should_have_been_logged(trainings: Trainings) -> None:
    done = trainings.finish("no-metric", tracked="MetricsMissing")
    done.assert_agreement("Succeeded", "Completed", [_COMPLETED], "run 2 of 2")
    wanted = "the training succeeded without logging f1; it logged: number"
    assert condition(done.status, "Tracked")["message"] == wanted


def test_a_job_goes_when_its_time_is_over_and_the_record_stays(trainings: Trainings) -> None:
    done = trainings.finish("short-lived")
    label = f"runyard.dev/uid={done.uid}"
    for kind in ("jobs", "pods"):
        wait_for(f"no {kind}", lambda kind=kind: not trainings.kubectl.items(kind, label))  # type: ignore[misc]
    after = trainings.finish("short-lived")
    assert after.status == done.status
    after.assert_attempts([_COMPLETED], "short")


def test_a_queued_training_waits_until_its_queue_lets_it_in(trainings: Trainings) -> None:
    wait_for("it is queued", lambda: trainings.status("queued").get("phase") == "Queued")
    uid = trainings.uid("queued")
    assert trainings.kubectl.items("pods", f"runyard.dev/uid={uid}") == []
    job = trainings.status("queued")["job"]
    # Kueue's part.
    trainings.kubectl("patch", "job", job, "--type=merge", "-p", '{"spec": {"suspend": false}}')
    done = trainings.finish_after("queued", "admitted by its queue", time.time())
    done.assert_agreement("Succeeded", "Completed", [_COMPLETED], "admitted")


def test_what_decides_a_training_cannot_be_edited(trainings: Trainings) -> None:
    for field, value in {"command": ["sh", "-c", "echo otherwise"], "parameters": {"late": 1}}.items():
        patch = json.dumps({"spec": {field: value}})
        refused = trainings.kubectl.attempt("patch", "trainingrun", "edited", "--type=merge", "-p", patch)
        assert refused.returncode == 1
        assert f"spec.{field}" in refused.stderr
    trainings.finish("edited").assert_agreement("Succeeded", "Completed", [_COMPLETED], "as before")
