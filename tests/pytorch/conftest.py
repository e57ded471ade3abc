"""One interpreter that has imported PyTorch, from which every script of this folder is forked; and a person's store.

Nothing here imports PyTorch itself: the environment of all other tests has none.
"""

import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from runyard import local
from tests.local.laptop import Laptop
from tests.pytorch.hub import Hub, hub
from tests.support.forks import TRAINING, Interpreter, Process
from tests.support.mlflow_store import make_store

EXAMPLES = Path(__file__).parents[2] / "examples"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.pytorch)


@dataclass(frozen=True)
class Scripts:
    """Scripts that run as in pods: with a store, and with a run that was made for them."""

    interpreter: Interpreter
    client: MlflowClient
    environment: Mapping[str, str]
    folder: Path

    def start(self, file: Path, *arguments: str, folder: str = "", **environment: str) -> Process:
        """Start a script in a folder of its own."""
        place = self.folder / (folder or uuid.uuid4().hex)
        place.mkdir(exist_ok=True)
        return self.interpreter.start(file, {**self.environment, **environment}, *arguments, folder=place)

    def parsed(self, script: Path, *lists: list[str], **environment: str) -> list[dict[str, Any]]:
        """Return what a script makes of each list of arguments: by name, or `code` and what it `said` last."""
        process = self.start(Path(__file__).parent / "parsed.py", str(script), json.dumps(lists), **environment)
        assert process.wait() == 0, process.said
        found: list[dict[str, Any]] = json.loads(process.said)
        return found

    def assigned(self, experiment: str = "assigned") -> str:
        """Make the run that all attempts of a training share; return its ID."""
        return str(self.client.create_run(self.experiment(experiment)).info.run_id)

    def experiment(self, name: str) -> str:
        """Return an experiment's ID."""
        [found] = self.client.search_experiments(filter_string=f"name = '{name}'")
        return str(found.experiment_id)

    def named(self, experiment: str, name: str) -> Run | None:
        """Return the newest run of a name, if there is one."""
        found = self.client.search_runs([self.experiment(experiment)], f"attributes.run_name = '{name}'")
        return found[0] if found else None

    def run(self, run_id: str) -> Run:
        return self.client.get_run(run_id)

    def artifact(self, run_id: str, name: str) -> bytes:
        return Path(self.client.download_artifacts(run_id, name)).read_bytes()

    def history(self, run_id: str) -> dict[str, dict[int, float]]:
        """Return each metric's values by step; a step that was logged twice has one value."""
        found: dict[str, dict[int, float]] = {}
        for name in self.run(run_id).data.metrics:
            for metric in self.client.get_metric_history(run_id, name):
                assert found.setdefault(name, {}).setdefault(metric.step, metric.value) == metric.value, metric
        return found

    def model(self, run_id: str) -> Path:
        """Return the folder of the last model that a run logged."""
        experiment = self.run(run_id).info.experiment_id
        models = self.client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'")
        return Path(str(max(models, key=lambda model: model.creation_timestamp).artifact_location))


def parameters_of(manifest: Path) -> dict[str, str | float]:
    """Return a manifest's parameters."""
    found: dict[str, str | float] = yaml.safe_load(manifest.read_text())["spec"]["parameters"]
    return found


def arguments_of(manifest: Path) -> list[str]:
    """Return the arguments that a manifest gives its script."""
    given = parameters_of(manifest)
    spec = yaml.safe_load(manifest.read_text())["spec"]
    return [re.sub(r"\$\(params\.(\w+)\)", lambda found: str(given[found[1]]), option) for option in spec["args"]]


@pytest.fixture(scope="session")
def model_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """The hub of this session, which has bert.yaml's model at its commit, once a test has put it there."""
    wanted = parameters_of(EXAMPLES / "sentiment" / "bert.yaml")
    with hub(tmp_path_factory.mktemp("hub"), str(wanted["model"]), str(wanted["revision"])) as found:
        yield found


@pytest.fixture(scope="session")
def interpreter(model_hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interpreter]:
    environment = {
        "OMP_NUM_THREADS": "1",
        "HF_ENDPOINT": model_hub.address,
        "HF_HOME": str(tmp_path_factory.mktemp("huggingface")),
    }
    with Interpreter((*TRAINING, "tests.pytorch.warm"), environment) as found:
        yield found


@pytest.fixture(scope="session")
def laptop(interpreter: Interpreter, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """A person's machine, with one store for all tests."""
    folder = tmp_path_factory.mktemp("laptop")
    found = Laptop(folder / "project", folder / "here" / ".runyard", folder / "here", interpreter)
    found.here.mkdir()
    make_store(local.Embedded(found.store).database)
    store = local.Embedded(found.store).open()
    for experiment in ("assigned", "sentiment", "digits"):
        store.ensure_experiment(experiment)
    return found


@pytest.fixture(scope="session")
def scripts(interpreter: Interpreter, laptop: Laptop, tmp_path_factory: pytest.TempPathFactory) -> Scripts:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "HF_"))},
        "MLFLOW_TRACKING_URI": local.Embedded(laptop.store).uri,
        "MLFLOW_EXPERIMENT_NAME": "assigned",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    return Scripts(interpreter, laptop.client, environment, tmp_path_factory.mktemp("scripts"))
