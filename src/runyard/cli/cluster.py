"""`runyard submit`, `wait`, `logs`: TrainingRuns in a cluster."""

import json
import sys
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import Annotated, BinaryIO, NoReturn, cast

import typer
from rich.console import Console

from runyard import manifest, validation
from runyard.api.model import JsonObject
from runyard.api.outcome import Attempt
from runyard.api.records import log_artifact
from runyard.api.trainingrun import TRAINING_CONTAINER, TrainingRun
from runyard.cli import output as out
from runyard.cli import waiting
from runyard.cli.output import Output
from runyard.cli.runs import OutputOption
from runyard.cli.waiting import Write
from runyard.cluster import Cluster, Deadline
from runyard.errors import RunyardError
from runyard.history import History
from runyard.pod_logs import LogLine, NoLog, PodLogs

ContextOption = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]
NamespaceOption = Annotated[str | None, typer.Option("--namespace", "-n", help="Default: the context's.")]


def _names(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return what a shell offers for a TrainingRun's name: those that there are, with their phases."""
    try:
        found = Cluster(ctx.params.get("context"), ctx.params.get("namespace")).phases()
    except RunyardError:  # the command itself will say it: a shell has no place for that
        return []
    return [(name, phase) for name, phase in found.items() if name.startswith(incomplete)]


NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of a TrainingRun.", show_default=False, autocompletion=_names)
]
TimeoutOption = Annotated[
    float | None, typer.Option("--timeout", min=1, help="Seconds to wait at most; default: for ever.")
]


class Lines(StrEnum):
    """How a log is printed."""

    TEXT = "text"
    JSON = "json"


def submit(
    file: Annotated[Path, typer.Argument(help="A manifest with one TrainingRun.", show_default=False)],
    wait_for_it: Annotated[bool, typer.Option("--wait", help="Wait for its end.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print its log, and wait for its end.")] = False,
    timeout: TimeoutOption = None,
    context: ContextOption = None,
    namespace: NamespaceOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Create a TrainingRun in a cluster, checked before it is sent.

    Exit codes: 0 it was created, and with --wait or --follow it succeeded; 1 it failed; 2 the manifest is wrong, or
    the API server refuses it; 3 --timeout is over; 4 the cluster does not answer.
    """
    deadline = Deadline(timeout)
    document = manifest.document(file)
    validation.parse(document)
    opened = Cluster(context, namespace)
    created = opened.create(cast("JsonObject", document))
    opened.namespace = created.metadata.namespace
    if not (wait_for_it or follow):
        out.emit(output, created.to_json(), lambda console: console.print(f"{_called(created)} created"))
        return
    typer.echo(f"{_called(created)} created", err=True)
    if follow:
        # What is printed as data is the outcome alone, as with `runyard run`.
        stream = sys.stdout if output is Output.TEXT else sys.stderr
        write = _writer(stream.buffer, Lines.TEXT)
        _end(waiting.followed(opened, created.metadata.name, deadline, write), output)
    _end(waiting.ended(opened, created.metadata.name, deadline), output)


def wait(
    name: NameArgument,
    timeout: TimeoutOption = None,
    tracked: Annotated[bool, typer.Option("--tracked", help="Wait until MLflow agrees with the outcome, too.")] = False,
    context: ContextOption = None,
    namespace: NamespaceOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Wait for a TrainingRun's end.

    Exit codes: 0 it succeeded; 1 it failed; 2 there is none of that name; 3 --timeout is over; 4 the cluster does not
    answer.
    """
    _end(waiting.ended(Cluster(context, namespace), name, Deadline(timeout), tracked=tracked), output)


def logs(
    name: NameArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the training ends, retries too.")] = False,
    attempt: Annotated[int | None, typer.Option("--attempt", min=1, help="Which attempt; default: the last.")] = None,
    tracking_uri: Annotated[
        str | None,
        typer.Option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help="MLflow, for logs of pods that are gone."),
    ] = None,
    context: ContextOption = None,
    namespace: NamespaceOption = None,
    output: Annotated[
        Lines, typer.Option("--output", "-o", help="The log; or a line of JSON for each: time, pod, container, line.")
    ] = Lines.TEXT,
) -> None:
    """Print a training's log: its pod's or, once that is gone, the part that is kept in MLflow.

    Exit codes: 0; 1 there is no log; 2 there is no such TrainingRun or attempt; 4 no answer of the cluster or MLflow.
    """
    opened, write = Cluster(context, namespace), _writer(sys.stdout.buffer, output)
    if follow and attempt is None:
        waiting.followed(opened, name, Deadline(), write)
        return
    found = opened.get(name)
    wanted = _attempt(found, attempt)
    there = PodLogs(opened)
    try:
        for line in there.follow(wanted.pod, Deadline()) if follow else there.whole(wanted.pod):
            write(wanted.pod, line)
    except NoLog as gone:
        for said in BytesIO(_kept(wanted, tracking_uri, gone)):
            write(wanted.pod, LogLine(None, said))


class NoSuchAttempt(RunyardError):
    """The training has no attempt of that number, or none yet."""

    exit_code = 2


def _attempt(resource: TrainingRun, number: int | None) -> Attempt:
    """Return an attempt by its number; of those that were dropped from the status there is none."""
    listed = resource.status.attempts
    first = (resource.status.attempt_count or len(listed)) - len(listed) + 1
    if not listed:
        raise NoSuchAttempt(f"{resource.metadata.name} has no attempt yet: {resource.status.message or 'it is new'}")
    if number is None:
        return listed[-1]
    if not first <= number < first + len(listed):
        raise NoSuchAttempt(
            f"--attempt is {number}, and {resource.metadata.name} lists {first} to {first + len(listed) - 1}"
        )
    return listed[number - first]


def _kept(attempt: Attempt, tracking_uri: str | None, gone: NoLog) -> bytes:
    path = log_artifact(attempt.pod)
    if not tracking_uri or not attempt.run_id:
        where = (
            f"run {attempt.run_id} has it as {path}: give --tracking-uri" if attempt.run_id else "nor is a run known"
        )
        raise NoLog(f"the pod {attempt.pod} is gone, and {where}") from gone
    opened = History(tracking_uri)
    content = opened.content(opened.find(attempt.run_id), path)
    if content is None:
        raise NoLog(f"the pod {attempt.pod} is gone, and run {attempt.run_id} has no {path}") from gone
    return content


def _writer(stream: BinaryIO, printed: Lines) -> Write:
    """Return what writes a line of a log: as it was printed, or as a line of JSON."""

    def write(pod: str, line: LogLine) -> None:
        stream.write(line.said if printed is Lines.TEXT else _as_json(pod, line))
        stream.flush()

    return write


def _as_json(pod: str, line: LogLine) -> bytes:
    said = line.said.removesuffix(b"\n").decode(errors="replace")
    body = {"time": line.time, "pod": pod, "container": TRAINING_CONTAINER, "line": said}
    return f"{json.dumps(body, ensure_ascii=False)}\n".encode()


def _end(resource: TrainingRun, output: Output) -> NoReturn:
    def text(console: Console) -> None:
        status = resource.status
        console.print(f"{_called(resource)} {str(status.phase).lower()} after {status.duration}")
        if status.message:
            console.print(out.plain(status.message))
        if status.metrics:
            rows = [[name, out.number(float(value))] for name, value in status.metrics.items()]
            console.print(out.table(("METRIC", "VALUE"), rows, numbers=("VALUE",)))

    out.emit(output, resource.to_json(), text)
    raise typer.Exit(0 if resource.status.phase == "Succeeded" else 1)


def _called(resource: TrainingRun) -> str:
    return f"trainingrun.runyard.dev/{resource.metadata.name}"
