"""People with rights in one namespace or in all of an API server, and what two of these namespaces have."""

import base64
import http.client
import json
import re
import subprocess
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient

from runyard.explanation import Explanation
from tests.dashboard.bed import FIRST_MS, MINUTE_MS, Answer, Dashboard
from tests.dashboard.test_changes import with_model
from tests.support.apiserver import ApiServer
from tests.support.mlflow_server import MlflowRest

RBAC = "rbac.authorization.k8s.io"
# What is in all that the other team has, and in nothing else.
THEIRS, VALUE = "bravo", 0.8765432109
# As long as that, and in nothing at all.
NOWHERE = "zulux"
OWN = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Team:
    """What a namespace has, in Kubernetes and in MLflow.

    Attributes:
        namespace: its name.
        word: that is in the names of all that it has.
        runs: IDs of its runs by what they are.
        uid: of its TrainingRun.

    """

    namespace: str
    word: str
    runs: dict[str, str] = field(default_factory=dict)
    uid: str = ""


def ask(
    site: Dashboard,
    path: str,
    token: str = "",
    query: Any = (),
    method: str = "GET",
    fields: dict[str, str] | None = None,
    **headers: str,
) -> Answer:
    """Send a request, and follow nothing. Of a stream the first event is read."""
    at = urllib.parse.urlsplit(site.url)
    connection = http.client.HTTPConnection(str(at.hostname), at.port, timeout=60)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        sent["Authorization"] = f"Bearer {token}"
    body = None
    if fields is not None:
        sent |= {"Content-Type": "application/x-www-form-urlencoded", **OWN}
        body = urllib.parse.urlencode(fields)
    asked = urllib.parse.urlencode(query, doseq=True)
    connection.request(method, f"{at.path}{path}{'?' if asked else ''}{asked}", body, sent)
    answer = connection.getresponse()
    is_stream = answer.headers.get_content_type() == "text/event-stream"
    content = answer.fp.readline() + answer.fp.readline() + answer.fp.readline() if is_stream else answer.read()
    connection.close()
    return Answer(answer.status, dict(answer.headers), content)


def bind(server: ApiServer, name: str, home: str, where: str | None, rules: list[dict[str, Any]]) -> str:
    """Make a service account with rights in a namespace, or in all; return a token of it."""
    server.api.create(home, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
    kind = "ClusterRole" if where is None else "Role"
    common = {"apiVersion": f"{RBAC}/v1", "metadata": {"name": name}}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": home}
    role = {"apiGroup": RBAC, "kind": kind, "name": name}
    server.api.create(where or "", {**common, "kind": kind, "rules": rules})
    server.api.create(where or "", {**common, "kind": f"{kind}Binding", "roleRef": role, "subjects": [subject]})
    return token_of(server, home, name)


def token_of(server: ApiServer, home: str, name: str) -> str:
    """Ask for a token of a service account, as `kubectl create token` does."""
    path = f"/api/v1/namespaces/{home}/serviceaccounts/{name}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    return str(server.api.call("POST", path, body)["status"]["token"])


def signed(server: ApiServer, token: str, seconds: int) -> str:
    """Return a token like another one that expires so many seconds from now, signed with the API server's own key."""
    head, claims = (json.loads(_plain(part)) for part in token.split(".")[:2])
    now = int(time.time())
    claims = {**claims, "iat": now - 7200, "nbf": now - 7200, "exp": now + seconds}
    text = ".".join(_coded(json.dumps(part).encode()) for part in (head, claims))
    key = server.kubeconfig.parent / "service-account.pem"
    made = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", str(key)], input=text.encode(), capture_output=True, check=True
    )
    return f"{text}.{_coded(made.stdout)}"


def _plain(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _coded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def team(server: ApiServer, mlflow: MlflowRest, namespace: str, word: str, value: float, scratch: Path) -> Team:
    """Log runs of a namespace, with a model, a sweep, a child and a TrainingRun; all have a word in their names."""
    client = MlflowClient(mlflow.url)
    found = Team(namespace, word)
    experiment = client.create_experiment(f"{word}-experiment")
    tags = {"runyard.dev/namespace": namespace, "runyard.dev/name": f"{word}-training"}
    first = with_model(mlflow, f"{word}-first", value, experiment)
    second = client.create_run(experiment, start_time=FIRST_MS, run_name=f"{word}-second").info.run_id
    for run_id in (first, second):
        for name, text in {**tags, f"{word}-tag": f"{word}-text", "runyard.dev/fingerprint": f"{word}-print"}.items():
            client.set_tag(run_id, name, text)
        client.log_param(run_id, f"{word}_param", f"{word}-setting")
        for step in range(3):
            client.log_metric(run_id, f"{word}_metric", value / (step + 1), step=step)
        client.log_metric(run_id, f"fairness.{word}.selection_rate_difference", value)
        client.log_text(run_id, f"{word} wrote this", f"{word}-notes.txt")
        client.log_text(
            run_id,
            f"class,false_positive_rate,true_positive_rate\n{word},0,{value}\n{word},1,1\n",
            "evaluation/roc_curve.csv",
        )
        client.log_text(run_id, f"group,count,selection_rate\n{word},9,{value}\n", f"evaluation/fairness_{word}.csv")
        client.log_text(run_id, f"{word} printed this", f"runyard/log-{word}-pod.txt")
        _explained(client, run_id, word, value, scratch)
    client.set_terminated(second, "FINISHED", FIRST_MS + MINUTE_MS)
    # What a script began below a run of its own, and what a sweep's runs are below, has other tags.
    child = client.create_run(experiment, run_name=f"{word}-child", tags={"mlflow.parentRunId": second}).info.run_id
    client.log_metric(child, f"{word}_metric", value)
    sweep = client.create_run(
        experiment, run_name=f"{word}-sweep", tags={"runyard.dev/sweep-namespace": namespace}
    ).info.run_id
    model = f"{word}-model"
    client.create_registered_model(model)
    version = client.create_model_version(model, f"runs:/{first}/model", first).version
    client.set_registered_model_alias(model, "champion", version)
    client.set_model_version_tag(model, version, "runyard.dev/promoted-because", f"{word} is best with {value}")
    # One that several have versions of.
    if not client.search_registered_models("name = 'common'"):
        client.create_registered_model("common")
    shared = client.create_model_version("common", f"runs:/{second}/model", second).version
    client.set_registered_model_alias("common", word, shared)
    found.runs = {"first": first, "second": second, "child": child, "sweep": sweep}
    body = {
        "apiVersion": "runyard.dev/v1alpha1",
        "kind": "TrainingRun",
        "metadata": {"name": f"{word}-training"},
        "spec": {"image": f"{word}/image:1", "experiment": f"{word}-experiment"},
    }
    found.uid = server.api.create(namespace, body)["metadata"]["uid"]
    attempt = {
        "pod": f"{word}-pod",
        "uid": f"{word}-uid",
        "outcome": "Running",
        "startedAt": "2026-01-02T03:04:05Z",
        "recordedAt": "2026-01-02T03:04:05Z",
        "runId": first,
    }
    status = {"phase": "Running", "message": f"{word} goes on", "attempts": [attempt], "tracking": {"runId": first}}
    server.api.patch("trainingrun", namespace, f"{word}-training", {"status": status}, "status")
    return found


def _explained(client: MlflowClient, run_id: str, word: str, value: float, scratch: Path) -> None:
    found = Explanation(
        shap_values=np.full((2, 2, 1), value / 2),
        base_values=np.zeros((2, 1)),
        outputs=np.full((2, 1), value),
        data=np.full((2, 2), value),
        features=[f"{word}_feature", "other"],
        output_names=["yes"],
        rows=["1", "2"],
        places=[0, 1],
        unit="probability",
        explainer="exact",
        left_out=0,
    )
    file = scratch / "shap.npz"
    file.write_bytes(found.to_bytes())
    client.log_artifact(run_id, str(file), "evaluation")


def nowhere(theirs: Team) -> Team:
    """Return what is as theirs is, and does not exist."""
    runs = {name: f"{number:032x}" for number, name in enumerate(theirs.runs, 0xABCDEF)}
    return Team("team-z", NOWHERE, runs, theirs.uid)


def plain(answer: Answer, asked: Team) -> str:
    """Return an answer without what it was asked for, and without times."""
    text = answer.text
    for place, value in enumerate([*asked.runs.values(), asked.word, asked.namespace]):
        text = text.replace(value, f"<{place}>")
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:[\d.]+)?(Z|\+00:00| UTC)?", "<time>", text)
    return re.sub(r'name="token" value="[^"]*"', "<token>", text)


def difference(one: str, other: str) -> str:
    """Return where two texts begin to differ."""
    place = next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    return f"{one[max(0, place - 100) : place + 100]} | {other[max(0, place - 100) : place + 100]}"
