"""The runs of a server, kept in memory and read again while somebody looks.

MLflow sorts 10,000 runs by one of 50 metrics in seconds, and a list in memory in milliseconds. MLflow tells of no run
when it was changed last: so everything is read again where that takes less than a second, and else every ten minutes;
in between are read the runs that began or ended since, and those that go on.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from runyard.api.records import RunStatus
from runyard.dashboard.runs import MOST_RUNS, Runs, small
from runyard.errors import RunyardError
from runyard.history import NoSuchRun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runyard.history import History, LoggedRun

_PAGE = 500
# How often it is read while somebody looks.
FRESH_SECONDS = 2.0
# What is read in less is read whole each time.
_QUICK_SECONDS = 1.0
_WHOLE_EVERY_SECONDS = 600.0
# Clocks of those who log differ.
_OVERLAP = timedelta(minutes=5)
# How many runs are asked for one by one.
_MOST_ASKED = 20

log = logging.getLogger(__name__)


class Index:
    """The runs of one MLflow. Its thread reads when it is asked to, and never twice at once."""

    def __init__(self, history: History) -> None:
        """Begin with nothing; the first who asks waits."""
        self._history = history
        self._runs: Runs | None = None
        self._problem = ""
        self._changed = threading.Condition()
        self._is_wanted = False
        self._is_closed = False
        self._rounds = 0
        self._ended_at = float("-inf")
        self._whole_at = float("-inf")
        self._whole_seconds = float("inf")
        self._thread = threading.Thread(target=self._work, name="index", daemon=True)
        self._thread.start()

    def get(self, patience_seconds: float, fresh_seconds: float = FRESH_SECONDS) -> tuple[Runs | None, str]:
        """Return the runs, and why they could not be read again; the runs are None before any were read.

        What is old is read again: that is waited for a moment, the first time as long as is said.

        Args:
            patience_seconds: how long at most.
            fresh_seconds: what is older than this is old; with a problem, what is older than two seconds.

        """
        with self._changed:
            age = time.monotonic() - self._ended_at
            if age < (FRESH_SECONDS if self._problem else fresh_seconds):
                return self._runs, self._problem
            before = self._rounds
            self._is_wanted = True
            self._changed.notify_all()
            wait = patience_seconds if self._runs is None else min(0.1, patience_seconds)
            self._changed.wait_for(lambda: self._rounds > before, wait)
            return self._runs, self._problem

    def close(self) -> None:
        """End its thread, once what is being read is there."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_wanted or self._is_closed)
                if self._is_closed:
                    return
                self._is_wanted = False
            problem = ""
            try:
                self._read()
            except RunyardError as error:
                problem = str(error)
                log.warning("%s", error)
            except Exception as error:  # whatever it is, who looks must not take old runs for new ones
                problem = f"the runs could not be read: {type(error).__name__}"
                log.exception("the runs could not be read")
            with self._changed:
                self._problem = problem
                self._rounds += 1
                self._ended_at = time.monotonic()
                self._changed.notify_all()

    def _read(self) -> None:
        began = time.monotonic()
        is_due = began - self._whole_at > _WHOLE_EVERY_SECONDS
        if self._runs is None or not self._runs.is_whole or is_due or self._whole_seconds < _QUICK_SECONDS:
            self._read_whole()
            self._whole_seconds = time.monotonic() - began
            self._whole_at = began
        else:
            self._read_changes(self._runs)

    def _read_whole(self) -> None:
        at = datetime.now(UTC)
        found: dict[str, LoggedRun] = {}
        for page in self._history.pages(size=_PAGE):
            found |= {run.id: small(run) for run in page}
            if len(found) >= MOST_RUNS:
                break
            # The first time, what has been read so far is better than nothing.
            if self._runs is None or not self._runs.is_whole:
                self._publish(Runs.of(found.values(), at, is_whole=False))
        self._publish(Runs.of(found.values(), at))

    def _read_changes(self, before: Runs) -> None:
        at = datetime.now(UTC)
        found = dict(before.by_id)
        going_on = {run.id for run in before.every if run.status.is_open}
        for where in _changed_since(before):
            for page in self._history.pages(where=where, size=_PAGE):
                found |= {run.id: small(run) for run in page}
                going_on -= {run.id for run in page}
        # Neither going on nor ended of late: deleted, or ended at a time that was written down later.
        for run_id in sorted(going_on)[:_MOST_ASKED]:
            try:
                found[run_id] = small(self._history.find(run_id))
            except NoSuchRun:
                del found[run_id]
        self._publish(Runs.of(found.values(), at, is_whole=before.is_whole))

    def _publish(self, runs: Runs) -> None:
        with self._changed:
            self._runs = runs
            self._changed.notify_all()


def _changed_since(before: Runs) -> Iterator[str]:
    """Yield MLflow's filters for what may have changed."""
    since = round((before.at - _OVERLAP).timestamp() * 1000)
    yield f"attributes.start_time >= {since}"
    yield f"attributes.end_time >= {since}"
    for status in RunStatus:
        if status.is_open:
            yield f"attributes.status = '{status.value}'"
