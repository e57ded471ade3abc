"""`runyard serve`, as a person calls it, with real pods: a champion, the next one, one that cannot come up, the end."""

import json
import subprocess
import sys
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.training import Trainings, manifest
from tests.support.waiting import wait_for

SMALL = ("--cpu", "50m", "--memory", "768Mi")
SCRIPT = """
import mlflow, mlflow.sklearn, sys
from sklearn.dummy import DummyRegressor
with mlflow.start_run():
    model = DummyRegressor(strategy="constant", constant=float(sys.argv[1])).fit([[0.0]], [0.0])
    mlflow.sklearn.log_model(model, name="model", input_example=[[1.0]], pip_requirements=["scikit-learn"])
"""


def trained(trainings: Trainings, name: str, constant: int) -> dict[str, Any]:
    """Train a model that always says the same; return its run."""
    arguments = ["-c", SCRIPT, str(constant)]
    trainings.kubectl.apply(manifest(name, command=["python", *arguments]))
    done = trainings.finish(name)
    assert done.status["phase"] == "Succeeded", done.status
    return trainings.mlflow.run(done.status["tracking"]["runId"])


@pytest.fixture
def runyard(trainings: Trainings, tmp_path: Path) -> Any:
    """Call it as a person with a kubeconfig does; the exit code comes of it, and what was printed."""
    # Not every resolver knows that names below localhost are this machine, as MLflow's client needs it to.
    start = (
        "import socket, sys; resolved = socket.getaddrinfo; "
        "socket.getaddrinfo = lambda host, *more, **named: "
        "resolved('127.0.0.1' if str(host).endswith('.localhost') else host, *more, **named); "
        "from runyard.cli import main; sys.argv[0] = 'runyard'; main()"
    )

    def call(*words: str) -> tuple[int, str, str]:
        command = [sys.executable, "-c", start, *words]
        environment = {
            "KUBECONFIG": str(trainings.kubectl.kubeconfig),
            "MLFLOW_TRACKING_URI": trainings.mlflow.url,
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
        }
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=400
        )
        return done.returncode, done.stdout, done.stderr

    return call


def predicted(trainings: Trainings, service: str, curl: str) -> Any:
    """Send the request that was printed, from a pod beside the model's."""
    body = curl.partition(" -d ")[2].strip("'")
    code = (
        "import sys, urllib.request as u; print(u.urlopen(u.Request(sys.argv[1], sys.argv[2].encode(), "
        "{'Content-Type': 'application/json'}), timeout=30).read().decode())"
    )
    pods = trainings.kubectl.items("pods", f"runyard.dev/serves={service}")
    [pod] = [found for found in pods if "deletionTimestamp" not in found["metadata"]]
    place = f"http://{service}/invocations"
    out = trainings.kubectl("exec", pod["metadata"]["name"], "--", "python", "-c", code, place, body)
    return json.loads(out)["predictions"]


def test_a_champion_is_served_replaced_and_taken_away(trainings: Trainings, runyard: Any) -> None:
    mlflow, model = trainings.mlflow, f"served in {trainings.kubectl.namespace}"

    def serve(asked: str, *words: str) -> tuple[int, str, str]:
        where = ("-n", str(trainings.kubectl.namespace))
        answer: tuple[int, str, str] = runyard("serve", asked, *where, *(words or SMALL))
        return answer

    def promoted(run: dict[str, Any]) -> int:
        code, out, error = runyard("promote", run["info"]["run_id"], "--model", model, "-o", "json")
        assert code == 0, error
        return int(json.loads(out)["version"])

    first = promoted(trained(trainings, "first", 1))
    code, out, error = serve(model, *SMALL, "-o", "json")
    assert code == 0, error
    found = json.loads(out)
    assert (found["version"], found["alias"], found["versionBefore"]) == (first, "champion", None)
    assert predicted(trainings, found["name"], found["curl"]) == [1.0]

    run = trained(trainings, "second", 2)
    second = promoted(run)
    assert predicted(trainings, found["name"], found["curl"]) == [1.0], "until somebody asks for it"
    code, out, error = serve(model, *SMALL, "-o", "json")
    assert code == 0, error
    found = json.loads(out)
    assert (found["version"], found["versionBefore"]) == (second, first)

    def is_alone() -> bool:
        return len(trainings.kubectl.items("pods", f"runyard.dev/serves={found['name']}")) == 1

    wait_for("the pod of the first is gone", is_alone, timeout_seconds=90)
    assert predicted(trainings, found["name"], found["curl"]) == [2.0]

    # A version whose files are not there: the pod crashes, and the one from before goes on.
    root = mlflow.call(f"mlflow/runs/get?run_id={run['info']['run_id']}")["run"]["info"]["artifact_uri"]
    body = {"name": model, "source": f"{root}/nothing", "run_id": run["info"]["run_id"]}
    third = mlflow.call("mlflow/model-versions/create", body)["model_version"]["version"]
    code, _, error = serve(f"{model}/{third}")
    assert (code, f"version {third} does not come up: CrashLoopBackOff" in error) == (1, True), error
    code, out, error = serve(f"{model}/{second}")
    assert code == 0, error
    assert predicted(trainings, found["name"], found["curl"]) == [2.0]

    assert serve(model, "--delete")[0] == 0
    gone = f"runyard.dev/serves={found['name']}"
    wait_for("its pods are gone", lambda: not trainings.kubectl.items("pods", gone), timeout_seconds=90)
    assert trainings.kubectl.items("deployments", gone) == []
    name = urllib.parse.quote(model)
    assert mlflow.call(f"mlflow/registered-models/get?name={name}")["registered_model"]["name"] == model
