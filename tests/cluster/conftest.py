"""The cluster that `make cluster` leaves, and a namespace in it that enforces the "restricted" standard."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.installation import Installation
from tests.cluster.leaks import leaked
from tests.cluster.timeline import Timeline, second_jobs
from tests.cluster.training import Trainings
from tests.support.cluster_api import ClusterApi
from tests.support.kubectl import Kubectl
from tests.support.mlflow_server import MlflowRest
from tests.support.programs import CACHE
from tests.support.waiting import wait_for

SCRIPTS = Path(__file__).parent / "scripts"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    return Path(os.environ.get("KUBECONFIG", CACHE / "kubeconfig"))


@pytest.fixture(scope="session")
def kubectl(kubeconfig: Path) -> Kubectl:
    return Kubectl(kubeconfig)


@pytest.fixture(scope="session")
def api(kubeconfig: Path) -> ClusterApi:
    return ClusterApi(kubeconfig)


@pytest.fixture(scope="session")
def mlflow() -> MlflowRest:
    return MlflowRest(os.environ.get("RUNYARD_MLFLOW_URL", "http://mlflow.localhost:8080"))


@pytest.fixture(scope="session")
def installation(kubectl: Kubectl, mlflow: MlflowRest) -> Installation:
    return Installation(kubectl.within("runyard"), mlflow)


@pytest.fixture(scope="session")
def timeline(api: ClusterApi) -> Iterator[Timeline]:
    found = Timeline(api)
    yield found
    found.close()


@pytest.fixture(scope="module")
def trainings(kubectl: Kubectl, mlflow: MlflowRest, timeline: Timeline) -> Iterator[Trainings]:
    """A namespace with the scripts in it; it is removed afterwards, when nothing in it is left over."""
    namespace = f"trainings-{uuid.uuid4().hex[:6]}"
    inside = kubectl.within(namespace)
    kubectl("create", "namespace", namespace)
    try:
        kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
        inside("create", "configmap", "scripts", f"--from-file={SCRIPTS}")
        yield Trainings(inside, mlflow, timeline)
        wait_for("nothing is left over", lambda: not leaked(inside), timeout_seconds=60)
        assert second_jobs(timeline.jobs()) == []
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")
