"""Pods that came and went while no operator looked: what is told of them is what their Job says."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.model.apiserver import JOBS, PODS, RUNS, Object, condition_of, verdict_of
from tests.unit.model.test_regressions import conclude, end_job, with_pod
from tests.unit.model.wire import Answer
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


def test_a_success_whose_script_called_its_run_failed_is_one_seen_or_not(world: World) -> None:
    begin(world)
    without_an_operator(world, Script.GLOOMY, 0)
    conclude(world)
    [attempt] = world.status("a")["attempts"]
    assert (attempt["outcome"], world.mlflow.runs[attempt["runId"]]["info"]["status"]) == ("Succeeded", "FINISHED")


def test_what_a_script_said_of_its_failure_stays_where_nobody_else_says_anything(world: World) -> None:
    begin(world, backoffLimit=1)
    without_an_operator(world, Script.GLOOMY, 1)
    without_an_operator(world, Script.SILENT, 0)
    conclude(world)
    first, second = world.status("a")["attempts"]
    assert (first["outcome"], first["reason"], second["outcome"]) == ("Failed", "Error", "Succeeded")
    assert first["message"] == "the pod is gone, and its end was not seen: this is its run's"
    assert world.mlflow.runs[first["runId"]]["info"]["status"] == "FAILED"


def test_a_pod_without_a_run_may_have_succeeded_where_that_of_another_failed(world: World) -> None:
    begin(world, backoffLimit=1)
    without_an_operator(world, Script.GLOOMY, 1)
    without_an_operator(world, Script.NO_RUN, 0)
    conclude(world)
    assert verdict_of(world.status("a"))[:2] == ("True", "Completed")
    [attempt] = world.status("a")["attempts"]
    assert (attempt["outcome"], attempt["reason"]) == ("Failed", "Error")


@pytest.mark.parametrize("exit_code", [None, 0])
def test_a_pod_that_outlived_its_deleted_job_is_not_taken_for_gone(world: World, exit_code: int | None) -> None:
    begin(world)
    world.operator.die()
    pod = a_new_pod(world)
    world.kubelet.start(pod, Script.SILENT)
    if exit_code is not None:
        world.kubelet.end(pod, exit_code)
    world.api.remove(JOBS, *world.names(JOBS))
    # TrainingRuns are told of before pods are.
    operator = world.start_operator()
    for kind in (RUNS, JOBS):
        operator.deliver(kind)
        world.clock.run_for(3)
    [attempt] = world.status("a")["attempts"]
    assert (attempt["pod"], attempt["outcome"]) == (pod, "Running" if exit_code is None else "Succeeded")
    assert verdict_of(world.status("a"))[1] == ("JobDeleted" if exit_code is None else "Completed")
    if exit_code is None:
        assert world.mlflow.runs["run-0001"]["info"]["status"] == "RUNNING"
        world.kubelet.end(pod, 0)
    conclude(world)
    [attempt] = world.status("a")["attempts"]
    assert (attempt["outcome"], world.mlflow.runs["run-0001"]["info"]["status"]) == ("Succeeded", "FINISHED")
    assert any(path.endswith(f"log-{pod}.txt") for path in world.mlflow.artifacts)


def a_new_pod(world: World, *known: str) -> str:
    for _ in range(10):
        world.flow(3)
        if found := set(world.names(PODS)) - set(known):
            return found.pop()
    raise AssertionError("no pod was made")


@pytest.mark.parametrize("spec", [{}, _MODEL])
def test_one_of_more_than_are_listed_is_counted_once(world: World, spec: Object) -> None:
    begin(world, backoffLimit=20, **spec)
    world.operator.die()
    pods: list[str] = []
    for number in range(12):
        pods.append(a_new_pod(world, *pods))
        world.kubelet.start(pods[-1], Script.SILENT)
        for run in world.mlflow.runs.values():
            run["tags"].setdefault(_HISTORY, '[{"artifact_path": "model"}]')
        world.kubelet.end(pods[-1], int(number < 11))
    end_job(world, *world.names(JOBS))
    world.api.remove(PODS, pods[0])
    # What is not promoted yet keeps the resource from being done.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.mlflow.registry, "serve", lambda _what, _asked: Answer(500, {}))
        world.start_operator()
        for _ in range(6):
            world.flow(10)
            assert world.status("a")["attemptCount"] == 12
        before = world.operator.to_api.writes
        for _ in range(6):
            world.flow(10)
        assert world.operator.to_api.writes == before
    conclude(world)
    assert world.status("a")["attemptCount"] == 12


def test_the_log_of_one_that_shares_its_run_is_not_that_of_another(world: World) -> None:
    _, first = with_pod(world, backoffLimit=1, tracking={"run": "Assigned"})
    world.kubelet.start(first, Script.NESTED)
    world.flow()
    world.kubelet.end(first, 1)
    world.flow()
    without_an_operator(world, Script.NESTED, 0)
    conclude(world)
    of_first, of_second = world.status("a")["attempts"]
    assert of_first["pod"] == first
    for pod in (first, of_second["uid"]):
        assert any(path.endswith(f"run-0001/artifacts/runyard/log-{pod}.txt") for path in world.mlflow.artifacts)


@pytest.mark.parametrize("is_seen", [False, True])
def test_what_a_deleted_one_left_is_stored_once_the_store_is_back(world: World, *, is_seen: bool) -> None:
    _, pod = with_pod(world, backoffLimit=2)
    world.operator.die()
    world.kubelet.start(pod, Script.SILENT)
    if is_seen:
        world.api.remove(PODS, pod)
        world.start_operator()
        world.flow(3)
    world.mlflow.is_store_down = True
    world.api.remove(RUNS, "a")
    for _ in range(3):
        world.flow(40)
    if not is_seen:
        world.start_operator()
        world.flow(3)
    for _ in range(3):
        world.flow(40)
    assert world.mlflow.runs["run-0001"]["info"]["status"] == "KILLED"
    conclude(world)
    stored = {path.rpartition("run-0001/artifacts/")[2] for path in world.mlflow.artifacts}
    assert any(path.startswith("runyard/log-") for path in stored)
    assert ("runyard/trainingrun.yaml" in stored) is is_seen, "without its body there is no manifest"


def test_runs_of_many_deleted_ones_are_closed_though_the_store_says_nothing(world: World) -> None:
    names = [f"r{number}" for number in range(40)]
    for name in names:
        world.apply(name, backoffLimit=0, suspend=False)
    for _ in range(8):
        world.flow(2)
    for pod in world.names(PODS):
        world.kubelet.start(pod, Script.SILENT)
    for _ in range(4):
        world.flow(2)
    assert [run["info"]["status"] for run in world.mlflow.runs.values()] == ["RUNNING"] * 40
    world.mlflow.is_store_silent = True
    for name in names:
        world.api.remove(RUNS, name)
    world.flow(5)
    world.flow(15)
    assert {run["info"]["status"] for run in world.mlflow.runs.values()} == {"KILLED"}
    world.mlflow.is_store_silent = False
    conclude(world)
    assert sum(path.endswith("trainingrun.yaml") for path in world.mlflow.artifacts) == 40


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
