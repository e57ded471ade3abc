"""The kind cluster: made, brought back, closed off."""

import enum
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from tests.testbed.docker import can_pull
from tests.testbed.parts import HERE, NODE, POSTGRES, PULLED, PYTHON, SHELL
from tests.testbed.programs import environment
from tests.testbed.shell import CACHE, TestbedError, answer, read_json, run, say

NAME = "runyard"
CONTAINER = f"{NAME}-control-plane"
KUBECONFIG = CACHE / "kubeconfig"
READY_SECONDS = 90
INGRESS_PORT = 8080
# All containers together, of what the kernel divides between them and each session of this machine's programs: tests
# that run beside the cluster's would leave all that is in it one processor of two.
_CONTAINERS = Path("/sys/fs/cgroup/cpu/docker/cpu.shares")
_CONTAINERS_SHARES = 4096


class Route(enum.Enum):
    """Where images come from."""

    REGISTRY = "registry"
    PACKAGES = "packages"

    @property
    def python_image(self) -> str:
        """The base of the project's images."""
        return PULLED["python"] if self is Route.REGISTRY else PYTHON

    @property
    def shell_image(self) -> str:
        """A small image with a shell and network tools."""
        return PULLED["shell"] if self is Route.REGISTRY else SHELL

    @property
    def postgres_image(self) -> str:
        """The database that the chart brings."""
        return PULLED["postgres"] if self is Route.REGISTRY else POSTGRES

    @property
    def node_image(self) -> str:
        """What the cluster's node is made from."""
        return PULLED["node"] if self is Route.REGISTRY else NODE

    @property
    def values(self) -> Path:
        """Helm values for the chart in this cluster."""
        return HERE / ("values-registry.yaml" if self is Route.REGISTRY else "values.yaml")


class Node(enum.Enum):
    """What is there of the cluster."""

    ABSENT = "absent"
    STALE = "stale"
    RUNNING = "running"


def node_state(inspected: Mapping[str, Any] | None, wanted_image: str) -> Node:
    """Judge the node's container, as `docker inspect` shows it.

    A node that does not run is not started again: Docker does that by itself after a restart, so one that stays down is
    broken. A node of another image is of another version. `wanted_image` is an image's ID, or its whole name, digest
    included, as kind was told it.
    """
    if inspected is None:
        return Node.ABSENT
    is_wanted = wanted_image in {inspected["Image"], inspected["Config"]["Image"]}
    return Node.RUNNING if inspected["State"]["Running"] and is_wanted else Node.STALE


def farewell(state: Node) -> str | None:
    """Return what is to be said before a cluster is replaced."""
    match state:
        case Node.ABSENT:
            return None
        case Node.STALE:
            why = "it does not run, or its node is of another image"
        case Node.RUNNING:
            why = f"its API server did not answer in {READY_SECONDS} s, or its node image was made anew"
    return f"deleting the cluster {NAME}, with all that is installed and stored in it: {why}"


def route() -> Route:
    """Find where images come from: what is said, else what the cluster that exists was made with, else by trying."""
    said = os.environ.get("RUNYARD_TESTBED_ROUTE")
    if said:
        return Route(said)
    return existing_route() or (Route.REGISTRY if can_pull(PULLED["node"]) else Route.PACKAGES)


def existing_route() -> Route | None:
    """Return how the cluster that exists was made."""
    node = _inspected()
    return None if node is None else route_of(node["Config"]["Image"])


def route_of(node_image: str) -> Route:
    """Return the route that a node image of any version belongs to."""
    return Route.PACKAGES if node_image.split(":", maxsplit=1)[0] == NODE.split(":")[0] else Route.REGISTRY


def exists(way: Route) -> bool:
    """Whether the cluster runs, on the node image that it should have."""
    if node_state(_inspected(), _wanted_image(way)) is not Node.RUNNING:
        return False
    # One that is lost, or of another cluster, as after the cache was emptied, is no reason to make the cluster anew.
    _write_kubeconfig()
    return _is_ready(READY_SECONDS)


def create(way: Route) -> None:
    """Make the cluster, in place of one that is no longer good."""
    if said := farewell(node_state(_inspected(), _wanted_image(way))):
        say(said)
    delete()
    config: dict[str, object] = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [
            {
                "role": "control-plane",
                # The ingress controller's NodePort.
                "extraPortMappings": [{"containerPort": 30080, "hostPort": INGRESS_PORT, "listenAddress": "127.0.0.1"}],
            }
        ],
    }
    if way is Route.PACKAGES:
        # The kubelet then tolerates the sysctls and scores that a restricted machine refuses.
        config["featureGates"] = {"KubeletInUserNamespace": True}
        # The node image carries its network configuration.
        config["networking"] = {"disableDefaultCNI": True, "podSubnet": "10.244.0.0/16"}
    command = ["kind", "create", "cluster", f"--name={NAME}", f"--image={way.node_image}", "--config=-", "--wait=120s"]
    run([*command, f"--kubeconfig={KUBECONFIG}"], env=environment(), stdin=json.dumps(config))


def delete() -> None:
    """Remove the cluster, whatever is left of it."""
    run(["kind", "delete", "cluster", f"--name={NAME}", f"--kubeconfig={KUBECONFIG}"], env=environment())


def complete(way: Route) -> None:
    """Bring everything beside the bare cluster into its state: closed off, ingress, network policies."""
    if way is Route.PACKAGES:
        _close_off()
        if _CONTAINERS.exists():
            _CONTAINERS.write_text(str(_CONTAINERS_SHARES))
    for manifest in manifests(way):
        kubectl("apply", "-f", "-", stdin=manifest)
    # A pod made before its namespace's service account exists is refused.
    _wait(
        "the default service account", lambda: _asked("-n", "default", "get", "serviceaccount", "default") is not None
    )
    kinds = "deployments,daemonsets"
    for namespace in ("kube-system", "local-path-storage"):
        kubectl("-n", namespace, "rollout", "status", kinds, "--timeout=120s")
    # After a restart the cluster still believes in the pods of before: ask the one that people meet.
    _wait("the ingress controller", _ingress_answers)


def pods() -> dict[str, Any]:
    """Return the list of all pods, once the API server gives it: a node that writes images answers late, or not.

    Raises:
        TestbedError: it did not in READY_SECONDS.

    """
    command = [_found("kubectl"), f"--kubeconfig={KUBECONFIG}", "get", "pods", "--all-namespaces", "--output=json"]
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            return read_json(command)
        except TestbedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def kubectl(*arguments: str, stdin: str | None = None) -> None:
    """Run kubectl in the cluster; it must succeed."""
    run([_found("kubectl"), f"--kubeconfig={KUBECONFIG}", *arguments], stdin=stdin)


def manifests(way: Route) -> list[str]:
    """Return what is applied to a new cluster."""
    traefik = (HERE / "manifests" / "traefik.yaml").read_text()
    if way is Route.PACKAGES:
        return [traefik, (HERE / "manifests" / "kube-router.yaml").read_text()]
    pulled = traefik.replace("testbed/traefik:1", PULLED["traefik"])
    return [pulled.replace("imagePullPolicy: Never", "imagePullPolicy: IfNotPresent")]


def _close_off() -> None:
    """Reject what the cluster sends out of the machine; a restarted machine has lost the rule."""
    networks = json.loads(answer(["docker", "network", "inspect", "kind"]) or "[]")
    for subnet in (part["Subnet"] for network in networks for part in network["IPAM"]["Config"]):
        if ":" not in subnet:
            rule = ["DOCKER-USER", "-s", subnet, "!", "-d", subnet, "-j", "REJECT"]
            if answer(["iptables", "-C", *rule]) is None:
                run(["iptables", "-I", *rule])


def _ingress_answers() -> bool:
    connection = HTTPConnection("127.0.0.1", INGRESS_PORT, timeout=2)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    return True


def _write_kubeconfig() -> None:
    text = subprocess.run(
        [_found("kind"), "get", "kubeconfig", f"--name={NAME}"], capture_output=True, text=True, check=True
    ).stdout
    fresh = KUBECONFIG.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.replace(KUBECONFIG)


def _inspected() -> dict[str, Any] | None:
    found: list[dict[str, Any]] = json.loads(answer(["docker", "container", "inspect", CONTAINER]) or "[]")
    return found[0] if found else None


def _wanted_image(way: Route) -> str:
    if way is Route.REGISTRY:
        return way.node_image
    return (answer(["docker", "image", "inspect", "--format={{.Id}}", NODE]) or "none").strip()


def _is_ready(timeout_seconds: float) -> bool:
    try:
        _wait("the API server", lambda: _asked("get", "--raw=/readyz") is not None, timeout_seconds)
    except TestbedError:
        return False
    return True


def _wait(what: str, is_there: Callable[[], bool], timeout_seconds: float = READY_SECONDS) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not is_there():
        if time.monotonic() > deadline:
            raise TestbedError(f"{what} did not come in {timeout_seconds:.0f} s")
        time.sleep(0.5)


def _asked(*arguments: str) -> str | None:
    return answer([_found("kubectl"), f"--kubeconfig={KUBECONFIG}", *arguments])


def _found(program: str) -> str:
    return shutil.which(program, path=environment()["PATH"]) or program
