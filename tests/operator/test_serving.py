"""`runyard serve` at a real API server and a real MLflow, with the Deployment's controller played by the test."""

import json
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from runyard.cli import main
from tests.support.apiserver import ApiServer
from tests.support.mlflow_server import MlflowRest

TEAM = "serving"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{TEAM}/deployments/model-heart"
ROW = {"dataframe_split": {"columns": ["age"], "data": [[1]]}}


@pytest.fixture(scope="module")
def model(mlflow: MlflowRest) -> str:
    """A registered model of three versions: 2 is the champion, and has an input example."""
    mlflow.call("mlflow/registered-models/create", {"name": "heart"})
    for number in "123":
        run = mlflow.call("mlflow/runs/create", {"experiment_id": "0"})["run"]["info"]
        place = f"{run['artifact_uri']}/model"
        body = {"name": "heart", "source": place, "run_id": run["run_id"]}
        assert mlflow.call("mlflow/model-versions/create", body)["model_version"]["version"] == number
        path = place.removeprefix("mlflow-artifacts:/")
        given = json.dumps({"dataframe_split": {"index": [0, 1], "columns": ["age"], "data": [[int(number) - 1], [9]]}})
        request = urllib.request.Request(  # noqa: S310 our own server
            f"{mlflow.url}/api/2.0/mlflow-artifacts/artifacts/{path}/serving_input_example.json",
            given.encode(),
            method="PUT",
        )
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 likewise
    body = {"name": "heart", "alias": "champion", "version": "2"}
    mlflow.call("mlflow/registered-models/alias", body)
    return "heart"


@pytest.fixture(scope="module")
def kubeconfig(server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A namespace that is held to the restricted standard; `nobody` may do nothing in it."""
    server.kubectl("create", "namespace", TEAM)
    levels = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")]
    server.kubectl("label", "namespace", TEAM, *levels)
    server.kubectl("-n", TEAM, "create", "serviceaccount", "nobody")
    found = json.loads(server.kubeconfig.read_text())
    token = server.kubectl("-n", TEAM, "create", "token", "nobody").stdout.strip()
    found["users"].append({"name": "nobody", "user": {"token": token}})
    found["contexts"] = [
        {"name": name, "context": {"cluster": "test", "user": name, "namespace": TEAM}} for name in ("admin", "nobody")
    ]
    found["current-context"] = "admin"
    file = tmp_path_factory.mktemp("person") / "kubeconfig"
    file.write_text(json.dumps(found))
    return file


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def serve(
    kubeconfig: Path,
    mlflow: MlflowRest,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    # The client reads the variable when it is first imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.url)
    assert model == "heart"

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["runyard", "serve", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


Status = Callable[[dict[str, Any]], dict[str, Any]]


def answering(_: dict[str, Any]) -> dict[str, Any]:
    return {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}


def refusing(_: dict[str, Any]) -> dict[str, Any]:
    refused = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: small"}
    return {"replicas": 0, "conditions": [refused]}


@contextmanager
def controller(server: ApiServer, status: Status) -> Iterator[None]:
    """Say of each new generation of the Deployment what its controller would."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.1):
            with suppress(OSError):  # it is not there yet, or not any more
                found = server.api.call("GET", DEPLOYMENT)
                now = found["metadata"]["generation"]
                if found["status"].get("observedGeneration") != now:
                    said = {**status(found), "observedGeneration": now}
                    server.api.call("PATCH", f"{DEPLOYMENT}/status", {"status": said})

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


def test_the_manifests_are_taken_where_pods_are_restricted(serve: Command, server: ApiServer) -> None:
    code, out, error = serve("heart", "--dry-run", "-n", TEAM)
    assert (code, error) == (0, "")
    deployment, service = yaml.safe_load_all(out)
    assert deployment["metadata"]["annotations"]["runyard.dev/alias"] == "champion"
    assert "models:/heart/2" in deployment["spec"]["template"]["spec"]["containers"][0]["command"]
    applied = server.kubectl("apply", "--dry-run=server", "-f", "-", stdin=out)
    assert (applied.returncode, applied.stderr) == (0, "")
    template = deployment["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": "x", "namespace": TEAM},
        "spec": template["spec"],
    }
    created = server.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    assert (created.returncode, created.stderr) == (0, "")
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    assert server.kubectl("-n", TEAM, "get", "deployments,services", "-o", "name").stdout == ""
    code, out, _ = serve("heart", "--dry-run", "-o", "json")
    assert [each["kind"] for each in json.loads(out)["items"]] == ["Deployment", "Service"]


def test_a_manifest_for_kserve_says_what_it_needs(serve: Command, mlflow: MlflowRest) -> None:
    code, out, _ = serve("heart/1", "--kserve", "--artifact-store", "s3://bucket")
    assert code == 0
    assert "# It reads the model from the object store itself, past MLflow." in out
    place = yaml.safe_load(out)["spec"]["predictor"]["model"]["storageUri"]
    [path] = {found["source"] for found in versions(mlflow) if (found["name"], found["version"]) == ("heart", "1")}
    assert place == path.replace("mlflow-artifacts:", "s3://bucket")


def versions(mlflow: MlflowRest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = mlflow.call("mlflow/model-versions/search")["model_versions"]
    return found


def test_a_champion_is_served_changed_and_taken_away(serve: Command, server: ApiServer, mlflow: MlflowRest) -> None:
    with controller(server, answering):
        code, out, _ = serve("heart", "--timeout", "60")
        assert code == 0
        assert out.splitlines() == [
            f"heart version 2 (champion) answers at http://model-heart.{TEAM}.svc/invocations.",
            "",
            "From this machine:",
            f"  kubectl -n {TEAM} port-forward service/model-heart 8080:80",
            f"  curl -s http://127.0.0.1:8080/invocations -H 'Content-Type: application/json' -d '{json.dumps(ROW)}'",
        ]
        # Whatever becomes of the alias, what is served is the same until somebody says otherwise.
        mlflow.call("mlflow/registered-models/alias", {"name": "heart", "alias": "champion", "version": "3"})
        assert served(server) == "2"
        code, out, _ = serve("heart", "--timeout", "60", "-o", "json")
        found = json.loads(out)
        assert (code, found["version"], found["versionBefore"], served(server)) == (0, 3, 2, "3")
        code, out, _ = serve("heart/2", "--timeout", "60")
        assert (code, served(server)) == (0, "2")
        assert "heart version 2 answers at" in out
        assert "in place of version 3." in out
    code, out, _ = serve("heart", "--delete")
    says = f"Nothing serves heart in {TEAM} any more: model-heart is deleted.\n"
    assert (code, out) == (0, says)
    assert server.kubectl("-n", TEAM, "get", "deployments,services", "-o", "name").stdout == ""
    code, _, error = serve("heart", "--delete")
    assert (code, error) == (2, f"runyard: nothing serves heart in the namespace {TEAM}\n")


def served(server: ApiServer) -> str:
    found = json.loads(server.kubectl("-n", TEAM, "get", "deployment", "model-heart", "-o", "json").stdout)
    command: list[str] = found["spec"]["template"]["spec"]["containers"][0]["command"]
    [version] = [word.removeprefix("models:/heart/") for word in command if word.startswith("models:/")]
    assert found["metadata"]["labels"]["runyard.dev/model-version"] == version
    return version


def test_pods_that_do_not_come_up_and_pods_that_nobody_makes(serve: Command, server: ApiServer) -> None:
    with controller(server, refusing):
        code, _, error = serve("heart/1", "--timeout", "60")
    assert code == 1
    assert "heart version 1 does not come up: exceeded quota: small. Nothing is served; to see more: kubectl" in error
    code, _, error = serve("heart/2", "--timeout", "1")
    assert code == 3
    assert error.endswith("runyard: model-heart does not answer after 1 s: no controller has looked at it\n")
    assert serve("heart", "--delete")[0] == 0


def test_what_somebody_else_made_is_left_alone(serve: Command, server: ApiServer) -> None:
    server.kubectl("-n", TEAM, "create", "service", "clusterip", "model-heart", "--tcp=80")
    for words in (("heart/1",), ("heart", "--delete")):
        code, _, error = serve(*words)
        assert code == 2
        assert f"the Service {TEAM}/model-heart is not from `runyard serve`" in error
    kinds = server.kubectl("-n", TEAM, "get", "deployments,services", "-o", "name").stdout
    assert kinds == "service/model-heart\n"
    server.kubectl("-n", TEAM, "delete", "service", "model-heart")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["lung"], 2, "there is no registered model lung: `runyard promote RUN --model lung` makes it"),
        (["heart@blue"], 2, "no version of heart has the alias blue, though it has champion (version "),
        (["heart/9"], 2, "there is no version 9 of heart"),
        (["heart/x"], 2, "heart/x names no model: give MODEL, MODEL@ALIAS or MODEL/VERSION"),
        (["heart/1", "--context", "nobody"], 2, 'cannot get resource "services" in API group ""'),
        (["heart/1", "--context", "nowhere"], 4, "the context nowhere cannot be used"),
        (["heart/1", "--memory", "much"], 2, "memory is 'much': write it as Kubernetes does"),
    ],
)
def test_what_cannot_be_served_is_said(words: list[str], code: int, says: str, serve: Command) -> None:
    found, _, error = serve(*words)
    assert (found, says in error) == (code, True), error


def test_options_that_exclude_each_other(serve: Command) -> None:
    code, _, error = serve("heart", "--local", "--delete")
    assert (code, "give one of --local, --delete, --dry-run and --kserve" in error) == (2, True)
    code, _, error = serve("heart", "--tracking-uri", "sqlite:///nowhere.db")
    assert (code, "pods cannot read the store of this machine" in error) == (2, True)
