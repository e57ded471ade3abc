"""Jobs and pods as the API server has them, as far as an outcome depends on them."""

import hashlib
from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import Field

from runyard.api import preparation
from runyard.api.model import JsonObject, Model, Time, as_object
from runyard.api.trainingrun import MOST_SECONDS, TRAINING_CONTAINER, TrainingRun

# Written on a Job together with the deadline that ends it, so that its reason and its end are one step.
FAILED_BECAUSE = "runyard.dev/failed-because"
NAME_ANNOTATION = "runyard.dev/name"
UID_LABEL = "runyard.dev/uid"
INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"


_NAME_LENGTH = 59  # a Job's name with a worker's index is a host's name, of 63 characters at most
_HASH_LENGTH = 8


class Key(NamedTuple):
    """A resource, and not its later namesake."""

    namespace: str
    name: str
    uid: str

    @property
    def job_name(self) -> str:
        """The name of its Job: the resource's, cut where it must be, and a hash of its UID."""
        name = f"{self.name[: _NAME_LENGTH - _HASH_LENGTH - 1].rstrip('.-')}-{self.digest}"
        return name.replace(".", "-")

    @property
    def digest(self) -> str:
        """A hash of its UID, for names."""
        return hashlib.sha256(self.uid.encode()).hexdigest()[:_HASH_LENGTH]

    def __str__(self) -> str:
        """Name it as people do."""
        return f"{self.namespace}/{self.name}"


class OwnerReference(Model):
    """The owner of an object."""

    kind: str = ""
    name: str = ""
    uid: str


class Metadata(Model):
    """The part of an object's metadata that is used here."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    owner_references: list[OwnerReference] = Field(default_factory=list)
    creation_timestamp: Time
    deletion_timestamp: Time | None = None
    deletion_grace_period_seconds: int = 0

    @property
    def version(self) -> int:
        """The object's age among its own versions; Kubernetes promises that they can be compared."""
        return int(self.resource_version or 0)


class ObjectCondition(Model):
    """A condition of a Job or of a pod."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: Time | None = None


class Named(Model):
    """Of a container of a template, its name."""

    name: str


class TemplateSpec(Model):
    """The containers of a Job's pods."""

    init_containers: list[Named] = Field(default_factory=list)
    containers: list[Named] = Field(default_factory=list)


class Template(Model):
    """What a Job's pods are made from."""

    spec: TemplateSpec = Field(default_factory=TemplateSpec)


class JobSpec(Model):
    """What can change in a Job, and what its pods are."""

    template: Template = Field(default_factory=Template)

    suspend: bool = False
    backoff_limit: int | None = None
    active_deadline_seconds: int | None = None
    ttl_seconds_after_finished: int | None = None


class UncountedPods(Model):
    """Pods that have ended, by UID, which the Job is about to count; until then their finalizer keeps them."""

    succeeded: list[str] = Field(default_factory=list)


class JobStatus(Model):
    """How a Job stands."""

    conditions: list[ObjectCondition] = Field(default_factory=list)
    start_time: Time | None = None
    completion_time: Time | None = None
    succeeded: int = 0
    failed: int = 0
    uncounted_terminated_pods: UncountedPods = Field(default_factory=UncountedPods)
    completed_indexes: str = ""
    """Which workers are done: numbers and ranges, as in 0,2-4."""


class Job(Model):
    """A batch/v1 Job."""

    metadata: Metadata
    spec: JobSpec = Field(default_factory=JobSpec)
    status: JobStatus = Field(default_factory=JobStatus)

    def condition(self, kind: str) -> ObjectCondition | None:
        """Return the condition of that type if it is true."""
        return next((c for c in self.status.conditions if c.type == kind and c.status == "True"), None)

    def has_completed(self, worker: int | None) -> bool:
        """Whether a worker's training has succeeded; None is that of a Job with one.

        A pod is counted before it can be gone, and the Job says that it is complete only after that.
        """
        if worker is None:
            # One that fails has counted what stopped well when it was told to go: else it would be complete.
            counted = self.status.succeeded or self.status.uncounted_terminated_pods.succeeded
            return bool(counted and not self.failing) or self.condition("Complete") is not None
        spans = [span.split("-") for span in self.status.completed_indexes.split(",") if span]
        return any(int(span[0]) <= worker <= int(span[-1]) for span in spans)

    @property
    def container_names(self) -> list[str]:
        """The containers of its pods, the training's first."""
        found = [*self.spec.template.spec.init_containers, *self.spec.template.spec.containers]
        return [TRAINING_CONTAINER, *(each.name for each in found if each.name != TRAINING_CONTAINER)]

    @property
    def failing(self) -> ObjectCondition | None:
        """The condition by which it has failed, or is about to as soon as its pods are gone."""
        return self.condition("FailureTarget") or self.condition("Failed")

    @property
    def has_ended(self) -> bool:
        """Whether it has completed or failed."""
        return bool(self.condition("Complete") or self.condition("Failed"))

    def is_of(self, key: Key) -> bool:
        """Whether this is the resource's Job, and no copy of it that somebody made."""
        owners = {owner.uid for owner in self.metadata.owner_references}
        return self.metadata.name == key.job_name and key.uid in owners


# The kubelet's word for the end of a container that it cannot find.
UNKNOWN_END = "ContainerStatusUnknown"


class Terminated(Model):
    """How a container ended."""

    exit_code: int
    reason: str = ""
    message: str = ""
    started_at: Time | None = None
    finished_at: Time | None = None


class Running(Model):
    """Since when a container runs."""

    started_at: Time | None = None


class Waiting(Model):
    """What a container waits for."""

    reason: str = ""
    message: str = ""


class ContainerState(Model):
    """One of the three."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Model):
    """A container of a pod."""

    name: str
    state: ContainerState = Field(default_factory=ContainerState)
    image_id: str = Field("", alias="imageID")


class PodSpec(Model):
    """Where a pod runs."""

    node_name: str | None = None


class PodStatus(Model):
    """How a pod stands."""

    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    conditions: list[ObjectCondition] = Field(default_factory=list)
    container_statuses: list[ContainerStatus] = Field(default_factory=list)
    init_container_statuses: list[ContainerStatus] = Field(default_factory=list)
    start_time: Time | None = None


class Pod(Model):
    """A v1 Pod."""

    metadata: Metadata
    spec: PodSpec = Field(default_factory=PodSpec)
    status: PodStatus = Field(default_factory=PodStatus)

    def is_of(self, key: Key) -> bool:
        """Whether the Job of the resource made this pod, and nobody else who gave it the same labels.

        A Job that is deleted alone (`--cascade=orphan`) leaves pods without an owner.
        """
        owners = self.metadata.owner_references
        if not owners:
            return self.metadata.name.startswith(f"{key.job_name}-")
        return any((owner.kind, owner.name) == ("Job", key.job_name) for owner in owners)

    @property
    def worker(self) -> int | None:
        """Its index among several workers."""
        index = self.metadata.annotations.get(INDEX_ANNOTATION, "")
        return int(index) if index.isdecimal() else None

    @property
    def training(self) -> ContainerStatus | None:
        """The training container, once the kubelet has said anything of it."""
        return next((c for c in self.status.container_statuses if c.name == TRAINING_CONTAINER), None)

    @property
    def preparation(self) -> ContainerStatus | None:
        """The container that fetches source and datasets, where there is one and once the kubelet has said anything."""
        return next((c for c in self.status.init_container_statuses if c.name == preparation.CONTAINER), None)

    @property
    def container_names(self) -> list[str]:
        """The containers that have begun, and the training container in any case."""
        statuses = [*self.status.init_container_statuses, *self.status.container_statuses]
        begun = [found.name for found in statuses if found.state.waiting is None]
        return [TRAINING_CONTAINER, *(name for name in begun if name != TRAINING_CONTAINER)]

    @property
    def end_of_training(self) -> Terminated | None:
        """How the training container ended; of one that it cannot find, the kubelet only makes up a code."""
        found = self.training.state.terminated if self.training else None
        return None if found and found.reason == UNKNOWN_END else found

    @property
    def was_taken_in(self) -> bool:
        """Whether its node has taken it: a kubelet that refuses a pod says nothing of its containers."""
        return bool(self.status.init_container_statuses or self.status.container_statuses)

    @property
    def others_running(self) -> list[str]:
        """The containers that run beside the training's, or after its end."""
        statuses = self.status.container_statuses
        return [found.name for found in statuses if found.name != TRAINING_CONTAINER and found.state.running]

    @property
    def has_ended(self) -> bool:
        """Whether its end is known."""
        return self.status.phase in {"Succeeded", "Failed"}

    @property
    def deletion_asked_at(self) -> datetime | None:
        """When its deletion was asked for: its deletion time is when it is to be gone."""
        gone_at = self.metadata.deletion_timestamp
        # A grace period may be any number of seconds; a time may not be before the first year.
        return gone_at and gone_at - timedelta(seconds=min(self.metadata.deletion_grace_period_seconds, MOST_SECONDS))

    def condition(self, kind: str, status: str = "True") -> ObjectCondition | None:
        """Return the condition of that type if it has that status."""
        return next((c for c in self.status.conditions if c.type == kind and c.status == status), None)


def lenient(body: JsonObject) -> TrainingRun:
    """Read a TrainingRun of which little more than metadata and status is needed, whatever its spec says."""
    ttl = as_object(body.get("spec")).get("ttlSecondsAfterFinished")
    return TrainingRun.model_validate({**body, "spec": {"ttlSecondsAfterFinished": ttl}})
