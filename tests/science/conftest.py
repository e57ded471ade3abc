"""An MLflow store for each test, and models that were trained once."""

from pathlib import Path

import matplotlib as mpl
import mlflow
import pytest

from tests.support.mlflow_store import make_store

mpl.use("Agg")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> mlflow.MlflowClient:
    """A person's store, in a folder of its own; nothing of this machine's environment reaches it."""
    monkeypatch.chdir(tmp_path)
    make_store(tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    client = mlflow.MlflowClient(uri)
    client.create_experiment("science", artifact_location=(tmp_path / "artifacts").as_uri())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "science")
    mlflow.set_tracking_uri(uri)
    return client
