"""`runyard reproduce --cluster` of the examples: bit by bit, with something changed, and with something gone."""

import hashlib
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from runyard.cli import main
from tests.cluster.training import Trainings
from tests.support.mlflow_server import tags_of

pytestmark = pytest.mark.timeout(1500)
IMAGE = "runyard.dev/image-digest"
EXAMPLES = Path(__file__).parents[3] / "examples"
PATIENTS = "heart_disease.csv"
# From a copy, which can be changed at once: the kubelet takes a minute for a config map.
SERVES = f"""
import functools, http.server, shutil
shutil.copy("/given/{PATIENTS}", "/served/{PATIENTS}")
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory="/served")
http.server.ThreadingHTTPServer(("", 8080), handler).serve_forever()
"""


@pytest.fixture
def reproduced(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Ask for it as a person with a kubeconfig does; the exit code and what is said come of it."""
    resolved = socket.getaddrinfo

    def resolve(host: Any, *more: Any, **named: Any) -> Any:
        # Every name below localhost is this machine (RFC 6761), which not every resolver knows.
        return resolved("127.0.0.1" if str(host).endswith(".localhost") else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setenv("KUBECONFIG", str(trainings.kubectl.kubeconfig))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", trainings.mlflow.url)

    def ask(run: str, *words: str) -> tuple[int, dict[str, Any]]:
        asked = ["runyard", "reproduce", run, "--cluster", "-o", "json", "--timeout", "400", *words]
        monkeypatch.setattr(sys, "argv", asked)
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        assert told.out, f"exit code {ended.value.code}: {told.err}"
        return int(ended.value.code or 0), json.loads(told.out)

    return ask


def example(name: str, **spec: Any) -> dict[str, Any]:
    """Return an example's manifest that promotes nothing, in the experiment of these tests."""
    document: dict[str, Any] = yaml.safe_load((EXAMPLES / name).read_text())
    for gone in ("experiment", "promote"):
        document["spec"].pop(gone, None)
    document["spec"] |= spec
    return document


def metrics(trainings: Trainings, run_id: str) -> dict[str, float]:
    """Return what a run logged."""
    return {metric["key"]: metric["value"] for metric in trainings.mlflow.run(run_id)["data"]["metrics"]}


def loses_its_image(trainings: Trainings, run_id: str) -> str:
    """Have a run say that it ran in an image that is nowhere; return the image that it ran in."""
    image = tags_of(trainings.mlflow.run(run_id))[IMAGE]
    gone = f"{image.partition('@')[0]}@sha256:{'0' * 64}"
    trainings.mlflow.call("mlflow/runs/set-tag", {"run_id": run_id, "key": IMAGE, "value": gone})
    return image


Ask = Callable[..., tuple[int, dict[str, Any]]]


def test_a_grid_of_wine_is_repeated_in_its_image_with_a_changed_parameter_and_without_its_image(
    trainings: Trainings, reproduced: Ask
) -> None:
    small = {"n_estimators": "3", "max_depth": "2", "min_samples_split": "2", "seed": 0}
    trainings.kubectl.apply(example("wine/trainingrun.yaml", parameters=small))
    done = trainings.finish("wine-forest")
    run_id = done.status["tracking"]["runId"]
    image = tags_of(trainings.mlflow.run(run_id))[IMAGE]
    assert image == done.status["imageDigest"]

    code, found = reproduced(run_id)
    assert (code, found["says"]) == (0, "Reproduced: all 8 metrics of 2 runs are the same to the last bit.")
    for pair in found["runs"]:
        assert metrics(trainings, pair["before"]) == metrics(trainings, pair["now"])
    again = trainings.kubectl.get("trainingrun", found["trainingRun"])
    assert (again["spec"]["image"], again["metadata"]["annotations"]["runyard.dev/reproduces"]) == (image, run_id)
    tags = tags_of(trainings.mlflow.run(found["reproducedBy"]))
    assert (tags["runyard.dev/reproduces"], tags[IMAGE]) == (run_id, image)
    assert (tags["runyard.dev/verdict"], tags["runyard.dev/greatest-difference"]) == ("Reproduced", "0.0")

    code, found = reproduced(run_id, "--set", "n_estimators=4")
    assert (code, found["verdict"]) == (1, "Changed")
    assert found["changed"] == {"n_estimators": {"before": "3", "now": "4"}}
    tags = tags_of(trainings.mlflow.run(found["reproducedBy"]))
    assert (tags["runyard.dev/varies"], tags["runyard.dev/verdict"]) == ("parameters.n_estimators", "Changed")

    loses_its_image(trainings, run_id)
    code, found = reproduced(run_id)
    assert (code, found["verdict"], found["gaps"][0]["what"]) == (2, "Cannot", "the image")
    assert found["gaps"][0]["why"].startswith("ImagePull: ")


@pytest.fixture
def patients(trainings: Trainings) -> str:
    """Serve the patients' table in the cluster; return its address."""
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}
    container = {
        "name": "server",
        "image": "runyard/operator:0.1.0",
        "command": ["python", "-c", SERVES],
        "securityContext": restricted,
        "volumeMounts": [{"name": "given", "mountPath": "/given"}, {"name": "served", "mountPath": "/served"}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "given", "configMap": {"name": "patients"}},
            {"name": "served", "emptyDir": {}},
        ],
    }
    labels = {"app": "patients"}
    trainings.kubectl("create", "configmap", "patients", f"--from-file={EXAMPLES / 'heart' / PATIENTS}")
    trainings.kubectl.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "patients", "labels": labels}, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "patients"},
            "spec": {"selector": labels, "ports": [{"port": 8080}]},
        },
    )
    trainings.kubectl("wait", "pod/patients", "--for=condition=Ready", "--timeout=60s")
    return f"http://patients:8080/{PATIENTS}"


def test_heart_is_repeated_with_its_data_with_others_and_without_its_image(
    trainings: Trainings, reproduced: Ask, patients: str
) -> None:
    document = example("heart/logistic.yaml", datasets=[{"name": PATIENTS.replace("_", "-"), "uri": patients}])
    document["spec"]["args"].append("--data=$(RUNYARD_DATASET_HEART_DISEASE_CSV)")
    document["spec"]["parameters"]["folds"] = 2
    trainings.kubectl.apply(document)
    run_id = trainings.finish("heart-logistic").status["tracking"]["runId"]

    code, found = reproduced(run_id)
    assert (code, found["verdict"]) == (0, "Reproduced"), found["says"]
    [pair] = found["runs"]
    before = metrics(trainings, run_id)
    assert before.keys() >= {"f1_score", "roc_auc", "fairness.sex.accuracy_difference"}
    assert metrics(trainings, pair["now"]) == before
    assert {each["kind"] for each in found["differences"]} <= {"hardware"}

    code, found = reproduced(run_id, "--set", "folds=3")
    assert (code, found["verdict"], found["varies"]) == (1, "Changed", ["parameters.folds"])
    assert found["changed"] == {"folds": {"before": "2", "now": "3"}}

    image = loses_its_image(trainings, run_id)
    code, found = reproduced(run_id)
    assert (code, found["gaps"][0]["what"]) == (2, "the image")
    trainings.mlflow.call("mlflow/runs/set-tag", {"run_id": run_id, "key": IMAGE, "value": image})

    was = (EXAMPLES / "heart" / PATIENTS).read_bytes()
    trainings.kubectl("exec", "patients", "--", "python", "-c", f"open('/served/{PATIENTS}', 'a').write('\\n')")
    code, found = reproduced(run_id)
    assert (code, found["verdict"], found["gaps"][0]["what"]) == (2, "Cannot", "the data as they were")
    wanted, there = (f"sha256:{hashlib.sha256(content).hexdigest()}" for content in (was, was + b"\n"))
    assert f"wanted {wanted}, found {there}" in found["gaps"][0]["why"]

    trainings.kubectl("exec", "patients", "--", "python", "-c", f"import os; os.remove('/served/{PATIENTS}')")
    code, found = reproduced(run_id)
    assert (code, found["gaps"][0]["what"]) == (2, "the data")
    assert "404" in found["gaps"][0]["why"]
