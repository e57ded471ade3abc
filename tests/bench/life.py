"""The API writes of whole lives: pods that wait for a while, run, begin their runs in a real MLflow and end.

A pod waits for some seconds. Each other state lasts until the status tells it, as it does where it lasts longer than
the two seconds for which a small change waits: scripts take seconds to import what they need.
"""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.audit import counted, writes
from tests.bench.bed import Bed
from tests.bench.process import operator
from tests.operator.actors import Actors, installation_of, start_run
from tests.support.mlflow_server import MlflowRest, mlflow_server
from tests.support.waiting import wait_for

_PATIENCE_SECONDS = 120
# From its making until it runs, of a pod whose image is there.
_WAITS_SECONDS = 4.0


@dataclass(frozen=True)
class Life:
    """A specification, and how the pods of each attempt begin and end."""

    exit_codes: tuple[int, ...] = (0,)
    workers: int = 1
    waits: bool = True
    """Whether a pod waits for its image before it runs."""
    begins_run: bool = True
    """Whether the script begins a run of its own, some time after its start."""
    spec: dict[str, Any] = field(default_factory=dict)


LIVES = {
    "succeeded": Life(),
    "brief": Life(waits=False, begins_run=False),
    "failed": Life((1,)),
    "retried": Life((1, 0), spec={"backoffLimit": 1}),
    "assigned": Life(begins_run=False, spec={"tracking": {"run": "Assigned"}}),
    "workers": Life(workers=2, begins_run=False, spec={"workers": 2}),
    "ttl": Life(spec={"ttlSecondsAfterFinished": 3600}),
}


async def lives(bed: Bed, program: Path, count: int) -> list[dict[str, Any]]:
    """Lead trainings of each kind from beginning to end; return what the operator asked of the API server for each."""
    if not count:
        return []
    namespaces = {name: bed.namespace("life") for name in LIVES}
    watched, names = ",".join(namespaces.values()), [f"run{number}" for number in range(count)]
    with mlflow_server() as mlflow, operator(program, bed.operator_kubeconfig, watched, bed.folder, mlflow.url):
        async with asyncio.TaskGroup() as group:
            for name, namespace in namespaces.items():
                actors = Actors(bed.server, namespace)
                group.create_task(asyncio.to_thread(_lead, actors, mlflow, names, LIVES[name]))
    found = {name: counted(bed.audit.of("operator", namespace)) for name, namespace in namespaces.items()}
    return [
        {"life": name, "writes_per_run": writes(counts) / count, "requests": counts} for name, counts in found.items()
    ]


def _lead(actors: Actors, mlflow: MlflowRest, names: list[str], life: Life) -> None:
    for name in names:
        actors.apply(name, **life.spec)
    jobs = {name: actors.wait_for_job(name, _PATIENCE_SECONDS) for name in names}
    for number, exit_code in enumerate(life.exit_codes):
        pods = {name: _pods(actors, job, life, number) for name, job in jobs.items()}
        if life.waits:
            _set_all(actors, pods, "Pending", {"waiting": {"reason": "ContainerCreating"}})
            since = time.monotonic()
            wait_for("it waited as pods do", lambda: time.monotonic() - since > _WAITS_SECONDS)  # noqa: B023
        _set_all(actors, pods, "Running", {"running": {"startedAt": "2026-01-02T03:04:05Z"}})
        _wait_for_all(actors, names, "Running", life.workers)
        if life.begins_run:
            _log_all(actors, mlflow, jobs, pods, "FAILED" if exit_code else "FINISHED")
        for pod in (pod for found in pods.values() for pod in found):
            actors.end_pod(pod, exit_code)
        if number + 1 < len(life.exit_codes):
            _wait_for_all(actors, names, "Failed", number + 1)
    for name, job in jobs.items():
        has_failed = life.exit_codes[-1] != 0
        actors.end_job(job, "Failed" if has_failed else "Complete", "BackoffLimitExceeded" if has_failed else "")
        actors.wait_for_phase(name, "Failed" if has_failed else "Succeeded", _PATIENCE_SECONDS)


def _pods(actors: Actors, job: dict[str, Any], life: Life, number: int) -> list[dict[str, Any]]:
    workers = range(life.workers)
    return [actors.create_pod(job, f"{number}-{each}", each if life.workers > 1 else None) for each in workers]


def _set_all(actors: Actors, pods: dict[str, list[dict[str, Any]]], phase: str, state: dict[str, Any]) -> None:
    for pod in (pod for found in pods.values() for pod in found):
        actors.set_pod(pod, phase, state)


def _wait_for_all(actors: Actors, names: list[str], outcome: str, count: int) -> None:
    """Wait until so many attempts of each are told to stand so."""
    for name in names:

        def told(name: str = name) -> bool:
            return [attempt["outcome"] for attempt in _attempts(actors, name)].count(outcome) == count

        wait_for(f"{name} has {count} attempts {outcome}", told, _PATIENCE_SECONDS)


def _log_all(
    actors: Actors, mlflow: MlflowRest, jobs: dict[str, dict[str, Any]], pods: dict[str, list[dict[str, Any]]], end: str
) -> None:
    """Begin each script's run, have it told, and end it as MLflow's client does when the script goes."""
    runs = {name: start_run(mlflow, pod, installation=installation_of(jobs[name])) for name, [pod] in pods.items()}
    for name, run_id in runs.items():

        def told(name: str = name, run_id: str = run_id) -> bool:
            return bool(_attempts(actors, name)[-1].get("runId") == run_id)

        wait_for(f"{name} has told of its run", told, _PATIENCE_SECONDS)
    for run_id in runs.values():
        mlflow.call("mlflow/runs/log-metric", {"run_id": run_id, "key": "loss", "value": 0.5, "timestamp": 1})
        mlflow.call("mlflow/runs/update", {"run_id": run_id, "status": end})


def _attempts(actors: Actors, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = actors.get("trainingrun", name).get("status", {}).get("attempts", [])
    return found
