"""Operators of each test's own, at an API server that no other operator works at."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operator.actors import Actors
from tests.operator.conftest import with_definition
from tests.operator.operations.process import Operators
from tests.support.apiserver import ApiServer
from tests.support.mlflow_server import MlflowRest


@pytest.fixture(scope="package")
def server() -> Iterator[ApiServer]:
    with with_definition() as found:
        yield found


@pytest.fixture
def actors(server: ApiServer) -> Actors:
    """A namespace of the test's own, in which it plays the Job controller and the kubelet."""
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    assert server.kubectl("create", "namespace", namespace).returncode == 0
    return Actors(server, namespace)


@pytest.fixture
def operators(actors: Actors, mlflow: MlflowRest, tmp_path: Path) -> Operators:
    """Operators of this namespace alone, with a Lease in it that is over soon."""
    return Operators(
        tmp_path,
        {
            "KUBECONFIG": str(actors.server.kubeconfig),
            "RUNYARD_TRACKING_URI": mlflow.url,
            "RUNYARD_NAMESPACES": actors.namespace,
            "RUNYARD_LEASE_NAMESPACE": actors.namespace,
            "RUNYARD_LEASE_SECONDS": "6",
        },
    )
