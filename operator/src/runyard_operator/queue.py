"""A queue of keys: each is worked on by one worker at a time, and again if it was added meanwhile."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Hashable
from datetime import timedelta
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

_FIRST_RETRY_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 20.0


def pause_after(failures: int, longest_seconds: float = _LONGEST_RETRY_SECONDS) -> timedelta:
    """Return how long to wait after a failure, given how many there were before it: 0.5 s, doubled, up to the longest.

    With jitter, so that many keys that failed together do not come back together.
    """
    longest = min(_FIRST_RETRY_SECONDS * 2 ** min(failures, 16), longest_seconds)
    return timedelta(seconds=longest * random.uniform(0.5, 1))  # noqa: S311 spreading, not secrecy


class ReconcileQueue(Generic[Key]):
    """Keys waiting to be reconciled.

    Work that fails is tried again after a pause that grows with each failure.
    """

    def __init__(
        self, work: Callable[[Key], Awaitable[timedelta | None]], failed: Callable[[Key, Exception], None]
    ) -> None:
        """Use `work` for each key (it may ask to be called again after a while); `failed` is told of exceptions."""
        self._work, self._failed = work, failed
        self._ready: asyncio.Queue[Key | None] = asyncio.Queue()
        self._waiting: set[Key] = set()
        self._busy: dict[Key, float] = {}
        self._is_stopped = False
        self._workers = 0
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}

    def add(self, key: Key) -> None:
        """Ask for a key to be worked on; asking twice before it is is asking once."""
        self.drop(key)
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._busy:
            self._ready.put_nowait(key)

    def add_after(self, key: Key, pause: timedelta) -> None:
        """Ask for a key after a while, unless it is asked for sooner."""
        self.drop(key)
        self._timers[key] = asyncio.get_running_loop().call_later(pause.total_seconds(), self.add, key)

    def drop(self, key: Key) -> None:
        """Ask no longer for a key that was asked for after a while."""
        if timer := self._timers.pop(key, None):
            timer.cancel()

    @property
    def depth(self) -> int:
        """How many keys wait for a worker."""
        return self._ready.qsize()

    @property
    def in_work(self) -> int:
        """How many keys a worker has in hand."""
        return len(self._busy)

    def stuck(self, limit_seconds: float) -> list[str]:
        """Return a sentence for each key that a worker has had in hand for longer than a limit."""
        now = time.monotonic()
        return [
            f"{key} has been in work for {now - since:.0f} s"
            for key, since in self._busy.items()
            if now - since > limit_seconds
        ]

    def stop(self) -> None:
        """Have workers end with what they have in hand, and `run` with the last of them."""
        self._is_stopped = True
        for timer in self._timers.values():
            timer.cancel()
        for _ in range(self._workers):
            self._ready.put_nowait(None)  # wakes those that wait

    async def run(self, workers: int) -> None:
        """Work until stopped or cancelled."""
        self._workers = workers
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker())

    async def _worker(self) -> None:
        while True:
            key = await self._ready.get()
            if key is None or self._is_stopped:
                return
            self._waiting.discard(key)
            self._busy[key] = time.monotonic()
            pause = await self._attempt(key)
            del self._busy[key]
            if key in self._waiting:
                self._ready.put_nowait(key)
            elif pause is not None:
                self.add_after(key, pause)

    async def _attempt(self, key: Key) -> timedelta | None:
        try:
            pause = await self._work(key)
        except Exception as error:  # noqa: BLE001 one key's failure must not stop the others; it is reported and retried
            self._failed(key, error)
            count = self._failures.get(key, 0)
            self._failures[key] = count + 1
            return pause_after(count)
        self._failures.pop(key, None)
        return pause
