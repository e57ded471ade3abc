"""`runyard list`, `show`, `best`, `compare`, `diff`: runs that there have been."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from runyard.api.direction import Direction, direction_of
from runyard.api.model import format_time
from runyard.cli import output as out
from runyard.cli.mlflow import StoreOption, TrackingOption, chosen_mlflow
from runyard.cli.output import Output
from runyard.comparison import diff as difference
from runyard.comparison import ranked, varying, winners
from runyard.errors import RunyardError
from runyard.history import History, LoggedRun
from runyard.words import ago, span

OutputOption = Annotated[Output, typer.Option("--output", "-o", help="What is printed.")]
ExperimentOption = Annotated[str | None, typer.Option("--experiment", "-e", help="Look only there.")]
WhereOption = Annotated[
    str, typer.Option("--where", help='Only runs for which this holds, in MLflow\'s words: "metrics.recall >= 0.9".')
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="ID, four or more characters of it, or name.")]

_ID_SHOWN = 8
_METRICS_SHOWN = 3


class NoStore(RunyardError):
    """There is no embedded MLflow in the folder, and no server was named."""

    exit_code = 2


def history(store: Path | None, tracking_uri: str | None) -> History:
    """Open the MLflow that is meant.

    Raises:
        NoStore: there is none.

    """
    return History(mlflow_uri(store, tracking_uri))


def mlflow_uri(store: Path | None, tracking_uri: str | None) -> str:
    """Return the address of the MLflow that is meant.

    Raises:
        NoStore: there is none.

    """
    chosen = chosen_mlflow(store, tracking_uri)
    if isinstance(chosen, str):
        return chosen
    database = chosen.absolute() / "mlflow.db"
    if not database.is_file():
        raise NoStore(
            f"there is no MLflow in {chosen}: give --tracking-uri for a server, or --store for the folder that "
            "`runyard run` wrote to"
        )
    return f"sqlite:///{database}"


def list_runs(
    experiment: Annotated[str | None, typer.Argument(help="Experiment; default: all.", show_default=False)] = None,
    where: WhereOption = "",
    metric: Annotated[
        list[str] | None, typer.Option("--metric", "-m", help="Show this metric; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many, the newest first.")] = 20,
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List runs, the newest first.

    Exit codes: 0, also where there are none; 2 there is no such experiment, or --where is not understood; 4 MLflow
    does not answer.
    """
    found = history(store, tracking_uri).search(experiment, where, limit=limit + 1)
    more, found = len(found) > limit, found[:limit]
    shown = metric or _commonest_metrics(found)

    def text(console: Console) -> None:
        if not found:
            console.print("No runs.")
            return
        headings = ["RUN", "NAME", *([] if experiment else ["EXPERIMENT"]), "OUTCOME", "AGE", "TOOK"]
        rows = [
            [
                run.id[:_ID_SHOWN],
                run.name,
                *([] if experiment else [run.experiment]),
                _outcome(run),
                ago(run.started_at),
                _took(run),
                *(out.number(run.metrics.get(name)) for name in shown),
            ]
            for run in found
        ]
        console.print(out.table([*headings, *shown], rows, shown))
        if more:
            console.print(f"\nThe newest {limit}; --limit shows more.")

    out.emit(output, [body(run) for run in found], text)


def show(
    run: RunArgument,
    experiment: ExperimentOption = None,
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show all that is known of a run.

    Exit codes: 0; 2 there is no such run, or several are called so; 4 MLflow does not answer.
    """
    opened = history(store, tracking_uri)
    found = opened.find(run, experiment)
    files = sorted(opened.files(found))

    def text(console: Console) -> None:
        console.print(out.plain(f"{found.name}  {_outcome(found)}"), style="bold")
        facts = {
            "run": found.id,
            "experiment": found.experiment,
            "started": f"{found.started_at:%Y-%m-%d %H:%M:%S} UTC, {ago(found.started_at)} ago",
            "took": _took(found),
            "part of": found.parent_id or "",
            "commit": found.tags.get("mlflow.source.git.commit", ""),
            "fingerprint": found.tags.get("runyard.dev/fingerprint", ""),
            "model": found.model or "",
        }
        console.print(out.table(["", ""], [[name, value] for name, value in facts.items() if value]))
        for heading, values in (
            ("PARAMETER", found.params),
            ("METRIC", {name: out.number(value) for name, value in found.metrics.items()}),
            ("DATASET", found.datasets),
        ):
            if values:
                console.print()
                numbers = ["VALUE"] if heading == "METRIC" else []
                console.print(out.table([heading, "VALUE"], [[name, values[name]] for name in sorted(values)], numbers))
        if files:
            console.print()
            console.print(out.table(["ARTIFACT"], [[path] for path in files]))

    out.emit(output, {**body(found), "artifacts": files}, text)


def best(
    experiment: Annotated[str, typer.Argument(help="Experiment.", show_default=False)],
    metric: Annotated[str, typer.Option("--metric", "-m", help="By which metric.", show_default=False)],
    direction: Annotated[
        Direction | None,
        typer.Option("--direction", help="Which is better; default: lowest for losses and errors, else highest."),
    ] = None,
    where: WhereOption = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the best first.")] = 5,
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Name the best run of an experiment, and those after it. Only runs that finished count.

    Exit codes: 0; 2 there is no such experiment, or no run has the metric; 4 MLflow does not answer.
    """
    only = " and ".join(part for part in ("attributes.status = 'FINISHED'", where) if part)
    towards = direction or direction_of(metric)
    order = f"metrics.`{metric}` {'DESC' if towards is Direction.HIGHEST else 'ASC'}"
    # MLflow sorts runs that have no such number to the end.
    ordered = history(store, tracking_uri).search(experiment, only, (order, "attributes.start_time ASC"), limit + 1)
    found = ranked(ordered, metric, towards)

    def text(console: Console) -> None:
        first = found[0]
        console.print(
            out.plain(f"{first.name}: {metric} {out.number(first.metrics[metric])}, the {towards}"), end="\n\n"
        )
        names = varying([run.params for run in found[:limit]])[:6]
        rows = [
            [
                run.id[:_ID_SHOWN],
                run.name,
                out.number(run.metrics[metric]),
                *(run.params.get(name, "") for name in names),
            ]
            for run in found[:limit]
        ]
        console.print(out.table(["RUN", "NAME", metric, *names], rows, [metric]))
        if len(found) > limit:
            console.print(f"\nThe best {limit}; --limit shows more.")

    answer = {"metric": metric, "direction": towards.value, "runs": [body(run) for run in found[:limit]]}
    out.emit(output, answer, text)


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Two or more runs.", show_default=False)],
    experiment: ExperimentOption = None,
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Put runs side by side: parameters that are not the same in all, and every metric, the best marked with a star.

    Exit codes: 0; 2 there is no such run, or only one was named; 4 MLflow does not answer.
    """
    if len(runs) < 2:  # noqa: PLR2004 it takes two
        raise typer.BadParameter("give two or more runs")
    opened = history(store, tracking_uri)
    found = [opened.find(name, experiment) for name in runs]
    metrics = sorted({name for run in found for name in run.metrics})
    best_ids = {name: [run.id for run in winners(found, name)] for name in metrics}

    def text(console: Console) -> None:
        names = varying([run.params for run in found])
        headings = ["", *(f"{run.name} {run.id[:_ID_SHOWN]}" for run in found)]
        rows = [[name, *(run.params.get(name, "") for run in found)] for name in names]
        rows.extend(
            [
                name,
                *(out.number(run.metrics.get(name)) + (" *" if run.id in best_ids[name] else "  ") for run in found),
            ]
            for name in metrics
        )
        console.print(out.table(headings, rows, headings[1:]))

    out.emit(output, {"runs": [body(run) for run in found], "best": best_ids}, text)


def diff(
    one: RunArgument,
    other: RunArgument,
    experiment: ExperimentOption = None,
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say in what two runs differ - parameters, code, data, environment, metrics - and what that explains.

    Exit codes: 0 nothing that decides a result differs, and no metric does; 1 something does; 2 there is no such run;
    4 MLflow does not answer.
    """
    opened = history(store, tracking_uri)
    first, second = opened.find(one, experiment), opened.find(other, experiment)
    found = difference(first, second, opened.provenance(first), opened.provenance(second))

    def text(console: Console) -> None:
        names = [f"{run.name} {run.id[:_ID_SHOWN]}" for run in (first, second)]
        if found.differences:
            rows = [[each.kind, each.name, _short(each.one), _short(each.other)] for each in found.differences]
            console.print(out.table(["WHAT", "", *names], rows))
            console.print()
        if found.metrics:
            rows = [
                [each.name, out.number(each.one), out.number(each.other), _signed(each.change)]
                for each in found.metrics
            ]
            headings = ["METRIC", *names, "CHANGE"]
            console.print(out.table(headings, rows, headings[1:]))
            console.print()
        console.print(out.plain(found.explanation()), soft_wrap=True)

    answer = {
        "runs": [first.id, second.id],
        "differences": [{**asdict(each), "kind": each.kind.value} for each in found.differences],
        "metrics": [{**asdict(each), "change": each.change} for each in found.metrics],
        "unknown": [kind.value for kind in found.unknown],
        "explanation": found.explanation(),
    }
    out.emit(output, answer, text)
    raise typer.Exit(1 if found.differences or not found.same_metrics else 0)


def body(run: LoggedRun) -> dict[str, object]:
    """Return a run as data."""
    return {
        "runId": run.id,
        "name": run.name,
        "experiment": run.experiment,
        "status": run.status.value,
        "outcome": run.outcome,
        "reason": run.reason,
        "startTime": format_time(run.started_at),
        "endTime": format_time(run.finished_at) if run.finished_at else None,
        "parentRunId": run.parent_id,
        "params": dict(run.params),
        "metrics": dict(run.metrics),
        "datasets": dict(run.datasets),
        "tags": {name: value for name, value in run.tags.items() if not name.startswith("mlflow.log-model")},
        "model": run.model,
    }


def _outcome(run: LoggedRun) -> str:
    plain = run.reason in {None, "Completed"}
    return run.outcome if plain else f"{run.outcome} ({run.reason})"


def _took(run: LoggedRun) -> str:
    """Return how long a run took, or how long it has gone on."""
    if run.status.is_open:
        return f"{ago(run.started_at)} so far"
    return span(run.duration)


def _commonest_metrics(runs: list[LoggedRun]) -> list[str]:
    counts: dict[str, int] = {}
    for run in runs:
        for name in run.metrics:
            counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: (-counts[name], name))[:_METRICS_SHOWN]


def _short(value: str | None) -> str:
    if value is None:
        return "-"
    return f"{value[:19]}…" if value.startswith("sha256:") else value


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.6g}" if value else "0"
