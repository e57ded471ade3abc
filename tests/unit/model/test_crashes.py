"""The operator dies at each of its calls in turn, before the server does it, after, and while it is on its way.

A life comes to the same end.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from runyard.api.records import MADE_TAG, POD_TAG, RunStatus
from tests.unit.model.apiserver import JOBS, PODS, RUNS, Object, condition_of, verdict_of
from tests.unit.model.test_regressions import conclude
from tests.unit.model.truths import check_always
from tests.unit.model.wire import Fault, Line
from tests.unit.model.workloads import Script, has_ended
from tests.unit.model.world import World

_PATIENCE = 40
CRASHES = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.CRASH_LATE)


@dataclass(frozen=True)
class Life:
    """What becomes of each pod in turn."""

    exit_codes: tuple[int, ...]
    verdict: tuple[str, str]
    is_suspended: bool = False
    """Whether it is suspended while its first pod runs, and resumed when that is gone."""


LIVES = {
    "success": Life((0,), ("True", "Completed")),
    "failure": Life((1,), ("False", "Error")),
    "retry": Life((1, 0), ("True", "Completed")),
    "suspension": Life((0,), ("True", "Completed"), is_suspended=True),
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
    retries = len(life.exit_codes) - 1 + life.is_suspended  # the model's Job counts what fails as it is suspended
    world.apply("a", backoffLimit=retries, suspend=False, tracking={"run": mode})
    if life.is_suspended:
        begin(world, script)
        world.apply("a", suspend=True)
        go_on_until(world, lambda: not world.names(PODS))
        world.apply("a", suspend=False)
    for exit_code in life.exit_codes:
        world.kubelet.end(begin(world, script), exit_code)
    go_on_until(world, lambda: is_settled(world))


def begin(world: World, script: Script) -> str:
    """Have the next pod run; return its name."""
    go_on_until(world, lambda: bool(going(world)))
    [pod] = going(world)
    world.kubelet.start(pod, script)
    go_on(world)
    return pod


def go_on_until(world: World, is_so: Callable[[], bool]) -> None:
    for _ in range(_PATIENCE):
        if is_so():
            return
        go_on(world)
    raise AssertionError(f"it does not come: {world.status('a') if world.names(RUNS) else world.mlflow.runs}")


def delete(world: World, mode: str, script: Script) -> None:
    """Delete a resource while its pod runs, and let all of it go."""
    world.apply("a", backoffLimit=0, suspend=False, tracking={"run": mode})
    begin(world, script)
    world.api.remove(RUNS, "a")
    go_on_until(world, lambda: not world.names(PODS) and not any(map(is_open, world.mlflow.runs.values())))


def is_open(run: Object) -> bool:
    return RunStatus(run["info"]["status"]).is_open


def is_settled(world: World) -> bool:
    run = world.api.objects[RUNS, "a"]
    return verdict_of(run.get("status", {}))[0] != "Unknown" and condition_of(run, "Tracked").get("status") == "True"


def line_of(world: World, server: str) -> Line:
    return world.operator.to_mlflow if server == "MLflow" else world.operator.to_api


def crashes(calls: int) -> Iterator[tuple[int, Fault]]:
    return ((number, fault) for number in range(calls) for fault in CRASHES)


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
    assert len(wanted["ends"]) == (1 if mode == "Assigned" else len(life.exit_codes) + life.is_suspended)
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


@pytest.mark.parametrize("server", ["API server", "MLflow"])
@pytest.mark.parametrize("mode", ["Discover", "Assigned"])
def test_a_crash_at_any_call_leaves_no_run_of_a_deleted_training_open(mode: str, server: str) -> None:
    with World() as world:
        world.start_operator()
        delete(world, mode, Script.SILENT)
        calls = line_of(world, server).calls
    assert calls
    for number, fault in crashes(calls):
        with World() as world:
            world.start_operator()
            line_of(world, server).expect(number, fault)
            try:
                delete(world, mode, Script.SILENT)
                conclude(world)
                assert [run["info"]["status"] for run in world.mlflow.runs.values()] == ["KILLED"]
                assert any("/log-" in path for path in world.mlflow.artifacts), "neither a log nor why there is none"
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
        # The manifest is as it was when it was stored, which a crash puts off.
        "artifacts": {
            path: content.replace(b"suspend: true", b"suspend: false")
            for path, content in world.mlflow.artifacts.items()
        },
    }
