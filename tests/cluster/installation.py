"""The platform's own parts, and what can be done to them."""

import json
import math
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.kubectl import Kubectl
from tests.support.mlflow_server import MlflowRest
from tests.support.waiting import wait_for

NODE = "runyard-control-plane"
_READY_SECONDS = 150
KINDS = {
    "operator": "deployment/runyard-operator",
    "mlflow": "deployment/runyard-mlflow",
    "postgres": "statefulset/runyard-postgres",
    "minio": "statefulset/runyard-minio",
}


@dataclass(frozen=True)
class Installation:
    """A release of the chart; `kubectl` works in its namespace."""

    kubectl: Kubectl
    mlflow: MlflowRest

    def pods(self, component: str) -> list[dict[str, Any]]:
        """Return the pods of a component that are not on their way out."""
        found = self.kubectl.items("pods", f"app.kubernetes.io/component={component}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def kill(self, component: str) -> bool:
        """End the pods of a component at once; they are made anew. Return whether there was one."""
        selector = f"--selector=app.kubernetes.io/component={component}"
        how = ("--grace-period=0", "--force", "--wait=false", "--output=name")
        return any(line.startswith("pod/") for line in self.kubectl("delete", "pod", selector, *how).splitlines())

    def scale(self, component: str, replicas: int) -> None:
        """Say how many pods a component has, and wait until it has them."""
        self.kubectl("scale", KINDS[component], f"--replicas={replicas}")
        if replicas:
            self.wait_until_ready(component)
            return
        selector = f"app.kubernetes.io/component={component}"
        wait_for(f"{component} is gone", lambda: not self.kubectl.items("pods", selector), 90)

    @contextmanager
    def without(self, component: str) -> Iterator[None]:
        """Take a component away for a while."""
        self.scale(component, 0)
        try:
            yield
        finally:
            self.scale(component, 1)

    def wait_until_ready(self, component: str, timeout_seconds: float = _READY_SECONDS) -> None:
        """Wait until a component has all its pods, and they are ready."""
        self.kubectl("rollout", "status", KINDS[component], f"--timeout={max(timeout_seconds, 1):.0f}s")

    def wait_until_all_ready(self, deadline: float = math.inf) -> None:
        """Wait until nothing is missing, and MLflow can be reached from outside.

        Of the monotonic clock's `deadline` each of them is given what is left, and no more than it has by itself.
        """
        for component in KINDS:
            self.wait_until_ready(component, min(_READY_SECONDS, deadline - time.monotonic()))
        wait_for("MLflow answers", self.mlflow_works, timeout_seconds=min(60, deadline - time.monotonic()))

    def mlflow_works(self) -> bool:
        """Whether MLflow can read its database: its health says only that it is there."""
        try:
            self.mlflow.call("mlflow/experiments/search", {"max_results": 1})
        except OSError:
            return False
        return True

    @property
    def identity(self) -> str:
        """The tag by which MLflow knows the runs of this installation: its Lease's UID."""
        return str(self.kubectl.get("lease", "runyard-operator")["metadata"]["uid"])

    @property
    def leader(self) -> str:
        """The pod that leads."""
        return str(self.kubectl.get("lease", "runyard-operator")["spec"].get("holderIdentity") or "")

    def process(self, pod: str) -> str:
        """Return the number, on the node, of the process that a pod of one container is."""
        [container] = self.kubectl.get("pod", pod)["status"]["containerStatuses"]
        _, _, identifier = container["containerID"].partition("://")
        return str(json.loads(on_node("crictl", "inspect", identifier))["info"]["pid"])


def on_node(*command: str) -> str:
    """Run a program on the node, where it must succeed; return what it printed."""
    done = subprocess.run(["docker", "exec", NODE, *command], check=True, capture_output=True, text=True, timeout=60)
    return done.stdout
