"""An empty MLflow store: MLflow takes seconds of a processor to make one, by dozens of migrations."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from tests.support.programs import CACHE


def make_store(file: Path) -> None:
    """Lay down what MLflow makes of an SQLite file that is not there, without experiments: those it adds itself."""
    made = CACHE / "stores" / f"mlflow-{version('mlflow')}.db"
    if not made.exists():
        _make(made)
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made, file)


def _make(made: Path) -> None:
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made.parent) as scratch:
        file = Path(scratch) / "mlflow.db"
        script = "import mlflow, sys; mlflow.MlflowClient(sys.argv[1]).search_experiments()"
        uri = f"sqlite:///{file}"
        subprocess.run(
            [sys.executable, "-c", script, uri], cwd=scratch, check=True, capture_output=True, env=_environment()
        )
        with closing(sqlite3.connect(file)) as connection, connection:
            # The default one is where this folder was.
            connection.execute("DELETE FROM experiments")
        file.replace(made)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
