"""A success is promoted once, and reused once MLflow says that it is there, whatever fails meanwhile."""

import asyncio
import copy
from typing import Any

import aiohttp
import pytest

from runyard.api import reuse
from runyard.api.alias_history import entries
from runyard.api.trainingrun import TrainingRun
from tests.unit.model.apiserver import JOBS, PODS, RUNS, Object, condition_of, verdict_of
from tests.unit.model.process import INSTALLATION
from tests.unit.model.test_crashes import crashes, going, line_of
from tests.unit.model.test_regressions import conclude
from tests.unit.model.truths import check_always
from tests.unit.model.wire import Fault
from tests.unit.model.workloads import Script
from tests.unit.model.world import World

_PATIENCE = 40
PINNED = {"image": f"wine@sha256:{'0' * 64}", "onDuplicate": "Reuse"}
PROMOTE = {"model": "heart", "when": 'tags.kind == "forest"', "because": "as agreed"}


def go_on(world: World) -> None:
    """Let a moment pass; the kubelet starts an operator that died anew."""
    if not world.living:
        world.start_operator()
    world.flow(2)
    check_always(world)


def lead(world: World, name: str, **spec: Any) -> None:
    """Lead a training that logs a model to its success, until all is told."""
    world.apply(name, backoffLimit=0, suspend=False, **spec)
    for _ in range(_PATIENCE):
        if going(world):
            break
        go_on(world)
    [pod] = going(world)
    world.kubelet.start(pod, Script.SILENT)
    for run in world.mlflow.runs.values():
        run["tags"] |= {"mlflow.log-model.history": '[{"artifact_path": "model"}]', "kind": "forest"}
    go_on(world)
    world.kubelet.end(pod, 0)
    until_told(world, name)


def until_told(world: World, name: str) -> None:
    for _ in range(_PATIENCE):
        if is_told(world, name):
            return
        go_on(world)
    raise AssertionError(f"not told: {world.status(name)}")


def is_told(world: World, name: str) -> bool:
    run = world.api.objects[RUNS, name]
    is_tracked = condition_of(run, "Tracked").get("status") == "True"
    return is_tracked and condition_of(run, "Promoted").get("status", "True") in {"True", "False"}


def promotion_of(world: World) -> Object:
    """Return what is on record of the promotion, but for times and what is drawn by lot."""
    promoted = condition_of(world.api.objects[RUNS, "a"], "Promoted")
    model = world.mlflow.registry.models["heart"]
    return {
        "said": [promoted[key] for key in ("status", "reason", "message")],
        "aliases": model["aliases"],
        "moves": [(each.number, each.record.because, each.record.settled) for each in entries(model["tags"])],
        "versions": [(each["source"], sorted(each["tags"])) for each in model["versions"].values()],
    }


@pytest.mark.parametrize("server", ["API server", "MLflow"])
def test_a_crash_at_any_call_makes_no_second_promotion(server: str) -> None:
    with World() as world:
        world.start_operator()
        lead(world, "a", promote=PROMOTE)
        calls, wanted = line_of(world, server).calls, promotion_of(world)
    assert wanted["said"][:2] == ["True", "Promoted"]
    assert (wanted["aliases"], len(wanted["moves"]), len(wanted["versions"])) == ({"champion": "1"}, 1, 1)
    for number, fault in crashes(calls):
        with World() as world:
            world.start_operator()
            line_of(world, server).expect(number, fault)
            try:
                lead(world, "a", promote=PROMOTE)
                assert world.operators[0].is_dead, "it did not crash"
                conclude(world)
                assert promotion_of(world) == wanted
            except Exception as error:
                error.add_note(f"{fault.name} at call {number + 1} of {calls} to {server}")
                raise


@pytest.mark.parametrize("fault", [Fault.TIMED_OUT, Fault.ANSWER_LOST, Fault.SLOW_THERE, Fault.REFUSED])
def test_a_request_that_fails_costs_time_and_nothing_else(fault: Fault) -> None:
    with World() as world:
        world.start_operator()
        lead(world, "a", promote=PROMOTE)
        calls, wanted = world.operator.to_mlflow.calls, promotion_of(world)
    for number in range(calls):
        with World() as world:
            world.start_operator()
            world.operator.to_mlflow.expect(number, fault)
            lead(world, "a", promote=PROMOTE)
            conclude(world)
            assert promotion_of(world) == wanted, f"{fault.name} at call {number + 1} of {calls}"


def test_a_request_that_comes_after_it_was_given_up_makes_no_second_version() -> None:
    with World() as world:
        world.start_operator()
        serve, late = world.mlflow.serve, list[Object]()

        def slowly(path: str, asked: Object, data: bytes | None) -> Any:
            if path.endswith("model-versions/create") and not late:
                late.append(asked)
                asyncio.get_running_loop().call_later(7, serve, path, asked, data)
                raise aiohttp.ServerTimeoutError("no answer")
            return serve(path, asked, data)

        world.mlflow.serve = slowly  # type: ignore[method-assign]
        lead(world, "a", promote=PROMOTE)
        conclude(world)
        assert late
        assert list(world.mlflow.registry.models["heart"]["versions"]) == ["1"]
        assert promotion_of(world)["said"][0] == "True"


def test_the_end_of_a_resource_that_reuses_says_nothing_of_anothers_run() -> None:
    with World() as world:
        world.start_operator()
        lead(world, "a", **PINNED)
        before = copy.deepcopy(world.mlflow.runs)
        line = world.operator.to_mlflow
        for number in range(2, 100):  # after the two that look for it
            line.expect(number, Fault.REFUSED)
        world.apply("b", **PINNED, backoffLimit=0, promote=PROMOTE, tracking={"run": "Assigned"})
        for _ in range(3):
            go_on(world)
        assert condition_of(world.api.objects[RUNS, "b"], "Promoted")["status"] == "Unknown"
        assert verdict_of(world.status("b"))[1] == "Reused"
        world.api.remove(RUNS, "b")
        line.plan.clear()
        conclude(world)
        assert world.mlflow.runs == before


def test_an_outage_after_the_end_delays_the_promotion_alone() -> None:
    with World() as world:
        world.start_operator()
        lead(world, "a")
        calls = world.operator.to_mlflow.calls
    with World() as world:
        world.start_operator()
        world.operator.to_mlflow.expect(calls + 2, Fault.REFUSED)
        world.apply("a", backoffLimit=0, suspend=False, promote=PROMOTE)
        said: list[tuple[str, str]] = []
        before = world.api.serve

        def serve(method: str, path: str, body: Object | None) -> Any:
            status = (body or {}).get("status", {})
            found = {each["type"]: each["status"] for each in status.get("conditions") or []}
            if path.endswith("/status") and "Promoted" in found:
                said.append((found["Tracked"], found["Promoted"]))
            return before(method, path, body)

        world.api.serve = serve  # type: ignore[method-assign]
        lead(world, "a", promote=PROMOTE)
        assert said[-2:] == [("True", "Unknown"), ("True", "True")], said


def test_where_mlflow_answers_one_write_tells_the_end_and_the_promotion() -> None:
    with World() as world:
        world.start_operator()
        versions: list[str] = []
        before = world.api.serve

        def serve(method: str, path: str, body: Object | None) -> Any:
            status = (body or {}).get("status", {})
            found = {each["type"]: each["status"] for each in status.get("conditions") or []}
            if path.endswith("/status") and found.get("Succeeded") == "True":
                versions.append(found["Promoted"])
            return before(method, path, body)

        world.api.serve = serve  # type: ignore[method-assign]
        lead(world, "a", promote=PROMOTE)
        conclude(world)
        assert versions == ["True"]


def test_without_mlflow_nobody_trains_what_may_be_there() -> None:
    with World() as world:
        world.start_operator()
        lead(world, "a", **PINNED)
        world.set_mlflow_down(True)
        world.apply("b", **PINNED, backoffLimit=0)
        for _ in range(10):
            go_on(world)
        status = world.status("b")
        assert (status["phase"], status["message"]) == (
            "Pending",
            "waits for MLflow, where an earlier result is looked for",
        )
        assert condition_of(world.api.objects[RUNS, "b"], "Tracked")["reason"] == "TrackingUnavailable"
        assert len(world.names(JOBS)) == 1
        world.set_mlflow_down(False)
        until_told(world, "b")
        assert verdict_of(world.status("b"))[:2] == ("True", "Reused")
        assert world.status("b")["reusedFrom"]["runId"] == world.status("a")["tracking"]["runId"]
        assert len(world.names(JOBS)) == 1


def test_a_job_that_was_made_before_its_resource_could_say_so_goes_on() -> None:
    for number in range(_PATIENCE):
        with World() as world:
            world.start_operator()
            world.operator.to_api.expect(number, Fault.CRASH_AFTER)
            world.apply("a", **PINNED, backoffLimit=0)
            world.flow(2)
            if not world.names(JOBS):
                continue
            assert "job" not in world.status("a")
            tags = {"runyard.dev/outcome": "Succeeded", "runyard.dev/installation": INSTALLATION}
            resource = TrainingRun.model_validate(world.api.objects[RUNS, "a"])
            earlier = world.mlflow.start("wine", {**tags, **reuse.result_tags(resource)})
            world.mlflow.end(earlier, "FINISHED")
            world.start_operator().deliver(RUNS)
            world.clock.run_for(5)
            assert world.status("a")["job"] in world.names(JOBS)
            assert verdict_of(world.status("a"))[0] == "Unknown"
            return
    raise AssertionError("no Job was made")


@pytest.mark.parametrize("server", ["API server", "MLflow"])
def test_a_crash_at_any_call_reuses_and_makes_no_job(server: str) -> None:
    with World() as world:
        world.start_operator()
        lead(world, "a", **PINNED)
        first = line_of(world, server).calls
        world.apply("b", **PINNED)
        until_told(world, "b")
        calls = line_of(world, server).calls - first
    assert calls
    for number, fault in crashes(calls):
        with World() as world:
            world.start_operator()
            lead(world, "a", **PINNED)
            line_of(world, server).expect(number, fault)
            before = {key: dict(run["tags"]) for key, run in world.mlflow.runs.items()}
            world.apply("b", **PINNED)
            until_told(world, "b")
            assert verdict_of(world.status("b"))[:2] == ("True", "Reused"), f"{fault.name} at call {number + 1}"
            assert (len(world.names(JOBS)), len(world.names(PODS))) == (1, 1)
            assert {key: run["tags"] for key, run in world.mlflow.runs.items()} == before
