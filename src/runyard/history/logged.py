"""A run, with what it says of itself, and how it is read from what MLflow's client returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from runyard.api.datasets import DIGEST_TAG
from runyard.api.records import OUTCOME_TAG, PARENT_TAG, REASON_TAG, RunStatus
from runyard.tracking import model_of, moment_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlflow.entities import DatasetInput
    from mlflow.entities import Run as MlflowRun


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
        model: the address of the model that it logged last, if it logged any.
        artifact_uri: where its artifacts are.

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
    model: str | None = None
    artifact_uri: str = ""

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


@dataclass(frozen=True)
class Point:
    """A metric's value at a step."""

    step: int
    at: datetime
    value: float


def logged(run: MlflowRun, experiments: Mapping[str, str]) -> LoggedRun:
    """Return a run of MLflow's client, given the names of experiments by their IDs."""
    info, data = run.info, run.data
    return LoggedRun(
        id=info.run_id,
        name=info.run_name or info.run_id,
        experiment=experiments.get(info.experiment_id, info.experiment_id),
        status=RunStatus(info.status),
        started_at=moment_of(info.start_time),
        finished_at=moment_of(info.end_time) if info.end_time else None,
        params=dict(data.params),
        metrics=dict(data.metrics),
        tags=dict(data.tags),
        datasets=_datasets(run.inputs.dataset_inputs) if run.inputs else {},
        model=model_of(run),
        artifact_uri=info.artifact_uri or "",
    )


def _datasets(inputs: Sequence[DatasetInput]) -> dict[str, str]:
    """Return digests by name: of two inputs of one name, the one that Runyard fetched."""
    theirs = {found.dataset.name: str(found.dataset.digest) for found in inputs}
    return theirs | {found.dataset.name: digest for found in inputs if (digest := _own_digest(found))}


def _own_digest(found: DatasetInput) -> str | None:
    return next((str(tag.value) for tag in found.tags if tag.key == DIGEST_TAG), None)
