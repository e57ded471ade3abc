"""The measurements measure: a small round of each, of which only what no machine's speed decides is asserted."""

import pytest

from tests.bench.__main__ import OWN, Plan, measure, report


@pytest.fixture
def plan() -> Plan:
    return Plan(
        operators={"own": OWN},
        subjects=["burst", "steady", "finished"],
        rounds=1,
        burst=20,
        steady=5,
        per_second=10,
        finished=[0, 10],
        idle_seconds=0.1,
        lives=0,
    )


async def test_each_subject_is_measured(plan: Plan) -> None:
    found = await measure(plan)

    [burst], [steady], finished = (found[subject]["own"] for subject in plan.subjects)
    assert (burst["requests"]["create jobs"], steady["requests"]["create jobs"]) == (20, 5)
    assert max(burst["writes_per_run"], steady["writes_per_run"]) <= 6
    assert [entry["finished"] for entry in finished] == [0, 10]
    assert [entry["writes_for_finished"] for entry in finished] == [0, 0]
    assert "finished 10: own" in report(found)


def test_operators_are_compared_with_the_first() -> None:
    found = {"cores": 2, "burst": {"before": [{"rate": 50.0}, {"rate": 40.0}], "after": [{"rate": 90.0}]}}

    assert [line.split() for line in report(found)][-1] == ["rate", "90.00", "(2.00)"]
