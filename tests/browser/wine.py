"""What MLflow's REST API says of the wine TrainingRun; the pages must then show the same."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, urlsplit

from tests.support.waiting import wait_for

METRICS = ("accuracy", "f1_score", "precision", "recall")


@dataclass(frozen=True)
class Run:
    """An MLflow run."""

    id: str
    experiment_id: str
    name: str
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def page(self) -> str:
        """Where its page is; without the workflow type MLflow opens as it does for GenAI."""
        return f"/#/experiments/{self.experiment_id}/runs/{self.id}?workflowType=machine_learning"


@dataclass(frozen=True)
class WineRuns:
    """The runs of the latest wine TrainingRun."""

    parent: Run
    children: tuple[Run, ...]


def wine_runs(mlflow_url: str) -> WineRuns:
    """Wait until the latest TrainingRun named wine-forest has its outcome, and return its runs."""
    experiment = _ask(mlflow_url, f"experiments/get-by-name?experiment_name={quote('wine')}")
    experiment_id = experiment["experiment"]["experiment_id"]

    def ended() -> WineRuns | None:
        runs = _search(mlflow_url, experiment_id, "tags.`runyard.dev/name` = 'wine-forest'")
        parent = next((run for run in runs if "mlflow.parentRunId" not in run.tags), None)
        if parent is None or "runyard.dev/outcome" not in parent.tags:
            return None
        return WineRuns(parent, tuple(run for run in runs if run.tags.get("mlflow.parentRunId") == parent.id))

    return wait_for(f"a run of wine-forest with its outcome, at {mlflow_url}", ended, timeout_seconds=180)


def _search(mlflow_url: str, experiment_id: str, condition: str) -> list[Run]:
    query = {
        "experiment_ids": [experiment_id],
        "filter": condition,
        "order_by": ["attributes.start_time DESC"],
        "max_results": 1000,
    }
    return [_run(each) for each in _ask(mlflow_url, "runs/search", query).get("runs", [])]


def _run(answer: dict[str, Any]) -> Run:
    info, data = answer["info"], answer["data"]
    metrics, params, tags = (
        {item["key"]: item["value"] for item in data.get(kind, [])} for kind in ("metrics", "params", "tags")
    )
    return Run(info["run_id"], info["experiment_id"], info["run_name"], metrics, params, tags)


def _ask(mlflow_url: str, path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
    url = urlsplit(mlflow_url)
    host = url.hostname or ""
    # Browsers know that *.localhost is this machine; the C library does not.
    address = "127.0.0.1" if host.endswith(".localhost") else host
    connection = HTTPConnection(address, url.port or 80, timeout=30)
    try:
        connection.request(
            "GET" if body is None else "POST",
            f"/api/2.0/mlflow/{path}",
            body=None if body is None else json.dumps(body),
            headers={"Host": url.netloc, "Content-Type": "application/json"},
        )
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    if response.status != HTTPStatus.OK:
        raise ConnectionError(f"{mlflow_url} answered {path} with {response.status}: {text[:500]}")
    answer: dict[str, Any] = json.loads(text)
    return answer
