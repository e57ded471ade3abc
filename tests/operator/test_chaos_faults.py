"""What chaos counts as harm done, and what a watch then tells of the pod."""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.chaos.faults import Faults
from tests.cluster.installation import Installation
from tests.cluster.timeline import Timeline
from tests.support.apiserver import ApiServer
from tests.support.cluster_api import ClusterApi
from tests.support.kubectl import Kubectl
from tests.support.mlflow_server import MlflowRest
from tests.support.waiting import wait_for


class Certain(random.Random):
    """A chance that has one thing come."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def choices(self, *_: Any, **__: Any) -> list[Any]:
        return [self._what]


@pytest.fixture
def kubectl(server: ApiServer) -> Kubectl:
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    assert server.kubectl("create", "namespace", namespace).returncode == 0
    return Kubectl(server.kubeconfig).within(namespace)


@dataclass(frozen=True)
class BrieflySilent:
    """A server whose watches end soon when nothing comes, so that none is left when it is to stop."""

    api: ClusterApi

    def lines(self, path: str, _silence_seconds: float) -> Iterator[dict[str, Any]]:
        return self.api.lines(path, 1)


@pytest.fixture
def timeline(server: ApiServer) -> Iterator[Timeline]:
    found = Timeline(BrieflySilent(server.api))
    yield found
    found.close()


@pytest.mark.parametrize("component", ["operator", "mlflow", "postgres", "minio"])
def test_a_kill_counts_where_a_pod_was_there(kubectl: Kubectl, component: str) -> None:
    named = {"operator": "operator", "mlflow": "MLflow", "postgres": "Postgres", "minio": "MinIO"}[component]
    what = f"{named} killed"
    faults = Faults(Installation(kubectl, MlflowRest("http://127.0.0.1:9")), kubectl, Certain(what))
    assert faults.strike() == f"{what}: there was none"
    assert faults.done == {}
    kubectl.apply(pod({"app.kubernetes.io/component": component}))
    assert faults.strike() == what
    assert faults.done == {what: 1}
    assert faults.strike() == f"{what}: there was none"
    assert faults.done == {what: 1}


def test_a_pod_that_is_gone_was_seen(kubectl: Kubectl, timeline: Timeline) -> None:
    training, seen = f"training-in-{kubectl.namespace}", dict[str, str]()
    for _ in range(2):
        kubectl.apply(pod({"runyard.dev/uid": training}))
        seen[kubectl.get("pod", "a")["metadata"]["uid"]] = "Pending"
        wait_for("the watch tells of it", lambda: timeline.pods().get(training) == seen)
        kubectl("delete", "pod", "a", "--grace-period=0", "--force")
    assert len(seen) == 2


def pod(labels: dict[str, str]) -> dict[str, Any]:
    container = {"name": "a", "image": "example/image:1"}
    metadata = {"name": "a", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}
