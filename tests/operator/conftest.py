"""One API server, one MLflow and one operator process for all tests of this folder."""

import json
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.operator.actors import Actors
from tests.support.apiserver import ApiServer, api_server, free_port, running
from tests.support.mlflow_server import MlflowRest, mlflow_server
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]


@contextmanager
def with_definition() -> Iterator[ApiServer]:
    """Run an API server that knows TrainingRuns."""
    with api_server() as found:
        applied = found.kubectl("apply", "--server-side", "-f", str(ROOT / "charts/runyard/files/crds"))
        assert applied.returncode == 0, applied.stderr
        wait_for(
            "the CRD is served",
            lambda: found.kubectl("get", "trainingruns").returncode == 0,
        )
        _wait_for_the_policy(found)
        yield found


def _wait_for_the_policy(server: ApiServer) -> None:
    """Wait until changed parameters are refused: the API server takes policies up a moment after it has them."""
    manifest: dict[str, Any] = {
        "apiVersion": "runyard.dev/v1alpha1",
        "kind": "TrainingRun",
        "metadata": {"name": "policy"},
        "spec": {"image": "x"},
    }
    server.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    change = (
        "patch",
        "trainingrun",
        "policy",
        "--type=merge",
        "--dry-run=server",
        "-p",
        '{"spec":{"parameters":{"a":1}}}',
    )
    wait_for("the policy is in force", lambda: server.kubectl(*change).returncode != 0)
    server.kubectl("delete", "trainingrun", "policy")


@pytest.fixture(scope="package")
def server() -> Iterator[ApiServer]:
    with with_definition() as found:
        yield found


@pytest.fixture(scope="package")
def mlflow() -> Iterator[MlflowRest]:
    with mlflow_server() as found:
        yield found


@pytest.fixture(scope="package")
def operator(server: ApiServer, mlflow: MlflowRest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run the operator as the program that it is; yields its log."""
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    environment = {
        "KUBECONFIG": str(server.kubeconfig),
        "RUNYARD_TRACKING_URI": mlflow.url,
        "RUNYARD_PUBLIC_TRACKING_URL": "http://mlflow.example",
        "RUNYARD_PREPARE_IMAGE": "example/operator:1",
        "RUNYARD_IMAGE_PULL_GRACE_SECONDS": "2",
        "RUNYARD_SWEEP_SECONDS": "2",
        "RUNYARD_HEALTH_PORT": str(free_port()),
    }
    with running([str(Path(sys.executable).parent / "runyard-operator")], log, environment):
        yield log


@pytest.fixture
def actors(server: ApiServer, operator: Path) -> Iterator[Actors]:
    """A namespace of the test's own, in which it plays the Job controller and the kubelet."""
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    assert server.kubectl("create", "namespace", namespace).returncode == 0
    yield Actors(server, namespace)
    assert "Traceback" not in operator.read_text()


@pytest.fixture
def pod(actors: Actors) -> dict[str, Any]:
    """A pod of the TrainingRun `a`, running."""
    actors.apply("a", backoffLimit=1, experiment="an experiment")
    found = actors.create_pod(actors.wait_for_job("a"), "one")
    actors.set_pod(found, "Running", {"running": {"startedAt": "2026-01-02T03:04:05Z"}})
    actors.wait_for_phase("a", "Running")
    return found
