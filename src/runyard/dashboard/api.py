"""The API: everything that the pages show, as typed JSON. Its document is at /api/v1/openapi.json."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from runyard.dashboard import answers
from runyard.dashboard.accounts import NotSignedIn
from runyard.dashboard.artifacts import names_of_tables
from runyard.dashboard.selecting import STARTED, Choice, choose
from runyard.dashboard.site import Site, View
from runyard.dashboard.thinning import thinned

PREFIX = "/api/v1"
MOST_OF_A_PAGE = 500
UNANSWERED: dict[int | str, dict[str, Any]] = {
    401: {"model": answers.Problem, "description": "With accounts: the cluster does not know who asks."},
    404: {"model": answers.Problem, "description": "There is no such thing."},
    422: {"model": answers.Problem, "description": "What is asked is wrong; the detail says what and how."},
    503: {"model": answers.Problem, "description": "MLflow does not answer, or the cluster not who asks."},
}
# What a figure answers with, besides its JSON.
AS_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
router = APIRouter(responses=UNANSWERED)

Sort: TypeAlias = Annotated[
    str, Query(max_length=400, description="started, took, name, outcome, experiment, metrics.NAME or params.NAME")
]
RunId: TypeAlias = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="MLflow's ID")]

Format: TypeAlias = Annotated[Literal["json", "csv"], Query(alias="format", description="csv: the figure's table")]


def site(request: Request) -> Site:
    """Return what this application looks at, as whoever asks may see it.

    Raises:
        NotSignedIn: there are accounts, and nobody has said who asks.

    """
    whole: Site = request.app.state.site
    found: Site | None = getattr(request.state, "site", None)
    if whole.accounts and (found is None or found.looker is None):
        raise NotSignedIn("nobody is signed in")
    return found or whole


TheSite: TypeAlias = Annotated[Site, Depends(site)]


def choice(
    experiment: Annotated[str | None, Query(max_length=500, description="its name; none: all")] = None,
    q: Annotated[str, Query(max_length=200, description="a part of the name, or the beginning of the ID")] = "",
    where: Annotated[str, Query(description='a condition: metrics.recall >= 0.9 && params.depth == "5"')] = "",
    outcome: Annotated[str | None, Query(max_length=50)] = None,
    sort: Sort = STARTED,
    order: Annotated[Literal["asc", "desc"], Query()] = "desc",
) -> Choice:
    """Read which runs a list shows."""
    return Choice(experiment or None, q.strip(), where.strip(), outcome or None, sort, order == "desc")


TheChoice: TypeAlias = Annotated[Choice, Depends(choice)]


@router.get("/experiments")
def experiments(site: TheSite) -> answers.Experiments:
    """Return all experiments, that with the newest run first."""
    view = site.look()
    return answers.Experiments(state=state(view), experiments=listed(view))


@router.get("/runs")
def runs(
    site: TheSite,
    choice: TheChoice,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_OF_A_PAGE)] = 50,
) -> answers.RunsPage:
    """Return a page of a list of runs."""
    view = site.look()
    chosen = choose(view.runs, choice)
    return answers.RunsPage(
        state=state(view),
        total=len(chosen.runs),
        offset=offset,
        runs=[answers.Run.of(run) for run in chosen.runs[offset : offset + limit]],
        metrics=list(chosen.metrics),
        params=list(chosen.params),
    )


@router.get("/runs/{run_id}")
def run(site: TheSite, run_id: RunId) -> answers.RunInFull:
    """Return all that is known of a run."""
    found = site.run(run_id)
    files = site.files(found)
    return answers.RunInFull.of_all(found, files, names_of_tables(files))


@router.get("/state")
def how_it_stands(site: TheSite) -> answers.State:
    """Return how far what is shown can be relied on, now."""
    return state(site.look(is_watching=True))


def drawn(figure: answers.Figure, form: Literal["json", "csv"]) -> Response:
    """Answer with a figure, long lines thinned, or with all of its table."""
    if form == "csv":
        # Of any alphabet, by RFC 6266.
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(figure.name, safe='')}.csv"}
        return Response(figure.csv(), media_type="text/csv; charset=utf-8", headers=headers)
    return Response(thinned(figure).model_dump_json(by_alias=True), media_type="application/json")


def state(view: View) -> answers.State:
    """Return how far what is shown can be relied on."""
    runs = view.runs
    return answers.State(
        at=runs.at, runs=len(runs.every), is_whole=runs.is_whole, has_more=runs.has_more, problem=view.problem
    )


def listed(view: View) -> list[answers.Experiment]:
    """Return all experiments, that with the newest run first."""
    found = []
    for experiment_id, name in view.experiments.items():
        of_it = view.runs.by_experiment.get(name, [])
        found.append(
            answers.Experiment(
                experiment_id=experiment_id,
                name=name,
                runs=len(of_it),
                going_on=sum(run.status.is_open for run in of_it),
                failed=sum(run.outcome == "Failed" for run in of_it),
                last_start_time=of_it[0].started_at if of_it else None,
            )
        )
    newest = {each.name: each.last_start_time.timestamp() if each.last_start_time else 0 for each in found}
    return sorted(found, key=lambda each: (-newest[each.name], each.name))
