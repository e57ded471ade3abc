"""The pages: HTML of what the API answers, whole without scripts but for the charts."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from runyard.api.when import WrongCondition
from runyard.audit.metadata import Field
from runyard.dashboard import api, words
from runyard.dashboard.api import RunId, TheChoice, TheSite
from runyard.dashboard.artifacts import names_of_tables
from runyard.dashboard.lacking import stand
from runyard.dashboard.selecting import Chosen, WrongChoice, choose
from runyard.errors import TrackingUnavailable
from runyard.history import UnreadableArtifact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runyard.dashboard.selecting import Choice
    from runyard.dashboard.site import Site
    from runyard.history import LoggedRun

router = APIRouter()
PAGE = 50
_COLUMNS = 6
_MOST_COLUMNS = 40
# Of a run's evaluation, by the names of their tables.
_FIGURES = {
    "roc_curve": "ROC curve",
    "confusion_matrix": "Confusion matrix",
    "pr_curve": "Precision and recall",
    "calibration": "Calibration",
    "cross_validation": "Cross-validation",
    "permutation_importance": "Permutation importance",
    "feature_importance": "The model's own importance",
}


def templates(base: str) -> Environment:
    """Return what pages are written with: every value is escaped, a name that is missing is an error."""
    environment = Environment(
        loader=PackageLoader("runyard.dashboard"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals |= {
        "base": base,
        "link": lambda path, **query: link(f"{base}{path}", query),
        "asset": _assets(base),
    }
    environment.filters |= {
        "shown": words.shown,
        "moment": words.moment,
        "since": words.since,
        "took": words.took,
        "code": words.code,
        "segment": lambda text: quote(text, safe=""),
    }
    return environment


def link(path: str, query: Mapping[str, object]) -> str:
    """Return an address with a query; what is empty is left out, of a list each has its own part.

    >>> link("/runs", {"q": "a b", "where": "", "run": ["1", "2"]})
    '/runs?q=a+b&run=1&run=2'
    """
    parts = [
        (name.rstrip("_"), str(each))
        for name, value in query.items()
        for each in (value if isinstance(value, (list, tuple)) else [value])
        if each not in {None, ""}
    ]
    return f"{path}?{urlencode(parts)}" if parts else path


def _assets(base: str) -> Mapping[str, str]:
    """Return the addresses of the package's own files, with a digest of what they hold."""
    folder = Path(__file__).parent / "static"
    found = {}
    for file in sorted(folder.glob("*.*")):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
        found[file.name] = f"{base}/static/{file.name}?v={digest}"
    return found


def page(request: Request, template: str, status: int = HTTPStatus.OK, **values: object) -> HTMLResponse:
    """Write a page."""
    environment: Environment = request.app.state.words
    site: Site = request.app.state.site
    seen: Site | None = getattr(request.state, "site", None)
    # Who is not signed in is shown nothing, nor is who was until a moment ago.
    looker = request.state.name if seen else ""
    return HTMLResponse(
        environment.get_template(template).render(
            mlflow="" if site.accounts and not seen else site.uri,
            trainings=site.trainings is not None,
            may_change=site.may_change,
            looker=looker,
            **values,
        ),
        status,
    )


def error(request: Request, status: int, says: str, *, is_cluster: bool = False) -> HTMLResponse:
    """Write a page that says what went wrong.

    Args:
        request: which it answers.
        status: with which.
        says: what went wrong.
        is_cluster: whether it is the cluster that went wrong.

    """
    title = {
        HTTPStatus.NOT_FOUND: "Not there",
        HTTPStatus.FORBIDDEN: "Not allowed",
        HTTPStatus.UNPROCESSABLE_ENTITY: "Not understood",
        HTTPStatus.SERVICE_UNAVAILABLE: "The cluster does not answer" if is_cluster else "MLflow does not answer",
    }.get(HTTPStatus(status), "This did not work")
    # What was to be changed is not asked for twice.
    retry = status == HTTPStatus.SERVICE_UNAVAILABLE and request.method == "GET"
    return page(request, "error.html", status, title=title, says=says, retry=retry)


@router.get("/")
def experiments(request: Request, site: TheSite) -> HTMLResponse:
    """Show all experiments."""
    view = site.look()
    return page(request, "experiments.html", state=api.state(view), experiments=api.listed(view))


@router.get("/runs")
def runs(
    request: Request,
    site: TheSite,
    choice: TheChoice,
    number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1,
    columns: Annotated[list[str] | None, Query(alias="column", max_length=_MOST_COLUMNS)] = None,
) -> HTMLResponse:
    """Show a list of runs."""
    view = site.look()
    wrong = ""
    try:
        chosen = choose(view.runs, choice)
    except (WrongCondition, WrongChoice) as refusal:
        chosen, wrong = Chosen([], (), (), 0), str(refusal)
    last = max(1, -(-len(chosen.runs) // PAGE))
    number = min(number, last)
    shown = columns or default_columns(chosen)
    if choice.sort.startswith(("metrics.", "params.")) and choice.sort not in shown and not wrong:
        shown = [*shown, choice.sort]
    return page(
        request,
        "runs.html",
        state=api.state(view),
        choice=choice,
        wrong=wrong,
        total=len(chosen.runs),
        runs=chosen.runs[(number - 1) * PAGE : number * PAGE],
        columns=shown,
        available=[f"params.{name}" for name in chosen.params] + [f"metrics.{name}" for name in chosen.metrics],
        experiments=sorted(view.experiments.values()),
        outcomes=sorted({run.outcome for run in view.runs.every}),
        number=number,
        last=last,
        query=_query(choice, columns),
        first=(number - 1) * PAGE,
    )


def default_columns(chosen: Chosen) -> list[str]:
    """Return the columns that a list has unless told otherwise: what varies, and the commonest metrics."""
    params = [f"params.{name}" for name in chosen.params[: min(chosen.varying, 4)]]
    return params + [f"metrics.{name}" for name in chosen.metrics[:_COLUMNS]]


def _query(choice: Choice, columns: Sequence[str] | None) -> dict[str, object]:
    return {
        "experiment": choice.experiment,
        "q": choice.text,
        "where": choice.where,
        "outcome": choice.outcome,
        "sort": choice.sort,
        "order": "desc" if choice.descending else "asc",
        "column": list(columns or []),
    }


@router.get("/runs/{run_id}")
def run(request: Request, site: TheSite, run_id: RunId) -> HTMLResponse:
    """Show a run."""
    view = site.look_and_ask()
    found = site.run(run_id)
    unread = ""
    files: list[str] = []
    standing = None
    try:
        files = site.files(found)
        standing = stand(site, view, found)
    except (TrackingUnavailable, UnreadableArtifact) as silence:
        unread = str(silence)
    parent = view.runs.by_id.get(found.parent_id or "")
    return page(
        request,
        "run.html",
        state=api.state(view),
        run=found,
        files=files,
        unread=unread,
        standing=standing,
        may_promote=found.model is not None and site.may_promote(found),
        fields=len(Field),
        elsewhere=_of_mlflow(site.mlflow_url, view.experiments, found),
        figures=_figures(request.app.state.base, found, names_of_tables(files)),
        parent=parent,
        children=[each for each in view.runs.by_experiment.get(found.experiment, []) if each.parent_id == found.id],
        tags=_people_tags(found.tags),
    )


def _of_mlflow(url: str, experiments: Mapping[str, str], run: LoggedRun) -> str:
    """Return the address of MLflow's own page of a run; empty where it is not known."""
    place = next((number for number, name in experiments.items() if name == run.experiment), "")
    return f"{url}/#/experiments/{quote(place, safe='')}/runs/{run.id}" if url and place else ""


def _figures(base: str, run: LoggedRun, tables: Sequence[str]) -> list[tuple[str, str]]:
    """Return addresses and titles of the figures that there are of a run."""
    shown = {"cross_validation": "folds"}
    return [
        (link(f"{base}{api.PREFIX}/compare/figures/{shown.get(table, table)}", {"run": run.id}), title)
        for table, title in _FIGURES.items()
        if table in tables
    ]


def _people_tags(tags: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Return tags that people read: of MLflow's own, what it writes for its own pages is left out."""
    return sorted(
        (name, value) for name, value in tags.items() if not name.startswith(("mlflow.log-model", "mlflow.runName"))
    )
