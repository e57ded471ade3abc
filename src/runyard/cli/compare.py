"""`runyard compare`: runs beside each other, what varies and which is the best."""

import csv
import io
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from runyard.api.direction import Direction
from runyard.api.model import format_time
from runyard.audit.markdown import literal
from runyard.cli import output as out
from runyard.cli.mlflow import StoreOption, TrackingOption
from runyard.cli.output import Output
from runyard.cli.progress import Told, progress
from runyard.cli.runs import ExperimentOption, WhereOption, body, history
from runyard.history import History, LoggedRun
from runyard.side_by_side import SideBySide, side_by_side

_ID_SHOWN = 8
# More runs than that have a row each, in place of a column.
_MOST_COLUMNS = 5


class Printed(StrEnum):
    """What is printed."""

    TEXT = "text"
    YAML = "yaml"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"


def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Two or more runs; or none, and --experiment.", show_default=False),
    ] = None,
    experiment: ExperimentOption = None,
    where: WhereOption = "",
    metric: Annotated[
        list[str] | None, typer.Option("--metric", "-m", help="Only this metric; may be repeated.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what is the same in all, and metrics of the machine (system/…).")
    ] = False,
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
    output: Annotated[
        Printed, typer.Option("--output", "-o", help="What is printed; csv has a row a run, and all digits.")
    ] = Printed.TEXT,
) -> None:
    """Put runs side by side, or all of an experiment: what varies between them, the best of each metric marked.

    Whether more or less of a metric is better is told from its name.

    Exit codes: 0; 2 there is no such run, experiment or metric, or not two runs; 4 MLflow does not answer.
    """
    if runs and where:
        raise typer.BadParameter("--where chooses among an experiment's runs: leave it out, or the names of runs")
    if not runs and experiment is None:
        raise typer.BadParameter("give two or more runs, or --experiment for all of its runs")
    opened = history(store, tracking_uri)
    with progress("Reading runs") as told:
        found = _named(opened, runs, experiment, told) if runs else opened.search(experiment, where, told=told)
    beside = side_by_side(found, metric or (), everything=everything)
    match output:
        case Printed.CSV:
            typer.echo(_csv(beside), nl=False)
        case Printed.MARKDOWN:
            typer.echo(_markdown(beside), nl=False)
        case _:
            out.emit(Output(output.value), _body(beside), lambda console: _text(console, beside))


def _named(opened: History, names: list[str], experiment: str | None, told: Told) -> list[LoggedRun]:
    found = []
    for name in names:
        found.append(opened.find(name, experiment))
        told(len(found), len(names))
    return found


def _body(beside: SideBySide) -> dict[str, object]:
    return {
        "runs": [body(run) for run in beside.runs],
        "params": list(beside.params),
        "datasets": list(beside.datasets),
        "metrics": list(beside.metrics),
        "directions": {name: direction.value for name, direction in beside.directions.items()},
        "best": beside.best,
    }


@dataclass(frozen=True)
class _Row:
    """Something that is shown of each run.

    Attributes:
        what: outcome, data or parameter; of a metric, which is better.
        name: of the parameter, the data or the metric.
        values: one a run.
        best: which of them are marked, by their places.

    """

    what: str
    name: str
    values: list[str]
    best: frozenset[int] = frozenset()

    @property
    def is_number(self) -> bool:
        """Whether its values are a metric's."""
        return self.what in {*Direction}

    @property
    def heading(self) -> str:
        """Its heading where it is a column."""
        if self.what == "parameter":
            return self.name
        if self.what == "outcome":
            return "OUTCOME"
        return f"{self.name} ({self.what})" if self.is_number else f"{self.what} {self.name}"

    def marked(self) -> list[str]:
        """Return its values, the best with a star and the rest with a blank, so that digits stand below each other."""
        if not self.is_number:
            return [out.short(value) for value in self.values]
        return [value and f"{value} {'*' if place in self.best else ' '}" for place, value in enumerate(self.values)]


def _rows(beside: SideBySide) -> list[_Row]:
    runs, best, directions = beside.runs, beside.best, beside.directions
    rows = [_Row("outcome", "", [run.outcome for run in runs])] if beside.outcomes else []
    rows += [_Row("data", name, [_short(run.datasets.get(name, "")) for run in runs]) for name in beside.datasets]
    rows += [_Row("parameter", name, [run.params.get(name, "") for run in runs]) for name in beside.params]
    for name in beside.metrics:
        places = frozenset(place for place, run in enumerate(runs) if run.id in best[name])
        rows.append(_Row(directions[name].value, name, [out.number(run.metrics.get(name)) for run in runs], places))
    return rows


def _text(console: Console, beside: SideBySide) -> None:
    names = [f"{out.short(run.name)} {run.id[:_ID_SHOWN]}" for run in beside.runs]
    rows = _rows(beside)
    if not rows:
        console.print("Nothing varies.")
    elif len(names) <= _MOST_COLUMNS:
        lines = [[row.what, row.name, *row.marked()] for row in rows]
        console.print(out.table(["WHAT", "NAME", *names], lines, names))
    else:
        cells = zip(*(row.marked() for row in rows), strict=True)
        runs = [[run.id[:_ID_SHOWN], run.name, *values] for run, values in zip(beside.runs, cells, strict=True)]
        numbers = [row.heading for row in rows if row.is_number]
        console.print(out.table(["RUN", "NAME", *(row.heading for row in rows)], runs, numbers))
    for note in _notes(beside, is_marked=any(row.best for row in rows)):
        console.print(f"\n{note}", soft_wrap=True)


def _notes(beside: SideBySide, *, is_marked: bool = False) -> list[str]:
    left_out = [
        *([f"{beside.same:,} that are the same in all"] if beside.same else []),
        *([f"{beside.system:,} of the machine (system/…)"] if beside.system else []),
    ]
    return [
        *(["* the best"] if is_marked else []),
        *([f"Not shown: {' and '.join(left_out)}; --all shows them."] if left_out else []),
    ]


def _markdown(beside: SideBySide) -> str:
    """Return a table in GitHub's and GitLab's Markdown, a row a run where they are many."""
    names = [f"{literal(run.name)} {literal(run.id[:_ID_SHOWN])}" for run in beside.runs]
    rows = _rows(beside)
    cells = [[_bold(value, is_best=place in row.best) for place, value in enumerate(row.values)] for row in rows]
    if len(names) <= _MOST_COLUMNS:
        heads = [[row.what, literal(row.name) if row.name else ""] for row in rows]
        table = [["", "", *names], *([*head, *values] for head, values in zip(heads, cells, strict=True))]
    else:
        columns = [["Run", *names], *([literal(row.heading), *values] for row, values in zip(rows, cells, strict=True))]
        table = [list(line) for line in zip(*columns, strict=True)]
    lines = [f"| {' | '.join(line)} |" for line in table]
    lines.insert(1, f"|{' --- |' * len(table[0])}")
    return "\n".join([*lines, *(f"\n{note}" for note in _notes(beside)), ""])


def _bold(value: str, *, is_best: bool) -> str:
    shown = literal(value) if value else ""
    return f"**{shown}**" if is_best else shown


def _csv(beside: SideBySide) -> str:
    """Return a row a run, with what is shown under MLflow's own names, and all digits."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    kinds = (("datasets", beside.datasets), ("params", beside.params), ("metrics", beside.metrics))
    columns = [f"{kind}.{name}" for kind, names in kinds for name in names]
    table.writerow(["run_id", "name", "experiment", "outcome", "start_time", *columns])
    for run in beside.runs:
        values: list[object] = [
            *(run.datasets.get(name) for name in beside.datasets),
            *(run.params.get(name) for name in beside.params),
            *(run.metrics.get(name) for name in beside.metrics),
        ]
        table.writerow([run.id, run.name, run.experiment, run.outcome, format_time(run.started_at), *values])
    return file.getvalue()


def _short(digest: str) -> str:
    return f"{digest[:19]}…" if digest.startswith("sha256:") else digest
