"""How far results can be relied on: the audit's five measures, over time, with the runs behind each."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import HTMLResponse, Response

from runyard.audit import Measure, Report
from runyard.audit.measures import duration
from runyard.dashboard import answers, api
from runyard.dashboard.answers import Cell, Column, Figure, Kind
from runyard.dashboard.api import Format, TheSite
from runyard.dashboard.auditing import WEEK, WEEKS, Audit, Subject, Week
from runyard.dashboard.pages import link, page
from runyard.history import NoSuchExperiment

router = APIRouter(prefix="/audit", responses=api.UNANSWERED)
pages = APIRouter()
_BEHIND = 200
_SHOWN = 10
_DAYS = 90
TITLES = {
    "reproduction": "Reproduced",
    "metadata": "With all metadata",
    "promotion": "Promoted on evidence",
    "distinct": "Not done twice",
    "completeness": "With logs and artifacts",
}


class Behind(answers.Answer):
    """One thing behind a measure."""

    runs: Annotated[list[str], Field(description="IDs, the one that it is about first")]
    name: str
    says: str


class Seconds(answers.Answer):
    """How long something took."""

    count: int
    median: float
    p90: float


class Measured(answers.Answer):
    """One of the five measures."""

    name: str
    value: Annotated[float | None, Field(description="percent, of which more is better; none of nothing")]
    count: int
    of: int
    what: str
    meaning: str
    remedy: str
    seconds: Seconds | None
    behind: Annotated[list[Behind], Field(description=f"the worst first, {_BEHIND} at most")]
    behind_total: int

    @classmethod
    def of_measure(cls, found: Measure) -> Measured:
        """Return it of a measure."""
        times = found.times
        return cls(
            name=found.name.value,
            value=found.value,
            count=found.count,
            of=found.of,
            what=found.what,
            meaning=found.meaning,
            remedy=found.remedy,
            seconds=times
            and Seconds(count=times.count, median=times.median.total_seconds(), p90=times.p90.total_seconds()),
            behind=[Behind(runs=list(each.runs), name=each.name, says=each.says) for each in found.behind[:_BEHIND]],
            behind_total=len(found.behind),
        )


class Audited(answers.Answer):
    """How an audit stands."""

    is_going_on: bool
    done: Annotated[int, Field(description="how many folders of artifacts have been read by the one that goes on")]
    of: int
    problem: Annotated[str, Field(description="why the last one came to nothing; empty where it did not")]
    at: Annotated[datetime | None, Field(description="when the last one was taken; none: there is none yet")]
    runs: Annotated[int, Field(description="how many runs it looked at")]
    measures: list[Measured]


def subject(
    experiment: Annotated[str | None, Query(max_length=500, description="its name; none: the whole server")] = None,
    days: Annotated[int, Query(ge=0, le=36_500, description="only what began since; 0: ever")] = _DAYS,
) -> Subject:
    """Read what is audited."""
    return Subject(experiment or None, days or None)


TheSubject = Annotated[Subject, Depends(subject)]


def look(site: TheSite, asked: TheSubject) -> Audit:
    """Return how an audit stands.

    Raises:
        NoSuchExperiment: there is none of that name.
        TrackingUnavailable: MLflow does not answer, and nothing was seen before.

    """
    if asked.experiment is not None and asked.experiment not in site.look().experiments.values():
        raise NoSuchExperiment(f'there is no experiment "{asked.experiment}"')
    return site.audit(asked)


TheAudit = Annotated[Audit, Depends(look)]
Back = Annotated[
    int | None,
    Query(alias="week", ge=-WEEKS, le=-1, description="of one week alone: -1 is the last seven days; none: of all"),
]


def week_of(found: Audit, number: int | None) -> Week | None:
    """Return one of the weeks of an audit, counted back from now; None where there is none."""
    return found.weeks[number] if number is not None and -number <= len(found.weeks) else None


def _report(found: Audit, number: int | None) -> Report | None:
    week = week_of(found, number)
    return week.report if week else found.report if number is None else None


def weekly(found: Audit) -> Figure:
    """Draw the measures week by week."""
    rows: list[list[Cell]] = [
        [
            TITLES[measure.name],
            -(len(found.weeks) - place),
            f"{week.begins:%Y-%m-%d}",
            measure.value,
            measure.count,
            measure.of,
        ]
        for place, week in enumerate(found.weeks)
        for measure in week.report.measures
        if measure.value is not None
    ]
    titles = {
        "measure": "measure",
        "week": "week (-1: the last seven days)",
        "begins": "begins",
        "percent": "%",
        "count": "count",
        "of": "of",
    }
    return Figure(
        name="audit_by_week",
        title="Week by week",
        says=f"Of what began in each of the last {WEEKS} weeks; a week with nothing to judge is left out.",
        kind=Kind.LINES,
        columns=[Column(name=name, title=title) for name, title in titles.items()],
        rows=rows,
        x="week",
        y="percent",
        x_limits=(-WEEKS, -1),
        y_limits=(0, 100),
        series="measure",
        empty="" if rows else "There was nothing to judge in the last twelve weeks.",
    )


@router.get("")
def audit(found: TheAudit, number: Back = None) -> Audited:
    """Return how an audit stands: one that is older than five minutes is taken again meanwhile."""
    report = _report(found, number)
    return Audited(
        is_going_on=found.is_going_on,
        done=found.done,
        of=found.of,
        problem=found.problem,
        at=report.at if report else None,
        runs=report.runs if report else 0,
        measures=[Measured.of_measure(each) for each in report.measures] if report else [],
    )


@router.get("/weeks", response_model=answers.Figure, responses=api.AS_CSV)
def weeks(found: TheAudit, form: Format = "json") -> Response:
    """Return the measures week by week."""
    return api.drawn(weekly(found), form)


@pages.get("/trust")
def trust(request: Request, site: TheSite, asked: TheSubject, found: TheAudit, number: Back = None) -> HTMLResponse:
    """Show how far results can be relied on."""
    view = site.look()
    query = {"experiment": asked.experiment, "days": asked.days or 0}
    return page(
        request,
        "trust.html",
        state=api.state(view),
        asked=asked,
        found=found,
        report=_report(found, number) or found.report,
        week=week_of(found, number),
        number=number,
        query=query,
        ending=WEEK,
        titles=TITLES,
        duration=duration,
        experiments=sorted(view.experiments.values()),
        runs=view.runs.by_id,
        shown=_SHOWN,
        weeks=link(f"{request.app.state.base}{api.PREFIX}/audit/weeks", query),
        source=link(f"{request.app.state.base}{api.PREFIX}/audit", {**query, "week": number}),
    )
