"""The platform's own parts taken away, and what people do to its records: one after the other."""

import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.cluster import matrix
from tests.cluster.installation import Installation, on_node
from tests.cluster.timeline import TRAINING_RUNS
from tests.cluster.training import NO_LOG, Trainings, condition, of_script, of_shell
from tests.support.cluster_api import ClusterApi
from tests.support.mlflow_server import tags_of
from tests.support.waiting import wait_for

pytestmark = pytest.mark.outage

_COMPLETED = ("Succeeded", "Completed", 0)
_SWEEP_SECONDS = 5
_CORRECTED_WITHIN_SECONDS = 30
# How long MLflow stays away at least; five minutes where that is said, in which the pauses grow to their longest.
_OUTAGE_SECONDS = float(os.environ.get("RUNYARD_OUTAGE_SECONDS", "0"))
_BACK = "its return to MLflow agreeing"


@pytest.fixture(scope="module", autouse=True)
def sweeps(installation: Installation) -> Iterator[None]:
    """Let sweeps come soon."""
    installation.kubectl("set", "env", "deployment/runyard-operator", f"RUNYARD_SWEEP_SECONDS={_SWEEP_SECONDS}")
    installation.wait_until_all_ready()
    yield
    installation.kubectl("set", "env", "deployment/runyard-operator", "RUNYARD_SWEEP_SECONDS-")
    installation.wait_until_all_ready()


def _tracked(trainings: Trainings, name: str) -> tuple[str, str]:
    found = condition(trainings.status(name), "Tracked")
    return found["status"], found["reason"]


def _wait_for_tracked(trainings: Trainings, name: str, reason: str, timeout_seconds: float = 60) -> dict[str, Any]:
    def says() -> dict[str, Any] | None:
        found = condition(trainings.status(name), "Tracked")
        return found if found["reason"] == reason else None

    return wait_for(f"{name} is {reason}", says, timeout_seconds)


def _agreed_after(trainings: Trainings, name: str, moment: float) -> float:
    """Return how long after a moment MLflow agreed, as a client saw it."""
    seen = trainings.timeline.of(trainings.uid(name))
    return max(0.0, next(at for at, status, _ in reversed(seen.tracked) if status == "True") - moment)


def test_operator_killed_again_and_again(trainings: Trainings, installation: Installation) -> None:
    names = [f"killed-{number}" for number in range(6)]
    for number, name in enumerate(names):
        # The first kills come around the Job's creation, the last around the pods' ends.
        trainings.kubectl.apply(of_shell(name, f"echo survived; sleep {number}; exit {number % 2}"))
        if number % 2:
            installation.kill("operator")
    trainings.kubectl.apply(of_script("killed-run", "leaves_run_open.py", "6"))
    trainings.wait_until_running("killed-run")
    installation.kill("operator")
    job = trainings.status("killed-run")["job"]
    wait_for("its Job ends", lambda: _has_ended(trainings, job), 60)
    installation.kill("operator")
    for number, name in enumerate(names):
        done = trainings.finish(name)
        ends = [("Failed", "Error", 1)] if number % 2 else [_COMPLETED]
        done.assert_agreement(*(("Failed", "Error") if number % 2 else ("Succeeded", "Completed")), ends, "survived")
        assert len(done.runs) == 1
    done = trainings.finish("killed-run")
    done.assert_agreement("Succeeded", "Completed", [_COMPLETED], "done")
    assert len(done.runs) == 1


def _has_ended(trainings: Trainings, job: str) -> bool:
    conditions = trainings.kubectl.get("job", job)["status"].get("conditions", [])
    return any(found["type"] in {"Complete", "Failed"} for found in conditions)


def test_two_operators_and_the_one_that_leads_is_killed(trainings: Trainings, installation: Installation) -> None:
    installation.scale("operator", 2)
    try:
        first = installation.leader
        trainings.start_shell("led", "echo led; sleep 12")
        trainings.wait_until_running("led", in_mlflow=False)
        installation.kubectl("delete", "pod", first, "--grace-period=0", "--force", "--wait=false")
        killed = time.time()
        wait_for("another leads", lambda: installation.leader not in {"", first}, 60)
        matrix.note("leader's pod removed by force to the next leader", time.time() - killed)
        trainings.start_shell("led-by-the-next", "echo led")
        _assert_led_once(trainings, "led", "led-by-the-next")
    finally:
        installation.scale("operator", 1)


def test_a_leader_that_was_frozen_does_nothing_more_and_ends(trainings: Trainings, installation: Installation) -> None:
    installation.scale("operator", 2)
    try:
        first = installation.leader
        trainings.start_shell("froze-over", "echo led; sleep 5")
        trainings.wait_until_running("froze-over", in_mlflow=False)
        process = installation.process(first)
        on_node("kill", "-STOP", process)
        try:
            frozen = time.time()
            wait_for("another leads", lambda: installation.leader not in {"", first}, 60)
            matrix.note("leader frozen to the next leader", time.time() - frozen)
        finally:
            # Before its kubelet finds it dead and ends it: that takes a third longer than the Lease.
            on_node("kill", "-CONT", process)
        ended = wait_for("the one that was frozen has ended", lambda: _last_end(installation, first), 60)
        assert ended["exitCode"] == 3
        assert "holds the Lease" in installation.kubectl("logs", first, "--previous")
        assert installation.leader != first
        trainings.start_shell("after-frost", "echo led")
        _assert_led_once(trainings, "froze-over", "after-frost")
    finally:
        installation.scale("operator", 1)


def _assert_led_once(trainings: Trainings, *names: str) -> None:
    """Each has ended well and has one record, whichever operator led it."""
    for name in names:
        done = trainings.finish(name)
        done.assert_agreement("Succeeded", "Completed", [_COMPLETED], "led")
        assert len(done.runs) == 1


def _last_end(installation: Installation, pod: str) -> dict[str, Any] | None:
    """Return how the container of a pod ended before it was started anew."""
    [container] = installation.kubectl.get("pod", pod)["status"]["containerStatuses"]
    found: dict[str, Any] | None = container["lastState"].get("terminated")
    return found


def test_api_server_restarted(trainings: Trainings, installation: Installation, api: ClusterApi) -> None:
    trainings.start("through-restart", "leaves_run_open.py", "10")
    before = _version(api)
    # What is written now is not in the list with which the watches' cache begins anew.
    trainings.wait_until_running("through-restart")
    on_node("pkill", "-KILL", "kube-apiserver")
    killed = time.time()

    def answers() -> bool:
        return trainings.kubectl.attempt("get", "--raw=/readyz").returncode == 0

    wait_for("the API server answers", answers, 120)
    matrix.note("API server killed to its return", time.time() - killed)
    assert _code_of_watch(api, before) == 410, "whoever watched before has to list anew"
    wait_for("the Job ends", lambda: _has_ended(trainings, trainings.status("through-restart")["job"]), 120)
    done = trainings.finish("through-restart")
    done.assert_agreement("Succeeded", "Completed", [_COMPLETED], "done")
    assert len(done.runs) == 1
    installation.wait_until_all_ready()


def _version(api: ClusterApi) -> str:
    """Return the version as of which the API server lists TrainingRuns now."""
    return str(api.call("GET", f"{TRAINING_RUNS}?limit=1")["metadata"]["resourceVersion"])


def _code_of_watch(api: ClusterApi, version: str) -> int:
    """Return what the API server says first to who goes on watching from a version: 410 where it is too old."""
    event = next(api.lines(f"{TRAINING_RUNS}?watch=true&resourceVersion={version}", silence_seconds=30))
    return int(event["object"]["code"]) if event["type"] == "ERROR" else 200


def test_mlflow_down_at_the_start_in_the_middle_and_at_the_end(
    trainings: Trainings, installation: Installation
) -> None:
    trainings.start("middle", "leaves_run_open_until_told.py")
    trainings.start("end", "leaves_run_open.py", "12")
    for name in ("middle", "end"):
        trainings.wait_until_running(name)
    with installation.without("mlflow"):
        down = time.time()
        trainings.start_shell("start", "echo went on", backoffLimit=1)
        trainings.start_shell("start-fails", "echo went on; exit 3")
        trainings.start_shell("start-assigned", "echo went on", tracking={"run": "Assigned"})
        for name, phase in (("start", "Succeeded"), ("end", "Succeeded"), ("start-fails", "Failed")):
            # The outcome waits for nobody.
            wait_for(f"{name} is {phase}", lambda: trainings.status(name)["phase"] == phase, 60)  # noqa: B023
            found = _wait_for_tracked(trainings, name, "TrackingUnavailable")
            assert found["status"] == "False"
            assert "did not answer" in found["message"]
        waits = trainings.status("start-assigned")
        assert (waits["phase"], waits["message"]) == ("Pending", "waits for MLflow, where its run is to be made first")
        wait_for("the outage has been long enough", lambda: time.time() - down > _OUTAGE_SECONDS, _OUTAGE_SECONDS + 1)
        back = _note_return(installation)
    wait_for("MLflow's return was seen", lambda: back, 60)
    _tell(trainings, "middle")
    for name, code in (("start", 0), ("start-fails", 3), ("end", 0)):
        done = trainings.finish(name)
        phase, reason = ("Failed", "Error") if code else ("Succeeded", "Completed")
        done.assert_agreement(phase, reason, [(phase, reason, code)], "done" if name == "end" else "went on")
        assert len(done.runs) == 1
        _assert_soon(_BACK, _agreed_after(trainings, name, back[0]))
    done = trainings.finish("start-assigned")
    done.assert_agreement("Succeeded", "Completed", [_COMPLETED], "went on")
    assert len(done.runs) == 1
    # It was to begin only then; the rest is the time that a pod takes.
    _assert_soon("its return to the Job of an assigned run", max(0.0, _made_at(done.jobs) - back[0]))
    done = trainings.finish("middle")
    done.assert_agreement("Succeeded", "Completed", [_COMPLETED], "done")
    assert len(done.runs) == 1


def _assert_soon(what: str, seconds: float) -> None:
    matrix.note(f"MLflow, away for {_OUTAGE_SECONDS or 30:.0f} s: {what}", seconds)
    assert seconds < _CORRECTED_WITHIN_SECONDS


def _tell(trainings: Trainings, name: str) -> None:
    """Let a training go on that was to outlast an outage, as it did."""
    status = trainings.status(name)
    [attempt] = status["attempts"]
    assert (status["phase"], attempt["outcome"]) == ("Running", "Running")
    trainings.kubectl("exec", attempt["pod"], "--container=training", "--", "touch", "/tmp/told")  # noqa: S108


def _made_at(jobs: list[dict[str, Any]]) -> float:
    [job] = jobs
    return datetime.fromisoformat(job["metadata"]["creationTimestamp"]).timestamp()


def _note_return(installation: Installation) -> list[float]:
    """Return a list that will hold the moment at which MLflow answers again."""
    found: list[float] = []

    def look() -> None:
        wait_for("MLflow answers", installation.mlflow_works, timeout_seconds=600)
        found.append(time.time())

    threading.Thread(target=look, daemon=True).start()
    return found


def test_postgres_restarted(trainings: Trainings, installation: Installation) -> None:
    trainings.start("db-open", "leaves_run_open.py", "5")
    trainings.wait_until_running("db-open")
    installation.kill("postgres")
    trainings.start_shell("db-new", "echo went on; exit 1")
    wait_for("Postgres has ended", lambda: not installation.mlflow_works(), 30)
    wait_for("MLflow has its database again", installation.mlflow_works, 120)
    back = time.time()
    done = trainings.finish("db-open")
    done.assert_agreement("Succeeded", "Completed", [_COMPLETED], "done")
    failed = trainings.finish("db-new")
    failed.assert_agreement("Failed", "Error", [("Failed", "Error", 1)], "went on")
    assert (len(done.runs), len(failed.runs)) == (1, 1)
    corrected = max(_agreed_after(trainings, name, back) for name in ("db-open", "db-new"))
    matrix.note(f"Postgres: {_BACK}", corrected)
    assert corrected < _CORRECTED_WITHIN_SECONDS


@pytest.mark.parametrize("mode", ["Discover", "Assigned"])
def test_minio_down(trainings: Trainings, installation: Installation, mode: str) -> None:
    name = f"stored-{mode.lower()}"
    uid = trainings.start(name, "leaves_run_open.py", "6", tracking={"run": mode})
    trainings.wait_until_running(name)
    with installation.without("minio"):
        wait_for("the Job ends", lambda: trainings.status(name)["phase"] == "Succeeded", 60)

        def is_corrected() -> bool:
            [run] = trainings.runs(uid)
            return bool(run["info"]["status"] == "FINISHED")

        wait_for("what is true comes before what is stored", is_corrected)
        _wait_for_tracked(trainings, name, "TrackingUnavailable")
    back = time.time()
    done = trainings.finish(name)
    done.assert_agreement("Succeeded", "Completed", [_COMPLETED], "done")
    corrected = _agreed_after(trainings, name, back)
    matrix.note(f"MinIO: {_BACK}", corrected)
    assert corrected < _CORRECTED_WITHIN_SECONDS


def test_run_deleted_in_mlflow_and_restored(trainings: Trainings) -> None:
    trainings.start_shell("erased", "echo erased; exit 3")
    done = trainings.finish("erased")
    run_id = done.status["tracking"]["runId"]
    record = trainings.mlflow.record(done.uid)
    trainings.mlflow.call("mlflow/runs/delete", {"run_id": run_id})
    deleted = time.time()
    found = _wait_for_tracked(trainings, "erased", "RunDeleted")
    matrix.note(f"run deleted to its being told by the sweep, every {_SWEEP_SECONDS} s", time.time() - deleted)
    assert (found["status"], run_id in found["message"]) == ("False", True)
    assert trainings.status("erased")["phase"] == "Failed"
    assert trainings.runs(done.uid) == [], "none is made in its place"
    trainings.mlflow.call("mlflow/runs/restore", {"run_id": run_id})
    trainings.finish("erased").assert_agreement("Failed", "Error", [("Failed", "Error", 3)], "erased")
    assert trainings.mlflow.record(done.uid) == record


def test_experiment_deleted_and_restored(trainings: Trainings) -> None:
    experiment = f"short-lived {trainings.kubectl.namespace}"
    trainings.start_shell("before", "true", experiment=experiment)
    experiment_id = trainings.finish("before").status["tracking"]["experimentId"]
    trainings.mlflow.call("mlflow/experiments/delete", {"experiment_id": experiment_id})
    _wait_for_tracked(trainings, "before", "RunDeleted")
    trainings.start_shell("after", "echo went on", experiment=experiment)
    wait_for("it ends", lambda: trainings.status("after").get("phase") == "Succeeded", 60)
    found = _wait_for_tracked(trainings, "after", "ExperimentDeleted")
    assert found["status"] == "False"
    assert experiment in found["message"] or experiment_id in found["message"], found["message"]
    trainings.mlflow.call("mlflow/experiments/restore", {"experiment_id": experiment_id})
    trainings.finish("after").assert_agreement("Succeeded", "Completed", [_COMPLETED], "went on")
    _wait_for_tracked(trainings, "before", "Recorded")


def test_run_opened_after_all_was_recorded_is_closed(trainings: Trainings, installation: Installation) -> None:
    trainings.start_shell("over", "exit 3")
    done = trainings.finish("over")
    [run] = done.runs
    identity = ("uid", "name", "namespace", "pod")
    tags = {f"runyard.dev/{key}": tags_of(run)[f"runyard.dev/{key}"] for key in identity}
    tags["runyard.dev/installation"] = installation.identity
    opened = time.time()
    late = trainings.mlflow.call(
        "mlflow/runs/create",
        {
            "experiment_id": run["info"]["experiment_id"],
            "start_time": int(opened * 1000),
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
        },
    )["run"]["info"]["run_id"]
    wait_for("it is closed", lambda: trainings.mlflow.run(late)["info"]["status"] == "FAILED", 60)
    matrix.note(f"run opened to closed by the sweep, every {_SWEEP_SECONDS} s", time.time() - opened)
    assert trainings.finish("over").status["attempts"] == done.status["attempts"]


def test_resource_deleted_while_the_operator_is_away(trainings: Trainings, installation: Installation) -> None:
    uid = trainings.start("unseen", "sleeps_in_run.py", podTemplate={"spec": {"terminationGracePeriodSeconds": 1}})
    trainings.wait_until_running("unseen")
    with installation.without("operator"):
        trainings.kubectl("delete", "trainingrun", "unseen")
        label = f"runyard.dev/uid={uid}"
        wait_for("its pod is gone", lambda: not trainings.kubectl.items("pods", label), 60)
    back = time.time()

    def killed() -> dict[str, str] | None:
        [run] = trainings.runs(uid)
        return tags_of(run) if run["info"]["status"] == "KILLED" else None

    tags = wait_for("its run is killed", killed, 90)
    matrix.note("operator's return to run KILLED", time.time() - back)
    assert (tags["runyard.dev/outcome"], tags["runyard.dev/reason"]) == ("Cancelled", "Cancelled")

    def stored() -> list[bytes] | None:
        return [text for _, _, files in trainings.mlflow.record(uid).values() for text in files.values()] or None

    # Nobody was there who could have asked for its log in time.
    [said] = wait_for("it is said why there is no log", stored)
    assert NO_LOG in said.decode()
    assert trainings.kubectl.items("jobs", label) == []


def test_pods_that_came_and_went_while_the_operator_was_away(trainings: Trainings, installation: Installation) -> None:
    """Their Jobs, made suspended, are resumed by hand; nothing but Jobs and runs tells of them on its return."""
    brief = {"suspend": True, "podTemplate": {"spec": {"terminationGracePeriodSeconds": 1}}}
    trainings.start("came-done", "leaves_run_open.py", "1", tracking={"requireMetrics": ["accuracy"]}, **brief)
    trainings.start("came-late", "sleeps_in_run.py", activeDeadlineSeconds=45, **brief)
    jobs = []
    for name in ("came-done", "came-late"):
        wait_for(f"{name} is suspended", lambda name=name: trainings.status(name).get("phase") == "Suspended", 60)  # type: ignore[misc]
        jobs.append(trainings.status(name)["job"])
    with installation.without("operator"):
        for job in jobs:
            trainings.kubectl("patch", "job", job, "--type=merge", "-p", '{"spec":{"suspend":false}}')
        for job in jobs:
            wait_for(f"{job} ends", lambda job=job: _has_ended(trainings, job), 120)  # type: ignore[misc]
            trainings.kubectl("delete", "pods", f"--selector=batch.kubernetes.io/job-name={job}")
    done = trainings.finish("came-done")
    done.assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", None)], NO_LOG)
    assert done.status["metrics"] == {"accuracy": "0.5"}
    late = trainings.finish("came-late")
    late.assert_agreement("Failed", "DeadlineExceeded", [("Failed", "DeadlineExceeded", None)], NO_LOG)


def test_what_had_ended_is_deleted_while_the_operator_is_away(trainings: Trainings, installation: Installation) -> None:
    """Their pods are still there on its return, and nothing that says that they are on record."""
    names = ("ended", "ended-assigned")
    trainings.kubectl.apply(
        of_shell("ended", "echo so far"), of_shell("ended-assigned", "echo so far", tracking={"run": "Assigned"})
    )
    ended = [trainings.finish(name) for name in names]
    records = {done.uid: trainings.mlflow.record(done.uid) for done in ended}
    pods = [pod["metadata"]["name"] for done in ended for pod in done.pods]
    _hold(trainings, pods, ["runyard.dev/held"])
    try:
        with installation.without("operator"):
            trainings.kubectl("delete", "trainingrun", *names)
            for pod in pods:
                wait_for(f"{pod} is on its way out", lambda pod=pod: _is_going(trainings, pod), 60)  # type: ignore[misc]
        trainings.assert_kept(records, 30)
    finally:
        _hold(trainings, pods, [])
    trainings.assert_kept(records)


def _hold(trainings: Trainings, pods: list[str], finalizers: list[str]) -> None:
    """Keep pods from going, or let them go."""
    patch = json.dumps({"metadata": {"finalizers": finalizers}})
    for pod in pods:
        trainings.kubectl("patch", "pod", pod, "--type=merge", "-p", patch)


def _is_going(trainings: Trainings, pod: str) -> bool:
    return "deletionTimestamp" in trainings.kubectl.get("pod", pod)["metadata"]
