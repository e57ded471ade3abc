"""The cluster that `testbed.py up` leaves has what the project's tests rely on."""

from collections.abc import Iterator
from ipaddress import ip_network
from uuid import uuid4

import pytest

from tests.support.kubectl import Kubectl
from tests.support.waiting import wait_for
from tests.testbed.cluster import KUBECONFIG, Route, existing_route
from tests.testbed.shell import read_json

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def way() -> Route:
    found = existing_route()
    assert found, "there is no cluster: run `make cluster`"
    return found


@pytest.fixture(scope="module")
def kubectl() -> Iterator[Kubectl]:
    everywhere = Kubectl(KUBECONFIG)
    namespace = f"testbed-{uuid4().hex[:6]}"
    everywhere("create", "namespace", namespace)
    inside = everywhere.within(namespace)
    # A pod made before its service account is refused.
    wait_for("the service account", lambda: inside.attempt("get", "serviceaccount", "default").returncode == 0)
    yield inside
    everywhere("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="module")
def server(kubectl: Kubectl, way: Route) -> str:
    """The address of a pod that serves HTTP."""
    run(kubectl, way, "server", "httpd -f -p 8000 -h /etc")
    address: str = kubectl.get("pod", "server")["status"]["podIP"]
    return address


@pytest.fixture(scope="module")
def client(kubectl: Kubectl, way: Route) -> str:
    run(kubectl, way, "client", "sleep 3600")
    return "client"


def run(kubectl: Kubectl, way: Route, name: str, command: str) -> None:
    labels = f"--labels=app={name}"
    kubectl("run", name, f"--image={way.shell_image}", labels, "--restart=Never", "--", "sh", "-c", command)
    kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")


def connects(kubectl: Kubectl, client: str, address: str, port: int) -> bool:
    command = ["timeout", "5", "nc", "-w", "4", address, str(port), "-e", "true"]
    return kubectl.attempt("exec", client, "--", *command).returncode == 0


def test_pods_find_each_other(kubectl: Kubectl, client: str, server: str) -> None:
    wait_for("an answer", lambda: connects(kubectl, client, server, 8000))


def test_a_service_has_a_name(kubectl: Kubectl, client: str, server: str) -> None:
    assert server
    kubectl("expose", "pod", "server", "--port=8000")
    wait_for("an answer", lambda: connects(kubectl, client, f"server.{kubectl.namespace}.svc", 8000))


def test_a_network_policy_is_enforced(kubectl: Kubectl, client: str, server: str) -> None:
    wait_for("an answer", lambda: connects(kubectl, client, server, 8000))
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "closed"},
        "spec": {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"], "ingress": []},
    }
    kubectl.apply(policy)
    wait_for("a refusal", lambda: not connects(kubectl, client, server, 8000))
    kubectl("delete", "networkpolicy", "closed")
    wait_for("an answer again", lambda: connects(kubectl, client, server, 8000))


def test_nothing_leaves_a_cluster_that_needs_nothing_from_outside(kubectl: Kubectl, client: str, way: Route) -> None:
    """Docker drops what one of its networks sends another: a caller waits in vain, unless he was refused before."""
    other = read_json(["docker", "network", "inspect", "bridge", "--format={{json (index .IPAM.Config 0)}}"])
    outside = str(ip_network(other["Subnet"])[-2])
    tried = kubectl.attempt("exec", client, "--", "timeout", "5", "nc", "-w", "4", outside, "443", "-e", "true")
    assert tried.returncode != 0
    assert ("refused" in tried.stderr) == (way is Route.PACKAGES), tried.stderr
