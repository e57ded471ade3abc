"""A queue of keys: each is worked on by one worker at a time, and again if it was added meanwhile."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Hashable
from datetime import timedelta
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

_FIRST_RETRY_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 20.0


def pause_after(failures: int) -> timedelta:
    """Return how long to wait after a failure, given how many there were before it: 0.5 s, doubled, to 20 s at most.

    With jitter, so that many keys that failed together do not come back together.
    """
    longest = min(_FIRST_RETRY_SECONDS * 2 ** min(failures, 16), _LONGEST_RETRY_SECONDS)
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
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._waiting: set[Key] = set()
        self._busy: set[Key] = set()
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

    async def run(self, workers: int) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker())

    async def _worker(self) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._busy.add(key)
            pause = await self._attempt(key)
            self._busy.discard(key)
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
