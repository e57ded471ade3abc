"""Courses of metrics that are read once, where nothing can be added to them any more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api.records import RunStatus
from runyard.dashboard.courses import Course, Courses, thinned
from runyard.dashboard.reads import Reads
from runyard.history import History, LoggedRun, Point

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
ENDED = LoggedRun("1" * 32, "a", "e", RunStatus.FINISHED, FIRST, FIRST + timedelta(1), metrics={"loss": 0.5})
OPEN = replace(ENDED, id="2" * 32, status=RunStatus.RUNNING, finished_at=None)


class Counted:
    """Counts what is read of it."""

    def __init__(self) -> None:
        self.read: list[tuple[str, str]] = []

    def course(self, run: LoggedRun, metric: str) -> list[Point]:
        self.read.append((run.id, metric))
        return [Point(step, FIRST, step / 10) for step in range(len(self.read))]


@given(st.integers(0, 3000))
def test_courses_are_thinned_to_what_can_be_seen(length: int) -> None:
    points = [Point(step, FIRST, 0.0) for step in range(length)]
    found = thinned(points)
    assert len(found) == min(length, 500)
    assert found[:1] == points[:1]
    assert found[-1:] == points[-1:]
    course = Course.through(points)
    assert (list(course.steps), course.of) == ([point.step for point in found], length)
    assert course.has_several_steps is (length > 1)


def test_several_values_of_one_step_are_no_line() -> None:
    assert not Course.through([Point(3, FIRST, 1.0), Point(3, FIRST, 2.0)]).has_several_steps


@pytest.mark.parametrize(
    ("then", "again"),
    [
        (ENDED, 0),
        (OPEN, 1),
        (replace(ENDED, metrics={"loss": 0.4}), 1),
        (replace(ENDED, finished_at=FIRST + timedelta(2)), 1),
        (replace(ENDED, metrics={"loss": float("nan")}), 1),
    ],
    ids=["ended", "goes on", "another last value", "ended again", "nan"],
)
def test_what_has_ended_is_read_once(then: LoggedRun, again: int) -> None:
    counted = Counted()
    courses = Courses(cast("History", counted), Reads("it", 60))
    first = ENDED if then.id == ENDED.id else then
    before = courses.of([(first, "loss")])
    after = courses.of([(then, "loss"), (then, "loss")])
    assert counted.read == [(then.id, "loss")] * (1 + again)
    assert (after == before * 2) is (again == 0)
    if then is not OPEN:
        assert courses.of([(then, "loss")]) == after[:1]
        assert len(counted.read) == 1 + again
