"""`runyard run`: a TrainingRun on this machine."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from runyard import clusterless, local, manifest
from runyard.api.addresses import without_logins
from runyard.api.outcome import Attempt, Outcome, Phase, Reason
from runyard.api.status import PROMOTED, TRACKED
from runyard.api.trainingrun import TrainingRun
from runyard.cli.mlflow import StoreOption, TrackingOption, chosen_mlflow
from runyard.cli.output import Output, as_yaml, emit, number, plain, table

_INTERRUPTED = 130
_STYLES = {str(Outcome.SUCCEEDED): "green", str(Outcome.CANCELLED): "yellow"}


def run(
    file: Annotated[Path, typer.Argument(help="A manifest with one TrainingRun.", show_default=False)],
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
    output: Annotated[
        Output,
        typer.Option("--output", "-o", help="text: the training's output, the status, a summary; or the status alone."),
    ] = Output.TEXT,
) -> None:
    """Run a TrainingRun as a process on this machine, and say what came of it.

    The command starts in the manifest's folder, in this environment; the image is not used. Exit codes: 0 the
    training succeeded, whether its model was promoted or not, 1 it failed, 2 the manifest is wrong or needs a cluster,
    4 MLflow did not answer before it began, 130 it was interrupted.
    """
    wanted = manifest.read(file)
    local.check(wanted)
    chosen = chosen_mlflow(store, tracking_uri)
    tracking: local.Tracking = local.Server(chosen) if isinstance(chosen, str) else local.Embedded(chosen.absolute())
    stream = sys.stdout.buffer if output is Output.TEXT else sys.stderr.buffer

    def echo(line: bytes) -> None:
        stream.write(line)
        stream.flush()

    if left_out := clusterless.ignored(wanted):
        typer.echo(f"runyard: left out on this machine: {', '.join(left_out)}", err=True)
    result = local.run(wanted, file.absolute().parent, tracking, echo)
    body = result.to_json()

    def text(console: Console) -> None:
        typer.echo(f"---\n{as_yaml(body)}---")
        _summarise(console, result, tracking)

    emit(output, body, text)
    raise typer.Exit(_exit_code(result))


def _exit_code(result: TrainingRun) -> int:
    if result.status.phase is Phase.SUCCEEDED:
        return 0
    last = result.status.attempts[-1]
    return _INTERRUPTED if last.reason == Reason.CANCELLED else 1


def _summarise(console: Console, result: TrainingRun, tracking: local.Tracking) -> None:
    status = result.status
    # Of a resource there is no phase for what its owner stopped: it is deleted.
    outcome = str(status.attempts[-1].outcome if status.attempts else status.phase)
    style = _STYLES.get(outcome, "red")
    took = f" in {status.duration}" if status.duration else ""
    console.print(Text.assemble("\n", (result.metadata.name, "bold"), ": ", (outcome, style), took))
    if status.attempts:
        console.print(table(("ATTEMPT", "OUTCOME", "REASON", "EXIT CODE", "RUN"), map(_row, status.attempts)))
    if status.message:
        console.print(f"\n{plain(status.message)}", soft_wrap=True)
    tracked = status.condition(TRACKED)
    if tracked and tracked.status != "True":
        console.print(f"\nNot tracked ({tracked.reason}): {plain(tracked.message)}", soft_wrap=True)
    if promoted := status.condition(PROMOTED):
        said = "Promoted" if promoted.status == "True" else f"Not promoted ({promoted.reason})"
        console.print(f"\n{said}: {plain(promoted.message)}".removesuffix(": "), soft_wrap=True)
    if status.metrics:
        console.print()
        rows = [[name, number(float(value))] for name, value in status.metrics.items()]
        console.print(table(("METRIC", "VALUE"), rows, numbers=("VALUE",)))
    console.print(f"\nOpen the UI:  {_ui(tracking)}", soft_wrap=True)


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
