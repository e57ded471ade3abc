"""What MLflow has of a training that had ended, after its TrainingRun was deleted: what it had before."""

import signal
from typing import Any

import pytest

from tests.operator.actors import Actors, installation_of, start_run
from tests.operator.operations.process import Operator, Operators
from tests.support.mlflow_server import MlflowRest
from tests.support.waiting import wait_for


def delete_with_children(actors: Actors, *pods: dict[str, Any]) -> None:
    """Play the garbage collector, for all TrainingRuns."""
    for body in actors.items("jobs"):
        actors.delete("job", body["metadata"]["name"])
    for pod in pods:
        actors.delete("pod", pod["metadata"]["name"])


@pytest.mark.parametrize("mode", ["Discover", "Assigned"])
@pytest.mark.parametrize("is_away", [False, True], ids=["seen", "unseen"])
def test_it_is_left_alone(
    actors: Actors, operators: Operators, mlflow: MlflowRest, mode: str, *, is_away: bool
) -> None:
    """Beside it a training that went on is deleted too: when its run is closed, the other was looked at as well."""
    with operators.start("first") as operator:
        operator.wait_until_leading()
        actors.apply("a", tracking={"run": mode})
        job = actors.wait_for_job("a")
        ended = actors.create_pod(job, "one")
        actors.end_pod(ended, 0)
        actors.end_job(job, "Complete")
        actors.wait_for_phase("a", "Succeeded")
        actors.apply("b")
        other = actors.wait_for_job("b")
        goes_on = actors.create_pod(other, "one")
        actors.set_pod(goes_on, "Running", {"running": {"startedAt": "2026-01-02T03:04:05Z"}})
        actors.wait_for_phase("b", "Running")
        open_run = start_run(mlflow, goes_on, installation=installation_of(other))
        uid = ended["metadata"]["labels"]["runyard.dev/uid"]
        before = mlflow.record(uid)
        [(_, _, files)] = before.values()
        assert files.keys() == {f"runyard/log-{ended['metadata']['name']}.txt", "runyard/trainingrun.yaml"}
        if not is_away:
            delete_both(actors, goes_on)
            assert_closed(mlflow, open_run)
            delete_with_children(actors, ended, goes_on)
            stop(operator)
    if is_away:
        delete_both(actors, goes_on)
        with operators.start("second") as operator:
            assert_closed(mlflow, open_run)
            delete_with_children(actors, ended, goes_on)
            stop(operator)

    after = mlflow.record(uid)
    assert after.keys() == before.keys(), "no run more, and none less"
    assert after == before


def delete_both(actors: Actors, goes_on: dict[str, Any]) -> None:
    for name in ("a", "b"):
        actors.delete("trainingrun", name)
    actors.end_pod(goes_on, 143)


def assert_closed(mlflow: MlflowRest, run_id: str) -> None:
    wait_for("the run of the other is closed", lambda: mlflow.run(run_id)["info"]["status"] != "RUNNING", 60)


def stop(operator: Operator) -> None:
    """Have it end with what it has in hand."""
    operator.send(signal.SIGTERM)
    assert operator.ends(60) == 0
