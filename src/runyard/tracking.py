"""MLflow as the local runner uses it, through MLflow's own client."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from runyard.api.records import POD_TAG, Correction, Run, RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

# MLflow 3.17 has no public setting for where a database without a server keeps the artifacts of experiments that
# a script makes; without this they are in ./mlruns of whichever process made the experiment.
ARTIFACT_ROOT_VARIABLE = "_MLFLOW_SERVER_ARTIFACT_ROOT"


class Store:
    """Runs in an MLflow server or database."""

    def __init__(self, uri: str, artifact_root: Path | None = None) -> None:
        """Open the store; an SQLite database that is not there is made, with its artifacts below `artifact_root`."""
        if artifact_root is not None:
            os.environ[ARTIFACT_ROOT_VARIABLE] = str(artifact_root)
        # Importing MLflow takes seconds, which a command that refuses a manifest should not cost.
        from mlflow import MlflowClient

        self._client: MlflowClient = MlflowClient(tracking_uri=uri)

    def ensure_experiment(self, name: str) -> str:
        """Return the experiment's ID; create it if it is not there."""
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))

    def runs_of_pod(self, pod_uid: str) -> list[Run]:
        """Find the runs of an attempt, in whichever experiments they are."""
        experiments = [found.experiment_id for found in self._client.search_experiments()]
        found = self._client.search_runs(experiments, f"tags.`{POD_TAG}` = '{pod_uid}'", max_results=10_000)
        return [_plain(run) for run in found]

    def create_run(self, experiment_id: str, name: str, tags: Mapping[str, str], started_at: datetime) -> Run:
        """Create a run."""
        start_ms = int(started_at.timestamp() * 1000)
        return _plain(self._client.create_run(experiment_id, start_ms, dict(tags), name))

    def upload(self, run: Run, path: str, content: bytes) -> None:
        """Store an artifact of a run."""
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / Path(path).name
            file.write_bytes(content)
            self._client.log_artifact(run.id, str(file), str(Path(path).parent))

    def apply(self, corrections: Sequence[Correction]) -> None:
        """Make runs say what they should."""
        for correction in corrections:
            for key, value in correction.new_tags.items():
                self._client.set_tag(correction.run.id, key, value)
            if correction.changes_status:
                self._client.set_terminated(correction.run.id, correction.status.value, correction.end_time_ms)


def _plain(run: MlflowRun) -> Run:
    info = run.info
    return Run(
        info.run_id,
        info.experiment_id,
        RunStatus(info.status),
        info.start_time,
        info.artifact_uri,
        dict(run.data.tags),
        dict(run.data.metrics),
    )
