"""What a client of the API server has seen of Jobs, pods and TrainingRuns."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cluster.timeline import Seen, Timeline, second_jobs
from tests.cluster.training import assert_one_job
from tests.support.waiting import wait_for


def of_job(what: str, uid: str, run: str | None, **status: Any) -> dict[str, Any]:
    """Return a watch's event of a Job, all of which have the name that their TrainingRun gives them."""
    labels = {"runyard.dev/uid": run} if run else {}
    metadata = {"name": f"job-of-{run}", "uid": uid, "labels": labels}
    return {"type": what, "object": {"kind": "Job", "metadata": metadata, "status": status}}


def of_pod(what: str, uid: str, run: str, phase: str) -> dict[str, Any]:
    metadata = {"name": f"pod-{uid}", "uid": uid, "labels": {"runyard.dev/uid": run}}
    return {"type": what, "object": {"kind": "Pod", "metadata": metadata, "status": {"phase": phase}}}


class Told:
    """An API server of which one watch brings given events, connection by connection, and then nothing more."""

    def __init__(self, *connections: list[dict[str, Any]], about: str = "/apis/batch/v1/jobs") -> None:
        self._about = about
        self._connections = list(connections)
        self._all_told = threading.Event()
        self._over = threading.Event()

    def lines(self, path: str, silence_seconds: float) -> Iterator[dict[str, Any]]:
        if path.startswith(self._about) and self._connections:
            yield from self._connections.pop(0)
            if self._connections:
                raise OSError("the connection broke")
            self._all_told.set()
        self._over.wait(silence_seconds)

    @contextmanager
    def watched(self) -> Iterator[Timeline]:
        timeline = Timeline(self)
        try:
            wait_for("all is told", self._all_told.is_set)
            yield timeline
        finally:
            timeline.close()
            self._over.set()


def test_a_job_that_was_made_again_is_a_second_one_though_both_have_one_name() -> None:
    events = [
        of_job("ADDED", "1", "a"),
        of_job("DELETED", "1", "a"),
        of_job("ADDED", "2", "a"),
        of_job("ADDED", "3", "b"),
    ]
    with Told(events).watched() as timeline:
        assert second_jobs(timeline.jobs()) == ["2 Jobs were made for TrainingRun a"]
        assert timeline.of("a").jobs == {"1", "2"}
        with pytest.raises(AssertionError, match=r"Jobs were made for it: \['1', '2'\]"):
            assert_one_job(timeline.of("a"))
        assert_one_job(timeline.of("b"))


def test_a_job_that_is_told_of_again_is_still_one() -> None:
    """As it is where a watch broke and was begun anew, with whatever is there."""
    begun = [of_job("ADDED", "1", "a"), of_job("MODIFIED", "1", "a")]
    with Told(begun, [of_job("ADDED", "1", "a"), of_job("DELETED", "1", "a")]).watched() as timeline:
        assert second_jobs(timeline.jobs()) == []
        assert_one_job(timeline.of("a"))


def test_a_job_made_anew_while_nothing_was_heard_is_a_second_one() -> None:
    with Told([of_job("ADDED", "1", "a")], [of_job("ADDED", "2", "a")]).watched() as timeline:
        assert second_jobs(timeline.jobs()) == ["2 Jobs were made for TrainingRun a"]


def test_jobs_of_others_are_nobodys_second() -> None:
    with Told([of_job("ADDED", "1", None), of_job("ADDED", "2", None)]).watched() as timeline:
        assert second_jobs(timeline.jobs()) == []


def test_no_job_is_not_one() -> None:
    with pytest.raises(AssertionError, match=r"Jobs were made for it: \[\]"):
        assert_one_job(Seen())


def test_a_pod_that_is_gone_is_remembered_as_it_was_last() -> None:
    before = [
        of_pod("ADDED", "1", "a", "Pending"),
        of_pod("MODIFIED", "1", "a", "Succeeded"),
        of_pod("DELETED", "1", "a", "Succeeded"),
    ]
    after = [of_pod("ADDED", "2", "a", "Running"), of_pod("ADDED", "3", "b", "Pending")]
    with Told(before, after, about="/api/v1/pods").watched() as timeline:
        assert timeline.pods() == {"a": {"1": "Succeeded", "2": "Running"}, "b": {"3": "Pending"}}
