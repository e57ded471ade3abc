"""`runyard run`: a TrainingRun on this machine."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table

from runyard import clusterless, local, manifest
from runyard.api.addresses import without_logins
from runyard.api.outcome import Attempt, Outcome, Reason
from runyard.api.status import TRACKED
from runyard.api.trainingrun import TrainingRun

_INTERRUPTED = 130


class Output(StrEnum):
    """What is printed."""

    TEXT = "text"
    YAML = "yaml"
    JSON = "json"


def run(
    file: Annotated[Path, typer.Argument(help="A manifest with one TrainingRun.", show_default=False)],
    store: Annotated[
        Path, typer.Option(help="Folder of the embedded MLflow: an SQLite database and the artifacts.")
    ] = Path(".runyard"),
    tracking_uri: Annotated[
        str | None,
        typer.Option(envvar="MLFLOW_TRACKING_URI", help="An MLflow server to log to, in place of the embedded one."),
    ] = None,
    output: Annotated[
        Output,
        typer.Option("--output", "-o", help="text: the training's output, the status, a summary; or the status alone."),
    ] = Output.TEXT,
) -> None:
    """Run a TrainingRun as a process on this machine, and say what came of it.

    The command starts in the manifest's folder, in this environment; the image is not used. Exit codes: 0 the
    training succeeded, 1 it failed or MLflow did not answer before it began, 2 the manifest is wrong or needs a
    cluster, 130 it was interrupted.
    """
    wanted = manifest.read(file)
    local.check(wanted)
    tracking: local.Tracking = local.Server(tracking_uri) if tracking_uri else local.Embedded(store.absolute())
    stream = sys.stdout.buffer if output is Output.TEXT else sys.stderr.buffer

    def echo(line: bytes) -> None:
        stream.write(line)
        stream.flush()

    if left_out := clusterless.ignored(wanted):
        typer.echo(f"runyard: left out on this machine: {', '.join(left_out)}", err=True)
    result = local.run(wanted, file.absolute().parent, tracking, echo)
    body = result.to_json()
    match output:
        case Output.JSON:
            typer.echo(json.dumps(body, indent=2))
        case Output.YAML:
            typer.echo(_yaml(body), nl=False)
        case Output.TEXT:
            typer.echo(f"---\n{_yaml(body)}---")
            _summarise(result, tracking)
    raise typer.Exit(_exit_code(result))


def _yaml(body: object) -> str:
    return yaml.safe_dump(body, sort_keys=True, allow_unicode=True, width=120)


def _exit_code(result: TrainingRun) -> int:
    last = result.status.attempts[-1]
    if last.outcome is Outcome.SUCCEEDED:
        return 0
    return _INTERRUPTED if last.reason == Reason.CANCELLED else 1


def _summarise(result: TrainingRun, tracking: local.Tracking) -> None:
    console = Console(highlight=False)
    status = result.status
    outcome = status.attempts[-1].outcome
    colour = {Outcome.SUCCEEDED: "green", Outcome.CANCELLED: "yellow"}.get(outcome, "red")
    console.print(f"\n[bold]{result.metadata.name}[/bold]: [{colour}]{outcome}[/{colour}] in {status.duration}")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("ATTEMPT", "OUTCOME", "REASON", "EXIT CODE", "RUN"):
        table.add_column(heading, no_wrap=True)
    for attempt in status.attempts:
        table.add_row(*_row(attempt))
    console.print(table)
    if status.message:
        console.print(f"\n{status.message}", markup=False)
    tracked = status.condition(TRACKED)
    if tracked and tracked.status != "True":
        console.print(f"\nNot tracked ({tracked.reason}): {tracked.message}", markup=False, soft_wrap=True)
    if status.metrics:
        console.print()
        metrics = Table(box=None, pad_edge=False, header_style="dim")
        metrics.add_column("METRIC", no_wrap=True)
        metrics.add_column("VALUE", justify="right", no_wrap=True)
        for name, value in status.metrics.items():
            metrics.add_row(name, f"{float(value):.6g}")
        console.print(metrics)
    console.print(f"\nOpen the UI:  {_ui(tracking)}", markup=False, soft_wrap=True)


def _row(attempt: Attempt) -> tuple[str, ...]:
    code = "" if attempt.exit_code is None else str(attempt.exit_code)
    return (attempt.pod, attempt.outcome, attempt.reason or "", code, attempt.run_id or "")


def _ui(tracking: local.Tracking) -> str:
    if isinstance(tracking, local.Server):
        return without_logins(tracking.uri)
    program = Path(sys.executable).parent / "mlflow"
    return f"{_short(program)} ui --backend-store-uri sqlite:///{_short(tracking.database)}"


def _short(path: Path) -> Path:
    """Return the path as one would type it here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
