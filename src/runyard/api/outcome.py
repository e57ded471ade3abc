"""The resource's status: what came of a training, as the operator last saw it.

These types are the source of the CustomResourceDefinition and its documentation, as those of the spec are.
"""

from enum import StrEnum

from pydantic import Field

from runyard.api.datasets import FetchedDataset
from runyard.api.model import Model, Time
from runyard.api.source import ResolvedSource


class Phase(StrEnum):
    """The state in one word, for people; programs read the conditions."""

    PENDING = "Pending"
    QUEUED = "Queued"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SUSPENDED = "Suspended"


class Outcome(StrEnum):
    """How one attempt stands or ended."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen to the attempt."""
        return self not in {Outcome.PENDING, Outcome.RUNNING}


class Reason(StrEnum):
    """Why something is as it is: the reasons of conditions and attempts."""

    ACCEPTED = "Accepted"
    PENDING = "Pending"
    RUNNING = "Running"
    ATTEMPT_ENDED = "AttemptEnded"
    IN_PROGRESS = "InProgress"
    RECORDED = "Recorded"
    NOTHING_TO_RECORD = "NothingToRecord"
    TRACKING_UNAVAILABLE = "TrackingUnavailable"
    EXPERIMENT_DELETED = "ExperimentDeleted"

    COMPLETED = "Completed"
    ERROR = "Error"
    OOM_KILLED = "OOMKilled"
    EVICTED = "Evicted"
    PREEMPTED = "Preempted"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    IMAGE_PULL = "ImagePull"
    SOURCE_UNAVAILABLE = "SourceUnavailable"
    DATASET_UNAVAILABLE = "DatasetUnavailable"
    DATASET_MISMATCH = "DatasetMismatch"
    INVALID_SPEC = "InvalidSpec"
    CANCELLED = "Cancelled"
    SUSPENDED = "Suspended"
    JOB_DELETED = "JobDeleted"
    POD_DELETED = "PodDeleted"
    NODE_LOST = "NodeLost"
    QUEUED = "Queued"
    MODEL_MISSING = "ModelMissing"
    METRICS_MISSING = "MetricsMissing"
    RUN_DELETED = "RunDeleted"
    ARTIFACTS_UNREACHABLE = "ArtifactsUnreachable"
    REUSED = "Reused"

    PROMOTED = "Promoted"
    CONDITION_NOT_MET = "ConditionNotMet"
    OVERTAKEN = "Overtaken"
    TRAINING_FAILED = "TrainingFailed"

    PRUNED = "Pruned"
    TOO_MANY_FAILED = "TooManyFailed"
    NO_RESULT = "NoResult"


class Condition(Model):
    """A metav1.Condition."""

    type: str = Field(max_length=316)
    status: str = Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})
    reason: str = Field(max_length=1024)
    message: str = Field("", max_length=32768)
    last_transition_time: Time
    observed_generation: int | None = None


class Attempt(Model):
    """One pod of the training, and what became of it."""

    pod: str = Field(description="Name of the pod.")
    worker: int | None = Field(None, description="The pod's index among several workers, its RANK.")
    number: int | None = Field(None, description="Which pod of that worker's it is, from 1 on.")
    uid: str = Field(description="UID of the pod; its runs carry it as the tag runyard.dev/pod.")
    node: str | None = None
    outcome: Outcome
    reason: str | None = Field(None, description="Cause of the end, in one word.")
    exit_code: int | None = None
    container: str | None = Field(None, description="The container that failed, where it is not the training.")
    started_at: Time | None = None
    finished_at: Time | None = None
    message: str | None = Field(None, description="What the kubelet or the Job said of it.")
    source: ResolvedSource | None = Field(None, description="The code that it trained.")
    datasets: list[FetchedDataset] | None = Field(None, description="The data that it trained with.")
    image_digest: str | None = Field(None, description="Digest of the image that it ran in.")
    run_id: str | None = Field(None, description="The attempt's MLflow run.")
    recorded_at: Time | None = Field(
        None, description="When MLflow was brought to agree with the outcome, log included."
    )


class TrackingStatus(Model):
    """Where MLflow has it: the run of the last attempt."""

    experiment_id: str | None = None
    run_id: str | None = None
    url: str | None = None
    model: str | None = Field(None, description="Address by which MLflow loads the model that it logged last.")


class ReusedFrom(Model):
    """The run that the result is from, where nothing was trained."""

    run_id: str
    namespace: str | None = Field(None, description="Namespace of the TrainingRun that trained it.")
    name: str | None = Field(None, description="Name of the TrainingRun that trained it.")
    url: str | None = Field(None, description="The run's page.")


class Status(Model):
    """What the statuses of all resources have in common."""

    observed_generation: int | None = None
    phase: Phase | None = None
    message: str | None = Field(None, description="What is being waited for, or why it failed, in a sentence.")
    conditions: list[Condition] = Field(
        default_factory=list,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    start_time: Time | None = None
    completion_time: Time | None = None
    duration: str | None = Field(None, description="From start to completion, for people.")

    def condition(self, name: str) -> Condition | None:
        """Return the condition of that type, if it is there."""
        return next((found for found in self.conditions if found.type == name), None)


class TrainingRunStatus(Status):
    """What came of it, as the operator last saw it."""

    job: str | None = Field(None, description="Name of the Job.")
    attempt_count: int | None = Field(None, description="How many pods there were, also those no longer listed.")
    attempt_number: int | None = Field(
        None, description="Which attempt it is at; workers share one, and it is the most pods that one of them had."
    )
    attempts: list[Attempt] = Field(
        default_factory=list,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"]},
        description="The last ten attempts, oldest first, and before them any that MLflow does not agree with yet.",
    )
    source: ResolvedSource | None = Field(None, description="The code that the last attempt trained.")
    tracking: TrackingStatus | None = None
    metrics: dict[str, str] | None = Field(
        None, description="Final values of at most 16 metrics of the run, with all their digits."
    )
    metric: str | None = Field(
        None, description="One of them, for people: the first that was asked for, or else the first by name."
    )
    image_digest: str | None = Field(None, description="Digest of the image that ran.")
    fingerprint: str | None = Field(
        None, description="Hash of all that decides the result, as far as the manifest says it (docs/provenance.md)."
    )
    reused_from: ReusedFrom | None = Field(
        None, description="With onDuplicate Reuse, the earlier run that is the result."
    )
