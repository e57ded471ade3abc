"""What the operator needs where many resources have finished: when it starts, and when it sweeps."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from runyard.api.environment import Platform
from runyard.api.facts import JobFacts, JobState, TrackingFacts
from runyard.api.model import as_object, format_time
from runyard.api.outcome import Attempt, Outcome, Reason
from runyard.api.status import assemble
from runyard.api.trainingrun import TrainingRun
from runyard_operator import jobs
from tests.bench.audit import Request, counted, writes
from tests.bench.bed import Bed
from tests.bench.load import JOBS, PODS, TRAINING_RUNS, all_at_once, suspended_run
from tests.bench.process import operator
from tests.bench.speed import until
from tests.support.factories import manifest
from tests.support.mlflow_server import MlflowRest, mlflow_server

_LAST = "zz-new"
_NO_RUN = "a53c7f006c974b3699e9930336343a44"


async def footprints(bed: Bed, program: Path, counts: list[int], idle_seconds: float) -> list[dict[str, Any]]:
    """Start the operator beside each number of finished resources, in one namespace that fills up."""
    namespace = bed.namespace("finished")
    found, there = [], 0
    for count in counts:
        await all_at_once(_finished(bed, namespace, range(there, count)))
        there = count
        found.append({"finished": count} | await _start(bed, program, namespace, idle_seconds))
    return found


async def _start(bed: Bed, program: Path, namespace: str, idle_seconds: float) -> dict[str, Any]:
    """Start the operator; it is ready when a new resource, the last of all in the list, has its Job."""
    new = f"{_LAST}-{datetime.now(UTC):%H%M%S}"
    await bed.load.create(TRAINING_RUNS, namespace, suspended_run(new))
    begun = datetime.now(UTC)
    with operator(program, bed.operator_kubeconfig, namespace, bed.folder) as found:

        def ready() -> datetime | None:
            made = bed.audit.created("operator", namespace, "jobs").items()
            return next((request.answered for name, request in made if name.startswith(new)), None)

        await until("the new resource has its Job", lambda: ready() is not None)
        moment = ready() or begun
        await asyncio.sleep(idle_seconds)  # what follows the start is part of it
        start_cpu = found.cpu_seconds()
        await asyncio.sleep(idle_seconds)
        idle_cpu = found.cpu_seconds() - start_cpu
        memory = found.memory_mib()
        assert "Traceback" not in found.log.read_text(), found.log.read_text()[-4000:]
    return {
        "ready_seconds": (moment - begun).total_seconds(),
        "start_cpu_seconds": start_cpu,
        "idle_cpu_percent": 100 * idle_cpu / idle_seconds,
        "memory_mib": memory,
        **for_finished(bed.audit.of("operator", namespace, begun)),
    }


async def sweep(bed: Bed, program: Path, count: int) -> dict[str, Any]:
    """Let the operator sweep once over finished resources whose runs a real MLflow has, all but the last one's.

    That one is told of at the end of the sweep, by the only write there is.
    """
    namespace = bed.namespace("sweep")
    with mlflow_server() as mlflow:
        await all_at_once(_finished(bed, namespace, range(count), partial(asyncio.to_thread, _start_run, mlflow)))
        await _finish(bed, namespace, _LAST, _NO_RUN)
        begun = datetime.now(UTC)
        with operator(program, bed.operator_kubeconfig, namespace, bed.folder, mlflow.url) as found:

            def told() -> bool:
                asked = bed.audit.of("operator", namespace, begun)
                return any((it.resource, it.name) == ("trainingruns/status", _LAST) for it in asked)

            await until("the sweep has come to the last one", told)
            cpu, memory, peak = found.cpu_seconds(), found.memory_mib(), found.peak_memory_mib()
            assert "Traceback" not in found.log.read_text(), found.log.read_text()[-4000:]
            ended = datetime.now(UTC)
    return {
        "finished": count,
        "swept_seconds": (ended - begun).total_seconds(),
        "cpu_seconds": cpu,
        "memory_mib": memory,
        "peak_memory_mib": peak,
        **for_finished(bed.audit.of("operator", namespace, begun)),
    }


def for_finished(requests: Iterable[Request]) -> dict[str, Any]:
    """Count what the operator asked for what has finished, and how much of it wrote: events of it are writes too.

    Only the last resource is none of these, with its Job and its events, which all begin with its name.
    """
    counts = counted(request for request in requests if not request.name.startswith(_LAST))
    return {"writes_for_finished": writes(counts), "requests": counts}


def _start_run(mlflow: MlflowRest) -> str:
    made = mlflow.call("mlflow/runs/create", {"experiment_id": "0"})
    return str(made["run"]["info"]["run_id"])


async def _no_run() -> str:
    return _NO_RUN


def _finished(
    bed: Bed, namespace: str, numbers: range, run: Callable[[], Awaitable[str]] = _no_run
) -> Iterator[Callable[[], Awaitable[object]]]:
    async def finish(name: str) -> None:
        await _finish(bed, namespace, name, await run())

    for number in numbers:
        yield partial(finish, f"run{number:05}")


async def _finish(bed: Bed, namespace: str, name: str, run_id: str) -> None:
    """Leave what a training that succeeded leaves: the resource, its Job and its pod, each with its status."""
    now = format_time(datetime.now(UTC))
    body = await bed.load.create(TRAINING_RUNS, namespace, manifest(name))
    run = TrainingRun.model_validate(body)
    pod_name = f"{jobs.job_name(run)}-pod"
    job_manifest = jobs.job(run, Platform("http://127.0.0.1:9"))
    job = await bed.load.create(JOBS, namespace, job_manifest)
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("SuccessCriteriaMet", "Complete")
    ]
    ended = {"startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions}
    await bed.load.set_status(JOBS, namespace, job["metadata"]["name"], ended)
    template = as_object(as_object(job_manifest["spec"])["template"])
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": as_object(template["metadata"]) | {"name": pod_name},
        "spec": template["spec"],
    }
    made = await bed.load.create(PODS, namespace, pod)
    terminated = {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}
    container = {
        "name": "training",
        "state": {"terminated": terminated},
        "image": "example/wine:1",
        "imageID": "example/wine@sha256:0123",
        "ready": False,
        "restartCount": 0,
    }
    await bed.load.set_status(PODS, namespace, pod_name, {"phase": "Succeeded", "containerStatuses": [container]})
    await bed.load.set_status(TRAINING_RUNS, namespace, name, _status(run, job, made, run_id))


def _status(run: TrainingRun, job: dict[str, Any], pod: dict[str, Any], run_id: str) -> dict[str, Any]:
    """Return the status of a resource for which nothing is left to do."""
    now = datetime.now(UTC)
    attempt = Attempt(
        pod=pod["metadata"]["name"],
        uid=pod["metadata"]["uid"],
        node="node-1",
        outcome=Outcome.SUCCEEDED,
        reason=Reason.COMPLETED,
        exit_code=0,
        started_at=now,
        finished_at=now,
        run_id=run_id,
        recorded_at=now,
    )
    facts = JobFacts(state=JobState.COMPLETE, name=job["metadata"]["name"], started_at=now, finished_at=now)
    tracking = TrackingFacts(
        url="http://mlflow/#/experiments/1/runs/a53c", experiment_id="1", metrics={"f1": "0.9", "accuracy": "0.91"}
    )
    return assemble(run, facts, [attempt], tracking, now).to_json()
