"""The wine example, run as a person runs it, against what scikit-learn says when it is asked plainly."""

import itertools
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
import sklearn
import yaml
from mlflow.entities import LoggedModel, Run
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score
from sklearn.model_selection import train_test_split

from tests.local.laptop import imported
from tests.support.command_line import call

EXAMPLE = Path(__file__).parents[2] / "examples" / "wine"
SEED = 7
PARENT = "mlflow.parentRunId"
# On this seed 15-none-2 and 15-none-3 are equally good, and neither the grid's first nor its last.
GRID: dict[str, list[int | None]] = {
    "n_estimators": [15, 2],
    "max_depth": [2, None],
    "min_samples_split": [2, 3],
}
BEST = {"n_estimators": 15, "max_depth": None, "min_samples_split": 2}
COMBINATIONS = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]


@dataclass(frozen=True)
class Plain:
    """A forest made without the example: what it predicts of which wines, and its metrics."""

    forest: RandomForestClassifier
    wines: pd.DataFrame
    classes: pd.Series
    predicted: np.ndarray
    metrics: dict[str, float]


def plain_forest(params: dict[str, int | None]) -> Plain:
    wines, classes = load_wine(return_X_y=True, as_frame=True)
    train, test, train_classes, test_classes = train_test_split(
        wines, classes, test_size=0.4, stratify=classes, random_state=SEED
    )
    forest = RandomForestClassifier(**params, random_state=SEED).fit(train, train_classes)
    predicted = forest.predict(test)
    metrics = {
        "accuracy": accuracy_score(test_classes, predicted),
        "f1_score": f1_score(test_classes, predicted, average="macro"),
        "precision": precision_score(test_classes, predicted, average="macro"),
        "recall": recall_score(test_classes, predicted, average="macro"),
    }
    return Plain(forest, test, test_classes, predicted, metrics)


@dataclass(frozen=True)
class Trained:
    """What a run of the example left behind."""

    output: str
    parent: Run
    children: list[Run]
    models: dict[str | None, LoggedModel]
    client: mlflow.MlflowClient

    def child(self, params: dict[str, int | None]) -> Run:
        """Return the one child with these parameters."""
        wanted = {name: str(value) for name, value in params.items()}
        (child,) = (run for run in self.children if wanted.items() <= run.data.params.items())
        return child

    def artifact(self, run: Run, name: str) -> bytes:
        """Return an artifact's content."""
        return Path(self.client.download_artifacts(run.info.run_id, name)).read_bytes()

    def table(self, run: Run, name: str, index: str) -> pd.DataFrame:
        """Return a CSV artifact."""
        return pd.read_csv(BytesIO(self.artifact(run, name)), index_col=index)


def train(*options: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the script; its store is a file in the folder, where MLflow then puts the artifacts too."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "MLFLOW_EXPERIMENT_NAME": "wine"}
    return subprocess.run(
        [sys.executable, EXAMPLE / "train.py", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("wine")
    result = train(
        "--n-estimators=15,2",
        "--max-depth=2,none",
        "--min-samples-split=2,3",
        f"--seed={SEED}",
        folder=folder,
    )
    assert result.returncode == 0, result.stderr
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    (parent,) = (run for run in client.search_runs(experiments) if PARENT not in run.data.tags)
    children = client.search_runs(experiments, f"tags.`{PARENT}` = '{parent.info.run_id}'")
    models = {model.source_run_id: model for model in client.search_logged_models(experiments)}
    assert client.get_experiment(parent.info.experiment_id).name == "wine"
    return Trained(result.stdout, parent, children, models, client)


def test_each_combination_is_one_finished_child(trained: Trained) -> None:
    wanted = [{name: str(value) for name, value in params.items()} for params in COMBINATIONS]
    logged = [{name: run.data.params[name] for name in GRID} for run in trained.children]
    assert sorted(logged, key=str) == sorted(wanted, key=str)
    assert {run.info.status for run in (trained.parent, *trained.children)} == {"FINISHED"}


@pytest.mark.parametrize("params", COMBINATIONS, ids=str)
def test_metrics_are_scikit_learns(trained: Trained, params: dict[str, int | None]) -> None:
    assert trained.child(params).data.metrics == plain_forest(params).metrics


@pytest.mark.parametrize("params", COMBINATIONS, ids=str)
def test_plots_come_with_their_data(trained: Trained, params: dict[str, int | None]) -> None:
    child, plain = trained.child(params), plain_forest(params)
    importance = trained.table(child, "feature_importance.csv", index="feature")["importance"]
    assert importance.is_monotonic_decreasing
    assert importance.to_dict() == pytest.approx(
        dict(zip(plain.wines.columns, plain.forest.feature_importances_, strict=True)), abs=1e-15
    )
    counts = trained.table(child, "confusion_matrix.csv", index="true class")
    assert counts.to_numpy().tolist() == confusion_matrix(plain.classes, plain.predicted).tolist()
    assert list(counts.columns) == list(counts.index) == ["class_0", "class_1", "class_2"]
    for name in ("feature_importance.png", "confusion_matrix.png"):
        assert trained.artifact(child, name).startswith(b"\x89PNG")


@pytest.mark.parametrize("params", COMBINATIONS, ids=str)
def test_model_can_be_loaded_and_predicts(trained: Trained, params: dict[str, int | None]) -> None:
    location = trained.models[trained.child(params).info.run_id].artifact_location
    plain, model = plain_forest(params), mlflow.pyfunc.load_model(location)
    assert model.predict(plain.wines).tolist() == plain.predicted.tolist()
    assert model.metadata.signature.inputs.input_names() == list(plain.wines.columns)
    assert len(model.metadata.signature.outputs) == 1
    pd.testing.assert_frame_equal(model.input_example, plain.wines.head(3).reset_index(drop=True))
    requirements = Path(location, "requirements.txt").read_text().split()
    assert {"mlflow==" + mlflow.__version__, "scikit-learn==" + sklearn.__version__} <= set(requirements)


def test_parent_names_the_best(trained: Trained) -> None:
    best, parent = trained.child(BEST), trained.parent
    assert parent.data.metrics == best.data.metrics
    assert parent.data.params == {
        "grid_n_estimators": "15,2",
        "grid_max_depth": "2,None",
        "grid_min_samples_split": "2,3",
        "random_state": str(SEED),
        **{f"best_{name}": str(value) for name, value in BEST.items()},
    }
    assert parent.data.tags["best_run_id"] == best.info.run_id
    assert parent.data.tags["mlflow.note.content"] == "Best of 8 by f1_score: forest-15-none-2"


def test_the_experiments_best_is_a_forest_with_its_model_and_not_the_grid(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = trained.client.tracking_uri
    found = json.loads(call(capsys, "best", "wine", "-m", "f1_score", "-o", "json", "--tracking-uri", uri).out)
    first, last = trained.child(BEST).info.run_id, trained.child({**BEST, "min_samples_split": 3}).info.run_id
    assert found["tied"] == [first, last]
    assert [run["runId"] for run in found["runs"][:3]] == [first, last, trained.parent.info.run_id]
    asked = call(capsys, "promote", found["runs"][0]["runId"], "--model", "wine", "--dry-run", "--tracking-uri", uri)
    assert asked.code == 0, asked.error


def test_output_is_a_line_a_forest_and_the_best_last(trained: Trained) -> None:
    lines = trained.output.splitlines()
    assert lines[0] == "8 forests, trained on 106 wines, judged on 72"
    assert lines[1].split() == [*GRID, "accuracy", "f1_score", "precision", "recall"]
    for line, params in zip(lines[2:-1], COMBINATIONS, strict=True):
        scores = (f"{value:.4f}" for value in plain_forest(params).metrics.values())
        assert line.split() == [*map(str, params.values()), *scores]
    best, parent = trained.child(BEST).info.run_id, trained.parent.info.run_id
    assert lines[-1] == f"Best of 8 by f1_score: forest-15-none-2, run {best}, under parent run {parent}"


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("--n-estimators=0", "'0' is not a whole number from 1"),
        ("--n-estimators=5,", "'' is not a whole number from 1"),
        ("--max-depth=deep", "'deep' is not a whole number from 1"),
        ("--min-samples-split=1", "'1' is not a whole number from 2"),
        ("--min-samples-split=none", "'none' is not a whole number from 2"),
        ("--seed=4294967296", "to 4294967295"),
        ("--learning-rate=1", "unrecognized arguments"),
    ],
)
def test_bad_arguments_are_refused_by_the_parser(
    example: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: str,
    complaint: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", option])
    with pytest.raises(SystemExit) as refusal:
        example.parse_arguments()
    assert refusal.value.code == 2
    assert complaint in capsys.readouterr().err


def test_bad_arguments_leave_no_run(tmp_path: Path) -> None:
    result = train("--seed=-1", folder=tmp_path)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("train.py: error: argument --seed: '-1'")
    assert not list(tmp_path.iterdir())


def test_manifest_says_what_the_script_does_by_default(
    example: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = yaml.safe_load((EXAMPLE / "trainingrun.yaml").read_text())["spec"]
    options = [
        re.sub(r"\$\(params\.(\w+)\)", lambda match: str(spec["parameters"][match[1]]), option)
        for option in spec["args"]
    ]
    monkeypatch.setattr(sys, "argv", ["train.py"])
    defaults = example.parse_arguments()
    monkeypatch.setattr(sys, "argv", ["train.py", *options])
    assert example.parse_arguments() == defaults
    assert spec["parameters"].keys() == vars(defaults).keys()


@pytest.fixture(scope="module")
def example() -> SimpleNamespace:
    return imported(EXAMPLE / "train.py")
