"""Two hundred at once, on a node that has room for a few of them."""

from collections import Counter
from typing import Any

import pytest

from tests.cluster import matrix
from tests.cluster.training import Trainings, assert_one_job, condition, is_stand_in, of_shell
from tests.support.mlflow_server import tags_of
from tests.support.waiting import wait_for

pytestmark = pytest.mark.outage

_COUNT = 200
# Two cores' worth at a time: a node that starts a hundred pods at once gets none of them done for minutes.
_SMALL = {"requests": {"cpu": "100m"}}
# A log is a request each: these are looked at, of both endings, from the first to the last.
_LOOKED_AT = range(0, _COUNT, 9)


def test_two_hundred_at_once(trainings: Trainings) -> None:
    trainings.kubectl.apply(
        *(
            of_shell(_name(number), f"echo number {number} of {_COUNT}; exit {number % 2}", resources=_SMALL)
            for number in range(_COUNT)
        )
    )

    def settled() -> list[dict[str, Any]] | None:
        found = trainings.kubectl.items("trainingruns.runyard.dev")
        told = [body for body in found if condition(body.get("status", {}), "Tracked")["reason"] == "Recorded"]
        return found if len(told) == _COUNT else None

    found = wait_for("all are settled", settled, timeout_seconds=400, poll_seconds=2)
    jobs = Counter(job["metadata"]["labels"]["runyard.dev/uid"] for job in trainings.kubectl.items("jobs"))
    assert jobs == Counter(body["metadata"]["uid"] for body in found)
    runs = trainings.mlflow.runs(f"tags.`runyard.dev/namespace` = '{trainings.kubectl.namespace}'")
    assert all(is_stand_in(run) for run in runs)
    assert len(runs) == _COUNT
    run_of = {run["info"]["run_id"]: run for run in runs}
    by_name = {body["metadata"]["name"]: body for body in found}
    for number in range(_COUNT):
        body = by_name[_name(number)]
        _assert_told(body, run_of[body["status"]["tracking"]["runId"]], code=number % 2)
        seen = trainings.timeline.wait_for_outcome(body["metadata"]["uid"])
        assert seen.truth_seconds is not None
        matrix.note(matrix.JOB_END, seen.truth_seconds)
        assert_one_job(seen)
    for number in _LOOKED_AT:
        body = by_name[_name(number)]
        run, [attempt] = run_of[body["status"]["tracking"]["runId"]], body["status"]["attempts"]
        log = trainings.mlflow.artifact(run, f"runyard/log-{attempt['pod']}.txt")
        assert log.decode() == f"number {number} of {_COUNT}\n"
        kept = trainings.mlflow.artifact(run, "runyard/trainingrun.yaml").decode()
        assert f"name: {_name(number)}\n" in kept


def _name(number: int) -> str:
    return f"burst-{number}"


def _assert_told(body: dict[str, Any], run: dict[str, Any], code: int) -> None:
    """Assert that the resource, its one attempt and its run say the same cause."""
    phase, reason = ("Failed", "Error") if code else ("Succeeded", "Completed")
    status = body["status"]
    assert (status["phase"], condition(status, "Succeeded")["reason"]) == (phase, reason)
    [attempt] = status["attempts"]
    assert (attempt["outcome"], attempt["reason"], attempt["exitCode"]) == (phase, reason, code)
    assert attempt["runId"] == run["info"]["run_id"]
    assert run["info"]["status"] == ("FAILED" if code else "FINISHED")
    expected = {
        "runyard.dev/uid": body["metadata"]["uid"],
        "runyard.dev/pod": attempt["uid"],
        "runyard.dev/outcome": phase,
        "runyard.dev/reason": reason,
        "runyard.dev/exit-code": str(code),
    }
    assert expected.items() <= tags_of(run).items()
