"""The API of explanations: SHAP values as they were logged, and the figures of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from runyard.dashboard import answers, api, explaining
from runyard.dashboard.api import Format, RunId, TheSite
from runyard.dashboard.artifacts import Table
from runyard.dashboard.explaining import NotExplained
from runyard.dashboard.site import Site
from runyard.explanation import Explanation
from runyard.history import LoggedRun

router = APIRouter(prefix="/runs/{run_id}/explanation", responses=api.UNANSWERED)
ROWS_OF_A_PAGE = 20

Name: TypeAlias = Annotated[str | None, Query(max_length=1_000)]
Place: TypeAlias = Annotated[
    int | None,
    Query(ge=0, le=10**12, description="of rows that are called alike, the one at this place in the test data, from 0"),
]


class Picture(StrEnum):
    """A figure of an explanation."""

    SWARM = "swarm"
    IMPORTANCE = "importance"
    WATERFALL = "waterfall"
    FORCE = "force"
    DEPENDENCE = "dependence"


class Feature(answers.Answer):
    """A feature, and how much it matters."""

    name: str
    size: Annotated[answers.Number, Field(description="the mean size of its SHAP values")]


class Explained(answers.Answer):
    """What was explained, and how."""

    unit: Annotated[str, Field(description="of the values: probability, log-odds, margin, decision or value")]
    explainer: Annotated[str, Field(description="the name of shap's explainer")]
    shap: Annotated[str, Field(description="its version")]
    outputs: list[str]
    output: Annotated[str, Field(description="which of them the features are of")]
    features: Annotated[list[Feature], Field(description="that which matters most first")]
    rows: Annotated[int, Field(description="how many rows were explained")]
    left_out: Annotated[int, Field(description="how many test rows were not drawn")]


class ExplainedRows(answers.Answer):
    """Rows that were explained, as they were given to the model."""

    total: int
    offset: int
    columns: list[str]
    places: Annotated[list[int], Field(description="of each its place in the test data, from 0")]
    rows: list[list[answers.Cell]]


def read(site: Site, run_id: str) -> tuple[LoggedRun, Explanation]:
    """Read the SHAP values of a run.

    Raises:
        NotExplained: it has none; the message says why, where that is known, and what to do.
        NoSuchRun: there is no such run.
        EvaluationImpossible, UnreadableArtifact: what is there is something else.
        TrackingUnavailable: MLflow, or the store of its artifacts, does not answer.

    """
    run = site.run(run_id)
    found = site.artifacts.explanation(run)
    if found is None:
        left_out = site.artifacts.abouts([run])[0].get("left_out")
        why = left_out.get("shap") if isinstance(left_out, dict) else None
        raise NotExplained(
            f"run {run.name} has no SHAP values{f': {why}' if why else ''}; "
            "`runyard.evaluation.log(model, (X_test, y_test), train=(X_train, y_train))` in its script logs them"
        )
    if not found.features or not found.output_names or not found.rows:
        raise NotExplained(f"the SHAP values of run {run.name} are of no row or no feature")
    return run, found


def rows_of(site: Site, run: LoggedRun, found: Explanation) -> Table:
    """Return the rows that were explained as they were given, in their order; without that, their names alone."""
    table = site.artifacts.tables([run], "shap_rows")[0]
    if table is None or table.columns[:1] != ("row",) or table.column("row") != found.rows:
        return Table(("row",), tuple((name,) for name in found.rows))
    return table


@router.get("")
def explanation(site: TheSite, run_id: RunId, output: Name = None) -> Explained:
    """Return what was explained of a run, and how."""
    _, found = read(site, run_id)
    place = explaining.output_of(found, output)
    sizes = explaining.sizes(found, place)
    return Explained(
        unit=found.unit,
        explainer=found.explainer,
        shap=found.shap_version,
        outputs=found.output_names,
        output=found.output_names[place],
        features=[
            Feature(name=found.features[feature], size=answers.number(float(sizes[feature])))
            for feature in explaining.by_size(found, place)
        ],
        rows=len(found.rows),
        left_out=found.left_out,
    )


@router.get("/rows")
def rows(
    site: TheSite,
    run_id: RunId,
    q: Annotated[str, Query(max_length=200, description="the beginning of a row's name")] = "",
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = ROWS_OF_A_PAGE,
) -> ExplainedRows:
    """Return rows that were explained, as they were given."""
    run, found = read(site, run_id)
    table = rows_of(site, run, found)
    kept = [place for place, name in enumerate(found.rows) if name.startswith(q)]
    shown = kept[offset : offset + limit]
    return ExplainedRows(
        total=len(kept),
        offset=offset,
        columns=list(table.columns),
        places=[found.places[place] for place in shown],
        rows=[
            [answers.number(cell) if isinstance(cell, float) else cell for cell in table.rows[place]] for place in shown
        ],
    )


@router.get("/figures/{picture}", response_model=answers.Figure, responses=api.AS_CSV)
def figure(  # noqa: PLR0913, PLR0917 a query's parts
    site: TheSite,
    run_id: RunId,
    picture: Picture,
    output: Name = None,
    row: Name = None,
    place: Place = None,
    feature: Name = None,
    colour: Name = None,
    form: Format = "json",
) -> Response:
    """Return a figure of a run's SHAP values, or its table as CSV."""
    _, found = read(site, run_id)
    out = explaining.output_of(found, output)
    match picture:
        case Picture.SWARM:
            drawn = explaining.swarm(found, out)
        case Picture.IMPORTANCE:
            drawn = explaining.importance(found, out)
        case Picture.WATERFALL | Picture.FORCE:
            of_row = explaining.row_of(found, row, place)
            drawn = explaining.waterfall(found, out, of_row, as_force=picture is Picture.FORCE)
        case Picture.DEPENDENCE:
            chosen = explaining.feature_of(found, feature, out)
            hue = explaining.feature_of(found, colour, out) if colour else explaining.companion(found, out, chosen)
            drawn = explaining.dependence(found, out, chosen, hue)
    return api.drawn(drawn, form)
