"""What every page needs: MLflow behind a deadline, its runs in memory, and what is wrong with it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from runyard.api.addresses import without_logins
from runyard.dashboard.artifacts import FOLDER, Artifacts
from runyard.dashboard.auditing import Auditor
from runyard.dashboard.courses import Courses
from runyard.dashboard.index import FRESH_SECONDS, Index
from runyard.dashboard.progress import Going
from runyard.dashboard.pulse import Pulse
from runyard.dashboard.reads import PATIENCE_SECONDS, Reads
from runyard.dashboard.runs import Runs, bounded, experiment_name
from runyard.errors import TrackingUnavailable
from runyard.history import History, NoSuchRun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runyard.dashboard.trainings import Trainings
    from runyard.history import LoggedRun

# How old runs may be for a page that is merely open.
_WATCHING_SECONDS = 15.0
_PULSES_AT_ONCE = 4
# Each is a request of its own.
_MOST_FOLDERS = 20
# A page that waits is told after 1.5 s; what hangs may hold a thread for as long as this.
_REQUEST_SECONDS = "10"


@dataclass(frozen=True)
class View:
    """A server as it was seen last.

    Attributes:
        experiments: names by ID.
        runs: those that were read.
        problem: why what is shown may be old; empty where it is not.
        is_silent: whether MLflow does not answer just now: nothing need be asked of it for this page.

    """

    experiments: Mapping[str, str]
    runs: Runs
    problem: str = ""
    is_silent: bool = False


class Site:
    """One MLflow, for all who look at it."""

    def __init__(
        self,
        uri: str,
        trainings: Trainings | None = None,
        *,
        may_change: bool = False,
        patience_seconds: float = PATIENCE_SECONDS,
        mlflow_url: str = "",
    ) -> None:
        """Open it; nothing is asked of MLflow yet.

        Args:
            uri: where MLflow is.
            trainings: of a cluster; None: none is looked at.
            may_change: whether who looks may also change something.
            patience_seconds: how long a page waits for MLflow.
            mlflow_url: where people open MLflow's own pages; empty: nobody knows.

        Raises:
            TrackingUnavailable: MLflow cannot be opened.

        """
        self.trainings = trainings
        self.may_change = may_change
        self.mlflow_url = mlflow_url
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", _REQUEST_SECONDS)
        # Who looks asks again.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        self.address = uri
        self.history = History(uri)
        self._patience_seconds = patience_seconds
        self.reads = Reads(f"MLflow at {without_logins(uri)}", patience_seconds)
        self.artifacts = Artifacts(self.history, self.reads)
        self.courses = Courses(self.history, self.reads)
        self.index = Index(self.history)
        self.auditor = Auditor(self.history)
        self.going = Going(self, trainings) if trainings else None
        self.uri = without_logins(uri)
        # Threads of its own: it is to find out that all others hang.
        self._pulse_reads = Reads(f"MLflow at {self.uri}", patience_seconds, _PULSES_AT_ONCE)
        self._pulse = Pulse(self._ask, patience_seconds)

    def look(self, *, is_watching: bool = False) -> View:
        """Return what there is to see; what was seen last where MLflow does not answer.

        Args:
            is_watching: whether only that is wanted to be known, again and again: the runs are then read seldom.

        Raises:
            TrackingUnavailable: it does not answer, and nothing was seen before.

        """
        until = time.monotonic() + self._patience_seconds
        names, problem = self._pulse.get()
        is_silent = bool(problem)
        patience = 0 if problem else max(until - time.monotonic(), 0.1)
        runs, trouble = self.index.get(patience, _WATCHING_SECONDS if is_watching else FRESH_SECONDS)
        problem = problem or trouble
        if runs is None and not problem:
            # It answers, and gives hundreds of runs at once: that takes its time where each has many metrics.
            runs = Runs.of((), datetime.now(UTC), is_whole=False)
        if runs is None or names is None:
            raise TrackingUnavailable(problem)
        return View(names, runs, problem, is_silent)

    def look_and_ask(self) -> View:
        """Return what there is to see, for who has more to ask of MLflow.

        Raises:
            TrackingUnavailable: MLflow does not answer.

        """
        view = self.look()
        if view.is_silent:
            raise TrackingUnavailable(view.problem)
        return view

    def run(self, run_id: str) -> LoggedRun:
        """Read a run in full.

        Raises:
            NoSuchRun: there is none, or several.
            TrackingUnavailable: MLflow does not answer.

        """
        return self.reads.one(("run", run_id), lambda: bounded(self.history.find(run_id)))

    def find(self, run_ids: Sequence[str]) -> list[LoggedRun | None]:
        """Read runs that may not be there: None for each that is not.

        Raises:
            TrackingUnavailable: MLflow does not answer.

        """

        def found(run_id: str) -> LoggedRun | None:
            try:
                return bounded(self.history.find(run_id))
            except NoSuchRun:
                return None

        return self.reads.all([(("perhaps a run", run_id), partial(found, run_id)) for run_id in run_ids])

    def files(self, run: LoggedRun) -> list[str]:
        """Return the paths of a run's artifacts: all of its evaluation's, and of very many folders some, with a slash.

        Raises:
            TrackingUnavailable: MLflow, or the store of its artifacts, does not answer.

        """

        def listed() -> list[str]:
            found = self.history.files(run, most_folders=_MOST_FOLDERS)
            if f"{FOLDER}/" not in found:
                return found
            # It is beyond the folders that were looked into.
            return [*(path for path in found if path != f"{FOLDER}/"), *self.history.files(run, FOLDER)]

        return sorted(self.reads.one(("files", run.id), listed))

    def close(self) -> None:
        """End what goes on in the background."""
        self._pulse.close()
        self._pulse_reads.close()
        self.index.close()
        self.auditor.close()
        if self.going:
            self.going.close()
        if self.trainings:
            self.trainings.close()
        self.reads.close()

    def _ask(self) -> Mapping[str, str]:
        """Read the names of the experiments. No two who ask share an answer: one that is late is none."""
        names = self._pulse_reads.one(None, self.history.experiments)
        return {each: experiment_name(name) for each, name in names.items()}
