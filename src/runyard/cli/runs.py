"""`runyard list`, `show`, `best`: runs that there have been."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from runyard.api.direction import Direction, direction_of
from runyard.api.model import format_time
from runyard.api.records import RunStatus
from runyard.api.repetition import REPRODUCES_TAG, VARIES_TAG, VERDICT_TAG
from runyard.cli import output as out
from runyard.cli.mlflow import StoreOption, TrackingOption, chosen_mlflow
from runyard.cli.output import Output
from runyard.cli.progress import progress
from runyard.comparison import is_summary, levels_above_equals, of_result, ranked, varying
from runyard.errors import RunyardError
from runyard.history import History, LoggedRun
from runyard.sorting import NEWEST, Order, read_order
from runyard.words import ago, listed, span

OutputOption = Annotated[Output, typer.Option("--output", "-o", help="What is printed.")]
ExperimentOption = Annotated[str | None, typer.Option("--experiment", "-e", help="Look only there.")]
WhereOption = Annotated[
    str, typer.Option("--where", help='Only runs for which this holds, in MLflow\'s words: "metrics.recall >= 0.9".')
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="ID, four or more characters of it, or name.")]

_ID_SHOWN = 8
_METRICS_SHOWN = 3
_TIES_NAMED = 3


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
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="Show this parameter; may be repeated.")
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            metavar="KEY",
            help="By started, name, took, metrics.NAME or params.NAME; -KEY: the largest or latest first.",
        ),
    ] = "-started",
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many, the first in that order.")] = 20,
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List runs, the newest first unless --sort says otherwise.

    Exit codes: 0, also where there are none; 2 there is no such experiment or order, or --where is not understood; 4
    MLflow does not answer.
    """
    order = read_order(sort)
    found = _sorted(history(store, tracking_uri), experiment, where, order, limit + 1)
    more, found = len(found) > limit, found[:limit]
    metrics, params = [*metric] if metric else _commonest_metrics(found), [*(param or [])]
    for kind, columns in (("metrics", metrics), ("params", params)):
        if order.kind == kind and order.name not in columns:
            columns.append(order.name)

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
                *(out.short(run.params.get(name, "")) for name in params),
                *(out.number(run.metrics.get(name)) for name in metrics),
            ]
            for run in found
        ]
        console.print(out.table([*headings, *params, *metrics], rows, metrics))
        for name in _nowhere(found, metrics, params):
            console.print(f"\nNo run here has {out.plain(name)}.", soft_wrap=True)
        if more:
            first = "newest" if order == NEWEST else "first"
            console.print(f"\nThe {first} {limit}; --limit shows more.")

    out.emit(output, [body(run) for run in found], text)


def _sorted(opened: History, experiment: str | None, where: str, order: Order, limit: int) -> list[LoggedRun]:
    if order.in_mlflow:
        return opened.search(experiment, where, order.in_mlflow, limit)
    with progress("Reading runs") as told:
        return order.arranged(opened.search(experiment, where, told=told))[:limit]


def _nowhere(runs: list[LoggedRun], metrics: list[str], params: list[str]) -> list[str]:
    """Return the columns that are empty, for which a name that is written wrong is the likeliest cause."""
    return [
        *(f"the parameter {name}" for name in params if not any(name in run.params for run in runs)),
        *(f"the metric {name}" for name in metrics if not any(name in run.metrics for run in runs)),
    ]


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
            "reproduces": _repeats(found),
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

    Of several that share the best value the first that was started is named, and the others are told. A run that has it
    from a part of its own, as a grid has, comes after that part; the run above a sweep's trials does not count.

    Exit codes: 0; 2 there is no such experiment, or no run has the metric; 4 MLflow does not answer.
    """
    towards = direction or direction_of(metric)
    with progress("Reading runs") as told:
        every = history(store, tracking_uri).search(experiment, where, told=told)
    finished = [run for run in every if run.status is RunStatus.FINISHED]
    counting = [run for run in finished if not is_summary(run)]
    found = ranked(counting, metric, towards)
    first, repeating = found[0], levels_above_equals(counting, metric)
    tied = [run for run in found if run.metrics[metric] == first.metrics[metric] and run.id not in repeating]
    without, unfinished, summaries = (
        len(counting) - len(found),
        len(every) - len(finished),
        len(finished) - len(counting),
    )

    def text(console: Console) -> None:
        said = f"{out.short(first.name)}: {metric} {out.number(first.metrics[metric])}, the {towards}"
        if others := tied[1:]:
            named = ", ".join(out.short(run.name) for run in others[:_TIES_NAMED])
            more = f" and {len(others) - _TIES_NAMED} more" if len(others) > _TIES_NAMED else ""
            said += f"; so {'has' if len(others) == 1 else 'have'} {named}{more}, started later"
        console.print(out.plain(said), end="\n\n", soft_wrap=True)
        names = varying([run.params for run in found[:limit]])[:6]
        rows = [
            [
                run.id[:_ID_SHOWN],
                run.name,
                out.number(run.metrics[metric]),
                *(out.short(run.params.get(name, "")) for name in names),
            ]
            for run in found[:limit]
        ]
        console.print(out.table(["RUN", "NAME", metric, *names], rows, [metric]))
        if len(found) > limit:
            console.print(f"\nThe best {limit} of {len(found)}; --limit shows more.")
        left_out = [
            *([f"{without} without {metric} as a number"] if without else []),
            *([f"{unfinished} that did not finish"] if unfinished else []),
            *([f"{summaries} above a sweep's trials"] if summaries else []),
        ]
        if left_out:
            console.print(f"\nNot counted: {out.plain(listed(left_out))}.", soft_wrap=True)

    answer = {
        "metric": metric,
        "direction": towards.value,
        "runs": [body(run) for run in found[:limit]],
        "tied": [run.id for run in tied] if len(tied) > 1 else [],
        "withMetric": len(found),
        "withoutMetric": without,
        "unfinished": unfinished,
        "aboveTrials": summaries,
    }
    out.emit(output, answer, text)


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


def _repeats(run: LoggedRun) -> str:
    words = [run.tags.get(name, "") for name in (VERDICT_TAG, VARIES_TAG)]
    said = ", ".join(word for word in words if word)
    return f"{run.tags.get(REPRODUCES_TAG, '')} ({said})" if said else run.tags.get(REPRODUCES_TAG, "")


def _took(run: LoggedRun) -> str:
    """Return how long a run took, or how long it has gone on."""
    if run.status.is_open:
        return f"{ago(run.started_at)} so far"
    return span(run.duration)


def _commonest_metrics(runs: list[LoggedRun]) -> list[str]:
    counts: dict[str, int] = {}
    for run in runs:
        for name in of_result(run.metrics):
            counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: (-counts[name], name))[:_METRICS_SHOWN]
