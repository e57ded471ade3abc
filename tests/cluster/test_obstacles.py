"""What keeps a training from beginning: the status says what, and it begins when that is gone."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import matrix
from tests.cluster.installation import NODE
from tests.cluster.leaks import leaked
from tests.cluster.training import NO_LOG, Trainings, condition, of_shell
from tests.support.kubectl import Kubectl
from tests.support.waiting import wait_for

_LABEL = f"runyard.dev/test-{uuid.uuid4().hex[:6]}"
_ROOT = {"runAsUser": 0, "runAsNonRoot": False}
_COMPLETED = ("Succeeded", "Completed", 0)
_REFUSED_WITHIN_SECONDS = 20


@pytest.fixture(scope="module", autouse=True)
def begun(trainings: Trainings) -> None:
    trainings.kubectl.apply(
        of_shell("pulling", "true", image="runyard/does-not-exist:2", activeDeadlineSeconds=6),
        of_shell("no-config", 'echo "$GREETING"', envFrom=[{"configMapRef": {"name": "late"}}]),
        of_shell("no-node", "echo placed", nodeSelector={_LABEL: "true"}),
        of_shell("no-cpu", "echo placed", resources={"requests": {"cpu": "1000"}}, activeDeadlineSeconds=20),
    )


@pytest.fixture
def full(trainings: Trainings, kubectl: Kubectl) -> Iterator[Trainings]:
    """A namespace that has room for no Job."""
    namespace = f"full-{uuid.uuid4().hex[:6]}"
    kubectl("create", "namespace", namespace)
    found = trainings.elsewhere(namespace)
    _allow(found, "0")

    def is_full() -> bool:
        return "hard" in found.kubectl.get("resourcequota", "room").get("status", {})

    wait_for("the quota holds", is_full)
    yield found
    wait_for("nothing is left over", lambda: not leaked(found.kubectl), timeout_seconds=60)
    kubectl("delete", "namespace", namespace, "--wait=false")


def _allow(trainings: Trainings, count: str) -> None:
    spec = {"hard": {"count/jobs.batch": count}}
    trainings.kubectl.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "room"}, "spec": spec})


def _wait_for_message(trainings: Trainings, name: str, part: str) -> dict[str, Any]:
    def says() -> dict[str, Any] | None:
        status = trainings.status(name)
        return status if status.get("phase") == "Pending" and part in status.get("message", "") else None

    return wait_for(f"{name} says {part}", says, 60)


def test_deadline_while_the_image_is_pulled(trainings: Trainings) -> None:
    done = trainings.finish("pulling")
    done.assert_agreement("Failed", "DeadlineExceeded", [("Failed", "DeadlineExceeded", None)], NO_LOG)
    assert "runyard/does-not-exist:2" in done.log(done.status["attempts"][0])


def test_deadline_while_no_node_has_room(trainings: Trainings) -> None:
    _wait_for_message(trainings, "no-cpu", "Insufficient cpu")
    done = trainings.finish("no-cpu")
    done.assert_agreement("Failed", "DeadlineExceeded", [("Failed", "DeadlineExceeded", None)], NO_LOG)
    assert "Insufficient cpu" in done.status["attempts"][0]["message"]


def test_config_map_missing_then_made(trainings: Trainings) -> None:
    _wait_for_message(trainings, "no-config", 'configmap "late" not found')
    trainings.kubectl("create", "configmap", "late", "--from-literal=GREETING=here now")
    done = trainings.finish_after("no-config", "config map made", time.time())
    done.assert_agreement("Succeeded", "Completed", [_COMPLETED], "here now")


def test_unschedulable_then_schedulable(trainings: Trainings) -> None:
    _wait_for_message(trainings, "no-node", "didn't match Pod's node affinity/selector")
    trainings.kubectl("label", "node", NODE, f"{_LABEL}=true")
    try:
        done = trainings.finish_after("no-node", "node labelled", time.time())
        done.assert_agreement("Succeeded", "Completed", [_COMPLETED], "placed")
    finally:
        trainings.kubectl("label", "node", NODE, f"{_LABEL}-")


def test_service_account_missing_then_made(trainings: Trainings) -> None:
    # Not begun with the others: a Job controller that has tried for long lets longer pass before it tries again.
    trainings.start_shell("no-account", "echo allowed", serviceAccountName="late")
    status = _wait_for_message(trainings, "no-account", 'serviceaccount "late" not found')
    assert status["attempts"] == []
    trainings.kubectl("create", "serviceaccount", "late")
    done = trainings.finish_after("no-account", "service account made", time.time())
    done.assert_agreement("Succeeded", "Completed", [_COMPLETED], "allowed")


def test_quota_exceeded_then_lifted(full: Trainings) -> None:
    full.start_shell("no-room", "echo room")
    _wait_for_message(full, "no-room", "exceeded quota: room")
    _allow(full, "1")
    done = full.finish_after("no-room", "quota raised", time.time())
    done.assert_agreement("Succeeded", "Completed", [_COMPLETED], "room")


def test_a_pod_that_the_namespace_forbids_then_allows(trainings: Trainings) -> None:
    trainings.start_shell("as-root", 'echo "user $(id -u)"', podTemplate={"spec": {"securityContext": _ROOT}})
    status = _wait_for_message(trainings, "as-root", "violates PodSecurity")
    assert status["attempts"] == []
    enforce = ("label", "namespace", str(trainings.kubectl.namespace), "--overwrite")
    trainings.kubectl(*enforce, "pod-security.kubernetes.io/enforce=privileged")
    try:
        done = trainings.finish_after("as-root", "namespace allows", time.time())
        done.assert_agreement("Succeeded", "Completed", [_COMPLETED], "user 0")
    finally:
        trainings.kubectl(*enforce, "pod-security.kubernetes.io/enforce=restricted")


def test_a_spec_that_no_job_can_have_is_refused_with_its_fields(trainings: Trainings) -> None:
    wrong = {"args": ["$(params.missing)"], "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}
    begun = time.time()
    uid = trainings.start_shell("no-job", "true", **wrong)

    def refused() -> dict[str, Any] | None:
        status = trainings.status("no-job")
        return status if status.get("phase") == "Failed" else None

    status = wait_for("it is refused", refused, 60)
    seen = trainings.timeline.of(uid)
    told = wait_for("its refusal was seen", lambda: seen.told)
    matrix.note("applied to refused", told - begun)
    assert told - begun < _REFUSED_WITHIN_SECONDS
    found = condition(status, "Accepted")
    assert (found["status"], found["reason"], condition(status, "Succeeded")["reason"]) == (
        "False",
        "InvalidSpec",
        "InvalidSpec",
    )
    assert found["message"] == (
        'spec.args[0]: Invalid value: "$(params.missing)": spec.parameters has no "missing"; it has: none; '
        'spec.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'
    )
    assert status.get("attempts", []) == []
    # There is nothing that could have a run.
    trainings.assert_kept({uid: {}}, 3)
    for kind in ("jobs", "pods"):
        assert trainings.kubectl.items(kind, f"runyard.dev/uid={uid}") == []
