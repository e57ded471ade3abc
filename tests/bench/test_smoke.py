"""The measurements measure: a small round of each, of which only what no machine's speed decides is asserted."""

from datetime import UTC, datetime

import pytest

from tests.bench.__main__ import OWN, Plan, measure, problems, report
from tests.bench.audit import Request
from tests.bench.footprint import for_finished
from tests.bench.life import LIVES

# A second pod has states of its own, workers have a Service besides, a Job that is to have a run is tried first, a TTL
# is told to the Job. What comes late on a slow machine is a status by itself, for which each has one to spare, and each
# of two workers.
_WRITES_AT_MOST = {"succeeded": 7, "brief": 6, "failed": 8, "retried": 12, "assigned": 8, "workers": 11, "ttl": 9}


@pytest.fixture
def plan() -> Plan:
    return Plan(
        operators={"own": OWN},
        subjects=["burst", "steady", "finished", "sweep", "life"],
        rounds=1,
        burst=20,
        steady=5,
        per_second=10,
        finished=[0, 10],
        idle_seconds=0.1,
        swept=10,
        lives=1,
    )


async def test_each_subject_is_measured(plan: Plan) -> None:
    found = await measure(plan)

    [burst], [steady], finished, [swept], lives = (found[subject]["own"] for subject in plan.subjects)
    assert (burst["requests"]["create jobs"], steady["requests"]["create jobs"]) == (20, 5)
    assert max(burst["writes_per_run"], steady["writes_per_run"]) <= 6
    assert [entry["finished"] for entry in finished] == [0, 10]
    assert [entry["writes_for_finished"] for entry in finished] == [0, 0]
    assert (swept["finished"], swept["writes_for_finished"]) == (10, 0)
    assert [entry["life"] for entry in lives] == list(LIVES)
    found_writes = {entry["life"]: entry["writes_per_run"] for entry in lives}
    assert {name: number for name, number in found_writes.items() if number > _WRITES_AT_MOST[name]} == {}
    statuses = {entry["life"]: entry["requests"]["patch trainingruns/status"] for entry in lives}
    assert statuses["succeeded"] >= 4, "the Job's name, that its pod runs, has a run, and the end"
    assert {"finished 10: own", "life retried: own"} <= set(report(found))
    assert [line for line in problems(found) if "writes" in line] == []


def test_what_no_machine_excuses_is_found() -> None:
    entry = {"finished": 5000, "ready_seconds": 31.0, "writes_for_finished": 2}
    swept = {"finished": 7, "writes_for_finished": 1}
    fine = {"finished": 0, "ready_seconds": 29.0, "writes_for_finished": 0}

    assert list(problems({"cores": 2, "finished": {"own": [fine, entry]}, "sweep": {"own": [swept]}})) == [
        "own beside 5000 finished resources: ready after 31.0 s, not within 30 s",
        "own beside 5000 finished resources: 2 writes for what has finished, not 0",
        "own beside 7 finished resources: 1 writes for what has finished, not 0",
    ]


def test_an_event_of_what_has_finished_is_a_write_for_it() -> None:
    now = datetime.now(UTC)
    asked = [
        Request("operator", verb, resource, "finished", name, 200, now, now)
        for verb, resource, name in (
            ("list", "pods", ""),
            ("create", "jobs", "zz-new-120000-1234"),
            ("create", "events", "zz-new-120000.0123456789abcdef"),
            ("create", "events", "run00007.0123456789abcdef"),
            ("patch", "trainingruns/status", "run00007"),
        )
    ]

    assert for_finished(asked) == {
        "writes_for_finished": 2,
        "requests": {"create events": 1, "list pods": 1, "patch trainingruns/status": 1},
    }


def test_operators_are_compared_with_the_first() -> None:
    found = {"cores": 2, "burst": {"before": [{"rate": 50.0}, {"rate": 40.0}], "after": [{"rate": 90.0}]}}

    assert [line.split() for line in report(found)][-1] == ["rate", "90.00", "(2.00)"]
