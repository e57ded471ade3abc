"""A TrainingRun as a process on this machine, with the status it would have in a cluster."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias
from uuid import uuid4

from pydantic import JsonValue

from runyard import clusterless, inputs
from runyard.api import environment, preparation, reuse
from runyard.api.container import USAGE_ERRORS, training_container
from runyard.api.environment import AssignedRun
from runyard.api.facts import JobFacts, JobState
from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.outcome import Attempt, Outcome, Reason
from runyard.api.status import accepted, assemble
from runyard.api.trainingrun import RESERVED_ENVIRONMENT, TRAINING_CONTAINER, OnDuplicate, TrainingRun
from runyard.errors import InvalidManifest, Problem, RunyardError
from runyard.ledger import Ledger
from runyard.process import Stopper, execute, interruptible, interruptions_held, last_line
from runyard.surroundings import Unknown, surroundings
from runyard.tracking import Store

# The API server takes a TrainingRun with another name, and refuses its Job in these words.
_VARIABLE = re.compile("[ -<>-~]+")
_MISNAMED = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_FOREIGN_RUN = {"MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"}


class NothingToRun(RunyardError):
    """The manifest leaves the command to its image, and there is no image here."""

    exit_code = 2


class NeedsCluster(RunyardError):
    """The manifest asks for what only a cluster has."""

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
class _Circumstances:
    """What all attempts of a training have in common."""

    folder: Path
    tracking: Tracking
    ends_at: float | None
    echo: Callable[[bytes], None]
    stopper: Stopper | None


def check(wanted: TrainingRun) -> None:
    """Refuse what cannot be run on this machine.

    Raises:
        NothingToRun: the manifest has no command.
        NeedsCluster: the manifest asks for what only a cluster has.
        InvalidManifest: a variable has a name that no process can be given.

    """
    if impossible := clusterless.impossible(wanted):
        raise NeedsCluster(
            f"{', '.join(impossible)}: `runyard run` starts one process on this machine and has nothing of a "
            "cluster's: leave it out, or apply the manifest to a cluster"
        )
    if not training_container(wanted).get("command"):
        raise NothingToRun(
            "spec.command: Required value: `runyard run` starts it on this machine, where no image says what to run"
        )
    if problems := [*_misnamed(wanted)]:
        raise InvalidManifest(wanted.metadata.name, problems)


def run(
    wanted: TrainingRun,
    folder: Path,
    tracking: Tracking,
    echo: Callable[[bytes], None] = lambda _: None,
    *,
    stopper: Stopper | None = None,
) -> TrainingRun:
    """Run the training and return the resource with its status, as the operator would have written it.

    Args:
        wanted: the resource; it gets a UID.
        folder: the manifest's folder, in which the command starts; a tag of the run says it.
        tracking: where MLflow is.
        echo: is given the training's output as it comes.
        stopper: may end it from another thread.

    Raises:
        NothingToRun: the manifest has no command.
        NeedsCluster: the manifest asks for what only a cluster has.
        InvalidManifest: a variable has a name that no process can be given.
        TrackingUnavailable: MLflow does not answer before the training; later the status says so.

    """
    check(wanted)
    given = wanted.metadata
    identity = {"uid": str(uuid4()), "namespace": given.namespace or "default", "generation": 1}
    named = wanted.model_copy(update={"metadata": given.model_copy(update=identity)})
    resource = named.model_copy(update={"status": accepted(named, datetime.now(UTC))})
    with interruptions_held():
        return _run(resource, folder, tracking, echo, stopper)


def _misnamed(wanted: TrainingRun) -> Iterator[Problem]:
    index, template = wanted.spec.template_container
    places: dict[str, Sequence[JsonValue]] = {
        "spec.env": wanted.spec.env or [],
        f"spec.podTemplate.spec.containers[{index}].env": as_list(template.get("env")),
    }
    for path, variables in places.items():
        for place, variable in enumerate(map(as_object, variables)):
            name = str(variable["name"])
            if not _VARIABLE.fullmatch(name):
                said = (
                    f"Invalid value: {json.dumps(name, ensure_ascii=False)}: {_MISNAMED}" if name else "Required value"
                )
                yield Problem(f"{path}[{place}].name", said)


def _run(
    resource: TrainingRun, folder: Path, tracking: Tracking, echo: Callable[[bytes], None], stopper: Stopper | None
) -> TrainingRun:
    with interruptible():
        ledger = Ledger(tracking.open(), resource, folder, surroundings=_known_surroundings(resource, folder, echo))
        found = ledger.earlier() if resource.spec.on_duplicate is OnDuplicate.REUSE else None
        if found is None:
            ledger.open()
    if found:
        _insisting(partial(ledger.promote, found.run_id))
        now = datetime.now(UTC)
        status = assemble(resource, reuse.job_facts(found, now), [], ledger.facts, now)
        return resource.model_copy(update={"status": status})
    started = datetime.now(UTC)
    deadline = resource.spec.active_deadline_seconds
    ends_at = started.timestamp() + deadline if deadline else None
    circumstances = _Circumstances(folder, tracking, ends_at, echo, stopper)
    for number in range(resource.spec.backoff_limit + 1):
        name = f"{resource.metadata.name}-{number + 1}"
        done = _attempt(resource, name, circumstances, ledger.assigned)
        ledger.add(done.attempt, done.logs)
        is_interrupted = _insisting(ledger.record)
        if is_interrupted or not done.may_be_tried_again:
            break
    _insisting(ledger.close)
    _insisting(partial(ledger.promote, ledger.facts.run_id or ledger.attempts[-1].run_id))
    facts = _job_facts(ledger.attempts[-1], started)
    status = assemble(resource, facts, ledger.attempts, ledger.facts, datetime.now(UTC))
    return resource.model_copy(update={"status": status})


def _known_surroundings(resource: TrainingRun, folder: Path, echo: Callable[[bytes], None]) -> str | None:
    """Return what a result depends on here besides the manifest, where it may be reused."""
    if resource.spec.on_duplicate is not OnDuplicate.REUSE:
        return None
    try:
        return surroundings(resource.spec, folder)
    except Unknown as error:
        echo(f"runyard: no training of this machine is reused: {error}\n".encode())
        return None


def _insisting(step: Callable[[], None]) -> bool:
    """Take a step, and begin it again if it is interrupted; return whether it was.

    A run would stay RUNNING for ever: that is left only to one who asks once more.
    """
    try:
        with interruptible():
            step()
    except KeyboardInterrupt:
        with interruptible():
            step()
        return True
    return False


def _job_facts(last: Attempt, started: datetime) -> JobFacts:
    if last.outcome is Outcome.SUCCEEDED:
        return JobFacts(state=JobState.COMPLETE, started_at=started, finished_at=last.finished_at)
    return JobFacts(
        state=JobState.FAILED,
        reason=last.reason,
        started_at=started,
        finished_at=last.finished_at,
    )


@dataclass(frozen=True)
class _Done:
    """An attempt that has ended, with its logs by container."""

    attempt: Attempt
    logs: dict[str, bytes]
    may_be_tried_again: bool


def _attempt(resource: TrainingRun, name: str, circumstances: _Circumstances, assigned: AssignedRun | None) -> _Done:
    with TemporaryDirectory(prefix="runyard-", ignore_cleanup_errors=True) as folder:
        return _attempt_in(Path(folder), resource, name, circumstances, assigned)


def _attempt_in(
    inputs_folder: Path, resource: TrainingRun, name: str, circumstances: _Circumstances, assigned: AssignedRun | None
) -> _Done:
    uid = str(uuid4())
    started = datetime.now(UTC)
    container = training_container(environment.quoted(resource))
    platform = environment.Platform(circumstances.tracking.uri, inputs_folder=str(inputs_folder))
    variables = _variables(container, environment.own_variables(resource, platform, uid, assigned), uid)
    surroundings = {**_surroundings(), **variables}
    ends_at, echo = circumstances.ends_at, circumstances.echo
    wanted = preparation.wanted(resource.spec)
    # A path of the image's, which env may set, is not where git is here.
    fetching = {**surroundings, "PATH": _surroundings()["PATH"]}
    fetched = inputs.fetch(wanted, inputs_folder, fetching, ends_at, echo) if wanted else None
    logs = {preparation.CONTAINER: fetched.log} if fetched else {}
    if fetched and fetched.end:
        end, log = fetched.end, f"There is no log of {name} ({fetched.end.reason}): {fetched.end.message}\n".encode()
    else:
        words = [*as_list(container["command"]), *as_list(container.get("args"))]
        command = [environment.expanded(str(word), variables) for word in words]
        folder = inputs.starting_folder(resource.spec, container, inputs_folder) or circumstances.folder
        end, log = execute(command, folder, surroundings, ends_at, echo, stopper=circumstances.stopper)
    attempt = Attempt(
        pod=name,
        uid=uid,
        node=os.uname().nodename,
        outcome=end.outcome,
        reason=end.reason,
        exit_code=end.exit_code,
        started_at=started,
        finished_at=datetime.now(UTC),
        message=end.message or (None if end.outcome is Outcome.SUCCEEDED else last_line(log)),
        source=fetched.report.source if fetched else None,
        datasets=fetched.report.datasets or None if fetched else None,
    )
    failed = end.reason is Reason.ERROR and end.exit_code not in USAGE_ERRORS
    again = fetched.may_be_tried_again if fetched and fetched.end else failed
    return _Done(attempt, {**logs, TRAINING_CONTAINER: log}, again)


def _variables(container: JsonObject, own: dict[str, str], uid: str) -> dict[str, str]:
    """Return what the manifest puts into the environment; as in a pod, $(…) refers to these alone."""
    found = {"RUNYARD_POD_UID": uid, **own}
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
