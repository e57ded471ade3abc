"""The cluster that `make cluster` leaves, and a namespace in it that enforces the "restricted" standard."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.training import Trainings
from tests.support.kubectl import Kubectl
from tests.support.mlflow_server import MlflowRest
from tests.support.programs import CACHE

SCRIPTS = Path(__file__).parent / "scripts"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def kubectl() -> Kubectl:
    return Kubectl(Path(os.environ.get("KUBECONFIG", CACHE / "kubeconfig")))


@pytest.fixture(scope="session")
def mlflow() -> MlflowRest:
    return MlflowRest(os.environ.get("RUNYARD_MLFLOW_URL", "http://mlflow.localhost:8080"))


@pytest.fixture(scope="session")
def trainings(kubectl: Kubectl, mlflow: MlflowRest) -> Iterator[Trainings]:
    """A namespace with the scripts in it; it and all that was made in it is removed afterwards."""
    namespace = f"trainings-{uuid.uuid4().hex[:6]}"
    inside = kubectl.within(namespace)
    kubectl("create", "namespace", namespace)
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    inside("create", "configmap", "scripts", f"--from-file={SCRIPTS}")
    yield Trainings(inside, mlflow)
    kubectl("delete", "namespace", namespace, "--wait=false")
