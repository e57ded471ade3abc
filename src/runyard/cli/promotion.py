"""`runyard promote`, `rollback`, `promotions`: which model is the champion, and why."""

from typing import Annotated

import typer
from rich.console import Console

from runyard.api import promotion as rules
from runyard.api import when as conditions
from runyard.api.alias_history import Entry, replay
from runyard.api.direction import Direction
from runyard.api.model import format_time
from runyard.api.promote import CHAMPION
from runyard.cli import output as out
from runyard.cli.mlflow import StoreOption, TrackingOption
from runyard.cli.output import Output
from runyard.cli.runs import ExperimentOption, OutputOption, RunArgument, mlflow_uri
from runyard.history import History
from runyard.promotion import Promoted, Registry

AliasOption = Annotated[str, typer.Option("--alias", "-a", help="Which of the model's aliases.")]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a registered model.", show_default=False)]
BecauseOption = Annotated[str, typer.Option("--because", help="A reason in your words, kept with the rest.")]

_ID_SHOWN = 8


def promote(
    run: RunArgument,
    model: Annotated[str, typer.Option("--model", help="Registered model; made if it is not there.")],
    alias: AliasOption = CHAMPION,
    when: Annotated[
        str, typer.Option("--when", help="Only if this holds: 'metrics.f1_score >= 0.9 && params.kind == \"forest\"'.")
    ] = "",
    better_than: Annotated[
        str | None, typer.Option("--better-than", help="Only if it is better than the version with this alias.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", "-m", help="Better by which metric; default: the first in --when.")
    ] = None,
    direction: Annotated[
        Direction | None,
        typer.Option(
            "--direction",
            help="Which is better; default: as --when asks, else lowest for losses and errors, highest for all else.",
        ),
    ] = None,
    because: BecauseOption = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Promote it all the same; needs --because.")] = False,
    experiment: ExperimentOption = None,
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Register a run's model and give it an alias, if what is asked for holds; the reason is kept in MLflow.

    Exit codes: 0 it is promoted, or was before; 1 something that was asked for does not hold; 2 there is no such run,
    it logged no model, or an option is wrong; 4 MLflow does not answer.
    """
    if force and not because.strip():
        raise typer.BadParameter("--force needs --because: a reason takes the place of what was compared")
    condition = conditions.read(when) if when else None
    wanted = rules.asked(model, alias, condition, better_than, metric, direction)
    uri = mlflow_uri(store, tracking_uri)
    found = History(uri).find(run, experiment)
    result = Registry(uri).promote(found, wanted, because=because, force=force, dry_run=dry_run)
    called = f"{out.short(found.name)} ({found.id[:_ID_SHOWN]})"

    def text(console: Console) -> None:
        console.print(out.plain(_sentence(result, model, alias, called, dry_run=dry_run)), soft_wrap=True)
        if not result.was_so:
            console.print(out.plain(f"because {result.because}"), soft_wrap=True)

    body = {
        "model": model,
        "alias": alias,
        "runId": found.id,
        "promoted": result.promoted and not dry_run,
        "wouldBePromoted": result.promoted,
        "wasSo": result.was_so,
        "version": result.version,
        "insteadOf": result.instead_of,
        "because": result.because,
    }
    out.emit(output, body, text)
    raise typer.Exit(0 if result.promoted else 1)


def _sentence(result: Promoted, model: str, alias: str, called: str, *, dry_run: bool) -> str:
    version = f"version {result.version}" if result.version else "a new version"
    instead = f", instead of version {result.instead_of}" if result.instead_of else ""
    if result.was_so:
        return f"{called} is {version} of {model}, and the {alias} already"
    if not result.promoted:
        return f"{called} is not promoted{instead and f': version {result.instead_of} is the {alias} of {model}'}"
    verb = "would be" if dry_run else "is now"
    return f"{called} {verb} {version} of {model} and the {alias}{instead}"


def rollback(
    model: ModelArgument,
    alias: AliasOption = CHAMPION,
    because: BecauseOption = "",
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Give an alias back to the version that had it before; once more, and it goes one further back.

    Exit codes: 0; 1 another version got the alias at the same moment; 2 there is no such model, or nothing to go back
    to; 4 MLflow does not answer.
    """
    result = Registry(mlflow_uri(store, tracking_uri)).rollback(model, alias, because=because)

    def text(console: Console) -> None:
        instead = f", instead of version {result.instead_of}" if result.instead_of else ""
        said = (
            f"version {result.version} of {model} is the {alias} again{instead}"
            if result.done
            else f"not rolled back: {result.because}"
        )
        console.print(out.plain(said), soft_wrap=True)

    body = {
        "model": model,
        "alias": alias,
        "rolledBack": result.done,
        "version": result.version,
        "insteadOf": result.instead_of,
        "because": result.because,
    }
    out.emit(output, body, text)
    raise typer.Exit(0 if result.done else 1)


def promotions(
    model: ModelArgument,
    alias: Annotated[
        str | None, typer.Option("--alias", "-a", help="Only this alias; default: all.", show_default=False)
    ] = None,
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List how a model's aliases came to the versions that have them, the newest first.

    Exit codes: 0, also where there were none; 2 there is no such model; 4 MLflow does not answer.
    """
    if alias is not None:
        rules.asked(model, alias)
    opened = Registry(mlflow_uri(store, tracking_uri))
    found = [entry for entry in opened.history(model) if alias in {None, entry.alias}]
    now = opened.aliases(model)
    lost = {entry.key for name in {entry.alias for entry in found} for entry in _overtaken(found, name)}

    def text(console: Console) -> None:
        if not found:
            console.print("No promotions.")
        else:
            rows = [
                [
                    f"{entry.record.at:%Y-%m-%d %H:%M}",
                    entry.alias,
                    _version(entry.record.version),
                    _version(entry.record.instead_of),
                    (entry.record.run_id or "")[:_ID_SHOWN],
                    "Overtaken" if entry.key in lost else entry.record.change.value,
                    entry.record.by,
                    entry.record.because,
                ]
                for entry in reversed(found)
            ]
            console.print(out.table(["UTC", "ALIAS", "VERSION", "BEFORE", "RUN", "WHAT", "BY", "WHY"], rows))
            console.print()
        holders = [f"{name} is version {version}" for name, version in sorted(now.items()) if alias in {None, name}]
        console.print(out.plain(", ".join(holders) or "No version has the alias."), soft_wrap=True)

    body = {
        "model": model,
        "aliases": {name: version for name, version in now.items() if alias in {None, name}},
        "promotions": [_body(entry, overtaken=entry.key in lost) for entry in reversed(found)],
    }
    out.emit(output, body, text)


def _overtaken(found: list[Entry], alias: str) -> tuple[Entry, ...]:
    return replay([entry for entry in found if entry.alias == alias]).overtaken


def _version(version: int | None) -> str:
    return "-" if version is None else str(version)


def _body(entry: Entry, *, overtaken: bool) -> dict[str, object]:
    record = entry.record
    return {
        "alias": entry.alias,
        "change": record.change.value,
        "overtaken": overtaken,
        "settled": record.settled,
        "version": record.version,
        "insteadOf": record.instead_of,
        "runId": record.run_id,
        "metric": record.metric,
        "value": record.value,
        "time": format_time(record.at),
        "by": record.by,
        "because": record.because,
    }
