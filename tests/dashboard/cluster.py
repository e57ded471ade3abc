"""TrainingRuns that a test moves on, before a real API server: the test is their operator and their kubelet."""

from typing import Any

from tests.support.apiserver import ApiServer
from tests.support.kubelet import Kubelet

NAMESPACE = "team-a"


def create(server: ApiServer, name: str, **spec: Any) -> None:
    """Create a TrainingRun."""
    apply(
        server,
        {
            "apiVersion": "runyard.dev/v1alpha1",
            "kind": "TrainingRun",
            "metadata": {"name": name},
            "spec": {"image": "example/image:1", **spec},
        },
    )


def apply(server: ApiServer, body: dict[str, Any]) -> None:
    """Create any object."""
    server.api.create(NAMESPACE, body)


def stands(server: ApiServer, name: str, kind: str = "trainingrun", **status: Any) -> None:
    """Write what came of an object into its status."""
    server.api.patch(kind, NAMESPACE, name, {"status": status}, "status")


def runs(server: ApiServer, kubelet: Kubelet, pod: str) -> None:
    """Create a pod of a training, on a node of its own."""
    node = kubelet.node(f"node-of-{pod}")
    apply(server, node)
    stands(server, node["metadata"]["name"], "node", **node["status"])
    container = {"name": "training", "image": "example/image:1"}
    spec = {"nodeName": node["metadata"]["name"], "containers": [container], "restartPolicy": "Never"}
    apply(server, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod}, "spec": spec})


def attempt(pod: str, outcome: str = "Running", **more: Any) -> dict[str, Any]:
    """Return an attempt as the operator tells of it."""
    return {"pod": pod, "uid": f"uid-of-{pod}", "outcome": outcome, "startedAt": "2026-01-02T03:04:05Z", **more}


def found(server: ApiServer, name: str) -> dict[str, Any]:
    """Read a TrainingRun."""
    return server.api.get("trainingrun", NAMESPACE, name)


def token(server: ApiServer, name: str, rules: list[dict[str, Any]]) -> str:
    """Return a token of a service account that may do what the rules say, in every namespace."""
    apply(server, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}}
    apply(server, {**role, "rules": rules})
    bound = server.kubectl(
        "create", "clusterrolebinding", name, f"--clusterrole={name}", f"--serviceaccount={NAMESPACE}:{name}"
    )
    assert bound.returncode == 0, bound.stderr
    made = server.kubectl("create", "token", name, "-n", NAMESPACE)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()
