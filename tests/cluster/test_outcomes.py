"""What truly happened, on the resource and in MLflow, with real pods on a real cluster."""

from urllib.error import HTTPError

import pytest

from tests.cluster.installation import on_node
from tests.cluster.training import NO_LOG, Trainings, condition, of_script
from tests.support.mlflow_server import tags_of
from tests.support.waiting import wait_for

# A script that does not mind SIGTERM is given a second, not the default half minute.
_GRACE = {"spec": {"terminationGracePeriodSeconds": 1}}
_CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "marker"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
}


@pytest.fixture(scope="module", autouse=True)
def begun(trainings: Trainings) -> None:
    trainings.kubectl.apply(
        _CLAIM,
        of_script("success", "quickstart_log.py"),
        of_script("autolog", "quickstart_autolog.py", experiment="not this one"),
        of_script("exits-3", "exits_3.py"),
        of_script("oom", "oom.py", resources={"limits": {"memory": "400Mi"}}),
        of_script("killed", "sleeps_in_run.py", "86400.1"),
        of_script("liar", "finishes_then_exits_1.py"),
        of_script("silent", "never_calls_mlflow.py", experiment="silent scripts"),
        of_script("deadline", "sleeps_in_run.py", activeDeadlineSeconds=3600, podTemplate=_GRACE),
        of_script("no-image", "exits_3.py", image="runyard/does-not-exist:1"),
        of_script(
            "retried",
            "fails_first_time.py",
            "/marker/file",
            backoffLimit=1,
            volumes=[{"name": "marker", "persistentVolumeClaim": {"claimName": "marker"}}],
            volumeMounts=[{"name": "marker", "mountPath": "/marker"}],
        ),
        of_script("two", "two_runs.py"),
        of_script("suspended", "never_calls_mlflow.py", suspend=True),
        of_script("columns", "sleeps_in_run.py", "0"),
    )


def test_success(trainings: Trainings) -> None:
    done = trainings.finish("success")
    done.assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", 0)], "accuracy ")
    [run] = done.runs
    assert done.status["metrics"].keys() == {"accuracy"}
    assert float(done.status["metrics"]["accuracy"]) == run["data"]["metrics"][0]["value"]
    assert done.status["tracking"]["url"].startswith(trainings.mlflow.url)
    assert done.status["imageDigest"]
    [model] = run["outputs"]["model_outputs"]
    assert done.status["tracking"]["model"] == f"models:/{model['model_id']}"


def test_an_experiment_of_the_scripts_own_naming(trainings: Trainings) -> None:
    done = trainings.finish("autolog")
    done.assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", 0)], "R²")
    [run] = done.runs
    named = trainings.mlflow.call("mlflow/experiments/get-by-name?experiment_name=Quickstart%20autolog")
    assert run["info"]["experiment_id"] == named["experiment"]["experiment_id"]
    assert {"n_estimators", "max_depth"} <= {param["key"] for param in run["data"]["params"]}


def test_exit_code(trainings: Trainings) -> None:
    done = trainings.finish("exits-3")
    done.assert_agreement("Failed", "Error", [("Failed", "Error", 3)], "about to exit with code 3")


def test_out_of_memory(trainings: Trainings) -> None:
    done = trainings.finish("oom")
    done.assert_out_of_memory(137, "allocating")


def test_the_training_process_killed(trainings: Trainings) -> None:
    trainings.wait_until_running("killed")
    on_node("pkill", "-KILL", "-f", "sleeps_in_run.py 86400.1")
    done = trainings.finish("killed")
    done.assert_agreement("Failed", "Error", [("Failed", "Error", 137)], "waiting")


def test_a_script_that_says_finished_and_fails(trainings: Trainings) -> None:
    done = trainings.finish("liar")
    done.assert_agreement("Failed", "Error", [("Failed", "Error", 1)], "could not write the report")
    assert done.status["attempts"][0]["message"] == "OSError: could not write the report"


def test_a_script_that_never_calls_mlflow(trainings: Trainings) -> None:
    done = trainings.finish("silent")
    done.assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", 0)], "epoch 2")
    [run] = done.runs
    named = trainings.mlflow.call("mlflow/experiments/get-by-name?experiment_name=silent%20scripts")
    assert run["info"]["experiment_id"] == named["experiment"]["experiment_id"]


def test_deadline(trainings: Trainings) -> None:
    """It is brought forward once the script trains: when a busy node gets that far, nobody can say before."""
    [attempt] = trainings.wait_until_running("deadline")["attempts"]
    wait_for("it trains", lambda: "waiting" in trainings.kubectl("logs", attempt["pod"], "--container=training"), 60)
    passed = '{"spec": {"activeDeadlineSeconds": 1}}'
    trainings.kubectl("patch", "trainingrun", "deadline", "--type=merge", "-p", passed)
    done = trainings.finish("deadline")
    done.assert_agreement("Failed", "DeadlineExceeded", [("Failed", "DeadlineExceeded", _code(done.status))], "waiting")


def test_an_image_that_does_not_exist(trainings: Trainings) -> None:
    done = trainings.finish("no-image")
    done.assert_agreement("Failed", "ImagePull", [("Failed", "ImagePull", None)], NO_LOG)
    assert "runyard/does-not-exist:1" in done.log(done.status["attempts"][0])


def test_a_retry_that_succeeds(trainings: Trainings) -> None:
    done = trainings.finish("retried")
    done.assert_agreement(
        "Succeeded",
        "Completed",
        [("Failed", "Error", 1), ("Succeeded", "Completed", 0)],
        "the first attempt fails",
        "the second attempt succeeds",
    )
    assert len(done.runs) == 2


def test_the_operator_gone_for_a_while(trainings: Trainings) -> None:
    trainings.start("orphaned", "sleeps_in_run.py", "20")
    trainings.wait_until_running("orphaned")
    platform = trainings.kubectl.within("runyard")
    platform("scale", "deployment/runyard-operator", "--replicas=0")
    try:
        name = trainings.status("orphaned")["job"]
        wait_for(
            "the Job ends unobserved",
            lambda: "completionTime" in trainings.kubectl.get("job", name)["status"],
            timeout_seconds=90,
        )
        assert trainings.status("orphaned")["phase"] == "Running"
    finally:
        platform("scale", "deployment/runyard-operator", "--replicas=1")
    done = trainings.finish("orphaned")
    done.assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", 0)], "waiting")
    assert len(done.runs) == 1


def test_the_operator_killed_in_the_middle(trainings: Trainings) -> None:
    trainings.start("survivor", "sleeps_in_run.py", "15")
    trainings.wait_until_running("survivor", in_mlflow=False)
    trainings.kubectl.within("runyard")(
        "delete", "pod", "--selector=app.kubernetes.io/component=operator", "--grace-period=0", "--force"
    )
    done = trainings.finish("survivor")
    done.assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", 0)], "waiting")
    assert len(done.runs) == 1


def test_deleting_the_resource(trainings: Trainings) -> None:
    uid = trainings.start("deleted", "sleeps_in_run.py", podTemplate=_GRACE)
    status = trainings.wait_until_running("deleted")
    trainings.kubectl("delete", "trainingrun", "deleted")

    def killed() -> dict[str, str] | None:
        [run] = trainings.runs(uid)
        return tags_of(run) if run["info"]["status"] == "KILLED" else None

    tags = wait_for("the run is killed", killed, timeout_seconds=60)
    assert (tags["runyard.dev/outcome"], tags["runyard.dev/reason"]) == ("Cancelled", "Cancelled")
    label = f"runyard.dev/uid={uid}"
    wait_for("the Job is gone", lambda: not trainings.kubectl.items("jobs", label))
    wait_for("the pod is gone", lambda: not trainings.kubectl.items("pods", label))
    [run] = trainings.runs(uid)

    def log() -> str:
        try:
            return trainings.mlflow.artifact(run, f"runyard/log-{status['attempts'][0]['pod']}.txt").decode()
        except HTTPError:
            return ""

    wait_for("the log is kept", lambda: "waiting" in log())


def test_two_top_level_runs(trainings: Trainings) -> None:
    done = trainings.finish("two")
    done.assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", 0)], "run 2 of 2")
    assert [run["info"]["run_name"] for run in done.runs] == ["run-1", "run-2"]
    assert done.status["tracking"]["runId"] == done.runs[1]["info"]["run_id"]


def test_suspend_and_resume(trainings: Trainings) -> None:
    wait_for("it is suspended", lambda: trainings.status("suspended").get("phase") == "Suspended")
    assert trainings.kubectl.items("pods", "job-name=" + trainings.status("suspended")["job"]) == []
    trainings.kubectl("patch", "trainingrun", "suspended", "--type=merge", "-p", '{"spec": {"suspend": false}}')
    trainings.finish("suspended").assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", 0)], "epoch 2")


def test_printed_columns(trainings: Trainings) -> None:
    trainings.finish("columns")
    header, row = trainings.kubectl("get", "truns", "columns").splitlines()
    assert header.split() == ["NAME", "PHASE", "RUN", "ATTEMPTS", "DURATION", "AGE"]
    assert row.split()[:2] == ["columns", "Succeeded"]
    header, row = trainings.kubectl("get", "truns", "columns", "-o", "wide").splitlines()
    assert header.split()[6:] == ["EXPERIMENT", "METRIC", "MESSAGE"]
    assert row.split()[-1] == "accuracy=0.5"
    assert condition(trainings.status("columns"), "Accepted")["status"] == "True"


def _code(status: dict[str, list[dict[str, int]]]) -> int | None:
    """Return the exit code that the kubelet saw, if it saw one: of a pod that is deleted it need not say."""
    code = status["attempts"][0].get("exitCode")
    assert code in {None, 137, 143}
    return code
