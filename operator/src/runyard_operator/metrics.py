"""What the operator counts and times, for Prometheus."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import aiohttp
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from runyard.api.outcome import TrainingRunStatus
from runyard.api.status import SUCCEEDED, condition_status

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

# From a look that finds nothing to do, to uploads of logs to a server at its limits.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

_RECONCILES = Counter("runyard_reconciles_total", "Reconciles of a resource.", ["result"], registry=REGISTRY)
_RECONCILE_SECONDS = Histogram(
    "runyard_reconcile_duration_seconds", "Time for one reconcile.", buckets=_BUCKETS, registry=REGISTRY
)
_STEP_SECONDS = Histogram(
    "runyard_reconcile_step_duration_seconds",
    "Time for each step of a reconcile.",
    ["step"],
    buckets=_BUCKETS,
    registry=REGISTRY,
)
_OUTCOMES = Counter(
    "runyard_training_outcomes_total",
    "Trainings that ended, by outcome and reason.",
    ["outcome", "reason"],
    registry=REGISTRY,
)
_RECORDINGS = Counter(
    "runyard_recordings_total", "Attempts to make MLflow agree with a resource.", ["result"], registry=REGISTRY
)
_MLFLOW_ERRORS = Counter(
    "runyard_mlflow_errors_total",
    "Requests that MLflow did not answer (timeout, unreachable), failed at (failed: 5xx) or would not have (refused: "
    "4xx but for 404).",
    ["kind"],
    registry=REGISTRY,
)
_API_REQUESTS = Counter(
    "runyard_api_requests_total",
    "Requests to the Kubernetes API server; the code is that of HTTP, or error where there was no answer.",
    ["verb", "resource", "code"],
    registry=REGISTRY,
)
SWEEP_TRIALS = Counter(
    "runyard_trainingsweep_trials_total", "Trials of TrainingSweeps that ended.", ["outcome"], registry=REGISTRY
)
SWEEP_OUTCOMES = Counter(
    "runyard_trainingsweep_outcomes_total",
    "TrainingSweeps that ended, by outcome and reason.",
    ["outcome", "reason"],
    registry=REGISTRY,
)
SWEEPS = Gauge(
    "runyard_unsettled_trainingsweeps", "TrainingSweeps for which something is left to do.", registry=REGISTRY
)
SWEEPS_QUEUED = Gauge("runyard_trainingsweep_queue_depth", "TrainingSweeps that wait for a worker.", registry=REGISTRY)
OPTUNA_ERRORS = Counter(
    "runyard_optuna_errors_total", "Times that Optuna's database did not answer, or refused.", registry=REGISTRY
)
SWEEP_ERRORS = Counter("runyard_sweep_errors_total", "Parts of sweeps that failed.", registry=REGISTRY)
QUEUE_DEPTH = Gauge("runyard_queue_depth", "Resources that wait for a worker.", registry=REGISTRY)
IN_WORK = Gauge("runyard_queue_in_work", "Resources that a worker has in hand.", registry=REGISTRY)
UNSETTLED = Gauge("runyard_unsettled_resources", "TrainingRuns for which something is left to do.", registry=REGISTRY)
REFUSED = Gauge(
    "runyard_refused_watches",
    "Kinds of objects that may not be read where they should be watched, counted in each namespace.",
    registry=REGISTRY,
)
LEADER = Gauge("runyard_leader", "1 in the process that holds the Lease, 0 in one that stands by.", registry=REGISTRY)

for _result in ("success", "error"):
    _RECONCILES.labels(_result)
    _RECORDINGS.labels(_result)
for _outcome in ("Succeeded", "Failed", "Pruned"):
    SWEEP_TRIALS.labels(_outcome)
for _kind in ("timeout", "unreachable", "failed", "refused"):
    _MLFLOW_ERRORS.labels(_kind)


@contextmanager
def reconcile() -> Iterator[None]:
    """Time and count one reconcile."""
    with _RECONCILE_SECONDS.time(), _counted(_RECONCILES):
        yield


@contextmanager
def recording() -> Iterator[None]:
    """Count one attempt to make MLflow agree."""
    with _counted(_RECORDINGS):
        yield


@contextmanager
def step(name: str) -> Iterator[None]:
    """Time a step of a reconcile: confirm, read, observe, act, explain, record or write."""
    with _STEP_SECONDS.labels(name).time():
        yield


def count_outcome(before: TrainingRunStatus, after: TrainingRunStatus) -> None:
    """Count a training that ended between two statuses."""
    verdict = after.condition(SUCCEEDED)
    if verdict and verdict.status in {"True", "False"} and condition_status(before, SUCCEEDED) != verdict.status:
        _OUTCOMES.labels("Succeeded" if verdict.status == "True" else "Failed", verdict.reason).inc()


def count_api_request(verb: str, resource: str, code: str) -> None:
    """Count a request to the API server."""
    _API_REQUESTS.labels(verb, resource, code).inc()


def count_mlflow_answer(status: int) -> None:
    """Count an answer of MLflow that is an error; that something is not there is an answer as any other."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _MLFLOW_ERRORS.labels("failed").inc()
    elif status >= HTTPStatus.BAD_REQUEST and status != HTTPStatus.NOT_FOUND:
        _MLFLOW_ERRORS.labels("refused").inc()


def count_mlflow_silence(error: BaseException) -> None:
    """Count a request that MLflow did not answer."""
    is_late = isinstance(error, TimeoutError | aiohttp.ServerTimeoutError)
    _MLFLOW_ERRORS.labels("timeout" if is_late else "unreachable").inc()


def text() -> bytes:
    """Return all of it, as Prometheus reads it."""
    return generate_latest(REGISTRY)


@contextmanager
def _counted(counter: Counter) -> Iterator[None]:
    try:
        yield
    except Exception:
        counter.labels("error").inc()
        raise
    counter.labels("success").inc()
