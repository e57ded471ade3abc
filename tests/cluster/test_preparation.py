"""Code and data that are fetched before a training, from servers in the cluster."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

import tests.support
from tests.cluster.training import NO_LOG, Trainings, manifest
from tests.support.mlflow_server import tags_of
from tests.support.waiting import wait_for

WINE = b"alcohol,class\n14.2,0\n13.2,1\n"  # as scripts/serves.py has it
DIGEST = f"sha256:{hashlib.sha256(WINE).hexdigest()}"
ANOTHER = f"sha256:{'0' * 64}"
ADDRESS = "http://repositories:8080/wine"
DATA = "http://repositories:8081/wine.csv"
NOBODY = "http://nobody:8080/wine"

_SUPPORT = Path(tests.support.__file__).parent
_LABELS = {"app": "repositories"}


def _server() -> list[dict[str, Any]]:
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}
    container = {
        "name": "server",
        "image": "runyard/operator:0.1.0",
        "command": ["python", "/scripts/serves.py"],
        "env": [{"name": "PYTHONPATH", "value": "/support"}],
        "securityContext": restricted,
        "volumeMounts": [
            {"name": "scripts", "mountPath": "/scripts"},
            {"name": "support", "mountPath": "/support/tests/support"},
            {"name": "repositories", "mountPath": "/repositories"},
        ],
        "readinessProbe": {"tcpSocket": {"port": 8081}, "periodSeconds": 1},
    }
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "scripts", "configMap": {"name": "scripts"}},
            {"name": "support", "configMap": {"name": "support"}},
            {"name": "repositories", "emptyDir": {}},
        ],
    }
    ports = [{"name": name, "port": port} for name, port in (("git", 8080), ("data", 8081))]
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "repositories", "labels": _LABELS}, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "repositories"},
            "spec": {"selector": _LABELS, "ports": ports},
        },
        # Its name resolves, and nobody answers.
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "nobody"},
            "spec": {"selector": {"app": "nobody"}, "ports": ports},
        },
    ]


def _fetching(name: str, *, source: dict[str, Any] | None = None, **dataset: Any) -> dict[str, Any]:
    return manifest(
        name,
        source={"git": ADDRESS, "path": "training", **(source or {})},
        datasets=[{"name": "wine", "uri": DATA, **dataset}],
        command=["python", "train.py"],
        backoffLimit=1,
    )


@pytest.fixture(scope="module", autouse=True)
def commit(trainings: Trainings) -> str:
    kubectl = trainings.kubectl
    support = [f"--from-file={_SUPPORT / name}" for name in ("repositories.py", "web.py")]
    kubectl("create", "configmap", "support", *support)
    kubectl.apply(*_server())
    kubectl("wait", "pod/repositories", "--for=condition=Ready", "--timeout=60s")
    kubectl.apply(
        _fetching("fetched", digest=DIGEST),
        _fetching("no-revision", source={"revision": "v2"}),
        _fetching("nobody", source={"git": NOBODY}),
        _fetching("other-digest", digest=ANOTHER),
        _fetching("no-data", uri=f"{DATA}.gz"),
    )
    return str(wait_for("the repository's commit", lambda: kubectl("logs", "repositories").strip()))


def test_code_and_data_are_fetched_and_on_record(trainings: Trainings, commit: str) -> None:
    done = trainings.finish("fetched")
    printed = "trained with /runyard/datasets/wine in /runyard/source/training"
    done.assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", 0)], printed)
    [attempt] = done.status["attempts"]
    assert attempt["source"] == done.status["source"] == {"git": ADDRESS, "commit": commit, "branch": "main"}
    assert attempt["datasets"] == [{"name": "wine", "digest": DIGEST}]
    assert done.status["metrics"] == {"rows": "2.0"}
    [run] = done.runs
    assert tags_of(run)["mlflow.source.git.commit"] == commit
    [given] = trainings.mlflow.run(run["info"]["run_id"])["inputs"]["dataset_inputs"]
    assert {tag["key"]: tag["value"] for tag in given["tags"]} == {
        "mlflow.data.context": "training",
        "runyard.dev/digest": DIGEST,
        "runyard.dev/verified": "true",
        "runyard.dev/uri": DATA,
    }


@pytest.mark.parametrize(
    ("name", "reason", "said", "attempts"),
    [
        ("no-revision", "SourceUnavailable", "has no branch, tag or commit v2", 1),
        ("nobody", "SourceUnavailable", "Failed to connect to nobody", 2),
        ("other-digest", "DatasetMismatch", f"wanted {ANOTHER}, found {DIGEST}", 1),
        ("no-data", "DatasetUnavailable", "404", 2),
    ],
)
def test_what_cannot_be_had_is_the_cause(
    trainings: Trainings, name: str, reason: str, said: str, attempts: int
) -> None:
    done = trainings.finish(name)
    ends = [("Failed", reason, None)] * attempts
    done.assert_agreement("Failed", reason, ends, *[NO_LOG] * attempts)
    assert said in done.status["message"]
