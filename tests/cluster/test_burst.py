"""Two hundred at once, on a node that has room for a few of them."""

from collections import Counter
from typing import Any

import pytest

from tests.cluster import matrix
from tests.cluster.training import Trainings, condition, is_stand_in, of_shell
from tests.support.mlflow_server import tags_of
from tests.support.waiting import wait_for

pytestmark = pytest.mark.outage

_COUNT = 200
# Two cores' worth at a time: a node that starts a hundred pods at once gets none of them done for minutes.
_SMALL = {"requests": {"cpu": "100m"}}


def test_two_hundred_at_once(trainings: Trainings) -> None:
    trainings.kubectl.apply(
        *(of_shell(f"burst-{number}", f"exit {number % 2}", resources=_SMALL) for number in range(_COUNT))
    )

    def settled() -> list[dict[str, Any]] | None:
        found = trainings.kubectl.items("trainingruns.runyard.dev")
        told = [body for body in found if condition(body.get("status", {}), "Tracked")["reason"] == "Recorded"]
        return found if len(told) == _COUNT else None

    found = wait_for("all are settled", settled, timeout_seconds=400, poll_seconds=2)
    for body in found:
        failed = int(body["metadata"]["name"].split("-")[1]) % 2
        status = body["status"]
        [attempt] = status["attempts"]
        assert (status["phase"], attempt["exitCode"]) == ("Failed" if failed else "Succeeded", failed)
        seconds = trainings.timeline.wait_for_outcome(body["metadata"]["uid"]).truth_seconds
        assert seconds is not None
        matrix.note(matrix.JOB_END, seconds)
    jobs = Counter(job["metadata"]["labels"]["runyard.dev/uid"] for job in trainings.kubectl.items("jobs"))
    assert jobs == Counter(body["metadata"]["uid"] for body in found)
    runs = trainings.mlflow.runs(f"tags.`runyard.dev/namespace` = '{trainings.kubectl.namespace}'")
    assert all(is_stand_in(run) for run in runs)
    recorded = Counter(tags_of(run)["runyard.dev/pod"] for run in runs)
    assert recorded == Counter(body["status"]["attempts"][0]["uid"] for body in found)
    assert Counter(run["info"]["status"] for run in runs) == {"FINISHED": _COUNT // 2, "FAILED": _COUNT // 2}
