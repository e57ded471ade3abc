"""An event loop whose time is the test's: it passes only when told to, and all at once."""

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

from tests.support.factories import NOW

T = TypeVar("T")


class _NoWaiting(selectors.SelectSelector):
    def __init__(self, wait: Callable[[float | None], None]) -> None:
        super().__init__()
        self._wait = wait

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._wait(timeout)
        return []


class Clock(asyncio.SelectorEventLoop):
    """A loop that runs everything that is due, and jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        # Not a whole second: what compares a moment with one that was stored in whole seconds is then found out.
        self._seconds, self._until = 0.25, 0.25
        super().__init__(_NoWaiting(self._jump))

    def time(self) -> float:
        return self._seconds

    def now(self) -> datetime:
        """Return the time of day."""
        return NOW + timedelta(seconds=self._seconds)

    def run_for(self, seconds: float) -> None:
        """Let time pass; with 0, run what is ready now."""
        self._until = self._seconds + seconds
        self.run_forever()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns; no more time passes than it waits."""
        self._until = math.inf
        try:
            return self.run_until_complete(work)
        finally:
            self._until = self._seconds

    def end(self) -> None:
        """Cancel what is still going on, and close the loop."""
        for task in asyncio.all_tasks(self):
            task.cancel()
        self.run_for(0)
        self.close()

    def _jump(self, timeout: float | None) -> None:
        """Stand in for waiting until the next timer, which is `timeout` away, or none at all."""
        if timeout is not None and self._seconds + timeout <= self._until:
            self._seconds += timeout
            return
        if self._until < math.inf:
            self._seconds = self._until
        self.stop()
