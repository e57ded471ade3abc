"""Pods that came and went while no operator looked: what is told of them is what their Job says."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.model.apiserver import JOBS, PODS, RUNS, Object, condition_of, verdict_of
from tests.unit.model.test_regressions import conclude, end_job, with_pod
from tests.unit.model.workloads import Script
from tests.unit.model.world import World

_HISTORY = "mlflow.log-model.history"
_MODEL = {"promote": {"model": "heart"}}


@pytest.fixture
def world() -> Iterator[World]:
    with World() as found:
        found.start_operator()
        yield found


def without_an_operator(world: World, script: Script, exit_code: int | None) -> None:
    """Have the operator away for as long as the next pod lives; one without an exit code is ended by its Job."""
    world.operator.die()
    before = set(world.names(PODS))
    for _ in range(10):
        world.flow(3)
        if set(world.names(PODS)) - before:
            break
    [pod] = set(world.names(PODS)) - before
    world.kubelet.start(pod, script)
    for run in world.mlflow.runs.values():
        run["tags"].setdefault(_HISTORY, '[{"artifact_path": "model"}]')
    world.clock.run_for(5)
    if exit_code is None:
        for _ in range(15):
            world.flow(3)
    else:
        world.kubelet.end(pod, exit_code)
    [job] = world.names(JOBS)
    end_job(world, job)
    if pod in world.names(PODS):
        world.api.remove(PODS, pod)
    world.start_operator()


def begin(world: World, **spec: Any) -> None:
    world.apply("a", **{"backoffLimit": 0, "suspend": False, **spec})
    for _ in range(20):
        world.deliver()
        world.clock.run_for(1)
        if world.status("a").get("job"):
            return
    raise AssertionError("no Job was made")


def condition(world: World, kind: str) -> Object:
    return condition_of(world.api.objects[RUNS, "a"], kind)


@pytest.mark.parametrize("script", [Script.HONEST, Script.SILENT, Script.LIAR, Script.NESTED, Script.TWO_RUNS])
@pytest.mark.parametrize(
    ("spec", "exit_code", "end", "status"),
    [
        ({}, 0, ("Succeeded", "Completed"), "FINISHED"),
        ({}, 1, ("Failed", "Error"), "FAILED"),
        ({"activeDeadlineSeconds": 30}, None, ("Failed", "DeadlineExceeded"), "FAILED"),
    ],
)
def test_it_is_an_attempt_that_ended_as_its_job_did(
    world: World, script: Script, spec: Object, exit_code: int | None, end: tuple[str, str], status: str
) -> None:
    begin(world, **spec)
    without_an_operator(world, script, exit_code)
    conclude(world)
    found = world.status("a")
    [attempt] = found["attempts"]
    assert (attempt["outcome"], attempt["reason"]) == end
    assert verdict_of(found)[1] == end[1]
    assert world.mlflow.runs[attempt["runId"]]["info"]["status"] == status
    assert found["tracking"]["runId"] == attempt["runId"]
    assert any(path.rpartition("/")[2].startswith("log-") for path in world.mlflow.artifacts)


def test_the_run_of_a_success_that_nobody_saw_is_the_result_and_not_that_of_a_failure_before(world: World) -> None:
    _, first = with_pod(world, backoffLimit=1, tracking={"requireMetrics": ["loss"]}, **_MODEL)
    world.kubelet.start(first, Script.HONEST)
    world.flow()
    world.kubelet.end(first, 1)
    world.flow()
    without_an_operator(world, Script.HONEST, 0)
    conclude(world)
    found = world.status("a")
    assert [(attempt["outcome"], attempt["runId"]) for attempt in found["attempts"]] == [
        ("Failed", "run-0001"),
        ("Succeeded", "run-0002"),
    ]
    assert (found["tracking"]["runId"], found["metrics"]) == ("run-0002", {"loss": "2.0"})
    assert condition(world, "Tracked")["reason"] == "Recorded"
    assert condition(world, "Promoted")["status"] == "True"


def test_of_two_that_nobody_saw_the_last_ended_as_the_job_did(world: World) -> None:
    begin(world, backoffLimit=1)
    without_an_operator(world, Script.LIAR, 1)
    # It saw no more than that one pod is gone, before the next.
    without_an_operator(world, Script.SILENT, 0)
    conclude(world)
    found = world.status("a")
    assert [attempt["outcome"] for attempt in found["attempts"]] == ["Cancelled", "Succeeded"]
    assert [run["info"]["status"] for run in world.mlflow.runs.values()] == ["KILLED", "FINISHED"]


def test_where_it_started_no_run_nothing_is_promoted_and_that_is_said(world: World) -> None:
    begin(world, **_MODEL)
    without_an_operator(world, Script.NO_RUN, 0)
    conclude(world)
    assert verdict_of(world.status("a"))[:2] == ("True", "Completed")
    assert world.status("a")["attempts"] == []
    promoted = condition(world, "Promoted")
    assert (promoted["status"], promoted["reason"]) == ("False", "ModelMissing")


@pytest.mark.parametrize("is_over", [False, True])
def test_the_run_of_an_earlier_attempt_that_is_deleted_is_told_and_so_is_its_return(
    world: World, *, is_over: bool
) -> None:
    job, first = with_pod(world, backoffLimit=1)
    world.kubelet.start(first, Script.SILENT)
    world.flow()
    world.kubelet.end(first, 1)
    for _ in range(8):
        world.flow(3)
    if not is_over:
        world.mlflow.set_deleted("run-0001", is_deleted=True)
    [second] = set(world.names(PODS)) - {first}
    world.kubelet.start(second, Script.SILENT)
    world.flow()
    world.kubelet.end(second, 0)
    end_job(world, job)
    world.rest()
    world.mlflow.set_deleted("run-0001", is_deleted=True)
    world.flow(400)
    tracked = condition(world, "Tracked")
    assert (tracked["status"], tracked["reason"]) == ("False", "RunDeleted")
    assert tracked["message"] == "run run-0001 was deleted in MLflow, or its experiment was"
    assert [event["reason"] for event in world.api.events][-1] == "NotTracked"
    world.mlflow.set_deleted("run-0001", is_deleted=False)
    world.flow(400)
    assert condition(world, "Tracked")["status"] == "True"
    assert [event["reason"] for event in world.api.events][-1] == "Tracked"
