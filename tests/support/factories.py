"""Small objects for tests: each has sensible defaults, and a test names only what matters to it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from runyard.api.outcome import Attempt, Condition, Outcome, TrainingRunStatus
from runyard.api.records import Run, RunStatus
from runyard.api.trainingrun import API_VERSION, KIND, TrainingRun
from runyard_operator.objects import Job, Pod

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UID = "0b5c2a1e-7f7d-4d0e-9d55-3f6a4a1f2b3c"
JOB_NAME = f"wine-{'0' * 8}"


def at(seconds: float) -> datetime:
    """Return a moment: that many seconds after `NOW`."""
    return NOW + timedelta(seconds=seconds)


def stamp(moment: datetime | None) -> str | None:
    """Write a moment as the API server does."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def present(**fields: Any) -> dict[str, Any]:
    """Return the fields that are given: an API server leaves the others out."""
    return {key: value for key, value in fields.items() if value is not None}


def manifest(name: str = "wine", **spec: Any) -> dict[str, Any]:
    """Return a TrainingRun as a person writes it."""
    given = {"image": "example/wine:1", "command": ["python", "train.py"]} | spec
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": given}


def training_run(
    name: str = "wine", *, status: TrainingRunStatus | None = None, namespace: str = "team", uid: str = UID, **spec: Any
) -> TrainingRun:
    """Return a TrainingRun as the operator reads it."""
    metadata = {"name": name, "namespace": namespace, "uid": uid, "generation": 1}
    found = TrainingRun.model_validate({**manifest(name, **spec), "metadata": metadata})
    return found.model_copy(update={"status": status or TrainingRunStatus()})


def attempt(pod: str = "wine-1", outcome: Outcome = Outcome.RUNNING, **fields: Any) -> Attempt:
    """Return an attempt; its pod's UID follows from the pod's name."""
    given = {"uid": f"uid-of-{pod}", "started_at": NOW} | fields
    return Attempt(pod=pod, outcome=outcome, **given)


def condition(kind: str, status: str = "True", *, since: datetime = NOW, reason: str = "Because") -> Condition:
    """Return a condition of a TrainingRun."""
    return Condition(type=kind, status=status, reason=reason, last_transition_time=since)


def mlflow_run(
    run_id: str = "r1",
    status: RunStatus = RunStatus.RUNNING,
    *,
    start: int = 0,
    parent: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Run:
    """Return an MLflow run."""
    return Run(run_id, "7", status, start, "", {**(tags or {}), **({"mlflow.parentRunId": parent} if parent else {})})


def job(
    *,
    name: str = JOB_NAME,
    conditions: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    started: datetime | None = NOW,
    completed: datetime | None = None,
    deleted: datetime | None = None,
    **spec: Any,
) -> Job:
    """Return a Job as the API server has it; `conditions` are the true ones, type to reason, set at `at(100)`."""
    body = {
        "metadata": present(
            name=name,
            namespace="team",
            uid="uid-of-job",
            creationTimestamp=stamp(NOW),
            annotations=annotations,
            ownerReferences=[{"apiVersion": API_VERSION, "kind": KIND, "name": "wine", "uid": UID}],
            deletionTimestamp=stamp(deleted),
        ),
        "spec": {"backoffLimit": 0, "suspend": False} | spec,
        "status": present(
            conditions=[
                {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": stamp(at(100))}
                for kind, reason in (conditions or {}).items()
            ],
            startTime=stamp(started),
            completionTime=stamp(completed),
        ),
    }
    return Job.model_validate(body)


def pod(
    name: str = "wine-1",
    phase: str = "Pending",
    *,
    created: datetime = NOW,
    deleted: datetime | None = None,
    containers: Sequence[dict[str, Any]] = (),
    **status: Any,
) -> Pod:
    """Return a pod as the kubelet leaves it; `status` is in the API server's own words."""
    body = {
        "metadata": present(
            name=name,
            namespace="team",
            uid=f"uid-of-{name}",
            creationTimestamp=stamp(created),
            deletionTimestamp=stamp(deleted),
            deletionGracePeriodSeconds=30 if deleted else None,
        ),
        "spec": {"nodeName": "node-1"} if phase != "Pending" else {},
        "status": {"phase": phase, "startTime": stamp(created), "containerStatuses": list(containers)} | status,
    }
    return Pod.model_validate(body)


def container(name: str = "training", **state: Any) -> dict[str, Any]:
    """Return a container's status: `running={…}`, `waiting={…}` or `terminated={…}`."""
    return {"name": name, "state": state, "image": "example/wine:1", "imageID": "example/wine@sha256:0123"}


def terminated(exit_code: int, reason: str = "", message: str = "", *, started: float = 1, ended: float = 60) -> Any:
    """Return a terminated training container, with times in seconds after `NOW`."""
    return container(
        terminated=present(
            exitCode=exit_code,
            reason=reason or ("Completed" if exit_code == 0 else "Error"),
            message=message or None,
            startedAt=stamp(at(started)),
            finishedAt=stamp(at(ended)),
        )
    )


def running(started: float = 1) -> dict[str, Any]:
    """Return a running training container."""
    return container(running={"startedAt": stamp(at(started))})


def waiting(reason: str, message: str | None = None, name: str = "training") -> dict[str, Any]:
    """Return a waiting container."""
    return container(name, waiting=present(reason=reason, message=message))
