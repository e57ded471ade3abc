"""The operator dies at each of its calls in turn, before the server does it and after: a life comes to the same end."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from runyard.api.records import MADE_TAG, POD_TAG
from tests.unit.model.apiserver import JOBS, PODS, RUNS, Object, condition_of, verdict_of
from tests.unit.model.test_regressions import conclude
from tests.unit.model.truths import check_always
from tests.unit.model.wire import Fault, Line
from tests.unit.model.workloads import Script, has_ended
from tests.unit.model.world import World

_PATIENCE = 40


@dataclass(frozen=True)
class Life:
    """What becomes of each pod in turn."""

    exit_codes: tuple[int, ...]
    verdict: tuple[str, str]


LIVES = {
    "success": Life((0,), ("True", "Completed")),
    "failure": Life((1,), ("False", "Error")),
    "retry": Life((1, 0), ("True", "Completed")),
}


def go_on(world: World) -> None:
    """Let a moment pass; the kubelet starts an operator that died anew."""
    if not world.living:
        world.start_operator()
    world.flow(2)
    check_always(world)


def going(world: World) -> list[str]:
    return [name for name in world.names(PODS) if not has_ended(world.api.objects[PODS, name])]


def lead(world: World, life: Life, mode: str, script: Script) -> None:
    """Lead a training to its end, until its status says that all is on record."""
    world.apply("a", backoffLimit=len(life.exit_codes) - 1, suspend=False, tracking={"run": mode})
    for exit_code in life.exit_codes:
        for _ in range(_PATIENCE):
            if going(world):
                break
            go_on(world)
        [pod] = going(world)
        world.kubelet.start(pod, script)
        go_on(world)
        world.kubelet.end(pod, exit_code)
    for _ in range(_PATIENCE):
        if is_settled(world):
            return
        go_on(world)
    raise AssertionError(f"not settled: {world.status('a')}")


def is_settled(world: World) -> bool:
    run = world.api.objects[RUNS, "a"]
    return verdict_of(run.get("status", {}))[0] != "Unknown" and condition_of(run, "Tracked").get("status") == "True"


def line_of(world: World, server: str) -> Line:
    return world.operator.to_mlflow if server == "MLflow" else world.operator.to_api


def crashes(calls: int) -> Iterator[tuple[int, Fault]]:
    return ((number, fault) for number in range(calls) for fault in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER))


@pytest.mark.parametrize("server", ["API server", "MLflow"])
@pytest.mark.parametrize(
    ("mode", "script"), [("Discover", Script.NO_RUN), ("Discover", Script.SILENT), ("Assigned", Script.SILENT)]
)
@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
def test_a_crash_at_any_call_makes_no_difference(life: Life, mode: str, script: Script, server: str) -> None:
    with World() as world:
        world.start_operator()
        lead(world, life, mode, script)
        calls = line_of(world, server).calls
        wanted = record_of(world)
    assert calls
    assert len(wanted["ends"]) == (1 if mode == "Assigned" else len(life.exit_codes))
    for number, fault in crashes(calls):
        with World() as world:
            world.start_operator()
            line_of(world, server).expect(number, fault)
            try:
                lead(world, life, mode, script)
                assert world.operators[0].is_dead, "it did not crash"
                conclude(world)
                assert verdict_of(world.status("a"))[:2] == life.verdict
                assert len(world.api.owned(JOBS, world.api.objects[RUNS, "a"]["metadata"]["uid"])) == 1
                assert record_of(world) == wanted
            except Exception as error:
                error.add_note(f"{fault.name} at call {number + 1} of {calls} to {server}")
                raise


def record_of(world: World) -> Object:
    """Return what is on record, but for times and what names something: exactly one run an attempt, or one for all."""
    attempts = world.status("a")["attempts"]
    runs = list(world.mlflow.runs.values())
    assert len({attempt["uid"] for attempt in attempts}) == len(attempts)
    return {
        "attempts": [(found["outcome"], found["reason"], found["exitCode"]) for found in attempts],
        "runs": [
            (attempt["runId"], [run["info"]["run_id"] for run in runs if run["tags"].get(POD_TAG) == attempt["uid"]])
            for attempt in attempts
        ],
        "ends": [(run["info"]["status"], run["tags"].get(MADE_TAG)) for run in runs],
        "artifacts": world.mlflow.artifacts,
    }
