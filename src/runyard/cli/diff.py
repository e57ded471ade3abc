"""`runyard diff`: in what two runs differ, and what that explains."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from runyard.cli import output as out
from runyard.cli.mlflow import StoreOption, TrackingOption
from runyard.cli.output import Output
from runyard.cli.runs import ExperimentOption, OutputOption, RunArgument, history
from runyard.comparison import Alone, Diff, MetricChange
from runyard.comparison import diff as difference
from runyard.history import LoggedRun
from runyard.reproduction import CodeDiff, code_diff

_ID_SHOWN = 8
_ALONE_SHOWN = 10


def diff(
    one: RunArgument,
    other: RunArgument,
    code: Annotated[
        bool, typer.Option("--code", help="Show what makes of the first one's code the second one's, as a diff.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder", help="With --code: in a clone that has the commits.", show_default="here, then as the runs say"
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, max=1, help="By how much metrics may differ, relatively.")
    ] = 0.0,
    experiment: ExperimentOption = None,
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say in what two runs differ - parameters, code, data, environment, hardware, metrics - and what that explains.

    Only what both have on record is compared; what one alone has is listed apart, and is no difference. Hardware is
    shown, and changes no exit code.

    Exit codes: 0 nothing that decides a result differs, and no metric does (with --code: the code does not); 1
    something does; 2 there is no such run, or its code cannot be had; 4 MLflow does not answer.
    """
    if folder is not None and not code:
        raise typer.BadParameter("--folder is for --code: leave one of them out, or give both")
    if folder is not None and not folder.is_dir():
        raise typer.BadParameter(f"--folder is {folder}, which is no folder: give a clone of the repository")
    opened = history(store, tracking_uri)
    first, second = opened.find(one, experiment), opened.find(other, experiment)
    runs = (first, second)
    changed = code_diff(opened, first, second, folder) if code else None
    for note in changed.notes if changed else ():
        typer.echo(f"runyard: {out.plain(note)}", err=True)
    if changed and output is Output.TEXT:
        _print(changed)
        raise typer.Exit(1 if changed.text else 0)
    found = difference(first, second, opened.provenance(first), opened.provenance(second), tolerance)
    out.emit(output, _body(runs, found, changed), lambda console: _draw(console, runs, found))
    differs = bool(changed.text) if changed else not found.is_same
    raise typer.Exit(1 if differs else 0)


def _print(changed: CodeDiff) -> None:
    """Write a diff as it is, for `git apply`; on a terminal such that no line of it is a command."""
    if sys.stdout.isatty():
        for line in changed.text.decode(errors="replace").splitlines():
            typer.echo(out.plain(line.expandtabs()))
    else:
        sys.stdout.buffer.write(changed.text)
        sys.stdout.buffer.flush()


def _body(runs: Sequence[LoggedRun], found: Diff, changed: CodeDiff | None) -> dict[str, object]:
    more = {"code": changed.text.decode(errors="replace"), "notes": list(changed.notes)} if changed else {}
    return {
        "runs": [run.id for run in runs],
        "differences": [{**asdict(each), "kind": each.kind.value} for each in found.differences],
        "metrics": [_metric(each, found.tolerance) for each in found.metrics],
        "recordedByOneAlone": [
            {"run": _whose(runs, each).id, "kind": _kind(each), "name": each.name, "value": each.value}
            for each in found.alone
        ],
        "unknown": [kind.value for kind in found.unknown],
        "tolerance": found.tolerance,
        "explanation": found.explanation(),
        **more,
    }


def _metric(found: MetricChange, tolerance: float) -> dict[str, object]:
    return {**asdict(found), "change": found.change, "isSame": found.is_within(tolerance)}


def _whose(runs: Sequence[LoggedRun], each: Alone) -> LoggedRun:
    return runs[0 if each.is_first else 1]


def _kind(each: Alone) -> str:
    return each.kind.value if each.kind else "metrics"


def _draw(console: Console, runs: Sequence[LoggedRun], found: Diff) -> None:
    names = [f"{out.short(run.name)} {run.id[:_ID_SHOWN]}" for run in runs]
    if found.differences:
        rows = [[each.kind, each.name, _short(each.one), _short(each.other)] for each in found.differences]
        console.print(out.table(["WHAT", "", *names], rows))
        console.print()
    if found.metrics:
        rows = [
            [each.name, out.number(each.one), out.number(each.other), _signed(each.change)] for each in found.metrics
        ]
        headings = ["METRIC", *names, "CHANGE"]
        console.print(out.table(headings, rows, headings[1:]))
        console.print()
    for run, name in zip(runs, names, strict=True):
        if alone := [each for each in found.alone if _whose(runs, each) is run]:
            console.print(out.plain(f"Recorded by {name} alone:"))
            rows = [[_kind(each), each.name, _value(each.value)] for each in alone[:_ALONE_SHOWN]]
            console.print(out.table(["", "", ""], rows))
            if more := len(alone) - len(alone[:_ALONE_SHOWN]):
                console.print(f"{more:,} more; -o json has all.")
            console.print()
    console.print(out.plain(found.explanation()), soft_wrap=True)


def _value(value: str | float) -> str:
    return _short(value) if isinstance(value, str) else out.number(value)


def _short(value: str | None) -> str:
    if value is None:
        return "-"
    return f"{value[:19]}…" if value.startswith("sha256:") else value


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.6g}" if value else "0"
