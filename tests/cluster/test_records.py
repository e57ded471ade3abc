"""Several pods and several attempts in one record, and what becomes of Jobs."""

import pytest

from tests.cluster.training import Trainings, condition, of_script, of_shell
from tests.support.mlflow_server import tags_of
from tests.support.waiting import wait_for

_COMPLETED = ("Succeeded", "Completed", 0)
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


def test_one_of_several_workers_fails(trainings: Trainings) -> None:
    done = trainings.finish("one-fails")
    assert (done.status["phase"], condition(done.status, "Succeeded")["reason"]) == ("Failed", "Error")
    by_worker = {attempt["worker"]: attempt for attempt in done.status["attempts"]}
    assert by_worker.keys() == {0, 1}
    assert (by_worker[1]["outcome"], by_worker[1]["exitCode"]) == ("Failed", 3)
    assert (by_worker[0]["outcome"], by_worker[0]["reason"]) == ("Cancelled", "Cancelled")
    [run] = done.runs
    assert (run["info"]["status"], tags_of(run)["runyard.dev/exit-code"]) == ("FAILED", "3")
    for index, attempt in by_worker.items():
        assert f"worker {index} of 2" in done.log(attempt)
    assert done.job_condition == "Failed"


def test_several_workers_meet_and_succeed(trainings: Trainings) -> None:
    done = trainings.finish("all-succeed")
    assert done.status["phase"] == "Succeeded"
    assert {attempt["worker"]: attempt["outcome"] for attempt in done.status["attempts"]} == dict.fromkeys(
        range(3), "Succeeded"
    )
    said = {attempt["worker"]: done.log(attempt).strip() for attempt in done.status["attempts"]}
    assert said == {0: "met 1, 2", 1: "worker 1 of 3 was met", 2: "worker 2 of 3 was met"}
    [run] = done.runs
    assert run["info"]["status"] == "FINISHED"


def test_an_assigned_run_outlasts_a_retry(trainings: Trainings) -> None:
    done = trainings.finish("one-run")
    ends = [(attempt["outcome"], attempt.get("exitCode")) for attempt in done.status["attempts"]]
    assert ends == [("Failed", 1), ("Succeeded", 0)]
    [run] = done.runs
    assert {attempt["runId"] for attempt in done.status["attempts"]} == {run["info"]["run_id"]}
    assert (run["info"]["status"], tags_of(run)["runyard.dev/outcome"]) == ("FINISHED", "Succeeded")
    assert ["first" in done.log(done.status["attempts"][0]), "second" in done.log(done.status["attempts"][1])] == [
        True,
        True,
    ]
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
    trainings.finish("queued").assert_agreement("Succeeded", "Completed", [_COMPLETED], "admitted")


def test_what_decides_a_training_cannot_be_edited(trainings: Trainings) -> None:
    patch = '{"spec": {"command": ["sh", "-c", "echo otherwise"]}}'
    refused = trainings.kubectl.attempt("patch", "trainingrun", "edited", "--type=merge", "-p", patch)
    assert refused.returncode == 1
    assert "spec.command" in refused.stderr
    trainings.finish("edited").assert_agreement("Succeeded", "Completed", [_COMPLETED], "as before")
