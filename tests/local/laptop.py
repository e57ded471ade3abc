"""A person's machine: a project, a store, and `runyard run` in it."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from runpy import run_path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from runyard import local
from runyard.api.trainingrun import TrainingRun
from tests.support.factories import manifest
from tests.support.forks import Interpreter

LEAVES_ITS_RUN_OPEN = """
    import mlflow, os
    mlflow.start_run()
    mlflow.log_metric("f1", 0.1 + 0.2)
    mlflow.log_text("hello", "greeting.txt")
"""


@dataclass(frozen=True)
class Laptop:
    """A folder with a manifest and its script, a store, and the folder that a person is in."""

    project: Path
    store: Path
    here: Path
    interpreter: Interpreter

    def write(self, script: str, **spec: Any) -> Path:
        """Write a script and the manifest that runs it; return the manifest's path."""
        (self.project / "train.py").write_text(textwrap.dedent(script), encoding="utf-8")
        file = self.project / "trainingrun.yaml"
        file.write_text(yaml.safe_dump(manifest(**{"experiment": "wines"} | spec)), encoding="utf-8")
        return file

    def run(self, script: str = "", echo: Callable[[bytes], None] = lambda _: None, **spec: Any) -> TrainingRun:
        """Run a script as the library does."""
        self.write(script)
        wanted = TrainingRun.model_validate(manifest(**{"experiment": "wines"} | spec))
        return local.run(wanted, self.project, local.Embedded(self.store), echo)

    def command(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start the command line, from the folder that a person is in, for a test that meets it while it runs."""
        command = [sys.executable, "-m", "runyard", *map(str, arguments)]
        return subprocess.Popen(command, cwd=self.here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def cli(self, *arguments: str | Path) -> tuple[int, str, str]:
        """Run the command line to its end; return its exit code and what it printed."""
        with TemporaryDirectory() as said:
            words = [str(argument) for argument in arguments]
            process = self.interpreter.start_module("runyard", words, self.here, Path(said))
            code = process.wait()
            return code, process.said, process.errors.read_text()

    @property
    def client(self) -> MlflowClient:
        """MLflow's own view of the store."""
        return MlflowClient(f"sqlite:///{self.store / 'mlflow.db'}")

    def runs(self) -> list[Run]:
        """Return all runs, the oldest first."""
        experiments = [found.experiment_id for found in self.client.search_experiments()]
        return list(self.client.search_runs(experiments, order_by=["attributes.start_time ASC"]))

    def log_of(self, run: Run, pod: str = "wine-1") -> bytes:
        """Return a run's log artifact."""
        return Path(self.client.download_artifacts(run.info.run_id, f"runyard/log-{pod}.txt")).read_bytes()


def ends(found: TrainingRun) -> list[tuple[Any, ...]]:
    """Return how each attempt ended: outcome, reason, exit code."""
    return [(attempt.outcome, attempt.reason, attempt.exit_code) for attempt in found.status.attempts]


def statuses(runs: list[Run]) -> list[str]:
    """Return what MLflow says of each run."""
    return [run.info.status for run in runs]


def imported(script: Path) -> SimpleNamespace:
    """Give an example's functions, to be called without a process and its imports each."""
    return SimpleNamespace(**run_path(str(script), run_name=script.stem))
