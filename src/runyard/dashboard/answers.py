"""What the API answers: typed, and described by its OpenAPI document."""

from __future__ import annotations

import csv
import io
import math
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from runyard.history import LoggedRun

# JSON has no infinity and no NaN; MLflow's REST API gives them as texts too.
Number: TypeAlias = float | Literal["NaN", "Infinity", "-Infinity"]
Cell: TypeAlias = Number | str | None
# What a spreadsheet would take for a formula.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def number(value: float) -> Number:
    """Return a number as JSON can write it.

    >>> number(0.5), number(float("nan")), number(float("-inf"))
    (0.5, 'NaN', '-Infinity')
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


class Answer(BaseModel):
    """Anything that is answered."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True)


class Problem(Answer):
    """Why there is no other answer, in a sentence."""

    detail: str


class State(Answer):
    """How far what is shown can be relied on."""

    at: Annotated[datetime, Field(description="when the runs were read")]
    runs: Annotated[int, Field(description="how many were")]
    is_whole: Annotated[bool, Field(description="whether all were read; while not, lists grow")]
    has_more: Annotated[bool, Field(description="whether there are older runs than are kept in memory")]
    problem: Annotated[str, Field(description="why it may be old; empty where it is not")] = ""


class Run(Answer):
    """A run as lists have it: values that are very long are cut."""

    run_id: str
    name: str
    experiment: str
    status: str
    outcome: Annotated[str, Field(description="what became of its pod; without one, of the run")]
    reason: str | None
    start_time: datetime
    end_time: datetime | None
    seconds: Annotated[float | None, Field(description="how long it took; none while it goes on")]
    parent_run_id: str | None
    metrics: dict[str, Number]
    params: dict[str, str]
    tags: dict[str, str]

    @classmethod
    def of(cls, run: LoggedRun) -> Run:
        """Return it of a run."""
        return cls(**_fields(run))


class RunInFull(Run):
    """All that is known of a run."""

    datasets: dict[str, str]
    model: str | None
    artifacts: Annotated[list[str], Field(description="paths of its files")]
    evaluation: Annotated[list[str], Field(description="names of the tables that its evaluation logged")]

    @classmethod
    def of_all(cls, run: LoggedRun, artifacts: list[str], evaluation: list[str]) -> RunInFull:
        """Return it of a run, its files and the tables of its evaluation."""
        more = {"datasets": dict(run.datasets), "model": run.model, "artifacts": artifacts, "evaluation": evaluation}
        return cls.model_validate({**_fields(run), **more})


def _fields(run: LoggedRun) -> dict[str, object]:
    return {
        "run_id": run.id,
        "name": run.name,
        "experiment": run.experiment,
        "status": run.status.value,
        "outcome": run.outcome,
        "reason": run.reason,
        "start_time": run.started_at,
        "end_time": run.finished_at,
        "seconds": run.duration.total_seconds() if run.duration else None,
        "parent_run_id": run.parent_id,
        "metrics": {name: number(value) for name, value in run.metrics.items()},
        "params": dict(run.params),
        "tags": dict(run.tags),
    }


class RunsPage(Answer):
    """A page of a list of runs."""

    state: State
    total: Annotated[int, Field(description="how many runs were chosen")]
    offset: int
    runs: list[Run]
    metrics: Annotated[list[str], Field(description="names of all that were chosen, the commonest first")]
    params: Annotated[list[str], Field(description="likewise, those that vary first")]


class Experiment(Answer):
    """An experiment, and how its runs stand."""

    experiment_id: str
    name: str
    runs: int
    going_on: int
    failed: int
    last_start_time: datetime | None


class Experiments(Answer):
    """All experiments, that with the newest run first."""

    state: State
    experiments: list[Experiment]


class Kind(StrEnum):
    """How a figure is drawn."""

    LINES = "lines"
    SCATTER = "scatter"
    PARALLEL = "parallel"
    BARS = "bars"
    INTERVALS = "intervals"
    SWARM = "swarm"
    WATERFALL = "waterfall"
    FORCE = "force"
    MATRIX = "matrix"


class Column(Answer):
    """A column of a figure's table."""

    name: str
    title: str


class Figure(Answer):
    """A figure: a table, and how it is drawn. It shows nothing that the table does not have."""

    name: str
    title: str
    says: Annotated[str, Field(description="what is to be seen, in words")]
    kind: Kind
    columns: list[Column]
    rows: list[list[Cell]]
    left_out: Annotated[int, Field(description="how many rows are not drawn, of lines that are long: CSV has all")] = 0
    x: Annotated[str, Field(description="the column that goes across")] = ""
    y: Annotated[str, Field(description="the column that goes up")] = ""
    series: Annotated[str, Field(description="the column whose values are drawn apart")] = ""
    panels: Annotated[
        str, Field(description="the column whose values are drawn by themselves, on axes of their own")
    ] = ""
    colour: Annotated[str, Field(description="the column that gives the colour")] = ""
    low: Annotated[str, Field(description="the column of a range's lower end")] = ""
    high: Annotated[str, Field(description="the column of a range's upper end")] = ""
    mark: Annotated[str, Field(description="the column that is 1 where something is to be seen at once")] = ""
    chosen: Annotated[str, Field(description="the column that is 1 at the value across that was chosen")] = ""
    diagonal: Annotated[bool, Field(description="whether the line of equal values is drawn")] = False
    x_limits: Annotated[tuple[float, float] | None, Field(description="where that axis ends; none: where rows do")] = (
        None
    )
    y_limits: Annotated[tuple[float, float] | None, Field(description="likewise")] = None
    empty: Annotated[str, Field(description="why there is nothing to draw, and what to do; empty where there is")] = ""

    def csv(self) -> str:
        """Return the table as CSV; a text that a spreadsheet would run as a formula is quoted."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([column.name for column in self.columns])
        writer.writerows([_plain(cell) for cell in row] for row in self.rows)
        return out.getvalue()


def _plain(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) and cell != "-Infinity" else cell
