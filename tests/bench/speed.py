"""From resource to Job: the latency at a steady rate, and the rate of a burst, each beside plain Jobs."""

import asyncio
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.audit import Request, counted, writes
from tests.bench.bed import Bed
from tests.bench.load import JOBS, TRAINING_RUNS, all_at_once, paced, suspended_job, suspended_run
from tests.bench.process import Operator, operator

_PATIENCE_SECONDS = 300.0
_CANARY = "canary"


async def burst(bed: Bed, program: Path, count: int) -> dict[str, Any]:
    """Create resources as fast as the server takes them; return the rates at which they and their Jobs came to be."""
    async with _ready(bed, program, "burst") as (found, namespace, since):
        cpu, server_cpu = found.cpu_seconds(), bed.server_cpu_seconds()
        await all_at_once(_runs(bed, namespace, count))
        jobs = await _jobs_of_all(bed, namespace, count)
        await _statuses_of_all(bed, namespace, count, since)
        cpu, server_cpu = found.cpu_seconds() - cpu, bed.server_cpu_seconds() - server_cpu
    runs = _without_canary(bed.audit.created("load", namespace, "trainingruns").values())
    plain = await plain_burst(bed, count)
    rate = _rate(jobs, min(request.received for request in runs))
    counts = counted(_without_canary(bed.audit.of("operator", namespace, since)))
    return {
        "jobs_per_second": rate,
        "plain_jobs_per_second": plain,
        "ratio_to_plain": rate / plain,
        "cpu_ms_per_run": 1000 * cpu / count,
        "server_cpu_ms_per_run": 1000 * server_cpu / count,
        "writes_per_run": writes(counts) / count,
        "requests": counts,
    }


async def plain_burst(bed: Bed, count: int) -> float:
    """Create plain Jobs as fast as the server takes them; return their rate."""
    namespace = bed.namespace("plain")
    await all_at_once(_jobs(bed, namespace, count))
    made = bed.audit.created("load", namespace, "jobs").values()
    return _rate(made, min(request.received for request in made))


async def steady(bed: Bed, program: Path, count: int, per_second: float) -> dict[str, Any]:
    """Create resources at a steady rate with a plain Job between each two; return latencies in milliseconds.

    A resource's is from when the server began to take it to when its Job was stored; a plain Job's likewise.
    """
    async with _ready(bed, program, "steady") as (found, namespace, since):
        plain_namespace = bed.namespace("plain")
        cpu = found.cpu_seconds()
        pairs = zip(_runs(bed, namespace, count), _jobs(bed, plain_namespace, count), strict=True)
        await paced((call for pair in pairs for call in pair), 2 * per_second)
        await _jobs_of_all(bed, namespace, count)
        await _statuses_of_all(bed, namespace, count, since)
        cpu = found.cpu_seconds() - cpu
    jobs = {_owner(name): request for name, request in bed.audit.created("operator", namespace, "jobs").items()}
    runs = bed.audit.created("load", namespace, "trainingruns")
    latencies = [jobs[name].answered - runs[name].received for name in runs if name != _CANARY]
    plain = [made.answered - made.received for made in bed.audit.created("load", plain_namespace, "jobs").values()]
    counts = counted(_without_canary(bed.audit.of("operator", namespace, since)))
    return {
        "p50_ms": _percentile(latencies, 50),
        "p99_ms": _percentile(latencies, 99),
        "plain_p50_ms": _percentile(plain, 50),
        "plain_p99_ms": _percentile(plain, 99),
        "p50_ratio_to_plain": _percentile(latencies, 50) / _percentile(plain, 50),
        "p99_ratio_to_plain": _percentile(latencies, 99) / _percentile(plain, 99),
        "cpu_ms_per_run": 1000 * cpu / count,
        "writes_per_run": writes(counts) / count,
        "requests": counts,
    }


@asynccontextmanager
async def _ready(bed: Bed, program: Path, prefix: str) -> AsyncIterator[tuple[Operator, str, datetime]]:
    """Run an operator in a namespace of its own, and wait until it has dealt with a first resource."""
    namespace = bed.namespace(prefix)
    with operator(program, bed.operator_kubeconfig, namespace, bed.folder) as found:
        await bed.load.create(TRAINING_RUNS, namespace, suspended_run(_CANARY))
        await until(
            "the operator has dealt with a first resource",
            lambda: any(made.resource == "trainingruns/status" for made in bed.audit.of("operator", namespace)),
        )
        last = max(request.answered for request in bed.audit.of("operator", namespace))
        yield found, namespace, last
        assert "Traceback" not in found.log.read_text(), found.log.read_text()[-4000:]


async def until(what: str, condition: Callable[[], bool]) -> None:
    """Wait for a condition, with a deadline."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while not condition():  # a file that grows tells nobody
        if asyncio.get_running_loop().time() > deadline:
            message = f"{what}: not within {_PATIENCE_SECONDS} s"
            raise TimeoutError(message)
        await asyncio.sleep(0.2)


async def _jobs_of_all(bed: Bed, namespace: str, count: int) -> Iterable[Request]:
    await until("all Jobs", lambda: len(bed.audit.created("operator", namespace, "jobs")) == count + 1)
    return _without_canary(bed.audit.created("operator", namespace, "jobs").values())


async def _statuses_of_all(bed: Bed, namespace: str, count: int, since: datetime) -> None:
    def told() -> int:
        found = bed.audit.of("operator", namespace, since)
        return len({request.name for request in _without_canary(found) if request.resource == "trainingruns/status"})

    await until("all statuses", lambda: told() == count)


def _runs(bed: Bed, namespace: str, count: int) -> list[Callable[[], Awaitable[object]]]:
    return [partial(bed.load.create, TRAINING_RUNS, namespace, suspended_run(name)) for name in _names(count)]


def _jobs(bed: Bed, namespace: str, count: int) -> list[Callable[[], Awaitable[object]]]:
    return [partial(bed.load.create, JOBS, namespace, suspended_job(name)) for name in _names(count)]


def _names(count: int) -> list[str]:
    return [f"run{index:05}" for index in range(count)]


def _owner(job: str) -> str:
    return job.rpartition("-")[0]


def _without_canary(found: Iterable[Request]) -> list[Request]:
    return [request for request in found if not request.name.startswith(_CANARY)]


def _rate(made: Iterable[Request], since: datetime) -> float:
    answered = [request.answered for request in made]
    return len(answered) / (max(answered) - since).total_seconds()


def _percentile(values: list[timedelta], percent: int) -> float:
    found = [value.total_seconds() * 1000 for value in values]
    return statistics.quantiles(found, n=100, method="inclusive")[percent - 1]
