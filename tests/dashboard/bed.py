"""An MLflow with runs that were really trained, and the dashboard as a person starts it."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mlflow import MlflowClient

from tests.support.mlflow_server import MlflowRest
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]
HEART = ROOT / "examples" / "heart"
MINUTE_MS = 60_000
FIRST_MS = 1_700_000_000_000
HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}'


@dataclass(frozen=True)
class Answer:
    """What the dashboard answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Dashboard:
    """One that runs."""

    url: str
    process: subprocess.Popen[str]

    def get(self, path: str, host: str | None = None, **query: Any) -> Answer:
        """GET a path, with what is asked; of a list each is asked."""
        asked = urllib.parse.urlencode({name.rstrip("_"): value for name, value in query.items()}, doseq=True)
        request = urllib.request.Request(f"{self.url}{path}{'?' if asked else ''}{asked}")  # noqa: S310
        if host:
            request.add_header("Host", host)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return Answer(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read())

    def api(self, path: str, **query: Any) -> Any:
        """GET a path of the API, which is to answer well."""
        answer = self.get(f"/api/v1{path}", **query)
        assert answer.status == 200, answer.text
        return answer.json()

    def figure(self, name: str, **query: Any) -> Any:
        """Return a figure of a comparison, once all that it is drawn of could be read in time."""

        def found() -> Any:
            answer = self.get(f"/api/v1/compare/figures/{name}", **query)
            assert answer.status in {200, 503}, answer.text
            return answer.json() if answer.status == 200 else None

        return wait_for(f"the figure {name}", found, timeout_seconds=60)


@contextmanager
def dashboard(
    tracking_uri: str, *flags: str, patience: str = "20", log: IO[bytes] | None = None, **variables: str
) -> Iterator[Dashboard]:
    """Start `runyard dashboard`, with variables of its own; it says where it is. What it logs goes into a file.

    It is patient, for a machine that does much else, unless the patience is empty: then it has its usual one.
    """
    command = [str(Path(sys.executable).parent / "runyard"), "dashboard", "--port=0", f"--tracking-uri={tracking_uri}"]
    if patience:
        command.append(f"--patience={patience}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")} | variables
    with subprocess.Popen(
        [*command, *flags], stdout=subprocess.PIPE, stderr=log, text=True, env=environment
    ) as process:
        assert process.stdout
        address = process.stdout.readline().strip().rstrip("/")
        try:
            yield Dashboard(address, process)
        finally:
            process.terminate()
            process.wait(30)


@dataclass(frozen=True)
class Past:
    """What was logged.

    Attributes:
        server: where.
        logistic, forest: runs of the heart example.
        slow, quick: runs of the experiment "curves", with losses step by step.
        failed: a run of "heart" whose pod was killed.
        hostile: a run whose name, parameters and tags are HTML.

    """

    server: MlflowRest
    logistic: str
    forest: str
    slow: str
    quick: str
    failed: str
    hostile: str


def past(server: MlflowRest) -> Past:
    """Train and log."""
    client = MlflowClient(server.url)
    # Who trains side by side would make it twice.
    heart = client.create_experiment("heart")
    trainings = [_train(server.url, "logistic"), _train(server.url, "forest", "--n-estimators=20")]
    for training in trainings:
        said, _ = training.communicate(timeout=600)
        assert training.returncode == 0, said
    ids = {run.info.run_name: run.info.run_id for run in client.search_runs([heart])}
    curves = client.create_experiment("curves")
    slow, quick = (_course(client, curves, name, rate) for name, rate in (("slow", 0.02), ("quick", 0.2)))
    failed = client.create_run(heart, start_time=FIRST_MS, run_name="killed").info.run_id
    client.log_metric(failed, "roc_auc", 0.999)
    client.set_tag(failed, "runyard.dev/outcome", "Failed")
    client.set_tag(failed, "runyard.dev/reason", "OOMKilled")
    client.set_terminated(failed, "FAILED", FIRST_MS + MINUTE_MS)
    return Past(server, ids["logistic"], ids["forest"], slow, quick, failed, _hostile(client))


def _train(url: str, model: str, *flags: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": url, "MLFLOW_EXPERIMENT_NAME": "heart"}
    command = [sys.executable, "train.py", f"--model={model}", *flags]
    return subprocess.Popen(
        command, cwd=HEART, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _course(client: MlflowClient, experiment: str, name: str, rate: float) -> str:
    made: str = client.create_run(experiment, start_time=FIRST_MS, run_name=name).info.run_id
    client.log_param(made, "rate", rate)
    for step in range(30):
        client.log_metric(made, "val_loss", (1 - rate) ** step, step=step, timestamp=FIRST_MS + step)
    client.set_terminated(made, "FINISHED", FIRST_MS + MINUTE_MS)
    return made


def _hostile(client: MlflowClient) -> str:
    experiment = client.create_experiment("hostile <b>&")
    made: str = client.create_run(experiment, start_time=FIRST_MS, run_name=HOSTILE).info.run_id
    client.log_param(made, "formula", "=HYPERLINK(1)")
    client.log_param(made, "long", "x" * 6000)
    client.log_metric(made, "not_a_number", float("nan"))
    client.log_metric(made, "endless", float("inf"))
    client.set_tag(made, "hostile", HOSTILE)
    client.set_tag(made, "long", "y" * 8000)
    client.log_text(made, "class,false_positive_rate\n1,2,3\n", "evaluation/roc_curve.csv")
    client.log_text(made, '"true",<img src=x>\n<script>alert(4)</script>,7\n', "evaluation/confusion_matrix.csv")
    client.log_text(made, "no archive", "evaluation/shap.npz")
    client.log_text(made, "[" * 5000, "evaluation/evaluation.json")
    client.log_text(made, "<script>alert(5)</script>", "<img src=x onerror=alert(6)>.html")
    client.set_terminated(made, "FINISHED", FIRST_MS + MINUTE_MS)
    return made
