"""Courses of metrics that are read once, where nothing can be added to them any more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api.records import RunStatus
from runyard.dashboard.courses import MOST_WHOLE, Course, Courses, TooLong
from runyard.dashboard.reads import Reads
from runyard.errors import TrackingUnavailable
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
        if metric == "long":
            return [Point(0, FIRST, 0.0)] * (MOST_WHOLE // 2 + 1)
        return [Point(step, FIRST, step / 10) for step in range(len(self.read))]


@given(st.integers(0, 3000))
def test_courses_are_thinned_to_what_can_be_seen(length: int) -> None:
    points = [Point(step, FIRST, (step * 7919 % 1009) / 1009) for step in range(length)]
    course = Course.through(points)
    assert (len(course.steps), len(course.values), course.of) == (*(2 * [min(length, 500)]), length)
    assert set(zip(course.steps, course.values, strict=True)) <= {(point.step, point.value) for point in points}
    assert [*course.steps[:1], *course.steps[-1:]] == [*range(length)][:1] + [*range(length)][-1:]
    if points:
        values = [point.value for point in points]
        assert (min(course.values), max(course.values)) == (min(values), max(values))
    assert course.has_several_steps is (length > 1)
    whole = Course.whole(points)
    assert (list(whole.steps), list(whole.values)) == ([*range(length)], [point.value for point in points])


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


def test_all_of_courses_is_told_to_be_too_much() -> None:
    courses = Courses(cast("History", Counted()), Reads("it", 60))
    assert courses.whole([(ENDED, "long")])[0].of == MOST_WHOLE // 2 + 1
    with pytest.raises(TooLong, match="these courses have 500,002 values, and 500,000 are the most of one table: ask"):
        courses.whole([(ENDED, "long"), (OPEN, "long")])


def test_who_wants_a_file_waits_longer_than_who_looks_at_a_page() -> None:
    reads = Reads("it", 0.01)
    begun = Event()
    with pytest.raises(TrackingUnavailable, match=r"it has not answered for 0\.01 s"):
        reads.all([("a", begun.wait)])
    begun.set()
    assert reads.all([("b", lambda: begun.wait(1))], 20) == [True]
    reads.close()
