"""What every page needs: MLflow behind a deadline, its runs in memory, and what is wrong with it.

With accounts each request has a site of its own, `Site.seen_by` whoever asks. It is the one place that decides what is
seen: runs, experiments, models and audits come from its methods, and what is of a run is read of a run that it gave.
"""

from __future__ import annotations

import os
import time
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from runyard.api.addresses import without_logins
from runyard.api.records import NAME_TAG
from runyard.dashboard import owning
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
from runyard.registry import listed, runs_of_versions, versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runyard.dashboard.accounts import Accounts, Looker
    from runyard.dashboard.auditing import Audit, Subject
    from runyard.dashboard.trainings import SeenTrainings, Trainings
    from runyard.history import LoggedRun
    from runyard.registry import Listed, VersionInFull

# How old runs may be for a page that is merely open.
_WATCHING_SECONDS = 15.0
_PULSES_AT_ONCE = 4
# Each is a request of its own.
_MOST_FOLDERS = 20
# Runs of versions that are not in memory, each of which is a request.
_MOST_ASKED = 100
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
    """One MLflow, for all who look at it, or as one of them may see it.

    Attributes:
        accounts: ask who looks; None: nobody is asked, and all see everything.
        looker: who looks; None: whoever does.

    """

    def __init__(
        self,
        uri: str,
        trainings: Trainings | None = None,
        *,
        may_change: bool = False,
        patience_seconds: float = PATIENCE_SECONDS,
        mlflow_url: str = "",
        accounts: Accounts | None = None,
    ) -> None:
        """Open it; nothing is asked of MLflow yet.

        Args:
            uri: where MLflow is.
            trainings: of a cluster; None: none is looked at.
            may_change: whether who looks may also change something.
            patience_seconds: how long a page waits for MLflow.
            mlflow_url: where people open MLflow's own pages; empty: nobody knows.
            accounts: ask who looks; None: all see everything.

        Raises:
            TrackingUnavailable: MLflow cannot be opened.

        """
        self.accounts = accounts
        self._trainings = trainings
        self.looker: Looker | None = None
        self.trainings: Trainings | SeenTrainings | None = trainings
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
        self._auditor = Auditor(self.history, self.owner)
        self.going = Going(self, trainings) if trainings else None
        self.uri = without_logins(uri)
        # Threads of its own: it is to find out that all others hang.
        self._pulse_reads = Reads(f"MLflow at {self.uri}", patience_seconds, _PULSES_AT_ONCE)
        self._pulse = Pulse(self._ask, patience_seconds)

    def seen_by(self, looker: Looker) -> Site:
        """Return it as somebody may see it. It shares all that is read, and is not to be closed."""
        seen = copy(self)
        seen.looker = looker
        seen.trainings = self._trainings.seen_by(looker) if self._trainings else None
        return seen

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
        namespaces = self._namespaces(owning.owners(runs).values()) if self.looker else None
        if namespaces is not None:
            runs = owning.only(runs, namespaces)
            # One without a run that may be seen may be anybody's.
            names = {place: name for place, name in names.items() if name in runs.by_experiment}
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
            NoSuchRun: there is none, or several, or none that may be seen.
            TrackingUnavailable: MLflow does not answer.

        """
        try:
            found = self.reads.one(("run", run_id), lambda: bounded(self.history.find(run_id)))
        except NoSuchRun:
            if self._sees_all:
                raise
            found = None  # that it was deleted, or that there are several, would tell that there is something
        if found is None or not self.shows(found):
            raise NoSuchRun(f'there is no run "{run_id}", or none that you may see')
        return found

    def find(self, run_ids: Sequence[str]) -> list[LoggedRun | None]:
        """Read runs that may not be there, or not for who looks: None for each that is not.

        Raises:
            TrackingUnavailable: MLflow does not answer.

        """
        return [run if run and self.shows(run) else None for run in self._found(run_ids)]

    def _found(self, run_ids: Sequence[str]) -> list[LoggedRun | None]:
        def found(run_id: str) -> LoggedRun | None:
            try:
                return bounded(self.history.find(run_id))
            except NoSuchRun:
                return None

        return self.reads.all([(("perhaps a run", run_id), partial(found, run_id)) for run_id in run_ids])

    def owner(self, run: LoggedRun) -> str | None:
        """Return the namespace that a run is of, as `runyard.dashboard.owning.owner` does.

        Raises:
            TrackingUnavailable: MLflow does not answer.

        """
        known = self._index().by_id
        return owning.owner(run, lambda run_id: known.get(run_id) or self._found([run_id])[0])

    def shows(self, run: LoggedRun) -> bool:
        """Whether who looks may see a run.

        Raises:
            NotSignedIn: their token is not known any more.
            ClusterUnavailable: the API server does not answer.
            TrackingUnavailable: MLflow does not answer.

        """
        if self._sees_all:
            return True
        owned = self.owner(run)
        return owning.is_shown(owned, self._namespaces([owned]) or ())

    def _index(self) -> Runs:
        """Return the runs in memory, whoever may see them."""
        runs, _ = self.index.get(0, _WATCHING_SECONDS)
        return runs or Runs.of((), datetime.now(UTC), is_whole=False)

    @property
    def _sees_all(self) -> bool:
        return self.looker is None or self.looker.namespaces(()) is None

    def _namespaces(self, owned: Iterable[str | None]) -> frozenset[str] | None:
        """Return of which of some namespaces who looks may see what there is; None: of all that there are."""
        return self.looker.namespaces(owning.named(owned)) if self.looker else None

    def models(self) -> list[Listed]:
        """Return the registered models of which a version may be seen, with the aliases and moves of these.

        Raises:
            TrackingUnavailable: MLflow does not answer.

        """
        every = self.reads.one("models", lambda: listed(self.address))
        if self._sees_all:
            return every
        shown = self._versions()
        return [owning.versions_of(model, shown[model.name]) for model in every if shown.get(model.name)]

    def versions(self, model: str, at_most: int) -> list[VersionInFull]:
        """Return the newest versions of a registered model that may be seen.

        Raises:
            TrackingUnavailable: MLflow does not answer.

        """
        found = self.reads.one(("versions", model), lambda: versions(self.address, model, at_most))
        if self._sees_all:
            return found
        shown = self._versions().get(model, set())
        return [version for version in found if version.version in shown]

    def has_hidden_versions(self, model: str) -> bool:
        """Whether a registered model has versions that may not be seen.

        Raises:
            TrackingUnavailable: MLflow does not answer.

        """
        if self._sees_all:
            return False
        return self._versions().get(model, set()) != self._runs_of_versions().get(model, {}).keys()

    def _runs_of_versions(self) -> dict[str, dict[int, str]]:
        return self.reads.one("runs of versions", lambda: runs_of_versions(self.address))

    def _versions(self) -> dict[str, set[int]]:
        """Return the numbers of versions that may be seen, by model."""
        every = self._runs_of_versions()
        shown = {"", *self.look().runs.by_id}
        known = self._index().by_id.keys()
        asked = sorted({run_id for of_it in every.values() for run_id in of_it.values()} - shown - known)[:_MOST_ASKED]
        shown |= {run.id for run in self.find(asked) if run}
        return {
            model: {number for number, run_id in of_it.items() if run_id in shown} for model, of_it in every.items()
        }

    def audit(self, subject: Subject) -> Audit:
        """Return how an audit stands, of the runs that may be seen.

        Raises:
            TooManyAudits: more are wanted than will be taken soon.

        """
        if self._sees_all:
            return self._auditor.get(subject)
        owned = owning.owners(self._index()).values()
        return self._auditor.get(replace(subject, namespaces=self._namespaces(owned)))

    def may_promote(self, run: LoggedRun) -> bool:
        """Whether who looks may promote a run's model: who may update its TrainingRun; of nobody's run, any at all.

        Raises:
            ClusterUnavailable: the API server does not answer.

        """
        if not self.may_change:
            return False
        owned = self.owner(run) if self.looker else None
        return self.looker is None or self.looker.may(
            "update", owned or "", run.tags.get(NAME_TAG, "") if owned else ""
        )

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
        self._auditor.close()
        if self.accounts:
            self.accounts.close()
        if self.going:
            self.going.close()
        if self._trainings:
            self._trainings.close()
        self.reads.close()

    def _ask(self) -> Mapping[str, str]:
        """Read the names of the experiments. No two who ask share an answer: one that is late is none."""
        names = self._pulse_reads.one(None, self.history.experiments)
        return {each: experiment_name(name) for each, name in names.items()}
