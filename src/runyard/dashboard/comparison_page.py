"""The page of comparisons. Its address holds all of its state: whoever opens it sees the same."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import HTMLResponse

from runyard.api.when import WrongCondition
from runyard.dashboard import api, figures, selection
from runyard.dashboard.api import TheSite
from runyard.dashboard.comparing import Question, compare
from runyard.dashboard.comparison_api import Names, Picture, RunIds, TheQuestion, asked, axes
from runyard.dashboard.narrowing import Columns, Filter, narrow
from runyard.dashboard.pages import link, page
from runyard.dashboard.selecting import WrongChoice

router = APIRouter()
_LONGEST = 200
# Whole rows: what all runs share, and what needs no evaluation.
_WIDE = (Picture.PARALLEL,)
_TITLES = {
    Picture.PARALLEL: "What leads where",
    Picture.SCATTER: "Two metrics",
    Picture.FOLDS: "Inside the noise?",
    Picture.ROC_CURVE: "ROC curve",
    Picture.PR_CURVE: "Precision and recall",
    Picture.CONFUSION_MATRIX: "Confusion matrices",
    Picture.CALIBRATION: "Calibration",
    Picture.PERMUTATION_IMPORTANCE: "Permutation importance",
    Picture.FEATURE_IMPORTANCE: "The model's own importance",
    Picture.COURSE: "While training",
}


def wanted(
    rows: Annotated[str, Query(max_length=_LONGEST, description="words that a row has")] = "",
    columns: Annotated[str, Query(max_length=_LONGEST, description="words of which a column's name has one")] = "",
    show: Annotated[Literal["", "differing", "all"], Query(description="which columns")] = "",
) -> Filter:
    """Read what of the table is shown."""
    return Filter(rows.strip(), columns.strip(), Columns(show))


@router.get("/compare")
def comparison(  # noqa: PLR0913, PLR0917 a query's parts
    request: Request,
    site: TheSite,
    question: TheQuestion,
    only: Annotated[Filter, Depends(wanted)],
    run_ids: RunIds = [],  # noqa: B006 FastAPI copies it
    experiments: Names = [],  # noqa: B006
    x: Annotated[str | None, Query(max_length=400)] = None,
    y: Annotated[str | None, Query(max_length=400)] = None,
    course: Annotated[str | None, Query(max_length=400)] = None,
) -> HTMLResponse:
    """Show runs side by side."""
    view = site.look()
    runs, missing = asked(site, view, run_ids, experiments)
    wrong = ""
    try:
        found = compare(runs, question, run_ids)
    except (WrongCondition, WrongChoice) as refusal:
        wrong = str(refusal)
        question = Question(question.metric, question.direction)
        found = compare(runs, question, run_ids)
    across, up = axes(found, x or None, y or None)
    query = {
        "run": run_ids,
        "experiment": experiments,
        "metric": question.metric,
        "direction": question.direction.value if question.direction else None,
        "where": question.where,
        "sort": question.sort,
        "order": "" if question.descending else "asc",
        "x": x,
        "y": y,
        "course": course,
    }
    base = f"{request.app.state.base}{api.PREFIX}/compare/figures"
    response = page(
        request,
        "compare.html",
        state=api.state(view),
        found=found,
        question=question,
        wrong=wrong,
        missing=missing,
        experiments=sorted((name for name, of in view.runs.by_experiment.items() if len(of) > 1)),
        query={**query, "rows": only.rows, "columns": only.columns, "show": only.show.value},
        table=narrow(found, only),
        x=across,
        y=up,
        course=course or found.metric,
        figures=[
            (link(f"{base}/{picture.value}", query), title, picture in _WIDE) for picture, title in _TITLES.items()
        ],
        drawn=figures.MOST_DRAWN,
    )
    if site.may_change and found.best:
        selection.begin(request, response, found.best.experiment)
    return response
