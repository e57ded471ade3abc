"""What takes a training's pod, its Job or the resource away."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import matrix
from tests.cluster.installation import NODE
from tests.cluster.training import NO_LOG, RUNTIME, Finished, Trainings, condition, of_script, of_shell
from tests.support.cluster_api import ClusterApi
from tests.support.mlflow_server import tags_of
from tests.support.waiting import wait_for

# Waits in its first attempt; once the gate is open, a later one ends at once.
_GATED = 'echo gate "$GATE"; [ "$GATE" = open ] && exit 0; sleep 86400'
_GATED_IN_RUN = 'echo gate "$GATE"; [ "$GATE" = open ] && exit 0; exec python /scripts/sleeps_in_run.py'
_GRACE = {"terminationGracePeriodSeconds": 1}
_SLOT = "runyard.dev/slot"
# A node that is registered and has no kubelet: it is declared lost after the better part of a minute.
_LOST_NODE = "runyard-lost"
_LOST = ("runyard.dev/lost", "true")
DELETED_IN = ("suspended", "queued", "unschedulable", "without-image", "running")
ENDED_AS = ("failed", "succeeded", "assigned-succeeded")

# A pod that is there is an attempt and has its record, with what it waited for in place of a log.
_NEVER_RAN = {
    "unschedulable": "didn't match Pod's node affinity/selector",
    "without-image": "runyard/does-not-exist:1",
}
_WITHOUT_POD = {"suspended", "queued"}
# No sweep comes in that time: what is found only by one is too late.
_CLOSED_WITHIN_SECONDS = 30


def _gated(name: str, script: str = _GATED, **spec: Any) -> dict[str, Any]:
    gate = {"name": "GATE", "valueFrom": {"configMapKeyRef": {"name": name, "key": "gate"}}}
    return of_shell(name, script, env=[gate], podTemplate={"spec": _GRACE}, **spec)


def _open(trainings: Trainings, name: str, gate: str = "open") -> None:
    trainings.kubectl.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"gate": gate}}
    )


def _pod(trainings: Trainings, name: str) -> str:
    """Return the pod of the attempt that runs."""
    found: str = trainings.wait_until_running(name, in_mlflow=False)["attempts"][-1]["pod"]
    return found


@pytest.fixture(scope="module", autouse=True)
def begun(trainings: Trainings, api: ClusterApi) -> Iterator[None]:
    _register_node(api)
    for name in ("evicted", "drained", "suspended"):
        _open(trainings, name, "closed")
    stays = {"podTemplate": {"spec": _GRACE}}
    trainings.kubectl.apply(
        _gated("evicted"),
        _gated("drained"),
        _gated(
            "suspended",
            _GATED_IN_RUN,
            volumes=[{"name": "scripts", "configMap": {"name": "scripts"}}],
            volumeMounts=[{"name": "scripts", "mountPath": "/scripts"}],
        ),
        of_shell("pod-deleted", "echo waiting; sleep 86400", **stays),
        of_shell("job-deleted", "echo waiting; sleep 86400", **stays),
        of_shell(
            "node-lost",
            'echo "on $NODE"',
            env=[{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
            nodeSelector=dict([_LOST]),
            tolerations=[
                {"key": _LOST[0], "operator": "Exists"},
                # Five minutes, if nothing is said.
                {
                    "key": "node.kubernetes.io/unreachable",
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 0,
                },
            ],
        ),
        of_shell(
            "wrote-too-much",
            "echo so far; head -c 8M /dev/zero > /scratch/zeros; sleep 86400",
            volumes=[{"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}],
            volumeMounts=[{"name": "scratch", "mountPath": "/scratch"}],
            **stays,
        ),
        of_shell("in-suspended", "true", suspend=True),
        of_shell("in-queued", "true", queueName="nobody-lets-in"),
        of_shell("in-unschedulable", "true", nodeSelector={"runyard.dev/never": "true"}),
        of_shell("in-failed", "echo so far; exit 1"),
        of_shell("in-succeeded", "echo so far"),
        of_shell("in-assigned-succeeded", "echo so far", tracking={"run": "Assigned"}),
        of_script("in-running", "sleeps_in_run.py", **stays),
    )
    try:
        _run_on_lost_node(trainings, api)
        yield
    finally:
        trainings.kubectl("label", "node", NODE, f"{_LOST[0]}-")
        trainings.kubectl("delete", "node", _LOST_NODE, "--ignore-not-found")


def _assert_retried(trainings: Trainings, name: str, reason: str) -> Finished:
    done = trainings.finish(name)
    code = done.status["attempts"][0].get("exitCode")
    assert code in {None, 137, 143}
    ends = [("Cancelled", reason, code), ("Succeeded", "Completed", 0)]
    done.assert_agreement("Succeeded", "Completed", ends, "gate closed", "gate open")
    return done


def test_eviction_is_not_counted(trainings: Trainings, api: ClusterApi) -> None:
    pod = _pod(trainings, "evicted")
    _open(trainings, "evicted")
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    api.call("POST", f"/api/v1/namespaces/{trainings.kubectl.namespace}/pods/{pod}/eviction", body)
    _assert_retried(trainings, "evicted", "Evicted")


def test_an_eviction_for_what_it_wrote_itself_is_its_own_failure(trainings: Trainings) -> None:
    done = trainings.finish("wrote-too-much")
    [attempt] = done.status["attempts"]
    log = done.log(attempt)
    # The kubelet removes the container as soon as it has ended: its log may be had, or its last lines, or its exit code
    # alone, or nothing.
    printed = NO_LOG if log.startswith(NO_LOG) else "so far"
    done.assert_agreement("Failed", "Evicted", [("Failed", "Evicted", attempt.get("exitCode"))], printed)
    assert log.startswith(NO_LOG) or log.endswith("so far\n")
    assert 'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi"' in done.status["message"]


def test_a_drain_waits_for_a_node_and_is_not_counted(trainings: Trainings) -> None:
    _pod(trainings, "drained")
    _open(trainings, "drained")
    try:
        trainings.kubectl("drain", NODE, f"--pod-selector=runyard.dev/uid={trainings.uid('drained')}", "--timeout=60s")

        def waits() -> bool:
            status = trainings.status("drained")
            return status["phase"] == "Pending" and "unschedulable" in status.get("message", "")

        wait_for("it says that no node will have it", waits)
    finally:
        trainings.kubectl("uncordon", NODE)
    _assert_retried(trainings, "drained", "Evicted")


def test_preemption_is_not_counted(trainings: Trainings, api: ClusterApi) -> None:
    slot = "/status/capacity/" + _SLOT.replace("/", "~1")
    api.call("PATCH", f"/api/v1/nodes/{NODE}/status", [{"op": "add", "path": slot, "value": "1"}], _JSON_PATCH)
    urgent = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "runyard-urgent"}}
    trainings.kubectl.apply({**urgent, "value": 1000})
    takes_slot = {"resources": {"requests": {_SLOT: "1"}, "limits": {_SLOT: "1"}}}
    try:
        _open(trainings, "preempted", "closed")
        given = _gated("preempted")
        trainings.kubectl.apply({**given, "spec": {**given["spec"], **takes_slot}})
        _pod(trainings, "preempted")
        _open(trainings, "preempted")
        trainings.kubectl.apply(
            of_shell("urgent", "true", podTemplate={"spec": {"priorityClassName": "runyard-urgent"}}, **takes_slot)
        )
        trainings.finish("urgent").assert_agreement(
            "Succeeded", "Completed", [("Succeeded", "Completed", 0)], "is empty"
        )
        _assert_retried(trainings, "preempted", "Preempted")
    finally:
        trainings.kubectl("delete", "priorityclass", "runyard-urgent")
        api.call("PATCH", f"/api/v1/nodes/{NODE}/status", [{"op": "remove", "path": slot}], _JSON_PATCH)


def test_a_training_that_runs_is_suspended_and_resumed(trainings: Trainings) -> None:
    [begun] = trainings.wait_until_running("suspended")["attempts"]
    _open(trainings, "suspended")
    _suspend(trainings, "suspended", suspend=True)

    def has_stopped() -> dict[str, Any] | None:
        status = trainings.status("suspended")
        [attempt] = status["attempts"]
        return status if status["phase"] == "Suspended" and attempt.get("recordedAt") else None

    [stopped] = wait_for("it is suspended, and its attempt recorded", has_stopped, 60)["attempts"]
    assert (stopped["uid"], stopped["outcome"], stopped["reason"]) == (begun["uid"], "Cancelled", "Suspended")
    assert stopped["runId"] == begun["runId"], "the script's own run"
    run = trainings.mlflow.run(stopped["runId"])
    assert (run["info"]["status"], tags_of(run)["runyard.dev/reason"]) == ("KILLED", "Suspended")
    label = f"runyard.dev/uid={trainings.uid('suspended')}"
    wait_for("it has no pod", lambda: not trainings.kubectl.items("pods", label), 60)
    assert trainings.status("suspended")["phase"] == "Suspended", "it waits"

    _suspend(trainings, "suspended", suspend=False)

    done = _assert_retried(trainings, "suspended", "Suspended")
    assert "waiting" in done.log(done.status["attempts"][0]), "all that it had printed"
    assert len(done.runs) == 2


def _suspend(trainings: Trainings, name: str, *, suspend: bool) -> None:
    patch = json.dumps({"spec": {"suspend": suspend}})
    trainings.kubectl("patch", "trainingrun", name, "--type=merge", "-p", patch)


def test_pod_deleted_by_hand(trainings: Trainings) -> None:
    trainings.kubectl("delete", "pod", _pod(trainings, "pod-deleted"), "--wait=false")
    done = trainings.finish("pod-deleted")
    [attempt] = done.status["attempts"]
    ends = [("Cancelled", "PodDeleted", attempt.get("exitCode"))]
    done.assert_agreement("Failed", "PodDeleted", ends, "waiting")


def test_job_deleted_by_hand(trainings: Trainings) -> None:
    _pod(trainings, "job-deleted")
    trainings.kubectl("delete", "job", trainings.status("job-deleted")["job"])
    done = trainings.finish("job-deleted")
    assert (done.status["phase"], condition(done.status, "Succeeded")["reason"]) == ("Failed", "JobDeleted")
    [attempt] = done.status["attempts"]
    done.assert_attempts([("Cancelled", "Cancelled", attempt.get("exitCode"))], "waiting")
    assert done.jobs == []
    seen = trainings.timeline.of(done.uid)
    deleted = wait_for("its Job's deletion was seen", lambda: seen.job_deleted)
    told = wait_for("its outcome was seen", lambda: seen.told)
    matrix.note(f"Job's deletion seen{matrix.TO_OUTCOME}", max(0.0, told - deleted))
    wait_for("its pod is gone", lambda: not trainings.kubectl.items("pods", f"runyard.dev/uid={done.uid}"))


@pytest.mark.parametrize("phase", DELETED_IN)
def test_deleting_the_resource(trainings: Trainings, phase: str) -> None:
    name = f"in-{phase}"
    _reach(trainings, name, phase)
    uid = trainings.uid(name)
    seen = trainings.timeline.of(uid)
    before = len(trainings.runs(uid))
    trainings.kubectl("delete", "trainingrun", name)
    if phase in _WITHOUT_POD:
        gone = wait_for("its Job's deletion was seen", lambda: seen.job_deleted, 60)
        _note_deletion(trainings, uid, "Job's deletion seen", gone)
        # Nothing was trained, and nobody waits for it: MLflow has heard nothing of it, and hears nothing now.
        assert before == 0
        trainings.assert_kept({uid: {}}, 3)
    else:
        _assert_killed(trainings, uid, before + (phase in _NEVER_RAN), _NEVER_RAN.get(phase))
    _assert_gone(trainings, uid)


def _note_deletion(trainings: Trainings, uid: str, what: str, moment: float) -> None:
    """Keep how long after the resource's deletion something was so, and assert that it was soon."""
    seen = trainings.timeline.of(uid)
    deleted = wait_for("its deletion was seen", lambda: seen.deleted)
    matrix.note(f"deletion seen to {what}", max(0.0, moment - deleted))
    assert moment - deleted < _CLOSED_WITHIN_SECONDS


def _assert_killed(trainings: Trainings, uid: str, count: int, waited_for: str | None) -> None:
    """Assert what MLflow has of a resource that was deleted while it had a pod: how it ended, and why it has no log."""

    def all_closed() -> list[dict[str, Any]] | None:
        runs = trainings.runs(uid)
        is_closed = not any(run["info"]["status"] in {"RUNNING", "SCHEDULED"} for run in runs)
        return runs if is_closed and len(runs) == count else None

    runs = wait_for("its runs are closed", all_closed, 60)
    _note_deletion(trainings, uid, "run seen KILLED", time.time())
    [run] = runs
    told = {"runyard.dev/outcome": "Cancelled", "runyard.dev/reason": "Cancelled"}
    assert run["info"]["status"] == "KILLED"
    assert told.items() <= tags_of(run).items()

    def stored() -> dict[str, bytes] | None:
        [(_, _, files)] = trainings.mlflow.record(uid).values()
        return files if {Path(path).suffix for path in files} == {".txt", ".yaml"} else None

    files = wait_for("its log and its manifest are stored", stored)
    [log] = [text.decode() for path, text in files.items() if path.endswith(".txt")]
    if waited_for:
        assert log.startswith(NO_LOG)
        assert "(Cancelled): " in log
        assert waited_for in log
    else:
        assert "waiting" in log
        assert not log.startswith(NO_LOG)
    assert [found["info"] for found in trainings.runs(uid)] == [run["info"]]


def _assert_gone(trainings: Trainings, *uids: str) -> None:
    label = f"runyard.dev/uid in ({','.join(uids)})"
    for kind in ("jobs", "pods"):
        wait_for(f"{kind} are gone", lambda kind=kind: not trainings.kubectl.items(kind, label), 60)  # type: ignore[misc]


def test_deleting_what_had_ended_leaves_its_record_alone(trainings: Trainings) -> None:
    for phase in ENDED_AS:
        trainings.finish(f"in-{phase}")
    records = {uid: trainings.mlflow.record(uid) for uid in (trainings.uid(f"in-{phase}") for phase in ENDED_AS)}
    for record in records.values():
        [(_, _, files)] = record.values()
        assert sorted(Path(path).suffix for path in files) == [".txt", ".yaml"]
        assert [text for path, text in files.items() if path.endswith(".txt")] == [b"so far\n"]
    trainings.kubectl("delete", "trainingrun", *(f"in-{phase}" for phase in ENDED_AS))
    _assert_gone(trainings, *records)
    trainings.assert_kept(records)


def _reach(trainings: Trainings, name: str, phase: str) -> None:
    if phase == "running":
        trainings.wait_until_running(name)
        return
    if phase == "without-image":  # it is given up soon, and so begins only now
        trainings.start_shell(name, "true", image="runyard/does-not-exist:1")
    wanted = {"suspended": "Suspended", "queued": "Queued"}.get(phase, "Pending")

    def is_reached() -> bool:
        status = trainings.status(name)
        return status.get("phase") == wanted and bool(status.get("message"))

    wait_for(f"{name} is {wanted}", is_reached, 60)


def test_a_lost_node_is_not_counted(trainings: Trainings) -> None:
    """What its kubelet said while it lived is played; what finds out that it is dead is the cluster's own."""

    def is_given_up() -> bool:
        return bool(trainings.status("node-lost")["attempts"][0].get("reason") == "NodeLost")

    wait_for("the cluster gives its pods up", is_given_up, 90)
    trainings.kubectl("label", "node", NODE, "=".join(_LOST))
    # What a person says who knows that the machine is off: its pods are removed.
    trainings.kubectl("taint", "node", _LOST_NODE, "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute")
    done = trainings.finish("node-lost")
    ends = [("Cancelled", "NodeLost", None), ("Succeeded", "Completed", 0)]
    done.assert_agreement("Succeeded", "Completed", ends, NO_LOG, f"on {NODE}")


def _register_node(api: ClusterApi) -> None:
    key, value = _LOST
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": _LOST_NODE, "labels": {key: value}}}
    api.call("POST", "/api/v1/nodes", {**node, "spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}})
    has_room = {"cpu": "1", "memory": "1Gi", "pods": "10"}
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": _now(), "lastTransitionTime": _now()}
    status = {"capacity": has_room, "allocatable": has_room, "conditions": [ready]}
    api.call("PATCH", f"/api/v1/nodes/{_LOST_NODE}/status", {"status": status})


def _run_on_lost_node(trainings: Trainings, api: ClusterApi) -> None:
    def on_node() -> str | None:
        pods = trainings.kubectl.items("pods", f"runyard.dev/uid={trainings.uid('node-lost')}")
        return next((pod["metadata"]["name"] for pod in pods if pod["spec"].get("nodeName") == _LOST_NODE), None)

    path = f"/api/v1/namespaces/{trainings.kubectl.namespace}/pods/{wait_for('it is on its node', on_node)}/status"
    container = {"name": "training", "image": RUNTIME, "imageID": "", "ready": True, "restartCount": 0}
    running = {**container, "state": {"running": {"startedAt": _now()}}}
    status = {"phase": "Running", "startTime": _now(), "containerStatuses": [running]}
    api.call("PATCH", path, {"status": status})
    trainings.wait_until_running("node-lost", in_mlflow=False)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_JSON_PATCH, _MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
