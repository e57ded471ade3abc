"""The queue: one worker a key, nothing lost, and a failure is nobody else's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from runyard_operator import queue as queue_module
from runyard_operator.queue import ReconcileQueue

DEADLINE_SECONDS = 5


@dataclass
class Work:
    """Work that a test looks at and, where it wants to, holds up."""

    done: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    pauses: dict[str, timedelta] = field(default_factory=dict)
    fails: dict[str, int] = field(default_factory=dict)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    busy: list[str] = field(default_factory=list)
    most_at_once: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def __call__(self, key: str) -> timedelta | None:
        assert key not in self.busy, "two workers have the same key"
        self.busy.append(key)
        self.most_at_once = max(self.most_at_once, len(self.busy))
        await self._tell()
        try:
            if gate := self.gates.get(key):
                await gate.wait()
            if self.fails.get(key, 0) > 0:
                self.fails[key] -= 1
                raise ValueError(key)
            self.done.append(key)
            return self.pauses.pop(key, None)
        finally:
            self.busy.remove(key)
            await self._tell()

    def failed(self, key: str, error: Exception) -> None:
        self.failures.append((key, str(error)))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS), self._changed:
            await self._changed.wait_for(condition)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def running(work: Work, workers: int = 3) -> AsyncIterator[ReconcileQueue[str]]:
    queue = ReconcileQueue(work, work.failed)
    task = asyncio.create_task(queue.run(workers))
    try:
        yield queue
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make retries come at once: how long they wait is shown by another test."""
    monkeypatch.setattr(queue_module, "_FIRST_RETRY_SECONDS", 0.0)


async def test_each_key_is_worked_on() -> None:
    work = Work()
    async with running(work) as queue:
        for key in "abc":
            queue.add(key)
        await work.until(lambda: sorted(work.done) == ["a", "b", "c"])


async def test_a_key_asked_for_twice_before_its_turn_is_worked_on_once() -> None:
    work = Work()
    async with running(work, workers=1) as queue:
        for key in "aabab":
            queue.add(key)
        queue.add("last")
        await work.until(lambda: "last" in work.done)
    assert work.done == ["a", "b", "last"]


async def test_a_key_that_was_dropped_is_not_worked_on() -> None:
    work = Work()
    async with running(work) as queue:
        queue.add_after("dropped", timedelta(0))
        queue.add_after("a", timedelta(0))
        queue.drop("dropped")
        await work.until(lambda: "a" in work.done)
    assert work.done == ["a"]


async def test_a_key_asked_for_while_it_is_worked_on_is_worked_on_again() -> None:
    work = Work(gates={"a": asyncio.Event()})
    async with running(work) as queue:
        queue.add("a")
        await work.until(lambda: work.busy == ["a"])
        queue.add("a")
        queue.add("a")
        work.gates["a"].set()
        await work.until(lambda: work.done == ["a", "a"])
        queue.add("b")
        await work.until(lambda: "b" in work.done)
    assert work.done == ["a", "a", "b"]


async def test_keys_are_worked_on_at_once_but_each_by_one() -> None:
    gate = asyncio.Event()
    work = Work(gates=dict.fromkeys("abc", gate))
    async with running(work) as queue:
        for key in "abcabc":
            queue.add(key)
        await work.until(lambda: len(work.busy) == 3)
        for key in "abc":
            queue.add(key)
        gate.set()
        await work.until(lambda: len(work.done) == 6)
    assert sorted(work.done) == ["a", "a", "b", "b", "c", "c"]
    assert work.most_at_once == 3


async def test_a_key_that_is_held_up_holds_up_no_other() -> None:
    work = Work(gates={"stuck": asyncio.Event()})
    async with running(work, workers=2) as queue:
        queue.add("stuck")
        for key in "abc":
            queue.add(key)
        await work.until(lambda: len(work.done) == 3)
    assert work.done == ["a", "b", "c"]


@pytest.mark.usefixtures("soon")
async def test_a_failure_is_told_and_tried_again() -> None:
    work = Work(fails={"a": 3})
    async with running(work, workers=1) as queue:
        queue.add("a")
        queue.add("b")
        await work.until(lambda: sorted(work.done) == ["a", "b"])
    assert work.failures == [("a", "a")] * 3
    assert work.done[0] == "b"


async def test_a_key_that_failed_is_worked_on_at_once_when_asked_for() -> None:
    work = Work(fails={"a": 1})
    async with running(work) as queue:
        queue.add("a")
        await work.until(lambda: bool(work.failures) and not work.busy)
        queue.add("a")
        await work.until(lambda: work.done == ["a"])


async def test_work_may_ask_to_be_called_again() -> None:
    work = Work(pauses={"a": timedelta(0)})
    async with running(work) as queue:
        queue.add("a")
        await work.until(lambda: work.done == ["a", "a"])


async def test_a_key_wanted_later_and_asked_for_now_is_worked_on_once() -> None:
    work = Work(pauses={"a": timedelta(hours=1)})
    async with running(work) as queue:
        queue.add("a")
        await work.until(lambda: work.done == ["a"])
        queue.add_after("a", timedelta(0))
        queue.add("a")
        await work.until(lambda: work.done == ["a", "a"])
        queue.add_after("b", timedelta(0))
        await work.until(lambda: "b" in work.done)
    assert work.done == ["a", "a", "b"]


async def test_the_latest_word_on_when_counts() -> None:
    work = Work()
    async with running(work) as queue:
        queue.add_after("a", timedelta(0))
        queue.add_after("a", timedelta(hours=1))
        queue.add_after("b", timedelta(0))
        await work.until(lambda: "b" in work.done)
        queue.add_after("a", timedelta(0))
        await work.until(lambda: "a" in work.done)
    assert work.done == ["b", "a"]


async def test_pauses_double_up_to_a_limit_and_begin_anew_after_a_success() -> None:
    pauses: list[float] = []

    class Recorded(ReconcileQueue[str]):
        def add_after(self, key: str, pause: timedelta) -> None:
            pauses.append(pause.total_seconds())
            super().add_after(key, timedelta(0))

    work = Work(fails={"a": 9})
    queue = Recorded(work, work.failed)
    task = asyncio.create_task(queue.run(1))
    queue.add("a")
    await work.until(lambda: work.done == ["a"])
    work.fails["a"] = 1
    queue.add("a")
    await work.until(lambda: work.done == ["a", "a"])
    task.cancel()
    longest = [0.5, 1, 2, 4, 8, 16, 20, 20, 20, 0.5]
    assert all(limit / 2 <= pause <= limit for pause, limit in zip(pauses, longest, strict=True))


async def test_stopping_the_queue_stops_its_work() -> None:
    work = Work(gates={"a": asyncio.Event()})
    async with running(work) as queue:
        queue.add("a")
        await work.until(lambda: work.busy == ["a"])
    assert (work.busy, work.done) == ([], [])


async def test_a_queue_that_is_stopped_ends_what_is_in_hand_and_begins_nothing() -> None:
    work = Work(gates={"slow": asyncio.Event()})
    queue = ReconcileQueue(work, work.failed)
    running = asyncio.create_task(queue.run(3))
    queue.add("slow")
    await work.until(lambda: work.busy == ["slow"])
    queue.add_after("later", timedelta(0))
    queue.stop()
    queue.add("new")
    queue.add("slow")
    assert (queue.in_work, running.done()) == (1, False)
    work.gates["slow"].set()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await running
    assert work.done == ["slow"]


async def test_a_key_that_is_long_in_work_is_named() -> None:
    work = Work(gates={"slow": asyncio.Event()})
    async with running(work, workers=1) as queue:
        queue.add("slow")
        queue.add("next")
        await work.until(lambda: work.busy == ["slow"])
        assert (queue.in_work, queue.depth) == (1, 1)
        assert queue.stuck(60) == []
        assert queue.stuck(-1) == ["slow has been in work for 0 s"]
        work.gates["slow"].set()
        await work.until(lambda: work.done == ["slow", "next"])
        await asyncio.sleep(0)
        assert queue.stuck(-1) == []
