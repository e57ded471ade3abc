"""A sweep that Optuna chooses, in the platform's Postgres, whose operator and database are taken away half-way."""

import json
from typing import Any

import pytest

from tests.cluster.installation import Installation
from tests.cluster.sweeping import sweep_through
from tests.cluster.training import RUNTIME, Trainings
from tests.support.waiting import wait_for

pytestmark = pytest.mark.outage
TRIALS = 40
# How many are done when something is killed, and what.
KILLED_AT = ((12, "operator"), (20, "postgres"), (30, "operator"))
# Patient with an MLflow that is without its database for a while.
_LOGS = """
import mlflow, sys
with mlflow.start_run():
    mlflow.log_metric("score", -((float(sys.argv[1]) - 0.3) ** 2))
"""
_STUDY = """
SET search_path TO runyard_optuna;
SELECT json_agg(json_build_object('index', number, 'state', state, 'x', param_value, 'value', value) ORDER BY number)
FROM studies JOIN trials USING (study_id) JOIN trial_params USING (trial_id) LEFT JOIN trial_values USING (trial_id)
WHERE study_name = '{}'
"""


def test_trials_that_optuna_chooses_are_each_tried_once_and_none_stays_open(
    trainings: Trainings, installation: Installation
) -> None:
    spec = {
        "template": {
            "image": RUNTIME,
            "command": ["python", "-c", _LOGS],
            "args": ["$(params.x)"],
            "env": [{"name": "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "value": "7"}],
            "backoffLimit": 3,
        },
        "parameters": {"x": {"min": 0, "max": 1, "type": "Float"}},
        "algorithm": "Optuna",
        "maxTrials": TRIALS,
        "parallelism": 4,
        "objective": {"metric": "score"},
    }
    status = sweep_through(KILLED_AT, trainings, installation, "chosen", spec)
    assert status["trials"] == {"total": TRIALS, "running": 0, "succeeded": TRIALS, "failed": 0, "pruned": 0}
    trials = trainings.kubectl.items("trainingruns", "runyard.dev/sweep=chosen")
    tried = {int(each["metadata"]["labels"]["runyard.dev/trial"]): each["spec"]["parameters"]["x"] for each in trials}
    assert sorted(tried) == list(range(TRIALS))

    metadata = trainings.kubectl.get("trainingsweep", "chosen")["metadata"]
    name = "/".join(metadata[part] for part in ("namespace", "name", "uid"))

    def studied() -> list[dict[str, Any]]:
        login = "PGPASSWORD=$(cat /secrets/password) exec psql --host=127.0.0.1 --username=mlflow --dbname=mlflow"
        command = ("sh", "-c", f'{login} --quiet -At --command="$1"', "psql", _STUDY.format(name))
        said = installation.kubectl("exec", "statefulset/runyard-postgres", "--", *command)
        found: list[dict[str, Any]] = json.loads(said)
        return found

    wait_for("Optuna has heard of the last", lambda: {each["state"] for each in studied()} == {"COMPLETE"}, 120)
    kept = studied()
    assert [each["index"] for each in kept] == list(range(TRIALS)), "none twice, none left out"
    assert [each["x"] for each in kept] == pytest.approx([tried[index] for index in range(TRIALS)], rel=1e-12)
    assert [each["value"] for each in kept] == pytest.approx([-((each["x"] - 0.3) ** 2) for each in kept], rel=1e-9)
    # By chance it would be 0.29 on the average; those of before the first kill are needed to know better.
    late = [abs(each["x"] - 0.3) for each in kept[25:]]
    assert sum(late) / len(late) < 0.2
