"""A release of the chart beside the one that `make cluster` leaves, for tests that break things."""

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chart.rendered import CHART, Object, helm
from tests.support.kubectl import Kubectl
from tests.support.waiting import wait_for

NAME = "proof"
# Who installs it: somebody with rights in its namespace and in the one that it watches, and in no other.
INSTALLER = "installer"
INGRESS = "http://127.0.0.1:8080"
TESTBED_VALUES = Path(__file__).parents[1] / "testbed" / "values.yaml"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONNECTS = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close()
except OSError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@dataclass(frozen=True)
class Release:
    """The release, in a namespace of its own, with trainings in one other."""

    kubectl: Kubectl
    trainings: str

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(self.kubectl.namespace)

    @property
    def identity(self) -> str:
        """The tag by which MLflow knows its runs: its Lease's UID."""
        return str(self.kubectl.get("lease", f"{NAME}-operator")["metadata"]["uid"])

    @property
    def host(self) -> str:
        """Where its ingress serves it; of no other release in the cluster."""
        return f"{self.namespace}.localhost"

    def let_installer_in(self) -> None:
        """Give the installer what docs/operations.md says that he needs."""
        statuses = "trainingruns.runyard.dev/status,trainingsweeps.runyard.dev/status"
        extra = ("--verb=create,patch", f"--resource={statuses},events.events.k8s.io")
        user = f"--user={INSTALLER}"
        watched = self.kubectl.within(self.trainings)
        watched("create", "role", "gives-to-runyard", *extra)
        watched("create", "rolebinding", "gives-to-runyard", "--role=gives-to-runyard", user)
        for kubectl in (self.kubectl, watched):
            kubectl("create", "rolebinding", "installs-runyard", "--clusterrole=admin", user)

    def install(self, replicas: int) -> None:
        """Install it, or change it, and wait until it is ready."""
        values: Object = {
            # The definition is the other release's.
            "crds": {"enabled": False},
            "operator": {"watchNamespaces": [self.trainings]},
            "mlflow": {
                "replicas": replicas,
                "workers": 1,
                "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}},
            },
            # There is a release beside it, and trainings of other tests: the node has two processors.
            **{part: {"resources": {"requests": {"cpu": "20m"}}} for part in ("dashboard", "postgres", "minio")},
            "ingress": {"host": self.host, "publicUrl": ""},
        }
        testbed = os.environ.get("RUNYARD_VALUES", TESTBED_VALUES)
        done = helm(
            *("upgrade", "--install", NAME, str(CHART), f"--namespace={self.namespace}", "--wait", "--timeout=4m"),
            *(
                f"--kubeconfig={self.kubectl.kubeconfig}",
                f"--values={testbed}",
                f"--kube-as-user={INSTALLER}",
            ),
            values=values,
        )
        assert done.returncode == 0, f"{done.stderr}\n{self.kubectl('get', 'pods')}"

    def pods(self, component: str) -> list[Object]:
        """Return the pods of a component that are not going away."""
        found = self.kubectl.items("pods", f"app.kubernetes.io/component={component}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def restart(self, component: str) -> None:
        """Delete a component's pods, and wait until they are gone."""
        self.kubectl("delete", "pods", f"--selector=app.kubernetes.io/component={component}")

    def wait_until_ready(self, component: str) -> None:
        """Wait until every pod of a component is ready."""
        selector = f"--selector=app.kubernetes.io/component={component}"
        wait_for(f"{component} has a pod", lambda: self.pods(component))
        self.kubectl("wait", "--for=condition=Ready", "pods", selector, "--timeout=170s")

    def sql(self, statement: str) -> str:
        """Run a statement in the bundled database; return what it answers."""
        psql = ("psql", "--username=mlflow", "--dbname=mlflow", "--tuples-only", "--no-align")
        return self.kubectl("exec", f"{NAME}-postgres-0", "--", *psql, f"--command={statement}").strip()

    def refusal(self) -> str:
        """Return what the database's preparation says as it fails, as `kubectl describe` shows it."""

        def said() -> str | None:
            for pod in self.pods("mlflow"):
                for status in pod["status"].get("initContainerStatuses", []):
                    ended = (status["state"].get("terminated") or status["lastState"].get("terminated")) or {}
                    if status["name"] == "database" and ended.get("exitCode"):
                        return str(ended["message"])
            return None

        return wait_for("the preparation of the database fails", said, timeout_seconds=120)

    def secret_ids(self) -> dict[str, Any]:
        """Return the generated secrets with what changes whenever they do."""
        found = self.kubectl.items("secrets", "app.kubernetes.io/part-of=runyard")
        return {s["metadata"]["name"]: (s["metadata"]["uid"], s["metadata"]["resourceVersion"]) for s in found}

    def ask(self, path: str) -> tuple[int, str]:
        """GET a path through the ingress; return the status and the body."""
        request = urllib.request.Request(f"{INGRESS}{path}", headers={"Host": f"{self.host}:8080"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@dataclass(frozen=True)
class Caller:
    """A pod of the trainings' image from which something is called."""

    kubectl: Kubectl
    name: str

    def start(self, labels: dict[str, str]) -> "Caller":
        """Start it, and wait until it runs."""
        container = {
            "name": "main",
            "image": "runyard/runtime:0.1.0",
            "command": ["sleep", "infinity"],
            "securityContext": RESTRICTED,
        }
        spec = {"containers": [container], "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0}
        metadata = {"name": self.name, "labels": labels}
        self.kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        self.kubectl("wait", "--for=condition=Ready", "pod", self.name, "--timeout=120s")
        return self

    def python(self, program: str, *arguments: str) -> str:
        """Run a program in it; return what it printed."""
        return self.kubectl("exec", self.name, "--", "python", "-c", program, *arguments)

    def reaches(self, host: str, port: int) -> bool:
        """Whether a connection can be made from it."""
        return connects(self.kubectl, self.name, host, port)


def connects(kubectl: Kubectl, pod: str, host: str, port: int) -> bool:
    """Whether a connection can be made from a pod that has Python. A name that is not known is not a refusal."""
    done = kubectl.attempt("exec", pod, "--", "python", "-c", CONNECTS, host, str(port))
    assert "gaierror" not in done.stderr, done.stderr
    return done.returncode == 0


def logs(kubectl: Kubectl, pod: Object, container: str) -> str:
    """Return what a container of a pod printed."""
    return kubectl("logs", pod["metadata"]["name"], f"--container={container}")


def restarts(pod: Object) -> dict[str, int]:
    """Return how often each container of a pod was started again."""
    statuses = [*pod["status"].get("initContainerStatuses", []), *pod["status"]["containerStatuses"]]
    return {status["name"]: status["restartCount"] for status in statuses}


def recorded(kubectl: Kubectl, name: str) -> Object:
    """Return a Secret's data."""
    found: Object = json.loads(kubectl("get", "secret", name, "-o", "json"))["data"]
    return found
