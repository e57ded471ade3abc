"""What `make demo` runs, as it runs it: the wine example's own manifest, on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

from mlflow import MlflowClient

EXAMPLE = Path(__file__).parents[2] / "examples" / "wine"
METRICS = {"accuracy", "f1_score", "precision", "recall"}


def test_the_example_trains_on_this_machine(tmp_path: Path) -> None:
    there_before = sorted(EXAMPLE.iterdir())
    manifest = EXAMPLE / "trainingrun.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "runyard", "run", str(manifest), "-o", "json"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)["status"]
    client = MlflowClient(f"sqlite:///{tmp_path / '.runyard' / 'mlflow.db'}")
    parent = client.get_run(status["tracking"]["runId"])
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'", max_results=100
    )
    assert client.get_experiment(parent.info.experiment_id).name == "wine"
    assert len(children) == 3 * 2 * 2
    assert {run.info.status for run in [parent, *children]} == {"FINISHED"}
    assert all(run.data.metrics.keys() >= METRICS for run in children)
    assert [path.name for path in tmp_path.iterdir()] == [".runyard"]
    assert sorted(EXAMPLE.iterdir()) == there_before
