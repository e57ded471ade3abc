"""The examples with PyTorch on the cluster, from their own image: only where it was loaded, by `make test-heavy`."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.commands.test_serving import predicted, runyard
from tests.cluster.training import Trainings, condition
from tests.support.mlflow_server import tags_of
from tests.support.waiting import wait_for

__all__ = ["runyard"]  # a fixture

pytestmark = pytest.mark.heavy

EXAMPLES = Path(__file__).parents[3] / "examples"
IMAGE = "runyard/pytorch:0.1.0"
# The training's process, told apart by its script, is killed from inside its pod.
KILLS = """
import os, pathlib, signal
for found in pathlib.Path("/proc").glob("[0-9]*"):
    if b"train.py" in (found / "cmdline").read_bytes().split(b"\\0"):
        os.kill(int(found.name), signal.SIGKILL)
"""


def example(path: str, **parameters: Any) -> dict[str, Any]:
    """Return an example's manifest, with other parameters."""
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / path).read_text())
    found["spec"]["parameters"].update(parameters)
    return found


def test_a_training_that_was_killed_goes_on_from_its_checkpoint_and_is_served(
    trainings: Trainings, runyard: Any
) -> None:
    model = f"sentiment in {trainings.kubectl.namespace}"
    wanted = example("sentiment/two-layers.yaml", epochs=40)
    wanted["spec"]["promote"]["model"] = model
    trainings.kubectl.apply(wanted)
    name = wanted["metadata"]["name"]

    def kept() -> bool:
        run_id = trainings.status(name).get("tracking", {}).get("runId")
        return bool(run_id) and int(tags_of(trainings.mlflow.run(run_id)).get("checkpoint_epoch", 0)) >= 2

    wait_for("two epochs are kept", kept, timeout_seconds=300)
    [pod] = trainings.kubectl.items("pods", f"runyard.dev/uid={trainings.uid(name)}")
    # How this ends is not looked at: the container's end may take it along. That the training was killed is seen below.
    trainings.kubectl.attempt("exec", pod["metadata"]["name"], "--container=training", "--", "python", "-c", KILLS)

    done = trainings.finish(name, timeout_seconds=600)
    assert [(each["reason"], each["exitCode"]) for each in done.status["attempts"]] == [
        ("Error", 137),
        ("Completed", 0),
    ]
    assert "goes on after epoch " in done.log(done.status["attempts"][1])
    [run] = done.runs
    assert run["info"]["status"] == "FINISHED"
    assert tags_of(run)["checkpoint_epoch"] == "40"
    wait_for("it is promoted", lambda: condition(trainings.status(name), "Promoted")["status"] == "True", 60)

    where = ("-n", str(trainings.kubectl.namespace), "--image", IMAGE, "--memory", "2Gi", "--cpu", "100m")
    code, out, error = runyard("serve", model, *where, "-o", "json")
    assert code == 0, error
    found = json.loads(out)
    answers = predicted(trainings, found["name"], found["curl"])
    assert {answer["label"] for answer in answers} <= {"praise", "complaint"}
    assert runyard("serve", model, "-n", str(trainings.kubectl.namespace), "--delete")[0] == 0


def test_two_workers_train_together_in_one_run(trainings: Trainings) -> None:
    wanted = example("distributed/trainingrun.yaml")
    trainings.kubectl.apply(wanted)
    done = trainings.finish(wanted["metadata"]["name"], timeout_seconds=600)

    assert (done.status["phase"], done.job_condition) == ("Succeeded", "Complete")
    assert {(each["worker"], each["reason"]) for each in done.status["attempts"]} == {
        (0, "Completed"),
        (1, "Completed"),
    }
    [run] = done.runs
    assert run["info"]["status"] == "FINISHED"
    metrics = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
    assert {"seconds/rank_0", "seconds/rank_1", "train_loss", "val_accuracy"} <= metrics.keys()
    assert metrics["accuracy"] > 0.95
    for attempt in done.status["attempts"]:
        assert f"worker {attempt['worker']} of 2: trained on 1347 pictures" in done.log(attempt)
