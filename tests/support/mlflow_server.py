"""A real MLflow server on this machine, on SQLite, with its artifacts proxied as in the cluster."""

import json
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.apiserver import free_port, running
from tests.support.mlflow_store import make_store
from tests.support.waiting import wait_for


@dataclass(frozen=True)
class MlflowRest:
    """An MLflow server, asked over REST as any client could."""

    url: str

    def call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """POST a body, or GET without one."""
        data = None if body is None else json.dumps(body).encode()
        found: dict[str, Any] = json.loads(self._read(f"api/2.0/{path}", data))
        return found

    def run(self, run_id: str) -> dict[str, Any]:
        """Read a run."""
        found: dict[str, Any] = self.call(f"mlflow/runs/get?run_id={run_id}")["run"]
        return found

    def runs(self, expression: str = "") -> list[dict[str, Any]]:
        """Search in all experiments."""
        experiments = self.call("mlflow/experiments/search", {"max_results": 1000})["experiments"]
        body = {
            "experiment_ids": [found["experiment_id"] for found in experiments],
            "filter": expression,
            "max_results": 1000,
        }
        found: list[dict[str, Any]] = self.call("mlflow/runs/search", body).get("runs", [])
        return found

    def artifact(self, run: dict[str, Any], path: str) -> bytes:
        """Read an artifact through the proxy."""
        root = run["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
        return self._read(f"api/2.0/mlflow-artifacts/artifacts/{urllib.parse.quote(f'{root}/{path}')}")

    def record(self, uid: str) -> dict[str, Any]:
        """Return all that there is of a TrainingRun, by run: how it ended, its tags, its files."""
        found = self.runs(f"tags.`runyard.dev/uid` = '{uid}'")
        return {run["info"]["run_id"]: (run["info"], tags_of(run), self._files(run)) for run in found}

    def _files(self, run: dict[str, Any]) -> dict[str, bytes]:
        place = f"mlflow/artifacts/list?run_id={run['info']['run_id']}&path=runyard"
        paths = [file["path"] for file in self.call(place).get("files", [])]
        return {path: self.artifact(run, path) for path in paths}

    def is_up(self) -> bool:
        """Whether the server answers."""
        try:
            return self._read("health") == b"OK"
        except OSError:
            return False

    def _read(self, path: str, data: bytes | None = None) -> bytes:
        address = urllib.parse.urlsplit(self.url)
        host = address.hostname or ""
        # Every name below localhost is this machine (RFC 6761), which not every resolver knows.
        reached = "127.0.0.1" if host.endswith(".localhost") else host
        headers = {"Content-Type": "application/json", "Host": address.netloc}
        request = urllib.request.Request(  # noqa: S310
            f"{address.scheme}://{reached}:{address.port}/{path}", data=data, headers=headers
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            content: bytes = answer.read()
            return content


def tags_of(run: dict[str, Any]) -> dict[str, str]:
    """Return a run's tags by name."""
    return {tag["key"]: tag["value"] for tag in run["data"].get("tags", [])}


@contextmanager
def mlflow_server(port: int | None = None, home: Path | None = None, *flags: str) -> Iterator[MlflowRest]:
    """Start a server; with the same port and folder it comes back with what it held.

    Further flags are the server's, and come last, so that they win.
    """
    with tempfile.TemporaryDirectory(prefix="mlflow-") as scratch:
        folder = home or Path(scratch)
        if not (folder / "mlflow.db").exists():
            make_store(folder / "mlflow.db")
        server = MlflowRest(f"http://127.0.0.1:{port or free_port()}")
        command = [
            str(Path(sys.executable).parent / "mlflow"),
            "server",
            f"--backend-store-uri=sqlite:///{folder / 'mlflow.db'}",
            f"--artifacts-destination={folder / 'artifacts'}",
            f"--port={urllib.parse.urlparse(server.url).port}",
            "--workers=1",
            *flags,
        ]
        with running(command, folder / "server.log", {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}):
            wait_for("MLflow answers", server.is_up, timeout_seconds=180)
            yield server
