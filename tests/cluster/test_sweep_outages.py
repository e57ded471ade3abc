"""A sweep whose operator is taken away half-way."""

import pytest

from tests.cluster.installation import Installation
from tests.cluster.sweeping import sweep_through
from tests.cluster.training import RUNTIME, Trainings, assert_one_job

pytestmark = pytest.mark.outage
TRIALS = 40
# How many are done when the operator is killed, and again.
KILLED_AT = ((12, "operator"), (25, "operator"))
_LOGS = """
import mlflow, sys
with mlflow.start_run():
    mlflow.log_metric("score", float(sys.argv[1]))
"""


def test_forty_trials_are_each_tried_once(trainings: Trainings, installation: Installation) -> None:
    spec = {
        "template": {"image": RUNTIME, "command": ["python", "-c", _LOGS], "args": ["$(params.x)"]},
        "parameters": {"x": {"values": list(range(TRIALS))}},
        "parallelism": 4,
        "objective": {"metric": "score"},
    }
    found = sweep_through(KILLED_AT, trainings, installation, "forty", spec)
    assert found["trials"] == {"total": TRIALS, "running": 0, "succeeded": TRIALS, "failed": 0, "pruned": 0}
    assert float(found["best"]["value"]) == TRIALS - 1

    parent = found["tracking"]["runId"]
    runs = trainings.mlflow.runs(f"tags.`mlflow.parentRunId` = '{parent}'")
    assert len(runs) == TRIALS, "no run beside a trial's own"
    scores = [metric["value"] for run in runs for metric in run["data"]["metrics"] if metric["key"] == "score"]
    assert sorted(scores) == list(range(TRIALS)), "none twice, none left out"
    assert {run["info"]["status"] for run in runs} == {"FINISHED"}
    assert trainings.mlflow.run(parent)["info"]["status"] == "FINISHED"
    trials = [each for each in trainings.kubectl.items("trainingruns") if each["metadata"]["name"].startswith("forty-")]
    assert sorted(each["spec"]["parameters"]["x"] for each in trials) == list(range(TRIALS))
    jobs = [each for each in trainings.kubectl.items("jobs") if each["metadata"]["name"].startswith("forty-")]
    assert len(jobs) == TRIALS
    for each in trials:
        assert_one_job(trainings.timeline.wait_for_outcome(each["metadata"]["uid"]))
