"""The measurements measure: a small round of each, of which only what no machine's speed decides is asserted."""

import pytest

from tests.bench.__main__ import OWN, Plan, measure, report


@pytest.fixture
def plan() -> Plan:
    return Plan(
        operators={"before": OWN, "after": OWN},
        subjects=["burst", "steady", "finished"],
        rounds=1,
        burst=20,
        steady=5,
        per_second=10,
        finished=[0, 10],
        lives=0,
    )


async def test_each_subject_is_measured_of_each_operator(plan: Plan) -> None:
    found = await measure(plan)

    for label in ("before", "after"):
        [burst], [steady] = found["burst"][label], found["steady"][label]
        assert (burst["requests"]["create jobs"], steady["requests"]["create jobs"]) == (20, 5)
        assert max(burst["writes_per_run"], steady["writes_per_run"]) <= 6
        assert [entry["finished"] for entry in found["finished"][label]] == [0, 10]
        assert [entry["writes_for_finished"] for entry in found["finished"][label]] == [0, 0]
    assert any(line.startswith("finished 10: after") for line in report(found))
