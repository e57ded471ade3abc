"""Reading for many who wait: what is asked twice is read once, and nobody waits longer than they should."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from runyard.dashboard.reads import Reads
from runyard.errors import RunyardError, TrackingUnavailable
from runyard.history import NoSuchRun
from tests.support.waiting import wait_for


class Far:
    """A server that answers when it is told to, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.answers = threading.Event()
        self.ended: Counter[str] = Counter()

    def read(self, what: str) -> Callable[[], str]:
        def read() -> str:
            self.asked[what] += 1
            number = self.asked[what]
            assert self.answers.wait(60)
            self.ended[what] += 1
            return f"{what} {number}"

        return read


@pytest.fixture
def far() -> Iterator[Far]:
    found = Far()
    yield found
    found.answers.set()


def test_one_read_serves_all_who_ask_the_same_at_once(far: Far) -> None:
    reads = Reads("it", 60)
    with ThreadPoolExecutor(20) as people:
        waiting = [people.submit(reads.one, "a", far.read("a")) for _ in range(20)]
        wait_for("all wait", lambda: far.asked["a"] == 1 and reads._shared["a"].waiting == 20)  # noqa: SLF001
        far.answers.set()
        assert {each.result(60) for each in waiting} == {"a 1"}
    # Who asks then asks anew: nothing is kept of what somebody has waited for.
    assert reads.one("a", far.read("a")) == "a 2"


def test_what_nobody_may_share_is_read_for_each(far: Far) -> None:
    reads = Reads("it", 60)
    far.answers.set()
    assert len(reads.all([(None, far.read("a")), (None, far.read("a"))])) == 2
    assert far.asked["a"] == 2


def test_a_question_that_is_asked_again_and_again_takes_one_thread(far: Far) -> None:
    reads = Reads("it", 0.05, at_once=2)
    for _ in range(5):
        with pytest.raises(TrackingUnavailable, match=r"it has not answered for 0\.05 s"):
            reads.one("a", far.read("a"))
    assert far.asked["a"] == 1
    # The other thread is free.
    free = Far()
    free.answers.set()
    patient = Reads("it", 60, at_once=1)
    assert patient.one("b", free.read("b")) == "b 1"
    with pytest.raises(TrackingUnavailable):
        reads.one("b", far.read("b"))
    assert far.asked["b"] == 1


def test_what_comes_too_late_is_there_for_the_first_who_asks_again(far: Far) -> None:
    reads = Reads("it", 0.05)
    with pytest.raises(TrackingUnavailable):
        reads.one("a", far.read("a"))
    far.answers.set()
    wait_for("it has come", lambda: far.ended["a"] or None)
    patient = far.read("a")
    assert wait_for("it is there", lambda: reads.one("a", patient)) == "a 1"
    assert reads.one("a", patient) == "a 2"


def test_of_what_came_too_late_no_more_is_kept_than_is_read_at_once(far: Far) -> None:
    reads = Reads("it", 0.3, at_once=2)
    names = [f"question {number}" for number in range(4)]

    def too_late(*pair: str) -> None:
        far.answers.clear()
        for name in pair:
            with pytest.raises(TrackingUnavailable):
                reads.one(name, far.read(name))
        far.answers.set()
        # A thread is free again once its answer is put away.
        wait_for("both have come", lambda: all(far.ended[name] for name in pair))
        reads.all([(None, far.read("x")), (None, far.read("x"))])

    too_late(*names[:2])
    too_late(*names[2:])
    answers = [reads.one(name, far.read(name)) for name in names]
    assert answers == ["question 0 2", "question 1 2", "question 2 1", "question 3 1"]


def test_what_hangs_is_asked_once_more_when_the_server_may_be_back(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runyard.dashboard.reads._HANGS_SECONDS", 0.5)
    reads = Reads("it", 0.4)
    with pytest.raises(TrackingUnavailable):
        reads.one("a", far.read("a"))
    began = time.monotonic()
    wait_for("it hangs for long", lambda: time.monotonic() - began > 0.5)
    assert reads.one("a", lambda: "it is back") == "it is back"
    # What hung comes at last, and is nobody's answer any more.
    far.answers.set()
    wait_for("it has come", lambda: far.ended["a"] or None)
    reads.all([(None, far.read("x"))] * 8)
    assert reads.one("a", lambda: "it is now") == "it is now"


def test_what_goes_wrong_goes_wrong_for_all_and_is_not_kept() -> None:
    reads = Reads("it", 60)

    def wrong() -> str:
        raise NoSuchRun("there is none")

    for _ in range(2):
        with pytest.raises(NoSuchRun):
            reads.one("a", wrong)
    assert reads.one("a", lambda: "well") == "well"


def test_who_finds_no_thread_free_is_told_by_the_same_deadline(far: Far) -> None:
    class Silent(RunyardError):
        pass

    reads = Reads("it", 0.2, at_once=1, silence=Silent)
    began = time.monotonic()
    for name in ("a", "b"):
        with pytest.raises(Silent):
            reads.one(name, far.read(name))
    assert 0.4 <= time.monotonic() - began < 30
    assert far.asked == {"a": 1}
