"""A TrainingRun as a process on this machine, with the status it would have in a cluster."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread, current_thread, main_thread
from typing import IO, TypeAlias
from uuid import uuid4

import yaml

from runyard.api import environment
from runyard.api.container import training_container
from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.records import MANIFEST_ARTIFACT, corrections, log_artifact, primary, status_metrics
from runyard.api.status import JobFacts, JobState, TrackingFacts, assemble
from runyard.api.trainingrun import RESERVED_ENVIRONMENT, Attempt, Outcome, Reason, TrainingRun
from runyard.errors import RunyardError
from runyard.tracking import Store

LOG_TAIL_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_GRACE_SECONDS = 30  # as a pod's terminationGracePeriodSeconds
_SIGNAL_BASE = 128  # what a shell, and the kubelet, add to a signal's number
_CANNOT_START = 127
_FOREIGN_RUN = {"MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"}


class NothingToRun(RunyardError):
    """The manifest leaves the command to its image, and there is no image here."""

    exit_code = 2


@dataclass(frozen=True)
class Embedded:
    """An MLflow of one's own: a folder with an SQLite database and the artifacts."""

    folder: Path

    @property
    def database(self) -> Path:
        """The SQLite database."""
        return self.folder / "mlflow.db"

    @property
    def uri(self) -> str:
        """The tracking URI."""
        return f"sqlite:///{self.database}"

    def open(self) -> Store:
        """Open the store, made if it is not there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return Store(self.uri, self.folder / "artifacts")


@dataclass(frozen=True)
class Server:
    """An MLflow server that is there already."""

    uri: str

    def open(self) -> Store:
        """Open the store."""
        return Store(self.uri)


Tracking: TypeAlias = Embedded | Server


@dataclass(frozen=True)
class _End:
    outcome: Outcome
    reason: Reason
    exit_code: int | None
    message: str | None = None


def run(
    wanted: TrainingRun,
    folder: Path,
    tracking: Tracking,
    echo: Callable[[bytes], None] = lambda _: None,
) -> TrainingRun:
    """Run the training and return the resource with its status, as the operator would have written it.

    Args:
        wanted: the resource; it gets a UID.
        folder: the manifest's folder, in which the command starts.
        tracking: where MLflow is.
        echo: is given the training's output as it comes.

    Raises:
        NothingToRun: the manifest has no command.

    """
    if not training_container(wanted).get("command"):
        message = (
            "spec.command: Required value: `runyard run` starts it on this machine, where no image says what to run"
        )
        raise NothingToRun(message)
    given = wanted.metadata
    identity = {"uid": str(uuid4()), "namespace": given.namespace or "default", "generation": 1}
    resource = wanted.model_copy(update={"metadata": given.model_copy(update=identity)})
    with _terminated_as_interrupt():
        return _run(resource, folder, tracking, echo)


def _run(resource: TrainingRun, folder: Path, tracking: Tracking, echo: Callable[[bytes], None]) -> TrainingRun:
    store = tracking.open()
    experiment_id = store.ensure_experiment(resource.experiment)
    started = datetime.now(UTC)
    deadline = resource.spec.active_deadline_seconds
    ends_at = started.timestamp() + deadline if deadline else None
    recorded: list[Attempt] = []
    for number in range(resource.spec.backoff_limit + 1):
        name = f"{resource.metadata.name}-{number + 1}"
        attempt, log = _attempt(resource, folder, tracking, name, ends_at, echo)
        is_last = attempt.outcome is Outcome.SUCCEEDED or attempt.reason != Reason.ERROR
        try:
            attempt, found = _record(store, experiment_id, resource, attempt, log)
        except KeyboardInterrupt:
            # The run would stay RUNNING for ever: begin again, and leave it only to one who asks once more.
            attempt, found = _record(store, experiment_id, resource, attempt, log)
            is_last = True
        recorded.append(attempt)
        facts = _job_facts(attempt, started)
        resource = resource.model_copy(update={"status": assemble(resource, facts, recorded, found, datetime.now(UTC))})
        if is_last:
            break
    return resource


def _job_facts(last: Attempt, started: datetime) -> JobFacts:
    if last.outcome is Outcome.SUCCEEDED:
        return JobFacts(state=JobState.COMPLETE, started_at=started, finished_at=last.finished_at)
    return JobFacts(
        state=JobState.FAILED,
        reason=last.reason,
        message=last.message,
        started_at=started,
        finished_at=last.finished_at,
    )


def _attempt(
    resource: TrainingRun,
    folder: Path,
    tracking: Tracking,
    name: str,
    ends_at: float | None,
    echo: Callable[[bytes], None],
) -> tuple[Attempt, bytes]:
    uid = str(uuid4())
    started = datetime.now(UTC)
    container = training_container(environment.quoted(resource))
    variables = _variables(resource, container, tracking, uid)
    words = [*as_list(container["command"]), *as_list(container.get("args"))]
    command = [environment.expanded(str(word), variables) for word in words]
    end, log = _execute(command, folder, {**_surroundings(), **variables}, ends_at, echo)
    attempt = Attempt(
        pod=name,
        uid=uid,
        node=os.uname().nodename,
        outcome=end.outcome,
        reason=end.reason,
        exit_code=end.exit_code,
        started_at=started,
        finished_at=datetime.now(UTC),
        message=end.message or (None if end.outcome is Outcome.SUCCEEDED else _last_line(log)),
    )
    return attempt, log


def _variables(resource: TrainingRun, container: JsonObject, tracking: Tracking, uid: str) -> dict[str, str]:
    """Return what the manifest puts into the environment; as in a pod, $(…) refers to these alone."""
    found = {"RUNYARD_POD_UID": uid, **environment.own_variables(resource, environment.Platform(tracking.uri), uid)}
    for variable in map(as_object, as_list(container.get("env"))):
        name, value = str(variable["name"]), variable.get("value", "")
        if isinstance(value, str) and "valueFrom" not in variable and name not in RESERVED_ENVIRONMENT:
            found[name] = environment.expanded(value, found)
    return found


def _surroundings() -> dict[str, str]:
    """Return this machine's environment, in which `python` is the one that Runyard itself runs under."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    # A person's shell may still name a run of another training, which this one would then go on with.
    kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN_RUN}
    return {**kept, "PATH": path}


def _execute(
    command: list[str],
    folder: Path,
    variables: dict[str, str],
    ends_at: float | None,
    echo: Callable[[bytes], None],
) -> tuple[_End, bytes]:
    tail = bytearray()
    try:
        process = subprocess.Popen(  # noqa: S603 running the user's own command is the purpose
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        message = f"{command[0]} cannot be started: {error.strerror}"
        return _End(Outcome.FAILED, Reason.ERROR, _CANNOT_START, message), message.encode()
    reader = Thread(target=_copy, args=(process.stdout, tail, echo))
    reader.start()
    end = _wait(process, ends_at)
    reader.join()
    return end, bytes(tail)


def _wait(process: subprocess.Popen[bytes], ends_at: float | None) -> _End:
    try:
        left = None if ends_at is None else max(ends_at - datetime.now(UTC).timestamp(), 0)
        code = process.wait(left)
    except subprocess.TimeoutExpired:
        message = "spec.activeDeadlineSeconds passed before the training ended"
        return _End(Outcome.FAILED, Reason.DEADLINE_EXCEEDED, _stop(process), message)
    except KeyboardInterrupt:
        return _End(Outcome.CANCELLED, Reason.CANCELLED, _stop(process), "interrupted")
    _stop(process)
    code = code if code >= 0 else _SIGNAL_BASE - code
    return _End(Outcome.SUCCEEDED, Reason.COMPLETED, 0) if code == 0 else _End(Outcome.FAILED, Reason.ERROR, code)


def _stop(process: subprocess.Popen[bytes]) -> int:
    """End the process and all that it started, as the kubelet ends a pod; return the exit code.

    Who interrupts once more does not wait for the grace period.
    """
    with _gone_already():
        os.killpg(process.pid, signal.SIGTERM)
    try:
        code = process.wait(_GRACE_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        code = None
    with _gone_already():
        os.killpg(process.pid, signal.SIGKILL)
    code = process.wait() if code is None else code
    return code if code >= 0 else _SIGNAL_BASE - code


@contextmanager
def _gone_already() -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:
        return


@contextmanager
def _terminated_as_interrupt() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C, so that a run is closed whichever way the command is stopped."""
    if current_thread() is not main_thread():  # signals are another's to handle
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _copy(stream: IO[bytes] | None, tail: bytearray, echo: Callable[[bytes], None]) -> None:
    """Pass output on as it comes, lines or not: a progress bar ends its line only when it is done."""
    if stream is None:
        return
    is_heard = True
    while part := os.read(stream.fileno(), _READ_BYTES):
        tail += part
        del tail[:-LOG_TAIL_BYTES]
        try:
            if is_heard:
                echo(part)
        except BrokenPipeError:
            # `runyard run … | head` has read enough; the training goes on, and so does its log.
            is_heard = False


def _record(
    store: Store, experiment_id: str, resource: TrainingRun, attempt: Attempt, log: bytes
) -> tuple[Attempt, TrackingFacts]:
    runs = store.runs_of_pod(attempt.uid)
    chief = primary(runs)
    if chief is None:
        tags = environment.identity_tags(resource, attempt.uid)
        chief = store.create_run(experiment_id, attempt.pod, tags, attempt.started_at or datetime.now(UTC))
        runs = [chief]
    store.upload(chief, log_artifact(attempt.pod), log)
    store.upload(chief, MANIFEST_ARTIFACT, _as_applied(resource))
    store.apply(corrections(runs, attempt, chief))
    facts = TrackingFacts(experiment_id=chief.experiment_id, metrics=status_metrics(chief.metrics))
    return attempt.model_copy(update={"run_id": chief.id, "recorded_at": datetime.now(UTC)}), facts


def _as_applied(resource: TrainingRun) -> bytes:
    body = resource.to_json()
    manifest = {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        "metadata": {"name": resource.metadata.name, "namespace": resource.metadata.namespace},
        "spec": body["spec"],
    }
    return yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True).encode()


def _last_line(log: bytes) -> str | None:
    lines = log.decode(errors="replace").splitlines()
    return next((line.strip()[:1024] for line in reversed(lines) if line.strip()), None)
