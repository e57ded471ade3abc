"""The API writes of a whole life: a pod that is made, runs for a while and ends, with its run in a real MLflow."""

import asyncio
from pathlib import Path
from typing import Any

from tests.bench.audit import counted, writes
from tests.bench.bed import Bed
from tests.bench.process import operator
from tests.operator.actors import Actors
from tests.support.mlflow_server import mlflow_server


async def lives(bed: Bed, program: Path, count: int) -> dict[str, Any]:
    """Lead trainings from beginning to end; return what the operator asked of the API server for each."""
    namespace = bed.namespace("life")
    actors = Actors(bed.server, namespace)
    with mlflow_server() as mlflow, operator(program, bed.operator_kubeconfig, namespace, bed.folder, mlflow.url):
        await asyncio.to_thread(_lead, actors, [f"run{number}" for number in range(count)])
    counts = counted(bed.audit.of("operator", namespace))
    return {"writes_per_run": writes(counts) / count, "requests": counts}


def _lead(actors: Actors, names: list[str]) -> None:
    for name in names:
        actors.apply(name)
    jobs = [actors.wait_for_job(name) for name in names]
    pods = [actors.create_pod(job, "one") for job in jobs]
    for pod in pods:
        actors.set_pod(pod, "Running", {"running": {"startedAt": "2026-01-02T03:04:05Z"}})
    for name in names:
        actors.wait_for_phase(name, "Running")
    for pod, job in zip(pods, jobs, strict=True):
        actors.end_pod(pod, 0)
        actors.end_job(job, "Complete")
    for name in names:
        actors.wait_for_phase(name, "Succeeded")
