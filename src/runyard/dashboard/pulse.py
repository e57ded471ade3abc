"""Whether MLflow answers, found out again and again while somebody looks, and never by those who look.

A page that is open asks each second how things stand. The names of the experiments are what MLflow is asked for: they
are needed anyway, and one request that takes its database.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from runyard.errors import TrackingUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# With a read's patience of 1.5 s, a silence is known 1.75 s after it began.
PAUSE_SECONDS = 0.25
# An answer that comes so soon keeps nobody waiting.
_QUICK_SECONDS = 0.1
# Who has asked so lately is still there.
_LOOKED_AT_SECONDS = 3.0

log = logging.getLogger(__name__)


class Pulse:
    """Asks MLflow, as long as somebody looks, in a thread of its own."""

    def __init__(self, ask: Callable[[], Mapping[str, str]], patience_seconds: float) -> None:
        """Begin; nothing is asked before somebody looks.

        Args:
            ask: returns the names of the experiments by ID, by the deadline, or raises `TrackingUnavailable`.
            patience_seconds: how long it may take.

        """
        self._ask = ask
        self._patience_seconds = patience_seconds
        self._names: Mapping[str, str] | None = None
        self._problem = ""
        self._rounds = 0
        self._ended_at = float("-inf")
        self._pause_seconds = PAUSE_SECONDS
        self._looked_at = float("-inf")
        self._is_closed = False
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name="pulse", daemon=True).start()

    def get(self) -> tuple[Mapping[str, str] | None, str]:
        """Return the names of the experiments, and why they may be old; None before any were read.

        What has been asked for a while is waited for, unless it was silent before: then that is said at once.
        """
        with self._changed:
            now = time.monotonic()
            is_late = now - self._ended_at > self._pause_seconds + _QUICK_SECONDS
            was_watched = now - self._looked_at < _LOOKED_AT_SECONDS
            self._looked_at = now
            self._changed.notify_all()
            if is_late and not (self._problem and was_watched):
                before = self._rounds
                self._changed.wait_for(lambda: self._rounds > before or self._is_closed, self._patience_seconds + 0.1)
            return self._names, self._problem

    def close(self) -> None:
        """Ask no more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while self._wait():
            began = time.monotonic()
            names, problem = self._names, ""
            try:
                names = self._ask()
            except TrackingUnavailable as error:
                problem = str(error)
            except Exception as error:  # whatever it is, who looks must not take silence for an answer
                problem = f"the experiments could not be read: {type(error).__name__}"
                log.exception("the experiments could not be read")
            with self._changed:
                self._names, self._problem = names, problem
                self._rounds += 1
                self._ended_at = time.monotonic()
                took = self._ended_at - began
                # A server with very many experiments has something else to do.
                self._pause_seconds = PAUSE_SECONDS if problem else max(PAUSE_SECONDS, took)
                self._changed.notify_all()

    def _wait(self) -> bool:
        """Wait until it is time to ask, and return whether it still is."""
        with self._changed:
            while not self._is_closed:
                now = time.monotonic()
                rest = self._ended_at + self._pause_seconds - now
                if now - self._looked_at >= _LOOKED_AT_SECONDS:
                    self._changed.wait()
                elif rest > 0:
                    self._changed.wait(rest)
                else:
                    return True
            return False
