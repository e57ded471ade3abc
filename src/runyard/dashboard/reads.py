"""Reading for somebody who waits: answered by a deadline, in threads of which there are only so many."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from typing import TYPE_CHECKING, TypeVar

from runyard.errors import RunyardError, TrackingUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PATIENCE_SECONDS = 1.5
_AT_ONCE = 8

T = TypeVar("T")


class Reads:
    """Reads of one server. A read that hangs keeps its thread until the client gives up, and nobody waiting."""

    def __init__(
        self,
        whom: str,
        patience_seconds: float = PATIENCE_SECONDS,
        at_once: int = _AT_ONCE,
        silence: type[RunyardError] = TrackingUnavailable,
    ) -> None:
        """Make ready.

        Args:
            whom: who is asked, for messages.
            patience_seconds: how long is waited.
            at_once: how many reads may be under way; further ones wait for their turn, by the same deadline.
            silence: what is raised where there is no answer by the deadline.

        """
        self._whom = whom
        self._kind = silence
        self._patience_seconds = patience_seconds
        self._pool = ThreadPoolExecutor(at_once, "reads")
        self._free = threading.Semaphore(at_once)

    def one(self, read: Callable[[], T]) -> T:
        """Return what a read returns.

        Raises:
            RunyardError: it does not by the deadline: a `TrackingUnavailable`, unless told otherwise.

        """
        return self.all([read])[0]

    def all(self, reads: Sequence[Callable[[], T]]) -> list[T]:
        """Return what several reads return, which are done side by side, by one deadline.

        Raises:
            RunyardError: one does not by the deadline.

        """
        until = time.monotonic() + self._patience_seconds
        asked = [self._begin(read, until) for read in reads]
        try:
            return [each.result(max(until - time.monotonic(), 0)) for each in asked]
        except NotInTime as error:
            raise self._silence() from error
        finally:
            for each in asked:
                each.cancel()

    def _begin(self, read: Callable[[], T], until: float) -> Future[T]:
        if not self._free.acquire(timeout=max(until - time.monotonic(), 0)):
            raise self._silence()
        begun = self._pool.submit(read)
        begun.add_done_callback(lambda _: self._free.release())
        return begun

    def _silence(self) -> RunyardError:
        return self._kind(f"{self._whom} has not answered for {self._patience_seconds:g} s")

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
