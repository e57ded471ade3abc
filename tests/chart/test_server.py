"""What a real API server says of the chart, in a namespace that enforces the "restricted" standard."""

import uuid
from collections.abc import Iterator

import pytest
import yaml

from tests.chart.rendered import Object, render
from tests.support.kubectl import Kubectl
from tests.support.waiting import wait_for

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def restricted(kubectl: Kubectl) -> Iterator[Kubectl]:
    name = f"chart-{uuid.uuid4().hex[:6]}"
    levels = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")]
    kubectl("create", "namespace", name)
    kubectl("label", "namespace", name, *levels)
    inside = kubectl.within(name)
    # A pod is refused as long as its account is not there.
    wait_for("the default account is there", lambda: inside.items("serviceaccounts") or None)
    yield inside
    kubectl("delete", "namespace", name, "--wait=false")


def try_out(kubectl: Kubectl, objects: list[Object]) -> str:
    """Have the API server judge objects without keeping them; return what it warns of."""
    arguments = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename=-"]
    done = kubectl.attempt(*arguments, stdin=yaml.safe_dump_all(objects))
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("values", [[], ["all"], ["external"], ["secrets"]], ids=str)
def test_the_api_server_takes_every_object_without_a_warning(values: list[str], restricted: Kubectl) -> None:
    namespace = str(restricted.namespace)
    objects = render(*values, values={"operator": {"watchNamespaces": [namespace]}}).objects
    for found in objects:
        if "namespace" in found["metadata"]:
            found["metadata"]["namespace"] = namespace
    assert try_out(restricted, objects) == ""


@pytest.mark.parametrize("values", [[], ["all"], ["external"]], ids=str)
def test_every_pod_is_admitted(values: list[str], restricted: Kubectl) -> None:
    # Controllers are warned of; it is their pods that are refused.
    pods: list[Object] = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": where.lower().replace("/", "-"), "labels": pod["metadata"]["labels"]},
            "spec": {**pod["spec"], "serviceAccountName": "default"},
        }
        for where, pod in render(*values).pods()
    ]
    # A StatefulSet's volume comes from its claims, which a pod alone does not have.
    for pod in pods:
        declared = {volume["name"] for volume in pod["spec"].get("volumes", [])}
        mounted = {m["name"] for c in pod["spec"]["containers"] for m in c.get("volumeMounts", [])}
        claims = [{"name": n, "persistentVolumeClaim": {"claimName": n}} for n in sorted(mounted - declared)]
        pod["spec"]["volumes"] = [*pod["spec"].get("volumes", []), *claims]
    assert len(pods) >= 2
    assert try_out(restricted, pods) == ""


def test_the_namespace_refuses_a_pod_that_is_not_restricted(restricted: Kubectl) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "loose"},
        "spec": {"containers": [{"name": "loose", "image": "x"}]},
    }
    done = restricted.attempt("apply", "--dry-run=server", "--filename=-", stdin=yaml.safe_dump(pod))
    assert 'violates PodSecurity "restricted' in done.stderr
