"""`runyard run` promotes, and takes a result that is there, as the operator does."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from runyard.api.outcome import Condition
from runyard.api.trainingrun import TrainingRun
from tests.local.laptop import Laptop

pytestmark = pytest.mark.usefixtures("environment")

PINNED: dict[str, Any] = {"image": f"example/wine@sha256:{'0' * 64}", "onDuplicate": "Reuse"}
SCRIPT = """
    import mlflow
    from mlflow.entities import LoggedModelOutput
    with mlflow.start_run() as run:
        mlflow.log_metric("f1", 0.9)
        client = mlflow.MlflowClient()
        model = client.create_logged_model(run.info.experiment_id, "model", run.info.run_id)
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, 0)])
"""


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def promoted(found: TrainingRun) -> Condition:
    said = found.status.condition("Promoted")
    assert said is not None
    return said


def test_a_training_is_promoted_reused_and_trained_anew_when_its_code_changes(laptop: Laptop) -> None:
    (laptop.project / "train.py").write_text("")
    git(laptop.project, "init", "-q")
    git(laptop.project, "add", "-A")
    git(laptop.project, "commit", "-qm", "begin")
    spec = {**PINNED, "promote": {"model": "wine", "when": "metrics.f1 > 0.7", "betterThan": "champion"}}

    first = laptop.run(SCRIPT, **spec)

    assert first.status.tracking is not None
    because = "metrics.f1 > 0.7 holds: f1 is 0.9; wine has no champion yet"
    assert promoted(first).message == f"version 1 of wine is the champion: {because}"
    [run] = laptop.runs()
    assert run.data.tags["runyard.dev/manifest-fingerprint"] == first.status.fingerprint
    assert run.data.tags["runyard.dev/promoted-to"] == "wine@champion"

    again = laptop.run(SCRIPT, **spec)

    assert len(laptop.runs()) == 1
    succeeded = again.status.condition("Succeeded")
    assert succeeded is not None
    assert (succeeded.reason, again.status.attempts) == ("Reused", [])
    assert again.status.reused_from is not None
    assert (again.status.reused_from.run_id, again.status.reused_from.name) == (run.info.run_id, "wine")
    assert (again.status.metrics, again.status.tracking) == ({"f1": "0.9"}, first.status.tracking)
    assert promoted(again).status == "True"

    other = laptop.run("", **spec)

    assert other.status.reused_from is None
    assert len(laptop.runs()) == 2
    assert promoted(other).reason == "ModelMissing"


def test_code_in_no_commit_is_trained_each_time_unless_an_operator_did(laptop: Laptop) -> None:
    said: list[bytes] = []
    for _ in range(2):
        assert laptop.run("", said.append, **PINNED).status.reused_from is None
    assert f"no training of this machine is reused: the code in {laptop.project} is in no commit" in said[0].decode()
    _, second = laptop.runs()
    laptop.client.set_tag(second.info.run_id, "runyard.dev/installation", "a cluster")
    found = laptop.run("raise SystemExit('it is trained again')", said.append, **PINNED)
    assert len(laptop.runs()) == 2
    assert found.status.reused_from is not None
    assert found.status.reused_from.run_id == second.info.run_id


def test_a_failure_promotes_nothing_and_its_exit_code_stays(laptop: Laptop) -> None:
    file = laptop.write("raise SystemExit(3)", promote={"model": "wine"})
    code, out, _ = laptop.cli("run", file, "--store", laptop.store)
    assert code == 1
    assert "Not promoted (TrainingFailed): the training did not succeed: Error\n" in out
