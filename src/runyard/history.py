"""Runs as MLflow has them, for those who look back: listed, found by what people call them, read in full."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from runyard.api.datasets import DIGEST_TAG
from runyard.api.model import JsonObject, as_object
from runyard.api.records import OUTCOME_TAG, PARENT_TAG, REASON_TAG, RunStatus
from runyard.errors import RunyardError
from runyard.tracking import answering, client

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlflow.entities import DatasetInput
    from mlflow.entities import Run as MlflowRun

PROVENANCE_ARTIFACT = "runyard/provenance.json"
_SHORTEST_ID = 4
_AT_MOST = 10_000


class NoSuchRun(RunyardError):
    """What a person calls a run is none, or more than one."""

    exit_code = 2


class NoSuchExperiment(RunyardError):
    """There is no experiment of that name."""

    exit_code = 2


@dataclass(frozen=True)
class LoggedRun:
    """A run, with what it says of itself.

    Attributes:
        id: MLflow's.
        name: as people see it.
        experiment: the experiment's name.
        status: as MLflow has it.
        started_at: when it began.
        finished_at: when it ended, if it has.
        params: parameters as text.
        metrics: last values.
        tags: all of them.
        datasets: digests of its inputs by name: sha256:… where Runyard fetched them, else as MLflow computes them.
        has_model: whether it logged one.

    """

    id: str
    name: str
    experiment: str
    status: RunStatus
    started_at: datetime
    finished_at: datetime | None
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    datasets: Mapping[str, str] = field(default_factory=dict)
    has_model: bool = False

    @property
    def outcome(self) -> str:
        """What became of it: the outcome that its pod had, where it had one, else MLflow's word."""
        return self.tags.get(OUTCOME_TAG) or self.status.value.capitalize()

    @property
    def reason(self) -> str | None:
        """The outcome's cause, in one word."""
        return self.tags.get(REASON_TAG)

    @property
    def parent_id(self) -> str | None:
        """The run that it is a part of."""
        return self.tags.get(PARENT_TAG)

    @property
    def duration(self) -> timedelta | None:
        """How long it took, if it has ended."""
        return self.finished_at - self.started_at if self.finished_at else None


class History:
    """What an MLflow server or database has. Every failure to reach it is a `TrackingUnavailable`."""

    def __init__(self, uri: str) -> None:
        """Open it."""
        self._uri = uri
        self._client = client(uri)

    def experiments(self) -> dict[str, str]:
        """Return the names of all experiments by their IDs."""
        with answering(self._uri):
            return {found.experiment_id: found.name for found in self._client.search_experiments()}

    def search(
        self,
        experiment: str | None = None,
        where: str = "",
        order_by: Sequence[str] = ("attributes.start_time DESC",),
        limit: int = _AT_MOST,
    ) -> list[LoggedRun]:
        """Return runs, the newest first unless told otherwise.

        Args:
            experiment: its name; None: all.
            where: MLflow's filter, such as "metrics.recall >= 0.9".
            order_by: as MLflow takes it.
            limit: how many at most.

        Raises:
            NoSuchExperiment: there is none of that name.
            TrackingUnavailable: MLflow does not answer, or does not understand `where`.

        """
        names = self.experiments()
        wanted = [found for found, name in names.items() if experiment in {None, name}]
        if experiment is not None and not wanted:
            there = ", ".join(sorted(names.values())) or "none"
            raise NoSuchExperiment(f'there is no experiment "{experiment}"; there are: {there}')
        found: list[LoggedRun] = []
        token = None
        with answering(self._uri, f'find runs "{where}"' if where else "list runs"):
            while len(found) < limit:
                page = self._client.search_runs(
                    wanted,
                    where,
                    max_results=min(limit - len(found), 1_000),
                    order_by=list(order_by),
                    page_token=token,
                )
                found.extend(_logged(run, names) for run in page)
                token = page.token
                if not token:
                    break
        return found

    def find(self, called: str, experiment: str | None = None) -> LoggedRun:
        """Return the run that a person means: by its ID, at least four characters of it, or its name.

        Raises:
            NoSuchRun: there is none, or several; the message lists them.

        """
        listed = self.search(experiment)
        found = [run for run in listed if run.id == called]
        if not found and len(called) >= _SHORTEST_ID:
            found = [run for run in listed if run.id.startswith(called)]
        found = found or [run for run in listed if run.name == called]
        if len(found) == 1:
            return found[0]
        if not found:
            raise NoSuchRun(f'there is no run "{called}": give its ID, four or more characters of it, or its name')
        several = ", ".join(f"{run.id[:12]} of {run.started_at:%Y-%m-%d %H:%M}" for run in found[:5])
        raise NoSuchRun(f'{len(found)} runs are called "{called}": give the ID of one: {several}')

    def files(self, run: LoggedRun, folder: str = "") -> list[str]:
        """Return the paths of a run's artifacts, those in folders included."""
        found: list[str] = []
        with answering(self._uri, "list artifacts"):
            for entry in self._client.list_artifacts(run.id, folder or None):
                found.extend(self.files(run, entry.path) if entry.is_dir else [entry.path])
        return found

    def content(self, run: LoggedRun, path: str) -> bytes | None:
        """Return an artifact; None where there is none."""
        folder = str(Path(path).parent)
        if path not in self.files(run, "" if folder == "." else folder):
            return None
        with answering(self._uri, f"read {path}"), tempfile.TemporaryDirectory() as scratch:
            return Path(self._client.download_artifacts(run.id, path, scratch)).read_bytes()

    def provenance(self, run: LoggedRun) -> JsonObject:
        """Return what `runyard.provenance` wrote to the run; empty where it did not."""
        content = self.content(run, PROVENANCE_ARTIFACT)
        return as_object(json.loads(content)) if content else {}


def _logged(run: MlflowRun, experiments: Mapping[str, str]) -> LoggedRun:
    info, data = run.info, run.data
    return LoggedRun(
        id=info.run_id,
        name=info.run_name or info.run_id,
        experiment=experiments.get(info.experiment_id, info.experiment_id),
        status=RunStatus(info.status),
        started_at=_moment(info.start_time),
        finished_at=_moment(info.end_time) if info.end_time else None,
        params=dict(data.params),
        metrics=dict(data.metrics),
        tags=dict(data.tags),
        datasets={found.dataset.name: _digest(found) for found in run.inputs.dataset_inputs} if run.inputs else {},
        has_model=bool(run.outputs and run.outputs.model_outputs),
    )


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _digest(found: DatasetInput) -> str:
    ours = next((tag.value for tag in found.tags if tag.key == DIGEST_TAG), None)
    return str(ours or found.dataset.digest)
