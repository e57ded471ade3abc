"""The API writes of whole lives: pods that are made, run for a while and end, with their runs in a real MLflow."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.audit import counted, writes
from tests.bench.bed import Bed
from tests.bench.process import operator
from tests.operator.actors import Actors
from tests.support.mlflow_server import mlflow_server
from tests.support.waiting import wait_for


@dataclass(frozen=True)
class Life:
    """A specification, and how the pods of each attempt end."""

    exit_codes: tuple[int, ...] = (0,)
    workers: int = 1
    spec: dict[str, Any] = field(default_factory=dict)


LIVES = {
    "succeeded": Life(),
    "failed": Life((1,)),
    "retried": Life((1, 0), spec={"backoffLimit": 1}),
    "assigned": Life(spec={"tracking": {"run": "Assigned"}}),
    "workers": Life(workers=2, spec={"workers": 2}),
    "ttl": Life(spec={"ttlSecondsAfterFinished": 3600}),
}


async def lives(bed: Bed, program: Path, count: int) -> list[dict[str, Any]]:
    """Lead trainings of each kind from beginning to end; return what the operator asked of the API server for each."""
    if not count:
        return []
    namespaces = {name: bed.namespace(f"life-{name}") for name in LIVES}
    watched = ",".join(namespaces.values())
    with mlflow_server() as mlflow, operator(program, bed.operator_kubeconfig, watched, bed.folder, mlflow.url):
        for name, namespace in namespaces.items():
            names = [f"run{number}" for number in range(count)]
            await asyncio.to_thread(_lead, Actors(bed.server, namespace), names, LIVES[name])
    found = {name: counted(bed.audit.of("operator", namespace)) for name, namespace in namespaces.items()}
    return [
        {"life": name, "writes_per_run": writes(counts) / count, "requests": counts} for name, counts in found.items()
    ]


def _lead(actors: Actors, names: list[str], life: Life) -> None:
    for name in names:
        actors.apply(name, **life.spec)
    jobs = {name: actors.wait_for_job(name) for name in names}
    for number, exit_code in enumerate(life.exit_codes):
        pods = {
            name: [_begin(actors, jobs[name], life, number, worker) for worker in range(life.workers)] for name in names
        }
        for name in names:
            wait_for(f"{name} runs", _attempts(actors, name, "Running", life.workers))
        for pod in (pod for found in pods.values() for pod in found):
            actors.end_pod(pod, exit_code)
        if number + 1 < len(life.exit_codes):
            for name in names:
                wait_for(f"{name} has failed once", _attempts(actors, name, "Failed", number + 1))
    for name, job in jobs.items():
        has_failed = life.exit_codes[-1] != 0
        actors.end_job(job, "Failed" if has_failed else "Complete", "BackoffLimitExceeded" if has_failed else "")
        actors.wait_for_phase(name, "Failed" if has_failed else "Succeeded")


def _begin(actors: Actors, job: dict[str, Any], life: Life, number: int, worker: int) -> dict[str, Any]:
    pod = actors.create_pod(job, f"{number}-{worker}", worker if life.workers > 1 else None)
    actors.set_pod(pod, "Running", {"running": {"startedAt": "2026-01-02T03:04:05Z"}})
    return pod


def _attempts(actors: Actors, name: str, outcome: str, count: int) -> Callable[[], bool]:
    """Return whether so many attempts are told to stand so."""

    def told() -> bool:
        found = actors.get("trainingrun", name).get("status", {}).get("attempts", [])
        return [attempt["outcome"] for attempt in found].count(outcome) == count

    return told
