"""Runs as MLflow has them, for those who look back: listed, found by what people call them, read in full."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from runyard import provenance
from runyard.api.model import JsonObject
from runyard.errors import RunyardError
from runyard.history import artifacts
from runyard.history.artifacts import UnreadableArtifact, is_elsewhere
from runyard.history.logged import LoggedRun, Point, logged
from runyard.tracking import DELETED, answering, client, moment_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mlflow.entities import Run as MlflowRun
    from mlflow.store.artifact.artifact_repo import ArtifactRepository
    from mlflow.store.entities import PagedList

__all__ = [
    "History",
    "LoggedRun",
    "NoSuchExperiment",
    "NoSuchRun",
    "Point",
    "UnreadableArtifact",
    "WrongFilter",
    "is_elsewhere",
]

_ID = re.compile(r"[0-9a-f]{32}")
_BEGINNING_OF_ID = re.compile(r"[0-9a-f]{4,31}")
_PAGE = 1_000
_EXPERIMENTS_PAGE = 1_000
# A run may hold anything, and what is read of it is held in memory.
_LARGEST_BYTES = 64 * 1024 * 1024
_MOST_FILES = 10_000


class NoSuchRun(RunyardError):
    """What a person calls a run is none, or more than one."""

    exit_code = 2


class WrongFilter(RunyardError):
    """MLflow does not understand by what runs are to be chosen or ordered."""

    exit_code = 2


class NoSuchExperiment(RunyardError):
    """There is no experiment of that name."""

    exit_code = 2


class History:
    """What an MLflow server or database has. Every failure to reach it is a `TrackingUnavailable`."""

    def __init__(self, uri: str) -> None:
        """Open it."""
        self._uri = uri
        self._client = client(uri)

    @property
    def uri(self) -> str:
        """Where MLflow is."""
        return self._uri

    def experiments(self) -> dict[str, str]:
        """Return the names of all experiments by their IDs."""
        found: dict[str, str] = {}
        token = None
        with answering(self._uri):
            while True:
                page = self._client.search_experiments(max_results=_EXPERIMENTS_PAGE, page_token=token)
                found |= {experiment.experiment_id: experiment.name for experiment in page}
                token = page.token
                if not token:
                    return found

    def search(
        self,
        experiment: str | None = None,
        where: str = "",
        order_by: Sequence[str] = ("attributes.start_time DESC",),
        limit: int | None = None,
        told: Callable[[int, int | None], None] | None = None,
    ) -> list[LoggedRun]:
        """Return runs, the newest first unless told otherwise.

        Args:
            experiment: its name; None: all.
            where: MLflow's filter, such as "metrics.recall >= 0.9".
            order_by: as MLflow takes it.
            limit: how many at most; None: all.
            told: is called with how many have been read, and None, as nobody knows how many there are.

        Raises:
            NoSuchExperiment: there is none of that name.
            WrongFilter: MLflow does not understand `where` or `order_by`.
            TrackingUnavailable: MLflow does not answer.

        """
        # By ID: pages are counted from the first run, and one that begins meanwhile moves all others by one.
        found: dict[str, LoggedRun] = {}
        for page in self.pages(experiment, where, order_by):
            found |= {run.id: run for run in page}
            if told:
                told(len(found), None)
            if limit is not None and len(found) >= limit:
                break
        return list(found.values())[:limit]

    def pages(
        self,
        experiment: str | None = None,
        where: str = "",
        order_by: Sequence[str] = ("attributes.start_time DESC",),
        size: int = _PAGE,
    ) -> Iterator[list[LoggedRun]]:
        """Yield runs as `search` finds them, in pages as they come: a run that moves meanwhile may be in two.

        Args:
            experiment: its name; None: all.
            where: MLflow's filter.
            order_by: as MLflow takes it.
            size: how many runs a page has, the last one excepted.

        Raises:
            NoSuchExperiment: there is none of that name.
            WrongFilter: MLflow does not understand `where` or `order_by`.
            TrackingUnavailable: MLflow does not answer, or not with runs.

        """
        names = self.experiments()
        wanted = [found for found, name in names.items() if experiment in {None, name}]
        if experiment is not None and not wanted:
            there = ", ".join(sorted(names.values())) or "none"
            raise NoSuchExperiment(f'there is no experiment "{experiment}"; there are: {there}')
        token = None
        while True:
            page = self._page(wanted, where, order_by, size, token)
            with answering(self._uri, "list runs"):
                found = [logged(run, names) for run in page]
            yield found
            token = page.token
            if not token:
                return

    def _page(
        self, experiments: Sequence[str], where: str, order_by: Sequence[str], size: int, token: str | None
    ) -> PagedList[MlflowRun]:
        from mlflow.exceptions import MlflowException

        with answering(self._uri, "list runs"):
            try:
                return self._client.search_runs(
                    list(experiments), where, max_results=size, order_by=list(order_by), page_token=token
                )
            except MlflowException as error:
                if error.error_code != "INVALID_PARAMETER_VALUE":
                    raise
                said = " ".join(str(error.message).split())
                raise WrongFilter(f'MLflow does not understand "{where or order_by[0]}": {said}') from error

    def find(self, called: str, experiment: str | None = None) -> LoggedRun:
        """Return the run that a person means: by its ID, its name, or four or more characters of its ID.

        Raises:
            NoSuchRun: there is none, or several; the message lists them.
            NoSuchExperiment: there is no experiment of that name.
            TrackingUnavailable: MLflow does not answer.

        """
        found = self._of_id(called) if _ID.fullmatch(called) else []
        if experiment is not None:
            found = [run for run in found if run.experiment == experiment]
        # MLflow's filters have no way to write both kinds of quotes; one wildcard stands for any character.
        alike = called.replace('"', "_").replace("\\", "_")
        found = found or [
            run for run in self.search(experiment, f'attributes.run_name LIKE "{alike}"') if run.name == called
        ]
        if not found and _BEGINNING_OF_ID.fullmatch(called):
            found = self.search(experiment, f'attributes.run_id LIKE "{called}%"')
        if len(found) == 1:
            return found[0]
        if not found:
            raise NoSuchRun(f'there is no run "{called}": give its ID, four or more characters of it, or its name')
        several = ", ".join(f"{run.id[:12]} of {run.started_at:%Y-%m-%d %H:%M}" for run in found[:5])
        raise NoSuchRun(f'{len(found)} runs are called "{called}": give the ID of one: {several}')

    def _of_id(self, run_id: str) -> list[LoggedRun]:
        from mlflow.exceptions import MlflowException

        with answering(self._uri, "read a run"):
            try:
                run = self._client.get_run(run_id)
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return []
                raise
            experiment = self._client.get_experiment(run.info.experiment_id)
        if run.info.lifecycle_stage == DELETED:
            raise NoSuchRun(f"run {run_id} was deleted: `mlflow runs restore --run-id {run_id}` brings it back")
        return [logged(run, {experiment.experiment_id: experiment.name})]

    def experiment_of(self, run_id: str) -> str | None:
        """Return the name of the experiment that a run is in, or was in until it was deleted; None: neither is known.

        Raises:
            TrackingUnavailable: MLflow does not answer.

        """
        from mlflow.exceptions import MlflowException

        with answering(self._uri, "read a run"):
            try:
                run = self._client.get_run(run_id) if _ID.fullmatch(run_id) else None
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return None
            return str(self._client.get_experiment(run.info.experiment_id).name) if run else None

    def course(self, run: LoggedRun, metric: str) -> list[Point]:
        """Return what a run logged of a metric one time after the other, by step; nothing of one that it has not.

        Raises:
            TrackingUnavailable: MLflow does not answer.

        """
        with answering(self._uri, "read a metric's course"):
            found = self._client.get_metric_history(run.id, metric)
            points = [Point(each.step, moment_of(each.timestamp), float(each.value)) for each in found]
        return sorted(points, key=lambda point: (point.step, point.at))

    def files(self, run: LoggedRun, folder: str = "", most_folders: int | None = None) -> list[str]:
        """Return the paths of a run's artifacts, those in folders included; of very many the first 10,000.

        Args:
            run: whose.
            folder: in which they lie, or below; empty: all.
            most_folders: into how many folders to look, each of which is a request; the names of others end in a slash.

        Raises:
            UnreadableArtifact: they are where nothing is read.
            TrackingUnavailable: MLflow, or the store of its artifacts, does not answer.

        """
        with answering(self._uri, "list artifacts"):
            opened = self.artifacts(run)
        return [path for path, _ in islice(artifacts.entries(opened, self._uri, folder, most_folders), _MOST_FILES)]

    def artifacts(self, run: LoggedRun) -> ArtifactRepository:
        """Open the place of a run's artifacts.

        Raises:
            UnreadableArtifact: it is at another server than MLflow's, or on this machine while MLflow is not.

        """
        # By its address: by the run's ID MLflow's client would ask for it each time.
        place: str = run.artifact_uri or self._client.get_run(run.id).info.artifact_uri
        return artifacts.opened(run.id, place, self._uri)

    def content(self, run: LoggedRun, path: str, most_bytes: int = _LARGEST_BYTES) -> bytes | None:
        """Return an artifact; None where there is none.

        Args:
            run: whose.
            path: where it lies among the run's artifacts.
            most_bytes: how large it may be.

        Raises:
            UnreadableArtifact: it is larger.
            TrackingUnavailable: MLflow, or the store of its artifacts, does not answer.

        """
        with answering(self._uri, "list artifacts"):
            opened = self.artifacts(run)
        return artifacts.content(opened, self._uri, run.id, path, most_bytes)

    def tag(self, run: LoggedRun, tags: Mapping[str, str]) -> None:
        """Write tags to a run.

        Raises:
            TrackingUnavailable: MLflow does not answer, or does not take them.

        """
        with answering(self._uri, "tag a run"):
            for name, value in tags.items():
                self._client.set_tag(run.id, name, value)

    def provenance(self, run: LoggedRun) -> JsonObject:
        """Return what `runyard.provenance` wrote to the run; empty where it did not.

        Raises:
            ProvenanceUnavailable: what is there is something else.
            TrackingUnavailable: MLflow, or the store of its artifacts, does not answer.

        """
        with answering(self._uri, "read a run's provenance"):
            return provenance.read(self._client, run.id)
