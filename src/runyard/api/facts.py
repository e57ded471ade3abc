"""What is known of a training, from which its status is made: of its Job, and of its runs in MLflow."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from runyard.api.outcome import Reason, ReusedFrom
from runyard.api.records import Run, status_metrics
from runyard.api.trainingrun import Tracking


class JobState(StrEnum):
    """How a Job stands."""

    WAITING = "Waiting"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    QUEUED = "Queued"
    COMPLETE = "Complete"
    FAILED = "Failed"

    @property
    def is_final(self) -> bool:
        """Whether the Job has ended."""
        return self in {JobState.COMPLETE, JobState.FAILED}


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """What is known of the Job, or of the local processes that stand for one."""

    state: JobState
    name: str | None = None
    reason: str | None = None
    message: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    image_digest: str | None = None
    reused_from: ReusedFrom | None = None
    """The run that is the result, where no Job is made."""


@dataclass(frozen=True)
class PromotionOutcome:
    """Whether a training's model was promoted, and what was compared; it is said once."""

    is_promoted: bool
    reason: Reason
    message: str


@dataclass(frozen=True)
class Missing:
    """What should be in MLflow, and never will be."""

    reason: Reason
    message: str
    is_of_success: bool = True
    """Whether only a training that succeeded should have it."""


@dataclass(frozen=True, kw_only=True)
class TrackingFacts:
    """What was last heard from MLflow."""

    url: str | None = None
    experiment_id: str | None = None
    run_id: str | None = None
    """The run assigned to the whole resource."""
    told_of: str | None = None
    """The run that the address, the metrics and the model are of."""
    metrics: dict[str, str] | None = None
    """None where they are not known, or were written down before."""
    model: str | None = None
    problem: str | None = None
    problem_reason: Reason = Reason.TRACKING_UNAVAILABLE
    missing: Missing | None = None
    is_closed: bool = True
    """Whether the run assigned to the whole resource, if any, says how it ended."""
    promotion: PromotionOutcome | None = None
    """What came of the promotion that is asked for; None while that is not known."""

    def of(self, found: Run, url: str | None) -> "TrackingFacts":
        """Return them with where a run is; what another one has logged is left out."""
        place = replace(self, url=url, experiment_id=found.experiment_id, told_of=found.id)
        return place if self.told_of == found.id else replace(place, metrics=None, model=None)

    def with_results(self, found: Run, url: str | None, asked: Tracking) -> "TrackingFacts":
        """Return them with where a run is, and what it has logged."""
        return replace(self.of(found, url), metrics=status_metrics(found.metrics, asked), model=found.model)
