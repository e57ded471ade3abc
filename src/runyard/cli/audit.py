"""`runyard audit`: five measures of how far results can be relied on, and a gate for CI."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from runyard.audit import Measure, Report, markdown
from runyard.audit import audit as take
from runyard.audit.measures import duration
from runyard.audit.promotion import moment
from runyard.audit.thresholds import BelowThreshold, Threshold, failures, least, length, longest
from runyard.cli import output as out
from runyard.cli.mlflow import StoreOption, TrackingOption
from runyard.cli.output import Output
from runyard.cli.progress import progress
from runyard.cli.runs import history
from runyard.errors import RunyardError

_ID_SHOWN = 8


class Printed(StrEnum):
    """What is printed."""

    TEXT = "text"
    YAML = "yaml"
    JSON = "json"
    MARKDOWN = "markdown"


class WrongMoment(RunyardError):
    """What --since says is no moment."""

    exit_code = 2


def audit(
    experiment: Annotated[str | None, typer.Argument(help="Experiment; default: all.", show_default=False)] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only what began since: 30d, 12h or 2026-03-01.", show_default="ever")
    ] = None,
    runs: Annotated[int, typer.Option("--runs", min=0, help="How many of the worst behind each measure.")] = 5,
    fail_under: Annotated[
        list[str] | None,
        typer.Option("--fail-under", metavar="MEASURE=PERCENT", help="End with 1 below it; may be repeated."),
    ] = None,
    fail_over: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-over", metavar="MEASURE=TIME", help="End with 1 if the median takes longer; may be repeated."
        ),
    ] = None,
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
    output: Annotated[
        Printed, typer.Option("--output", "-o", help="What is printed; markdown is for a pull request.")
    ] = Printed.TEXT,
) -> None:
    """Measure an experiment or a whole server: reproduction, metadata, promotion, distinct, completeness.

    Each measure is a percentage, of which more is better; docs/audit.md defines them.

    Exit codes: 0; 1 a measure does not reach its threshold; 2 there is no such experiment or measure, or an option's
    value is wrong; 4 MLflow does not answer.
    """
    thresholds: list[Threshold] = [*map(least, fail_under or []), *map(longest, fail_over or [])]
    began = _moment(since) if since is not None else None
    with progress("Reading artifacts") as told:
        report = take(history(store, tracking_uri), experiment, began, told)
    if output is Printed.MARKDOWN:
        typer.echo(markdown(report, runs, thresholds), nl=False)
    else:
        out.emit(Output(output.value), report.to_json(), lambda console: _text(console, report, runs))
    if failed := failures(thresholds, report.measures):
        raise BelowThreshold("\n".join(failed))


def _moment(text: str) -> datetime:
    try:
        ago = length(text)
        found = datetime.now(UTC) - ago if ago is not None else moment(text)
    except OverflowError:
        found = None
    if found is None:
        raise WrongMoment(f"--since {text}: give how long ago, such as 30d or 12h, or a date, such as 2026-03-01")
    return found


def _text(console: Console, report: Report, runs: int) -> None:
    console.print(out.plain(report.scope), end="\n\n", soft_wrap=True)
    headings = ["MEASURE", "VALUE", "COUNT", "OF", "MEDIAN", "P90", ""]
    rows = [
        [
            measure.name.value,
            measure.percent,
            f"{measure.count:,}",
            f"{measure.of:,}",
            duration(measure.times.median) if measure.times else "",
            duration(measure.times.p90) if measure.times else "",
            measure.what,
        ]
        for measure in report.measures
    ]
    console.print(out.table(headings, rows, headings[1:-1]))
    for reason in list(report.unread.values())[:1]:
        console.print()
        console.print(out.plain(f"Not all could be read: {reason}"), soft_wrap=True)
    for measure in report.measures if report.runs else ():
        _behind(console, measure, runs)


def _behind(console: Console, measure: Measure, runs: int) -> None:
    console.print()
    console.print(measure.name.value, style="bold")
    console.print(out.plain(measure.meaning))
    if shown := measure.behind[:runs]:
        rows = [[each.runs[0][:_ID_SHOWN] if each.runs else "", each.name, each.says] for each in shown]
        console.print(out.table(["RUN", "NAME", "WHAT"], rows))
        if more := len(measure.behind) - len(shown):
            console.print(f"{more:,} more; --runs shows more.")
    if measure.count < measure.of or not measure.of:
        console.print(out.plain(measure.remedy), style="dim")
