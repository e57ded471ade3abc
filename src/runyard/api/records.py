"""What MLflow should say of an attempt, given what became of its pod.

A tracking server believes what a script last told it; the pod's end is what happened. `corrections` is the
difference between the two.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from runyard.api.model import as_list, as_object
from runyard.api.outcome import Attempt, Outcome
from runyard.api.source import source_tags
from runyard.api.trainingrun import TRAINING_CONTAINER, Tracking

UID_TAG = "runyard.dev/uid"
NAME_TAG = "runyard.dev/name"
NAMESPACE_TAG = "runyard.dev/namespace"
POD_TAG = "runyard.dev/pod"
INSTALLATION_TAG = "runyard.dev/installation"
OUTCOME_TAG = "runyard.dev/outcome"
REASON_TAG = "runyard.dev/reason"
EXIT_CODE_TAG = "runyard.dev/exit-code"
# The image that a pod ran in, as its node names it: NAME@sha256:….
IMAGE_TAG = "runyard.dev/image-digest"
# Of an exit code that is not the training's.
CONTAINER_TAG = "runyard.dev/container"
# On the run that is the result of a training that succeeded: what its manifest asked for. A run's own fingerprint,
# runyard.dev/fingerprint, is of what ran.
MANIFEST_FINGERPRINT_TAG = "runyard.dev/manifest-fingerprint"
# Beside it on a run that was trained without its image, on somebody's machine: the code and packages there.
SURROUNDINGS_TAG = "runyard.dev/surroundings"
# The folder that a training's command started in, and on which machine that was.
FOLDER_TAG = "runyard.dev/folder"
MACHINE_TAG = "runyard.dev/machine"
PARENT_TAG = "mlflow.parentRunId"
# On a run that Runyard made itself: for a script that started none, assigned to all pods of a resource, or above the
# trials of a sweep.
MADE_TAG = "runyard.dev/made"
ASSIGNED, STAND_IN, SWEEP = "assigned", "stand-in", "sweep"
# On the run above a sweep's trials: which sweep it is. Such a run has none of a TrainingRun's tags.
SWEEP_UID_TAG = "runyard.dev/sweep-uid"
SWEEP_NAMESPACE_TAG = "runyard.dev/sweep-namespace"
SWEEP_INSTALLATION_TAG = "runyard.dev/sweep-installation"
BEST_RUN_TAG = "runyard.dev/best-run"
# On the runs of trials too, and as labels on their TrainingRuns: the sweep's name, and the trial's index.
SWEEP_TAG = "runyard.dev/sweep"
TRIAL_TAG = "runyard.dev/trial"
# As an annotation on a trial's TrainingRun: the run that its runs are children of.
PARENT_ANNOTATION = "runyard.dev/parent-run"
# And why it is to end before it is done.
PRUNED_ANNOTATION = "runyard.dev/pruned-because"

# What clients before MLflow 3 leave of the models that they log.
_MODELS_TAG = "mlflow.log-model.history"

MANIFEST_ARTIFACT = "runyard/trainingrun.yaml"
STATUS_METRICS = 16


class RunStatus(StrEnum):
    """MLflow's words for the state of a run."""

    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"

    @property
    def is_open(self) -> bool:
        """Whether MLflow takes the run to be still going on."""
        return self in {RunStatus.SCHEDULED, RunStatus.RUNNING}


@dataclass(frozen=True)
class Run:
    """An MLflow run, as far as its outcome goes."""

    id: str
    experiment_id: str
    status: RunStatus
    start_time_ms: int
    artifact_uri: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    model: str | None = None
    is_deleted: bool = False


@dataclass(frozen=True)
class Correction:
    """What a run must be told to agree with its pod."""

    run: Run
    status: RunStatus
    tags: Mapping[str, str]
    end_time_ms: int

    @property
    def changes_status(self) -> bool:
        """Whether the run says something else of its end."""
        return self.run.status is not self.status

    @property
    def new_tags(self) -> dict[str, str]:
        """The tags that the run has not got, or has with another value."""
        return {key: value for key, value in self.tags.items() if self.run.tags.get(key) != value}


def log_artifact(pod: str, container: str = TRAINING_CONTAINER) -> str:
    """Return where the end of a container's log lies among a run's artifacts."""
    return f"runyard/log-{pod}.txt" if container == TRAINING_CONTAINER else f"runyard/log-{pod}-{container}.txt"


def final_status(outcome: Outcome) -> RunStatus:
    """Return how MLflow calls an attempt's end; an attempt that is going on is RUNNING."""
    return {
        Outcome.SUCCEEDED: RunStatus.FINISHED,
        Outcome.FAILED: RunStatus.FAILED,
        Outcome.CANCELLED: RunStatus.KILLED,
    }.get(outcome, RunStatus.RUNNING)


def primary(runs: Sequence[Run]) -> Run | None:
    """Return the run that stands for the attempt: the last that was started and has no parent among them."""
    ids = {run.id for run in runs}
    roots = [run for run in runs if run.tags.get(PARENT_TAG) not in ids]
    return max(roots, key=lambda run: (run.start_time_ms, run.id), default=None)


def corrections(
    runs: Sequence[Run], attempt: Attempt, chief: Run | None, of_result: Mapping[str, str] | None = None
) -> list[Correction]:
    """Return what each run of an ended attempt should say; those that say it already are not among them.

    The chief, if it is among them, ends as the pod did. The others keep the end that the script gave them, since a
    child of a grid may well have finished before the script failed; those still open end as the pod did.

    Args:
        runs: of the attempt.
        attempt: which has ended.
        chief: the run that stands for it.
        of_result: tags for the chief alone, where the attempt succeeded.

    """
    wanted = final_status(attempt.outcome)
    tags = outcome_tags(attempt)
    ended_ms = int(attempt.finished_at.timestamp() * 1000) if attempt.finished_at else 0
    needed = [
        # Pods tell whole seconds: a short run would end before it began.
        Correction(
            run,
            wanted if run is chief or run.status.is_open else run.status,
            {**tags, **(of_result or {})} if run is chief and attempt.outcome is Outcome.SUCCEEDED else tags,
            max(ended_ms, run.start_time_ms),
        )
        for run in runs
    ]
    return [found for found in needed if found.changes_status or found.new_tags]


def source_correction(run: Run, attempt: Attempt) -> list[Correction]:
    """Return what a run that is going on should say of the code that it trains."""
    found = Correction(run, run.status, source_tags(attempt.source), 0)
    return [found] if found.new_tags else []


def outcome_tags(attempt: Attempt) -> dict[str, str]:
    """Return the tags that say how an attempt ended, what code it trained, and in which image."""
    tags = {OUTCOME_TAG: attempt.outcome.value, **source_tags(attempt.source)}
    if attempt.reason:
        tags[REASON_TAG] = attempt.reason
    if attempt.exit_code is not None:
        tags[EXIT_CODE_TAG] = str(attempt.exit_code)
    if attempt.container:
        tags[CONTAINER_TAG] = attempt.container
    if attempt.image_digest:
        tags[IMAGE_TAG] = attempt.image_digest
    return tags


def model_address(run_id: str, steps: Mapping[str, int], tags: Mapping[str, str]) -> str | None:
    """Return the address by which MLflow loads the model that a run logged last, if it logged any.

    Args:
        run_id: the run's.
        steps: the steps of its models by their IDs.
        tags: the run's.

    >>> model_address("r1", {"m-7": 2, "m-8": 1}, {})
    'models:/m-7'
    >>> model_address("r1", {}, {"mlflow.log-model.history": '[{"artifact_path": "model"}]'})
    'runs:/r1/model'
    """
    if steps:
        return f"models:/{max(steps, key=steps.__getitem__)}"
    if _MODELS_TAG not in tags:
        return None
    try:
        listed = as_list(json.loads(tags[_MODELS_TAG]))
    except (ValueError, RecursionError):  # a tag is anybody's to write
        listed = []
    path = as_object(listed[-1]).get("artifact_path") if listed else None
    return f"runs:/{run_id}/{path}" if path else f"runs:/{run_id}"


def status_metrics(metrics: Mapping[str, float], asked: Tracking) -> dict[str, str]:
    """Return sixteen metrics, those that were asked for before others, as text that gives the same float back."""
    names = sorted(metrics, key=lambda name: (name not in asked.require_metrics, name))
    return {name: repr(metrics[name]) for name in names[:STATUS_METRICS]}
