"""The API of comparisons: runs side by side, and the figures of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.responses import Response

from runyard.api.direction import Direction
from runyard.dashboard import answers, api, figures
from runyard.dashboard.api import Format, TheSite
from runyard.dashboard.comparing import MOST_COMPARED, Comparison, Question, compare
from runyard.dashboard.runs import small
from runyard.dashboard.site import Site, View
from runyard.history import LoggedRun

router = APIRouter(prefix="/compare", responses=api.UNANSWERED)
_ID = r"^[0-9a-f]{32}$"

RunIds: TypeAlias = Annotated[
    list[Annotated[str, Query(pattern=_ID)]], Query(alias="run", max_length=MOST_COMPARED, description="IDs of runs")
]
Names: TypeAlias = Annotated[
    list[str], Query(alias="experiment", max_length=20, description="all runs of these experiments")
]


class Picture(StrEnum):
    """A figure of a comparison."""

    PARALLEL = "parallel"
    SCATTER = "scatter"
    FOLDS = "folds"
    COURSE = "course"
    ROC_CURVE = "roc_curve"
    PR_CURVE = "pr_curve"
    CALIBRATION = "calibration"
    CONFUSION_MATRIX = "confusion_matrix"
    PERMUTATION_IMPORTANCE = "permutation_importance"
    FEATURE_IMPORTANCE = "feature_importance"


class Compared(answers.Answer):
    """A run in a comparison."""

    run: answers.Run
    label: Annotated[str, Field(description="what it is called; no other is called so")]
    is_best: bool
    left_out: Annotated[str, Field(description="why it cannot be the best; empty where it can")]
    best_by: Annotated[list[str], Field(description="the metrics by which none is better")]


class Side(answers.Answer):
    """Runs side by side, in order."""

    state: answers.State
    says: str
    metric: str | None
    direction: str
    best: str | None
    of: Annotated[int, Field(description="how many were asked for; of more than a hundred the best are here")]
    runs: list[Compared]
    params: Annotated[list[str], Field(description="those that vary first")]
    varying: Annotated[int, Field(description="how many of them vary")]
    metrics: list[str]


def question(
    metric: Annotated[str | None, Query(max_length=400, description="that decides; none: a usual one")] = None,
    direction: Annotated[Literal["highest", "lowest", ""], Query(description="which is better")] = "",
    where: Annotated[str, Query(description="a condition that the best must satisfy")] = "",
    sort: Annotated[str, Query(max_length=400, description="as in lists; empty: the best first")] = "",
    order: Annotated[Literal["asc", "desc"], Query()] = "desc",
) -> Question:
    """Read by what runs are compared."""
    towards = Direction(direction) if direction else None
    return Question(metric or None, towards, where.strip(), sort, order == "desc")


TheQuestion: TypeAlias = Annotated[Question, Depends(question)]


def asked(site: Site, view: View, run_ids: list[str], experiments: list[str]) -> tuple[list[LoggedRun], list[str]]:
    """Return the runs that are asked for, and the IDs of those that are not there."""
    found = {run.id: run for name in experiments for run in view.runs.by_experiment.get(name, [])}
    known = view.runs.by_id
    found |= {run_id: known[run_id] for run_id in run_ids if run_id in known}
    # Older than what is kept in memory, or deleted.
    others = [run_id for run_id in dict.fromkeys(run_ids) if run_id not in known]
    if others and not view.is_silent:
        # As short as the others, with which they are compared.
        found |= {run.id: small(run) for run in site.find(others) if run}
    return list(found.values()), [run_id for run_id in others if run_id not in found]


@router.get("")
def side_by_side(site: TheSite, question: TheQuestion, run_ids: RunIds = [], experiments: Names = []) -> Side:  # noqa: B006 FastAPI copies it
    """Return runs side by side."""
    view = site.look()
    found = compare(asked(site, view, run_ids, experiments)[0], question, run_ids)
    return Side(
        state=api.state(view),
        says=found.says,
        metric=found.metric,
        direction=found.direction.value,
        best=found.best.id if found.best else None,
        of=found.of,
        runs=[
            Compared(
                run=answers.Run.of(run),
                label=found.labels[run.id],
                is_best=found.best is not None and run.id == found.best.id,
                left_out=found.left_out.get(run.id, ""),
                best_by=[name for name, ids in found.winners.items() if run.id in ids],
            )
            for run in found.runs
        ],
        params=list(found.params),
        varying=found.varying,
        metrics=list(found.metrics),
    )


@router.get("/figures/{picture}", response_model=answers.Figure, responses=api.AS_CSV)
def figure(  # noqa: PLR0913, PLR0917 a query's parts
    site: TheSite,
    question: TheQuestion,
    picture: Picture,
    run_ids: RunIds = [],  # noqa: B006 FastAPI copies it
    experiments: Names = [],  # noqa: B006
    x: Annotated[str | None, Query(max_length=400, description="of a scatter: the metric that goes across")] = None,
    y: Annotated[str | None, Query(max_length=400, description="the metric that goes up")] = None,
    course: Annotated[str | None, Query(max_length=400, description="the metric whose course is drawn")] = None,
    form: Format = "json",
) -> Response:
    """Return a figure of runs side by side, long lines thinned, or all of its table as CSV."""
    view = site.look()
    found = compare(asked(site, view, run_ids, experiments)[0], question, run_ids)
    across, up = axes(found, x, y)
    name = course or found.metric or ""
    is_whole = form == "csv"
    return api.drawn(_drawn(site, found, picture, (across, up), name, is_whole=is_whole), form)


def axes(found: Comparison, x: str | None, y: str | None) -> tuple[str, str]:
    """Return the metrics that a scatter is of: unless told otherwise, that which decides over the next one."""
    others = [name for name in found.metrics if name != found.metric]
    return x or (others[0] if others else found.metric or ""), y or found.metric or ""


def _drawn(
    site: Site, found: Comparison, picture: Picture, axes: tuple[str, str], course: str, *, is_whole: bool
) -> answers.Figure:
    runs = list(found.runs)[: figures.MOST_DRAWN]
    match picture:
        case Picture.PARALLEL:
            return figures.parallel(found)
        case Picture.SCATTER:
            return figures.scatter(found, *axes)
        case Picture.COURSE:
            read = site.courses.whole if is_whole else site.courses.of
            courses = read([(run, course) for run in runs])
            return figures.course(course, found.labels, list(zip(runs, courses, strict=True)))
        case _:
            return _of_tables(site, found, picture)


def _of_tables(site: Site, found: Comparison, picture: Picture) -> answers.Figure:
    runs = list(found.runs)[: figures.MOST_DRAWN]
    table = "cross_validation" if picture is Picture.FOLDS else picture.value
    tables = list(zip(runs, site.artifacts.tables(runs, table), strict=True))
    if picture is Picture.FOLDS:
        return figures.folds(found, tables)
    if picture is Picture.CONFUSION_MATRIX:
        return figures.confusion(found.labels, tables)
    if picture.value in figures.CURVES:
        return figures.curve(picture.value, found.labels, tables)
    return figures.importance(picture.value, found.labels, tables)
