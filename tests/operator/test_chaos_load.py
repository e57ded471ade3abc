"""The script of chaos that begins a run: what it logs names its pod."""

import json
import os
import subprocess
import sys

from tests.chaos.load import LOGS_RUN, POD_METRIC, pod_number
from tests.support.mlflow_server import MlflowRest, tags_of

_POD = "deadbeef-0000-4000-8000-000000000000"


def test_a_run_names_the_pod_that_logged_it(mlflow: MlflowRest) -> None:
    tags = {"runyard.dev/pod": _POD, "runyard.dev/uid": "uid-of-chaos-load"}
    environment = os.environ | {"MLFLOW_TRACKING_URI": mlflow.url, "MLFLOW_RUN_CONTEXT": json.dumps(tags)}
    done = subprocess.run([sys.executable, "-c", LOGS_RUN, "0", "3"], env=environment, check=False, timeout=60)
    assert done.returncode == 3
    [run] = mlflow.runs("tags.`runyard.dev/uid` = 'uid-of-chaos-load'")
    assert run["info"]["status"] == "RUNNING"
    assert tags.items() <= tags_of(run).items()
    assert {found["key"]: found["value"] for found in run["data"]["metrics"]} == {POD_METRIC: pod_number(_POD)}
    assert pod_number(_POD) == 0xDEADBEEF
