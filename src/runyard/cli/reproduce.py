"""`runyard reproduce`: a run once more, and whether the same comes of it."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from runyard import local, reproduction
from runyard.api.outcome import Reason
from runyard.cli import output as out
from runyard.cli.cluster import ContextOption, NamespaceOption, TimeoutOption
from runyard.cli.mlflow import StoreOption, TrackingOption, chosen_mlflow
from runyard.cli.output import Output
from runyard.cli.runs import ExperimentOption, OutputOption, RunArgument, history
from runyard.cluster import Cluster, Deadline
from runyard.comparison import MetricChange
from runyard.errors import TrackingUnavailable
from runyard.history import LoggedRun
from runyard.reproduction import Reproduction, Terms, Verdict, Where

_ID_SHOWN = 8
_ROWS_SHOWN = 40
_INTERRUPTED = 130


def reproduce(
    run: RunArgument,
    in_cluster: Annotated[
        bool, typer.Option("--cluster", help="In the cluster, in the image that it ran in; default: this machine.")
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="With another value of a parameter; may be repeated."),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", "-m", help="Compare this one; may be repeated; default: all.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, max=1, help="By how much metrics may differ, relatively.")
    ] = 0.0,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="The manifest's folder on this machine.", show_default="as the run says"),
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Train the code that is in the folder now, whatever is recorded.")
    ] = False,
    timeout: TimeoutOption = None,
    context: ContextOption = None,
    namespace: NamespaceOption = None,
    experiment: ExperimentOption = None,
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Repeat a run from what it says of itself, and compare every metric.

    It starts what the run says it ran: ask only for runs of an MLflow that you trust. Exit codes: 0 reproduced; 1 a
    metric differs, or the repeated training failed; 2 it cannot be repeated, because something is missing or changed;
    3 --timeout is over; 4 MLflow or the cluster does not answer; 130 it was interrupted.
    """
    _refuse_what_does_not_fit(
        in_cluster=in_cluster,
        on_machine={"--folder": folder is not None, "--in-place": in_place},
        of_cluster={"--timeout": timeout is not None, "--context": bool(context), "--namespace": bool(namespace)},
    )
    opened = history(store, tracking_uri)
    terms = Terms(tolerance, tuple(metric or ()), reproduction.changes_of(changes or []))
    found = reproduction.receipt(opened, opened.find(run, experiment))
    if in_cluster:
        ended = reproduction.in_cluster(opened, found, Cluster(context, namespace), terms, Deadline(timeout), _tell)
    else:
        chosen = chosen_mlflow(store, tracking_uri)
        tracking = local.Server(chosen) if isinstance(chosen, str) else local.Embedded(chosen.absolute())
        machine = reproduction.Machine(tracking, folder, in_place, _echo)
        ended = reproduction.on_machine(opened, found, machine, terms, _tell)
    out.emit(output, body(ended), lambda console: _draw(console, ended))
    if ended.untold:
        raise TrackingUnavailable(f"the verdict is not on record: {ended.untold}")
    raise typer.Exit(_exit_code(ended))


def _refuse_what_does_not_fit(*, in_cluster: bool, on_machine: dict[str, bool], of_cluster: dict[str, bool]) -> None:
    for name, is_given in (on_machine if in_cluster else of_cluster).items():
        if is_given:
            raise typer.BadParameter(f"{name} is {'not ' if in_cluster else ''}for --cluster: leave one of them out")


def _tell(says: str) -> None:
    typer.echo(f"runyard: {out.plain(says)}", err=True)


def _echo(line: bytes) -> None:
    # What is printed as the result is the verdict alone.
    sys.stderr.buffer.write(line)
    sys.stderr.buffer.flush()


def _exit_code(ended: Reproduction) -> int:
    match ended.verdict:
        case Verdict.CANNOT:
            return 2
        case Verdict.FAILED:
            return _INTERRUPTED if ended.reason == Reason.CANCELLED and ended.where is Where.MACHINE else 1
        case _:
            return 0 if ended.is_same else 1


def body(ended: Reproduction) -> dict[str, object]:
    """Return a reproduction as data."""
    return {
        "verdict": ended.verdict.value,
        "says": ended.sentence,
        "where": ended.where.value,
        "runId": ended.receipt.run.id,
        "trainingRun": ended.name,
        "reproducedBy": ended.run.id if ended.run else None,
        "reason": ended.reason,
        "tolerance": ended.tolerance,
        "varies": list(ended.varies),
        "greatestDifference": ended.greatest_difference,
        "changed": {name: {"before": before, "now": now} for name, (before, now) in ended.changed.items()},
        "runs": [
            {
                "name": pair.name,
                "before": pair.before.id if pair.before else None,
                "now": pair.now.id if pair.now else None,
                "metrics": [_metric(found, ended.tolerance) for found in pair.metrics(ended.only)],
            }
            for pair in ended.pairs
        ],
        "gaps": [
            {"what": gap.what, "why": gap.why, "remedy": gap.remedy, "isInTheWay": gap.is_in_the_way}
            for gap in ended.gaps
        ],
        "differences": [
            {"kind": each.kind.value, "name": each.name, "before": each.one, "now": each.other}
            for each in (ended.diff.differences if ended.diff else ())
        ],
        "explanation": ended.diff.explanation(same_metrics=ended.is_same) if ended.diff else None,
        "notes": list(ended.notes),
    }


def _metric(found: MetricChange, tolerance: float) -> dict[str, object]:
    return {
        "name": found.name,
        "before": found.one,
        "now": found.other,
        "isSame": found.is_within(tolerance),
        "difference": found.change,
        "relative": reproduction.relative(found),
    }


def _draw(console: Console, ended: Reproduction) -> None:
    console.print(out.plain(ended.sentence), soft_wrap=True)
    if ended.run:
        rows = [_row("before", ended.receipt.run), [*_row("now", ended.run)[:-1], ended.name or ""]]
        console.print()
        console.print(out.table(["", "RUN", "NAME", "TRAININGRUN"], rows))
    if differing := ended.differing:
        rows = [
            [pair.name, found.name, _digits(found.one), _digits(found.other), *_changes(found)]
            for pair, found in differing[:_ROWS_SHOWN]
        ]
        numbers = ["BEFORE", "NOW", "DIFFERENCE", "RELATIVE"]
        console.print()
        console.print(out.table(["RUN", "METRIC", *numbers], rows, numbers))
        if len(differing) > _ROWS_SHOWN:
            console.print(f"\nThe first {_ROWS_SHOWN}; -o json has all {len(differing)}.")
    # Of what is the same nothing more is to be said than what is not certain.
    if ended.diff and (ended.diff.differences or not ended.is_same):
        console.print(f"\n{out.plain(ended.diff.explanation(same_metrics=ended.is_same))}", soft_wrap=True)
    in_the_way = [gap for gap in ended.gaps if gap.is_in_the_way]
    for gap in in_the_way:
        if gap.remedy:
            console.print(f"\nTo do: {out.plain(gap.remedy)}.", soft_wrap=True)
    others = [gap for gap in ended.gaps if gap not in in_the_way]
    if others and not in_the_way:
        console.print("\nNot certain:")
        for gap in others:
            console.print(f"  {out.plain(f'{gap.what}: {gap.why} ({gap.remedy})')}", soft_wrap=True)


def _row(when: str, run: LoggedRun) -> list[str]:
    return [when, run.id[:_ID_SHOWN], run.name, run.tags.get("runyard.dev/name", "")]


def _digits(value: float | None) -> str:
    """Return all digits: what differs in the last one is not to look the same."""
    return "-" if value is None else repr(value)


def _changes(found: MetricChange) -> list[str]:
    relative = reproduction.relative(found)
    change = "" if found.change is None else f"{found.change:+.3g}"
    return [change, "" if relative is None else f"{relative:+.2g}"]
