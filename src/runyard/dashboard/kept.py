"""What was read, kept for as long as it may be shown again, so that many who look cost no more than one."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_MOST = 100

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Answers by what was asked, those that were asked for last: a hundred, unless told otherwise."""

    def __init__(self, at_most: int = _MOST) -> None:
        """Begin with none."""
        self._at_most = at_most
        self._found: OrderedDict[K, tuple[V, float]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K, read: Callable[[V | None], tuple[V, float]]) -> V:
        """Return an answer that may still be shown, else read it.

        Two who ask at the same moment may both read: neither waits for the other.

        Args:
            key: what is asked.
            read: given what was answered before, if anything was, returns an answer, and for how many seconds it may
                be shown.

        """
        before, is_fresh = self._look(key)
        if before is not None and is_fresh:
            return before
        found, seconds = read(before)
        self.keep(key, found, seconds)
        return found

    def known(self, key: K) -> V | None:
        """Return an answer that may still be shown; None where there is none."""
        found, is_fresh = self._look(key)
        return found if is_fresh else None

    def keep(self, key: K, found: V, seconds: float) -> None:
        """Keep an answer for as long as it may be shown; of too many the one that nobody asked for longest goes."""
        with self._lock:
            self._found[key] = (found, time.monotonic() + seconds)
            self._found.move_to_end(key)
            while len(self._found) > self._at_most:
                self._found.popitem(last=False)

    def _look(self, key: K) -> tuple[V | None, bool]:
        with self._lock:
            found, until = self._found.get(key, (None, float("-inf")))
            is_fresh = time.monotonic() < until
            if found is not None and is_fresh:
                self._found.move_to_end(key)
            return found, is_fresh
