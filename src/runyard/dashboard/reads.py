"""Reading for somebody who waits: answered by a deadline, in threads of which there are only so many.

What takes longer than anybody waits is asked for again, by them and by others. So one read of a question serves all
who ask it while it is under way, and what it brings when nobody waits any more is kept for the first who comes back.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

from runyard.errors import RunyardError, TrackingUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PATIENCE_SECONDS = 1.5
_AT_ONCE = 8
# Longer than any page pauses before it asks again.
_KEPT_SECONDS = 12.0
# What has not come by then may hang for ever in a connection that is lost, while the server is back.
_HANGS_SECONDS = 6.0

T = TypeVar("T")
# What is asked; None: what nobody else may be given the answer of.
Question: TypeAlias = Hashable | None


@dataclass
class _Flight:
    """A read under way.

    Attributes:
        answer: what it brings.
        waiting: how many wait for it.
        begun_at: when it was begun, by the clock that is only ever compared with itself.

    """

    answer: Future[object]
    waiting: int = 0
    begun_at: float = field(default_factory=time.monotonic)


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
            at_once: how many reads may be under way; further ones wait for their turn, by the same deadline. As many
                answers are kept that came too late, for twelve seconds.
            silence: what is raised where there is no answer by the deadline.

        """
        self._whom = whom
        self._kind = silence
        self._patience_seconds = patience_seconds
        self._at_once = at_once
        self._pool = ThreadPoolExecutor(at_once, "reads")
        self._under_way = 0
        self._shared: dict[Hashable, _Flight] = {}
        self._late: OrderedDict[Hashable, tuple[object, float]] = OrderedDict()
        self._changed = threading.Condition()

    def one(self, question: Question, read: Callable[[], T]) -> T:
        """Return what a read returns, which may have been begun for somebody else who asks the same.

        Args:
            question: what is asked: two reads of equal questions return the same.
            read: asks it.

        Raises:
            RunyardError: it does not by the deadline: a `TrackingUnavailable`, unless told otherwise.

        """
        return self.all([(question, read)])[0]

    def all(self, reads: Sequence[tuple[Question, Callable[[], T]]], at_least_seconds: float = 0) -> list[T]:
        """Return what several reads return, which are done side by side, by one deadline.

        Args:
            reads: questions, and what asks them.
            at_least_seconds: how long is waited, where that is longer than usual.

        Raises:
            RunyardError: one does not by the deadline.

        """
        patience_seconds = max(self._patience_seconds, at_least_seconds)
        until = time.monotonic() + patience_seconds
        joined: list[_Flight] = []
        try:
            for question, read in reads:
                joined.append(self._join(question, read, until))
            # By an equal question the same was read.
            return [cast("T", each.answer.result(max(until - time.monotonic(), 0))) for each in joined]
        except NotInTime as error:
            raise self._kind(f"{self._whom} has not answered for {patience_seconds:g} s") from error
        finally:
            with self._changed:
                for each in joined:
                    each.waiting -= 1

    def _join(self, question: Question, read: Callable[[], object], until: float) -> _Flight:
        with self._changed:
            while True:
                if found := self._found(question):
                    found.waiting += 1
                    return found
                if self._under_way < self._at_once:
                    return self._begin(question, read)
                if not self._changed.wait(max(until - time.monotonic(), 0)):
                    raise NotInTime

    def _found(self, question: Question) -> _Flight | None:
        """Return the read of a question that is under way, or has ended of late with nobody waiting."""
        if question is None:
            return None
        answer, kept_until = self._late.pop(question, (None, 0.0))
        if time.monotonic() < kept_until:
            found: Future[object] = Future()
            found.set_result(answer)
            return _Flight(found)
        shared = self._shared.get(question)
        hangs = shared and time.monotonic() - shared.begun_at > max(_HANGS_SECONDS, self._patience_seconds)
        return None if hangs else shared

    def _begin(self, question: Question, read: Callable[[], object]) -> _Flight:
        self._under_way += 1
        begun = _Flight(self._pool.submit(read), waiting=1)
        if question is not None:
            self._shared[question] = begun
        # Called at once where it has ended already: the lock is one that its owner may take again.
        begun.answer.add_done_callback(lambda _: self._end(question, begun))
        return begun

    def _end(self, question: Question, ended: _Flight) -> None:
        with self._changed:
            self._under_way -= 1
            if question is not None and self._shared.get(question) is ended:
                del self._shared[question]
                # Under this lock nobody begins to wait: who has not, asked once before and is gone.
                if not ended.waiting and not ended.answer.cancelled() and ended.answer.exception() is None:
                    self._keep(question, ended.answer.result())
            self._changed.notify_all()

    def _keep(self, question: Hashable, answer: object) -> None:
        now = time.monotonic()
        self._late[question] = (answer, now + _KEPT_SECONDS)
        self._late.move_to_end(question)
        for other, (_, kept_until) in list(self._late.items()):
            if kept_until <= now or len(self._late) > self._at_once:
                del self._late[other]

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
